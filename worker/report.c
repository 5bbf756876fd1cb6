#include "worker/report.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"

#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_SECONDS 0.2
#define LINES_MAX      20

struct report {
    enum report_form form;
    pthread_mutex_t lock;
    struct tracked_image **tracked;
    size_t tracked_count, tracked_capacity;
    struct result *results;
    size_t result_count, result_capacity;
    bool keep;
    size_t counts[OUTCOME_COUNT];
    size_t revisions;
    size_t untracked; /* images that were decided */
    /* terminal */
    pthread_t painter;
    bool painting;
    atomic_bool stop;
    size_t lines_drawn;
};

/* The log's hook has no argument. */
static struct report *on_terminal;

/* ---- terminal ---- */

static void terminal_size(size_t *rows, size_t *columns)
{
    struct winsize w;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 2 && w.ws_col > 20;
    *rows = known ? w.ws_row : 24;
    *columns = known ? w.ws_col : 80;
}

static void describe(const struct tracked_image *t, struct buf *out)
{
    static const char *const words[] = {"waiting", "fetching", "ready", "committing", "done"};
    int stage = atomic_load(&t->stage);
    uint64_t got = atomic_load(&t->bytes_fetched), want = atomic_load(&t->bytes_to_fetch);
    buf_addf(out, "%-10s %s", words[stage], t->name);
    if (t->more_names)
        buf_addf(out, " (+%zu)", t->more_names);
    if (stage == STAGE_FETCHING || stage == STAGE_READY)
        buf_addf(out, "  fetched %s of %s, prepared %llu entries", size_text(got).s,
                 size_text(want).s, (unsigned long long)atomic_load(&t->entries_prepared));
}

static void erase(struct report *r, struct buf *out)
{
    if (r->lines_drawn)
        buf_addf(out, "\x1b[%zuA\x1b[J", r->lines_drawn);
    r->lines_drawn = 0;
}

static void add_line(struct report *r, struct buf *out, const struct buf *line, size_t columns)
{
    buf_add(out, line->data, line->len < columns ? line->len : columns - 1);
    buf_addc(out, '\n');
    r->lines_drawn++;
}

static void draw(struct report *r, struct buf *out)
{
    size_t rows, columns, shown = 0, active = 0, done = r->untracked;
    terminal_size(&rows, &columns);
    size_t max = rows - 2 < LINES_MAX ? rows - 2 : LINES_MAX;
    _cleanup_buf_ struct buf line = BUF_INIT;
    for (size_t i = 0; i < r->tracked_count; i++) {
        int stage = atomic_load(&r->tracked[i]->stage);
        done += stage == STAGE_DONE;
        if (stage == STAGE_WAITING || stage == STAGE_DONE)
            continue;
        active++;
        if (shown == max)
            continue;
        buf_truncate(&line, 0);
        describe(r->tracked[i], &line);
        add_line(r, out, &line, columns);
        shown++;
    }
    if (r->tracked_count + r->untracked == 0)
        return;
    buf_truncate(&line, 0);
    buf_addf(&line, "%zu of %zu images done, %zu at work", done, r->tracked_count + r->untracked,
             active);
    add_line(r, out, &line, columns);
}

static void write_display(struct buf *out)
{
    if (file_write_all(STDERR_FILENO, out->data, out->len) < 0) {
        /* the terminal is gone: nobody looks */
    }
}

static void *paint(void *arg)
{
    struct report *r = arg;
    while (!atomic_load(&r->stop)) {
        _cleanup_buf_ struct buf out = BUF_INIT;
        pthread_mutex_lock(&r->lock);
        erase(r, &out);
        draw(r, &out);
        write_display(&out);
        pthread_mutex_unlock(&r->lock);
        struct timespec t = {.tv_nsec = (long)(REDRAW_SECONDS * 1e9)};
        nanosleep(&t, NULL);
    }
    return NULL;
}

/* A log line is written over the display, which the painter soon draws again below it. */
static void around_log_line(int before)
{
    struct report *r = on_terminal;
    _cleanup_buf_ struct buf out = BUF_INIT;
    if (!before) {
        pthread_mutex_unlock(&r->lock);
        return;
    }
    pthread_mutex_lock(&r->lock);
    erase(r, &out);
    write_display(&out);
}

static void stop_painting(struct report *r)
{
    if (!r->painting)
        return;
    atomic_store(&r->stop, true);
    pthread_join(r->painter, NULL);
    r->painting = false;
    log_set_hook(NULL);
    on_terminal = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;
    erase(r, &out);
    write_display(&out);
}

struct report *report_new(enum report_form form, bool keep)
{
    struct report *r = xcalloc(1, sizeof *r);
    r->form = form;
    r->keep = keep;
    pthread_mutex_init(&r->lock, NULL);
    if (form == REPORT_TERMINAL && pthread_create(&r->painter, NULL, paint, r) == 0) {
        r->painting = true;
        on_terminal = r;
        log_set_hook(around_log_line);
    }
    return r;
}

void report_free(struct report *r)
{
    if (!r)
        return;
    stop_painting(r);
    for (size_t i = 0; i < r->result_count; i++) {
        free(r->results[i].name);
        error_release(&r->results[i].error);
    }
    free(r->results);
    free(r->tracked);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- events ---- */

void report_json(json_t *object)
{
    _cleanup_json_ json_t *owned = object;
    json_object_set_new(owned, "time", json_string(clock_text(clock_now()).s));
    _cleanup_free_ char *text = json_text(owned);
    printf("%s\n", text);
    fflush(stdout);
}

void report_track(struct report *r, struct tracked_image *image)
{
    pthread_mutex_lock(&r->lock);
    ARRAY_GROW(r->tracked, r->tracked_count, r->tracked_capacity);
    r->tracked[r->tracked_count++] = image;
    pthread_mutex_unlock(&r->lock);
}

void report_untrack(struct report *r, struct tracked_image *image)
{
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->tracked_count; i++) {
        if (r->tracked[i] != image)
            continue;
        memmove(&r->tracked[i], &r->tracked[i + 1],
                (r->tracked_count - i - 1) * sizeof *r->tracked);
        r->tracked_count--;
        r->untracked++;
        break;
    }
    pthread_mutex_unlock(&r->lock);
}

void report_event(struct report *r, const char *event, const char *subject, const char *detail)
{
    if (r->form == REPORT_JSON)
        report_json(
            json_pack("{s:s, s:s, s:s}", "event", event, "subject", subject, "detail", detail));
    else if (r->form == REPORT_LINES)
        log_about(LOG_INFO, &(struct log_subject){.image = subject}, "%s: %s%s%s", subject, event,
                  *detail ? ": " : "", detail);
}

void report_warning(struct report *r, const char *subject, const char *detail)
{
    if (r->form == REPORT_JSON)
        report_event(r, "warning", subject, detail);
    else
        log_about(LOG_WARNING, &(struct log_subject){.image = subject}, "%s: %s", subject, detail);
}

static const char *const outcome_names[] = {[OUTCOME_PUBLISHED] = "published",
                                            [OUTCOME_PLANNED] = "planned",
                                            [OUTCOME_UNCHANGED] = "unchanged",
                                            [OUTCOME_FAILED] = "failed"};

static void print_json_result(const struct result *result)
{
    json_t *o = json_pack("{s:s, s:s, s:s}", "event", "result", "image", result->name, "outcome",
                          outcome_names[result->outcome]);
    if (result->outcome == OUTCOME_FAILED) {
        json_object_set_new(o, "kind", json_string(error_kind_name(result->error.kind)));
        json_object_set_new(o, "error", json_string(result->error.message));
        json_object_set_new(o, "retryable", json_boolean(result->error.retryable));
    } else if (result->outcome != OUTCOME_UNCHANGED) {
        json_object_set_new(o, "layers_new", json_integer((json_int_t)result->layers_new));
        json_object_set_new(o, "layers_present", json_integer((json_int_t)result->layers_present));
    }
    report_json(o);
}

/* What is published is a line in the log of a program that has no list of results at its end. */
static void log_result(const struct report *r, const struct result *result)
{
    const struct log_subject about = {.image = result->name, .revision = result->revision};
    if (result->outcome == OUTCOME_FAILED)
        log_about(LOG_ERROR, &about, "%s: %s", result->name, result->error.message);
    else if (result->outcome == OUTCOME_PUBLISHED && !r->keep)
        log_about(LOG_INFO, &about, "%s: published (layers: %llu new, %llu present)", result->name,
                  (unsigned long long)result->layers_new,
                  (unsigned long long)result->layers_present);
}

void report_result(struct report *r, struct result *result)
{
    if (r->form == REPORT_JSON)
        print_json_result(result);
    else if (r->form != REPORT_COLLECT)
        log_result(r, result);
    pthread_mutex_lock(&r->lock);
    r->counts[result->outcome]++;
    if (r->keep) {
        ARRAY_GROW(r->results, r->result_count, r->result_capacity);
        r->results[r->result_count++] = *result;
    }
    pthread_mutex_unlock(&r->lock);
    if (!r->keep) {
        free(result->name);
        error_release(&result->error);
    }
}

static void log_known(const struct committed *c)
{
    if (c->known_files > 0)
        log_info("of its files %llu (%s) were known and are links",
                 (unsigned long long)c->known_files, size_text(c->known_bytes).s);
    if (c->differing_files > 0)
        log_info("%llu more (%s) differ from known ones in owner, mode, time or extended "
                 "attributes only, and were sent",
                 (unsigned long long)c->differing_files, size_text(c->differing_bytes).s);
}

void report_waiting(struct report *r, const char *image, const struct error *why)
{
    struct result result = {.name = xstrdup(image), .outcome = OUTCOME_FAILED};
    if (!r->keep) {
        log_about(LOG_DEBUG, &(struct log_subject){.image = image}, "%s: %s", image, why->message);
        free(result.name);
        return;
    }
    error_copy(&result.error, why);
    report_result(r, &result);
}

void report_commit(struct report *r, const struct committed *c)
{
    r->revisions += c->revisions;
    if (r->form == REPORT_JSON) {
        report_json(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "event", "commit", "images",
            (json_int_t)c->images, "content_bytes", (json_int_t)c->content_bytes, "entries",
            (json_int_t)c->entries, "known_files", (json_int_t)c->known_files, "known_bytes",
            (json_int_t)c->known_bytes, "differing_files", (json_int_t)c->differing_files,
            "differing_bytes", (json_int_t)c->differing_bytes, "seconds", c->seconds));
        return;
    }
    log_about(LOG_INFO, &(struct log_subject){.revision = c->revision},
              "committed %s: %zu image%s, %s of new content, %llu entries, %.1f s",
              c->revisions == 1 ? "one revision" : "two revisions", c->images,
              c->images == 1 ? "" : "s", size_text(c->content_bytes).s,
              (unsigned long long)c->entries, c->seconds);
    log_known(c);
}

void report_part(struct report *r, const char *image, size_t layers, size_t of)
{
    _cleanup_free_ char *detail =
        xasprintf("%zu of its %zu layers published ahead of its names", layers, of);
    report_event(r, "part", image, detail);
}

/* ---- the end ---- */

size_t report_count(const struct report *r, enum outcome outcome)
{
    return r->counts[outcome];
}

const struct result *report_results(const struct report *r, size_t *out_count)
{
    *out_count = r->result_count;
    return r->results;
}

static void print_results(const struct report *r, enum outcome outcome)
{
    for (size_t i = 0; i < r->result_count; i++) {
        const struct result *x = &r->results[i];
        if (x->outcome != outcome)
            continue;
        printf("%-9s  %s", outcome_names[outcome], x->name);
        if (outcome == OUTCOME_FAILED)
            printf("\n           %s", x->error.message);
        else if (x->layers_new + x->layers_present > 0)
            printf("  (layers: %llu new, %llu present)", (unsigned long long)x->layers_new,
                   (unsigned long long)x->layers_present);
        printf("\n");
    }
}

void report_finish(struct report *r, double seconds)
{
    stop_painting(r);
    size_t published = report_count(r, OUTCOME_PUBLISHED);
    size_t planned = report_count(r, OUTCOME_PLANNED);
    size_t unchanged = report_count(r, OUTCOME_UNCHANGED);
    size_t failed = report_count(r, OUTCOME_FAILED);
    if (r->form == REPORT_JSON) {
        report_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f}", "event", "end", "published",
                              (json_int_t)published, "planned", (json_int_t)planned, "unchanged",
                              (json_int_t)unchanged, "failed", (json_int_t)failed, "revisions",
                              (json_int_t)r->revisions, "seconds", seconds));
        return;
    }
    print_results(r, OUTCOME_PUBLISHED);
    print_results(r, OUTCOME_PLANNED);
    print_results(r, OUTCOME_FAILED);
    if (published + planned + failed == 0)
        printf("nothing to publish: ");
    printf("%zu published in %zu revision%s, %zu up to date, %zu failed; %.1f s\n", published,
           r->revisions, r->revisions == 1 ? "" : "s", unchanged, failed, seconds);
    fflush(stdout);
}

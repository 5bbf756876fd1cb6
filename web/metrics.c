#include "web/metrics.h"

#include "base/clock.h"
#include "base/memory.h"
#include "web/frontend.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#define LATELY_MAX 20000

void metrics_family(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_label_value(struct buf *b, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n')
            buf_adds(b, "\\n");
        else if (*value == '"' || *value == '\\')
            buf_addf(b, "\\%c", *value);
        else
            buf_addc(b, *value);
    }
}

void metrics_sample(struct buf *b, const char *name, double value, const char *const *labels)
{
    buf_adds(b, name);
    for (size_t i = 0; labels && labels[i]; i += 2) {
        buf_addf(b, "%s%s=\"", i ? "," : "{", labels[i]);
        add_label_value(b, labels[i + 1]);
        buf_addc(b, '"');
    }
    buf_adds(b, labels && labels[0] ? "} " : " ");
    buf_addf(b, value == (double)(int64_t)value ? "%.0f\n" : "%.6g\n", value);
}

#define SAMPLE(b, name, value, ...)                                                                \
    metrics_sample(b, name, (double)(value), (const char *const[]){__VA_ARGS__, NULL})

/* --- images: one pass for each repository --- */

struct of_repository {
    const char *name;
    size_t states[NAME_STATE_COUNT];
    uint64_t bytes;
    int64_t published_at, oldest_failure_at, oldest_wait_at;
};

struct repositories {
    struct of_repository *items;
    size_t count, capacity;
};

static int64_t earlier(int64_t a, int64_t b)
{
    return !a || (b && b < a) ? b : a;
}

static void add_image(struct of_repository *r, const struct image_status *image)
{
    const struct name_record *n = &image->record;
    r->states[image->state]++;
    r->bytes += n->bytes;
    if (n->published_at > r->published_at)
        r->published_at = n->published_at;
    if (image->state == NAME_FAILED)
        r->oldest_failure_at =
            earlier(r->oldest_failure_at, n->changed_at ? n->changed_at : n->failed_at);
    if (image->state == NAME_UPDATING)
        r->oldest_wait_at = earlier(r->oldest_wait_at, n->changed_at);
}

/* Images are ordered by repository. */
static struct repositories sum_up(const struct snapshot *all)
{
    struct repositories r = {0};
    for (size_t i = 0; i < all->image_count; i++) {
        const char *name = all->images[i].record.repository;
        if (r.count == 0 || strcmp(r.items[r.count - 1].name, name) != 0) {
            ARRAY_GROW(r.items, r.count, r.capacity);
            r.items[r.count++] = (struct of_repository){.name = name};
        }
        add_image(&r.items[r.count - 1], &all->images[i]);
    }
    return r;
}

static void image_metrics(struct buf *b, const struct repositories *all)
{
    metrics_family(b, "ducc_images", "gauge", "Public names in each state.");
    for (size_t i = 0; i < all->count; i++)
        for (int s = 0; s < NAME_STATE_COUNT; s++)
            SAMPLE(b, "ducc_images", all->items[i].states[s], "repository", all->items[i].name,
                   "state", name_state_word((enum name_state)s));
    metrics_family(b, "ducc_images_bytes", "gauge",
                   "Compressed size of all images, shared layers counted for each.");
    for (size_t i = 0; i < all->count; i++)
        SAMPLE(b, "ducc_images_bytes", all->items[i].bytes, "repository", all->items[i].name);
    static const struct {
        const char *name, *help;
        size_t offset;
    } times[] = {
        {"ducc_last_publish_timestamp_seconds", "When an image was published last; 0: never.",
         offsetof(struct of_repository, published_at)},
        {"ducc_oldest_failure_timestamp_seconds",
         "Since when the image that has failed longest is wanted; 0: none has failed.",
         offsetof(struct of_repository, oldest_failure_at)},
        {"ducc_oldest_update_timestamp_seconds",
         "Since when the image that waits longest is wanted; 0: none waits.",
         offsetof(struct of_repository, oldest_wait_at)},
    };
    for (size_t t = 0; t < sizeof times / sizeof *times; t++) {
        metrics_family(b, times[t].name, "gauge", times[t].help);
        for (size_t i = 0; i < all->count; i++)
            SAMPLE(b, times[t].name,
                   *(const int64_t *)((const char *)&all->items[i] + times[t].offset), "repository",
                   all->items[i].name);
    }
}

/* --- the last day --- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void lately_of(struct buf *b, const char *repository, const struct history *lately, int part)
{
    static const struct {
        const char *word;
        double share;
    } quantiles[] = {{"0.5", 0.5}, {"0.9", 0.9}, {"1", 1}};
    double *seconds = xcalloc(lately->count + 1, sizeof *seconds);
    size_t count = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < lately->count; i++) {
        const struct history_item *h = &lately->items[i];
        if (h->what != HISTORY_PUBLISHED || strcmp(h->repository, repository) != 0)
            continue;
        seconds[count++] = h->seconds;
        bytes += h->bytes_new;
    }
    qsort(seconds, count, sizeof *seconds, by_value);
    if (part == 0)
        SAMPLE(b, "ducc_day_published_images", count, "repository", repository);
    if (part == 1)
        SAMPLE(b, "ducc_day_published_bytes", bytes, "repository", repository);
    for (size_t q = 0; part == 2 && count > 0 && q < sizeof quantiles / sizeof *quantiles; q++)
        SAMPLE(b, "ducc_day_publish_seconds",
               seconds[(size_t)((double)(count - 1) * quantiles[q].share + 0.5)], "repository",
               repository, "share", quantiles[q].word);
    free(seconds);
}

static void day_metrics(struct buf *b, const struct repositories *all, const struct history *lately)
{
    static const char *const families[][2] = {
        {"ducc_day_published_images", "Publications within the last 24 hours."},
        {"ducc_day_published_bytes", "New content that came with them, compressed."},
        {"ducc_day_publish_seconds", "From the change of a tag to its publication, of those."},
    };
    for (int part = 0; part < 3; part++) {
        metrics_family(b, families[part][0], "gauge", families[part][1]);
        for (size_t i = 0; i < all->count; i++)
            lately_of(b, all->items[i].name, lately, part);
    }
}

/* --- lists, runs, events --- */

static void list_metrics(struct buf *b, const struct list_records *lists)
{
    metrics_family(b, "ducc_list_names", "gauge", "Names that a list asks for.");
    for (size_t i = 0; i < lists->count; i++)
        SAMPLE(b, "ducc_list_names", lists->items[i].names, "repository",
               lists->items[i].repository, "list", lists->items[i].url);
    metrics_family(b, "ducc_list_last_read_timestamp_seconds", "gauge",
                   "When a list could be read last.");
    for (size_t i = 0; i < lists->count; i++)
        SAMPLE(b, "ducc_list_last_read_timestamp_seconds", lists->items[i].good_at, "repository",
               lists->items[i].repository, "list", lists->items[i].url);
    metrics_family(b, "ducc_list_failed", "gauge", "1 if the last try to read a list failed.");
    for (size_t i = 0; i < lists->count; i++)
        SAMPLE(b, "ducc_list_failed", lists->items[i].error != NULL, "repository",
               lists->items[i].repository, "list", lists->items[i].url);
}

/* The newest of its kind and repository; runs are ordered by time. */
static bool is_newest(const struct runs *runs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(runs->items[i].kind, runs->items[n].kind) == 0 &&
            strcmp(runs->items[i].repository, runs->items[n].repository) == 0)
            return false;
    return true;
}

static void run_metrics(struct buf *b, const struct runs *runs)
{
    metrics_family(b, "ducc_last_run_start_timestamp_seconds", "gauge",
                   "When the last run of each kind began.");
    for (size_t i = 0; i < runs->count; i++)
        if (is_newest(runs, i))
            SAMPLE(b, "ducc_last_run_start_timestamp_seconds", runs->items[i].started_at,
                   "repository", runs->items[i].repository, "kind", runs->items[i].kind);
    metrics_family(b, "ducc_last_run_failed_images", "gauge", "Images that failed in it.");
    for (size_t i = 0; i < runs->count; i++)
        if (is_newest(runs, i))
            SAMPLE(b, "ducc_last_run_failed_images", runs->items[i].counts.failed, "repository",
                   runs->items[i].repository, "kind", runs->items[i].kind);
}

static void event_metrics(struct buf *b, const struct event_counts *events)
{
    metrics_family(b, "ducc_events", "gauge", "Events that are kept, by what became of them.");
    SAMPLE(b, "ducc_events", events->waiting, "state", "waiting");
    SAMPLE(b, "ducc_events", events->taken, "state", "taken");
    SAMPLE(b, "ducc_events", events->done, "state", "done");
    metrics_family(b, "ducc_oldest_event_timestamp_seconds", "gauge",
                   "When the event that waits longest came; 0: none waits.");
    metrics_sample(b, "ducc_oldest_event_timestamp_seconds", (double)events->oldest_waiting_at,
                   NULL);
}

void metrics_state(struct buf *b, const struct snapshot *all, const struct history *lately)
{
    struct repositories repositories = sum_up(all);
    image_metrics(b, &repositories);
    day_metrics(b, &repositories, lately);
    list_metrics(b, &all->lists);
    run_metrics(b, &all->runs);
    event_metrics(b, &all->events);
    free(repositories.items);
}

/* --- the process, the server --- */

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;
    for (struct dirent *e; dir && (e = readdir(dir));)
        count += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

static double resident_bytes(void)
{
    FILE *f _cleanup_fclose_ = fopen("/proc/self/statm", "re");
    unsigned long long size, resident = 0;
    if (!f || fscanf(f, "%llu %llu", &size, &resident) != 2)
        return 0;
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

void metrics_process(struct buf *b, int64_t started_at)
{
    metrics_family(b, "process_start_time_seconds", "gauge", "When the web server was started.");
    metrics_sample(b, "process_start_time_seconds", (double)started_at, NULL);
    metrics_family(b, "process_resident_memory_bytes", "gauge", "Resident memory.");
    metrics_sample(b, "process_resident_memory_bytes", resident_bytes(), NULL);
    metrics_family(b, "process_open_fds", "gauge", "Open file descriptors.");
    metrics_sample(b, "process_open_fds", (double)count_entries("/proc/self/fd"), NULL);
    metrics_family(b, "process_threads", "gauge", "Threads.");
    metrics_sample(b, "process_threads", (double)count_entries("/proc/self/task"), NULL);
}

static void sender_metrics(struct buf *b, const struct frontend *f)
{
    static const struct {
        const char *name, *help;
        size_t offset;
    } counters[] = {
        {"ducc_sender_requests_total", "Requests of a sender that were taken in.",
         offsetof(struct sender_state, requests)},
        {"ducc_sender_events_total", "Events in them that were new.",
         offsetof(struct sender_state, events)},
        {"ducc_sender_replays_total", "Events in them that had come before.",
         offsetof(struct sender_state, replays)},
        {"ducc_sender_ignored_total", "Parts of them that are of no interest.",
         offsetof(struct sender_state, ignored)},
    };
    for (size_t c = 0; c < sizeof counters / sizeof *counters; c++) {
        metrics_family(b, counters[c].name, "counter", counters[c].help);
        for (size_t i = 0; i <= f->settings.senders.count; i++) {
            bool last = i == f->settings.senders.count;
            const struct sender_state *s = last ? &f->refresh : &f->senders[i];
            SAMPLE(b, counters[c].name, *(const uint64_t *)((const char *)s + counters[c].offset),
                   "sender", last ? "refresh" : f->settings.senders.items[i].name);
        }
    }
}

static void server_metrics(struct buf *b, struct frontend *f)
{
    pthread_mutex_lock(&f->mutex);
    sender_metrics(b, f);
    metrics_family(b, "ducc_refused_requests_total", "counter",
                   "Requests without the secret of a sender.");
    metrics_sample(b, "ducc_refused_requests_total", (double)f->refused_count, NULL);
    metrics_family(b, "ducc_http_responses_total", "counter", "Answers, by their status.");
    for (unsigned i = 0; i < STATUS_MAX; i++) {
        char code[8];
        snprintf(code, sizeof code, "%u", i);
        if (f->answers[i])
            SAMPLE(b, "ducc_http_responses_total", f->answers[i], "code", code);
    }
    pthread_mutex_unlock(&f->mutex);
}

/* What is read of the database; an unreadable one is told by ducc_database_up. */
static bool read_state(struct frontend *frontend, struct buf *b)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct snapshot all _cleanup_snapshot_ = {0};
    struct history lately = {0};
    struct database *db = frontend_database(frontend, &err);
    bool ok =
        db && snapshot_take(db, &(struct snapshot_filter){0}, &all, &err) == 0 &&
        history_list(db, NULL, NULL, clock_now() - METRICS_SECONDS, LATELY_MAX, &lately, &err) == 0;
    if (ok)
        metrics_state(b, &all, &lately);
    history_release(&lately);
    if (ok)
        frontend_database_return(frontend, db);
    else
        database_free(db);
    return ok;
}

void route_metrics(struct frontend *frontend, const struct http_request *request,
                   struct http_response *response)
{
    struct buf *b = &response->body;
    (void)request;
    bool up = read_state(frontend, b);
    metrics_family(b, "ducc_database_up", "gauge", "1 if the state database could be read.");
    metrics_sample(b, "ducc_database_up", up, NULL);
    server_metrics(b, frontend);
    metrics_process(b, frontend->started_at);
    response->type = "text/plain; version=0.0.4; charset=utf-8";
}

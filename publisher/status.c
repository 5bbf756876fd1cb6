#include "publisher/status.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/path.h"
#include "state/explain.h"
#include "state/snapshot.h"
#include "state/state.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NARROWEST      80
#define DIGEST_SHOWN   12 /* digits */
#define COMMIT_SHOWN   7
#define WORDS_PER_LINE 78 /* letters, of `ducc why` on anything but a narrow terminal */

static void print_json(json_t *object)
{
    _cleanup_json_ json_t *owned = object;
    _cleanup_free_ char *text = json_text(owned);
    printf("%s\n", text);
}

/* How wide a line may be; 0: nobody looks, as wide as it gets. */
static size_t terminal_width(void)
{
    struct winsize w;
    if (!isatty(STDOUT_FILENO))
        return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col < NARROWEST)
        return NARROWEST;
    return w.ws_col;
}

/* ---- the table ---- */

enum column {
    STATE,
    IMAGE,
    WANTED,    /* the digest in the registry */
    PUBLISHED, /* the digest that is published */
    SINCE,     /* when that was */
    CHECKED,
    CHANGED,
    TOOK,
    SIZE,
    SHARED,
    ASKED_BY,
    COLUMNS
};

static const struct {
    const char *title;
    bool right;
} columns[COLUMNS] = {
    [STATE] = {"STATE", false},       [IMAGE] = {"IMAGE", false},
    [WANTED] = {"WANTED", false},     [PUBLISHED] = {"PUBLISHED", false},
    [SINCE] = {"SINCE", true},        [CHECKED] = {"CHECKED", true},
    [CHANGED] = {"CHANGED", true},    [TOOK] = {"TOOK", true},
    [SIZE] = {"SIZE", true},          [SHARED] = {"SHARED", true},
    [ASKED_BY] = {"ASKED BY", false},
};

struct row {
    char *cells[COLUMNS];
};

static char *ago(int64_t at, int64_t now)
{
    return at ? xasprintf("%s", span_text(now - at).s) : xstrdup("-");
}

static char *short_digest(const struct digest *digest)
{
    return digest_is_set(digest) ? xasprintf("%.*s", DIGEST_SHOWN, digest_hex(digest).s)
                                 : xstrdup("-");
}

static char *took(const struct name_record *r)
{
    if (!r->published_at)
        return xstrdup("-");
    return r->seconds < 100 ? xasprintf("%.1f s", r->seconds)
                            : xstrdup(span_text((int64_t)r->seconds).s);
}

static char *shared_part(const struct name_record *r)
{
    if (!r->published_at || r->bytes == 0 || r->bytes_new > r->bytes)
        return xstrdup("-");
    return xasprintf("%.0f %%", 100.0 * (double)(r->bytes - r->bytes_new) / (double)r->bytes);
}

/* The first that asks for it, and how many more. */
static char *asked_by(const struct image_status *image)
{
    const struct want *first = NULL;
    size_t count = 0;
    for (size_t i = 0; i < image->want_count; i++) {
        if (image->wants[i].left_out)
            continue;
        first = first ? first : &image->wants[i];
        count++;
    }
    if (!first)
        return xstrdup("-");
    struct buf text = BUF_INIT;
    buf_adds(&text, path_name(first->url));
    if (first->line)
        buf_addf(&text, ":%d", first->line);
    if (first->revision)
        buf_addf(&text, "@%.*s", COMMIT_SHOWN, first->revision);
    if (count > 1)
        buf_addf(&text, " +%zu", count - 1);
    return buf_take(&text);
}

static struct row make_row(const struct image_status *image, int64_t now)
{
    const struct name_record *r = &image->record;
    struct row row;
    row.cells[STATE] = xstrdup(name_state_word(image->state));
    row.cells[IMAGE] = xstrdup(r->name);
    row.cells[WANTED] = short_digest(&r->wanted);
    row.cells[PUBLISHED] = short_digest(&r->published);
    row.cells[SINCE] = ago(r->published_at, now);
    row.cells[CHECKED] = ago(r->checked_at, now);
    row.cells[CHANGED] = ago(r->changed_at, now);
    row.cells[TOOK] = took(r);
    row.cells[SIZE] = xstrdup(r->bytes ? size_text(r->bytes).s : "-");
    row.cells[SHARED] = shared_part(r);
    row.cells[ASKED_BY] = asked_by(image);
    return row;
}

static struct row title_row(void)
{
    struct row row;
    for (int c = 0; c < COLUMNS; c++)
        row.cells[c] = xstrdup(columns[c].title);
    return row;
}

static void measure(const struct row *rows, size_t count, size_t *widths)
{
    for (int c = 0; c < COLUMNS; c++) {
        widths[c] = 0;
        for (size_t i = 0; i < count; i++) {
            size_t len = strlen(rows[i].cells[c]);
            widths[c] = len > widths[c] ? len : widths[c];
        }
    }
}

static size_t total(const size_t *widths, const bool *shown)
{
    size_t sum = 0;
    for (int c = 0; c < COLUMNS; c++)
        sum += shown[c] ? widths[c] + 2 : 0;
    return sum - 2;
}

/* What a narrow terminal goes without, the first first. */
static const enum column dispensable[] = {TOOK,      WANTED, CHANGED,  SHARED,
                                          PUBLISHED, SINCE,  ASKED_BY, CHECKED};

static void fit(const size_t *widths, size_t width, bool *shown)
{
    for (size_t i = 0; i < sizeof dispensable / sizeof *dispensable; i++) {
        if (!width || total(widths, shown) <= width)
            return;
        shown[dispensable[i]] = false;
    }
}

static void print_row(const struct row *row, const size_t *widths, const bool *shown)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    for (int c = 0; c < COLUMNS; c++)
        if (shown[c])
            buf_addf(&line, columns[c].right ? "%*s  " : "%-*s  ", (int)widths[c], row->cells[c]);
    while (line.len && line.data[line.len - 1] == ' ')
        buf_truncate(&line, line.len - 1);
    printf("%s\n", line.data);
}

/* What goes with a row, on lines below it. */
static void print_notes(const struct image_status *image, int64_t now)
{
    const struct name_record *r = &image->record;
    if (image->state == NAME_FAILED) {
        printf("    %s: %s\n", error_kind_name(r->failure_kind), r->failure);
        printf("    failed %s ago%s, next try ", span_text(now - r->failed_at).s,
               r->attempts > 1 ? ", again" : "");
        if (r->next_try_at > now)
            printf("in %s\n", span_text(r->next_try_at - now).s);
        else if (r->next_try_at == r->failed_at)
            printf("by each pass\n");
        else
            printf("by the next pass\n");
    } else if (image->state == NAME_UNWANTED) {
        printf("    no list asks for it since %s\n", clock_text(r->unwanted_since).s);
    }
}

static void print_rows(const struct snapshot *s)
{
    size_t widths[COLUMNS];
    bool shown[COLUMNS];
    memset(shown, 1, sizeof shown);
    struct row *rows = xcalloc(s->image_count + 1, sizeof *rows);
    rows[0] = title_row();
    for (size_t i = 0; i < s->image_count; i++)
        rows[i + 1] = make_row(&s->images[i], s->taken_at);
    measure(rows, s->image_count + 1, widths);
    fit(widths, terminal_width(), shown);
    const char *repository = "";
    for (size_t i = 0; i <= s->image_count; i++) {
        if (i > 0 && strcmp(repository, s->images[i - 1].record.repository) != 0) {
            repository = s->images[i - 1].record.repository;
            printf("in %s\n", repository);
        }
        print_row(&rows[i], widths, shown);
        if (i > 0)
            print_notes(&s->images[i - 1], s->taken_at);
        for (int c = 0; c < COLUMNS; c++)
            free(rows[i].cells[c]);
    }
    free(rows);
}

/* None of the images that were named. */
static void print_none(const struct status_options *o)
{
    printf("nothing is known of ");
    for (size_t i = 0; i < o->image_count; i++)
        printf("%s%s", i ? ", " : "", o->images[i]);
    printf("; ducc why IMAGE says what comes near\n");
}

static void print_sum(const struct snapshot *s)
{
    printf("%zu image%s", s->image_count, s->image_count == 1 ? "" : "s");
    for (int i = 0; i < NAME_STATE_COUNT; i++)
        if (s->state_counts[i])
            printf(", %zu %s", s->state_counts[i], name_state_word((enum name_state)i));
    printf("; %s compressed\n", size_text(s->bytes).s);
    if (s->events.waiting + s->events.taken)
        printf("%zu events wait, %zu are acted on\n", s->events.waiting, s->events.taken);
    for (size_t i = 0; i < s->lists.count; i++)
        if (s->lists.items[i].error)
            printf("the list %s could not be read %s ago: %s\n", s->lists.items[i].url,
                   span_text(s->taken_at - s->lists.items[i].fetched_at).s,
                   s->lists.items[i].error);
}

/* ---- commands ---- */

/* NULL: any. */
static int check_repository(struct database *db, const char *repository, struct error *err)
{
    bool is_known = true;
    if (repository && repository_is_known(db, repository, &is_known, err) < 0)
        return -1;
    return is_known ? 0
                    : error_set(err, ERROR_NOT_FOUND,
                                "nothing is known of the repository %s: no pass has written to it",
                                repository);
}

static int take(const struct status_options *o, const char *repository, struct snapshot *out,
                struct error *err)
{
    _cleanup_database_ struct database *db = NULL;
    struct snapshot_filter filter = {.repository = repository,
                                     .list = o->list,
                                     .images = o->images,
                                     .image_count = o->image_count,
                                     .failed_only = o->failed_only};
    if (database_open(o->state_dir, DATABASE_READ, &db, err) < 0 ||
        check_repository(db, repository, err) < 0)
        return -1;
    return snapshot_take(db, &filter, out, err);
}

enum exit_status status_command(const struct status_options *o, struct error *err)
{
    struct snapshot s _cleanup_snapshot_ = {0};
    _cleanup_free_ char *repository = o->repository ? repository_key(o->repository) : NULL;
    if (take(o, repository, &s, err) < 0)
        return EXIT_USAGE;
    bool named_none = o->image_count && s.image_count == 0;
    if (o->json) {
        print_json(snapshot_json(&s));
    } else {
        if (s.image_count)
            print_rows(&s);
        named_none ? print_none(o) : print_sum(&s);
    }
    return s.state_counts[NAME_FAILED] || named_none ? EXIT_SOME_FAILED : EXIT_OK;
}

/* A paragraph, its second and later lines indented. */
static void print_paragraph(const char *text)
{
    size_t column = 2;
    fputs("  ", stdout);
    for (const char *word = text; *word;) {
        size_t len = strcspn(word, " ");
        if (column > 4 && column + len > WORDS_PER_LINE) {
            fputs("\n    ", stdout);
            column = 4;
        }
        printf("%.*s", (int)len, word);
        column += len + 1;
        word += len;
        if (*word == ' ') {
            word++;
            if (column + strcspn(word, " ") <= WORDS_PER_LINE)
                putchar(' ');
        }
    }
    putchar('\n');
}

static void print_history(const struct history *h)
{
    if (h->count)
        printf("History\n");
    for (size_t i = 0; i < h->count; i++) {
        const struct history_item *item = &h->items[i];
        bool more = item->what == HISTORY_PUBLISHED || item->text;
        printf("  %s  %-*s", clock_text(item->at).s, more ? 9 : 0, history_word(item->what));
        if (item->what == HISTORY_PUBLISHED)
            printf("  %.19s  %s, %s new, %.1f s%s%s", digest_text(&item->digest).s,
                   size_text(item->bytes).s, size_text(item->bytes_new).s, item->seconds,
                   item->platform ? ", " : "", item->platform ? item->platform : "");
        else if (item->text)
            printf("  %s", item->text);
        printf("\n");
    }
}

static void print_explanation(const char *image, const struct explanation *e)
{
    static const char *const titles[] = {[EXPLAIN_WANTED] = "Who asks for it",
                                         [EXPLAIN_UPSTREAM] = "In the registry",
                                         [EXPLAIN_PUBLISHED] = "In the repository",
                                         [EXPLAIN_PROBLEM] = "What is in the way"};
    printf("%s%s%s: %s\n", image, e->known ? " in " : "",
           e->known ? e->status.record.repository : "", e->verdict);
    for (size_t i = 0; i < e->line_count; i++) {
        if (i == 0 || e->lines[i].part != e->lines[i - 1].part)
            printf("%s\n", titles[e->lines[i].part]);
        print_paragraph(e->lines[i].text);
    }
    print_history(&e->history);
}

/* The public name, however it was typed: with a scheme, or without the tag "latest". What is no
 * reference may be the end of a name, "app:1"; *why says why it is none. Owned. */
static char *find_name(const char *typed, struct error *why)
{
    struct reference ref _cleanup_reference_ = {0};
    if (reference_parse(typed, 0, &ref, why) < 0)
        return xstrdup(typed);
    return reference_name(&ref);
}

static enum exit_status print_explanations(const struct status_options *o, const char *name,
                                           const struct explanations *x)
{
    enum exit_status status = EXIT_OK;
    for (size_t i = 0; i < x->count; i++) {
        const struct explanation *e = &x->items[i];
        if (o->json)
            print_json(explanation_json(e));
        else
            print_explanation(e->known ? e->status.record.name : name, e);
        if (!e->known || e->status.state != NAME_PUBLISHED)
            status = EXIT_SOME_FAILED;
    }
    return status;
}

enum exit_status why_command(const struct status_options *o, struct error *err)
{
    _cleanup_database_ struct database *db = NULL;
    _cleanup_error_ struct error no_reference = ERROR_INIT;
    _cleanup_free_ char *name = find_name(o->images[0], &no_reference);
    _cleanup_free_ char *repository = o->repository ? repository_key(o->repository) : NULL;
    struct explanations found = {0};
    struct question question = {repository, name, clock_now()};
    if (database_open(o->state_dir, DATABASE_READ, &db, err) < 0 ||
        check_repository(db, repository, err) < 0 || explain(db, &question, &found, err) < 0)
        return EXIT_USAGE;
    enum exit_status status = EXIT_USAGE;
    if (no_reference.kind != ERROR_NONE && !found.items[0].known)
        error_move(err, &no_reference);
    else
        status = print_explanations(o, name, &found);
    explanations_release(&found);
    return status;
}

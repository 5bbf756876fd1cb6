#include "state/explain.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/quantity.h"
#include "state/near.h"

#include <string.h>

#define HISTORY_SHOWN 10
#define NEAR_SHOWN    4

struct subject {
    struct database *db;
    const struct question *q;
    const struct snapshot *s; /* of everything, for what comes near */
};

static void say(struct explanation *e, enum explanation_part part, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct explanation *e, enum explanation_part part, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ARRAY_GROW(e->lines, e->line_count, e->line_capacity);
    e->lines[e->line_count++] = (struct explanation_line){part, xvasprintf(fmt, ap)};
    va_end(ap);
}

/* "2026-11-21T03:05:38Z (12 min ago)" */
struct when {
    char s[80];
};
static struct when when(const struct subject *x, int64_t at)
{
    struct when w;
    int64_t age = x->q->now - at;
    if (age >= 0)
        snprintf(w.s, sizeof w.s, "%s (%s ago)", clock_text(at).s, span_text(age).s);
    else
        snprintf(w.s, sizeof w.s, "%s (in %s)", clock_text(at).s, span_text(-age).s);
    return w;
}

/* ---- who asks ---- */

/* "/etc/ducc/list.yaml, line 12 (revision 1a2b3c)". Owned. */
static char *place(const char *url, int line, const char *revision)
{
    struct buf b = BUF_INIT;
    buf_addf(&b, "%s", url);
    if (line)
        buf_addf(&b, ", line %d", line);
    if (revision)
        buf_addf(&b, " (revision %.40s)", revision);
    return buf_take(&b);
}

static void say_want(struct explanation *e, const struct want *w)
{
    _cleanup_free_ char *at = place(w->url, w->line, w->revision);
    _cleanup_free_ char *entry = quoted(w->text);
    _cleanup_free_ char *ask = w->contact ? xasprintf(" Contact: %s.", w->contact) : xstrdup("");
    if (w->left_out)
        say(e, EXPLAIN_WANTED,
            "%s would stand for it by the entry %s, but it is left out by: %s.%s", at, entry,
            w->left_out, ask);
    else if (w->suspended)
        say(e, EXPLAIN_WANTED,
            "%s asks for it by the entry %s, which is suspended: what is published stays as it "
            "is.%s",
            at, entry, ask);
    else
        say(e, EXPLAIN_WANTED, "%s asks for it by the entry %s.%s", at, entry, ask);
}

struct candidate {
    size_t distance;
    char *text;
};

/* The nearest few, each once. Takes `text` over. */
static void offer(struct candidate *best, size_t distance, char *text)
{
    if (distance == NEAR_NOT || distance >= best[NEAR_SHOWN - 1].distance) {
        free(text);
        return;
    }
    free(best[NEAR_SHOWN - 1].text);
    size_t i = NEAR_SHOWN - 1;
    for (; i > 0 && best[i - 1].distance > distance; i--)
        best[i] = best[i - 1];
    best[i] = (struct candidate){distance, text};
}

static char *describe_entry(const struct list_record *l, const struct list_entry *entry)
{
    _cleanup_free_ char *at = place(l->url, entry->line, l->revision);
    _cleanup_free_ char *text = quoted(entry->text);
    if (entry->error)
        return xasprintf("%s: %s, which could not be expanded: %s", at, text, entry->error);
    return xasprintf("%s: %s%s, which stands for %zu image%s", at, text,
                     entry->suspended ? " (suspended)" : "", entry->names,
                     entry->names == 1 ? "" : "s");
}

static bool is_of(const char *repository, const char *wanted)
{
    return !wanted || strcmp(repository, wanted) == 0;
}

static void say_near(const struct subject *x, struct explanation *e)
{
    struct candidate best[NEAR_SHOWN];
    for (size_t i = 0; i < NEAR_SHOWN; i++)
        best[i] = (struct candidate){NEAR_NOT, NULL};
    for (size_t i = 0; i < x->s->lists.count; i++) {
        const struct list_record *l = &x->s->lists.items[i];
        for (size_t k = 0; is_of(l->repository, x->q->repository) && k < l->entry_count; k++) {
            size_t distance = near_distance(x->q->image, l->entries[k].text);
            if (distance != NEAR_NOT)
                offer(best, 2 * distance, describe_entry(l, &l->entries[k]));
        }
    }
    for (size_t i = 0; i < x->s->image_count; i++) {
        const struct image_status *image = &x->s->images[i];
        size_t distance = near_distance(x->q->image, image->record.name);
        if (distance != NEAR_NOT && is_of(image->record.repository, x->q->repository) &&
            strcmp(image->record.name, x->q->image) != 0)
            offer(
                best, 2 * distance + 1,
                xasprintf("the image %s (%s)", image->record.name, name_state_word(image->state)));
    }
    for (size_t i = 0; i < NEAR_SHOWN && best[i].text; i++) {
        say(e, EXPLAIN_WANTED, "Near it comes %s.", best[i].text);
        free(best[i].text);
    }
}

/* Lists that could not be read may ask for it by now. */
static void say_list_errors(const struct subject *x, struct explanation *e)
{
    for (size_t i = 0; i < x->s->lists.count; i++) {
        const struct list_record *l = &x->s->lists.items[i];
        if (!l->error || !is_of(l->repository, x->q->repository))
            continue;
        _cleanup_free_ char *since =
            l->good_at ? xasprintf("; what it said at %s holds", when(x, l->good_at).s)
                       : xstrdup("");
        say(e, EXPLAIN_WANTED, "%s could not be read at %s: %s%s.", l->url,
            when(x, l->fetched_at).s, l->error, since);
    }
}

static void explain_wanted(const struct subject *x, struct explanation *e)
{
    size_t asking = 0;
    for (size_t i = 0; i < e->wants.count; i++)
        asking += !e->wants.items[i].left_out;
    if (asking == 0)
        say(e, EXPLAIN_WANTED, "No list asks for it%s.",
            x->s->lists.count ? "" : " (no list has been read yet)");
    for (size_t i = 0; i < e->wants.count; i++)
        say_want(e, &e->wants.items[i]);
    if (asking == 0) {
        say_near(x, e);
        say_list_errors(x, e);
    }
    if (e->known && e->status.record.unwanted_since)
        say(e, EXPLAIN_WANTED, "It is unwanted since %s, and may be taken away by ducc gc.",
            when(x, e->status.record.unwanted_since).s);
}

/* ---- the registry ---- */

static void explain_upstream(const struct subject *x, struct explanation *e)
{
    const struct name_record *r = &e->status.record;
    if (r->gone_count > 0)
        say(e, EXPLAIN_UPSTREAM,
            "The registry says that it is not there any more: %u time%s, first at %s, last at %s.",
            r->gone_count, r->gone_count == 1 ? "" : "s", when(x, r->gone_first_at).s,
            when(x, r->gone_last_at).s);
    if (!r->checked_at)
        say(e, EXPLAIN_UPSTREAM, "The registry has not said yet what it is.");
    else if (digest_is_set(&r->wanted))
        say(e, EXPLAIN_UPSTREAM,
            "The registry last answered for it at %s: it is %s, first seen at %s.",
            when(x, r->checked_at).s, digest_text(&r->wanted).s, when(x, r->changed_at).s);
}

/* ---- the repository ---- */

static void say_since(const struct subject *x, struct explanation *e)
{
    const struct name_record *r = &e->status.record;
    uint64_t shared = r->bytes > r->bytes_new ? r->bytes - r->bytes_new : 0;
    if (!r->published_at) {
        say(e, EXPLAIN_PUBLISHED,
            "It was published before this state database was made; when is not known.");
        return;
    }
    say(e, EXPLAIN_PUBLISHED,
        "Since %s; it took %.1f s. Its layers have %s, compressed, of which the repository had %s "
        "already.",
        when(x, r->published_at).s, r->seconds, size_text(r->bytes).s, size_text(shared).s);
    if (r->asked_by)
        say(e, EXPLAIN_PUBLISHED, "It was asked for by %s.", r->asked_by);
}

static void explain_published(const struct subject *x, struct explanation *e)
{
    const struct name_record *r = &e->status.record;
    _cleanup_free_ char *path = name_path(r->repository, r->name);
    if (r->removed_at)
        say(e, EXPLAIN_PUBLISHED,
            "It was taken out of %s at %s; ducc restore brings it back while its content is there.",
            path, when(x, r->removed_at).s);
    else if (!digest_is_set(&r->published))
        say(e, EXPLAIN_PUBLISHED, "It is not published.");
    else {
        bool current = !digest_is_set(&r->wanted) || digest_equal(&r->wanted, &r->published);
        _cleanup_free_ char *revision =
            r->revision ? xasprintf(", revision %llu", (unsigned long long)r->revision)
                        : xstrdup("");
        say(e, EXPLAIN_PUBLISHED, "%s: %s%s%s%s%s.", path, current ? "" : "an older image, ",
            digest_text(&r->published).s, r->platforms ? ", for " : "",
            r->platforms ? r->platforms : "", revision);
        say_since(x, e);
    }
}

/* ---- what is wrong ---- */

/* What to do about a failure, by its kind. */
static const char *const advice[] = {
    [ERROR_IO] = "Look at the disk and the rights of what the message names.",
    [ERROR_NET] = "Look whether the registry answers from this machine.",
    [ERROR_AUTH] = "The registry wants other credentials, or these may not read it: see "
                   "docs/registries.md, and try ducc download-manifest.",
    [ERROR_NOT_FOUND] = "Look at its spelling: ducc tags lists what the registry has. For what is "
                        "private, see docs/registries.md.",
    [ERROR_PARSE] = "The image itself has to be mended and pushed again.",
    [ERROR_CORRUPT] = "The registry holds other bytes than it says: push the image again.",
    [ERROR_LIMIT] = "Make room, or raise the limit that the message names.",
    [ERROR_UNSUPPORTED] = "It cannot be published in this form: build the image another way.",
    [ERROR_POLICY] = "The site's rules forbid it: they stand in the configuration file.",
    [ERROR_BUSY] = "Somebody else writes to the repository; it passes, or the message says whom to "
                   "ask.",
    [ERROR_CHILD] = "The words are those of the program that failed.",
    [ERROR_CANCELLED] = "",
    [ERROR_BUG] = "Please report it, with the log.",
};

static void explain_problem(const struct subject *x, struct explanation *e)
{
    const struct name_record *r = &e->status.record;
    if (r->failure_kind != ERROR_NONE) {
        say(e, EXPLAIN_PROBLEM, "The last try, at %s%s%s, failed%s: %s", when(x, r->failed_at).s,
            r->failed_platform ? ", for " : "", r->failed_platform ? r->failed_platform : "",
            r->attempts > 1 ? " again" : "", r->failure);
        if (r->attempts > 1)
            say(e, EXPLAIN_PROBLEM, "That makes %u failures in a row.", r->attempts);
        say(e, EXPLAIN_PROBLEM, "%s", advice[r->failure_kind]);
        if (r->next_try_at == r->failed_at)
            say(e, EXPLAIN_PROBLEM, "Each pass asks the registry again.");
        else
            say(e, EXPLAIN_PROBLEM,
                "It is tried again not before %s, or at once when the tag moves or somebody asks "
                "for "
                "it.",
                when(x, r->next_try_at).s);
    } else if (e->status.state == NAME_UPDATING) {
        say(e, EXPLAIN_PROBLEM,
            "What the registry has is being published, or will be by the next pass.");
    } else if (e->status.state == NAME_WANTED) {
        say(e, EXPLAIN_PROBLEM, "The next pass will look at it.");
    }
}

static const char *find_verdict(const struct explanation *e)
{
    static const char *const by_state[NAME_STATE_COUNT] = {
        [NAME_WANTED] = "not published yet: no pass has looked at it",
        [NAME_UPDATING] = "not published yet: being worked on",
        [NAME_PUBLISHED] = "published",
        [NAME_FAILED] = "not published: the last try failed",
        [NAME_SUSPENDED] = "suspended",
        [NAME_UNWANTED] = "published, but no list asks for it any more",
        [NAME_REMOVED] = "removed",
    };
    bool has_older = e->known && digest_is_set(&e->status.record.published);
    bool is_same = has_older && digest_equal(&e->status.record.published, &e->status.record.wanted);
    if (!e->known)
        return e->wants.count ? "not published: left out by a selector"
                              : "not published: no list asks for it";
    if (e->status.state == NAME_FAILED && is_same)
        return "what is published is what the registry had when it last answered";
    if (e->status.state == NAME_FAILED && has_older)
        return "an older image is published: the last try to update it failed";
    if (e->status.state == NAME_UPDATING && has_older)
        return "an older image is published: the new one is being worked on";
    return by_state[e->status.state];
}

/* ---- all of it ---- */

static void release_explanation(struct explanation *e)
{
    name_record_release(&e->status.record);
    wants_release(&e->wants);
    history_release(&e->history);
    for (size_t i = 0; i < e->line_count; i++)
        free(e->lines[i].text);
    free(e->lines);
    free(e->verdict);
}

void explanations_release(struct explanations *x)
{
    for (size_t i = 0; i < x->count; i++)
        release_explanation(&x->items[i]);
    free(x->items);
    *x = (struct explanations){0};
}

/* `record` NULL: no repository knows the image. */
static int explain_one(const struct subject *x, const struct name_record *record,
                       struct explanation *e, struct error *err)
{
    const char *repository = record ? record->repository : x->q->repository;
    const char *name = record ? record->name : x->q->image;
    if (lists_wants(x->db, repository, name, &e->wants, err) < 0)
        return -1;
    if (record) {
        if (names_get(x->db, repository, name, &e->status.record, err) < 0 ||
            history_list(x->db, repository, name, 0, HISTORY_SHOWN, &e->history, err) < 0)
            return -1;
        e->known = true;
        e->status.state = name_state(&e->status.record);
    }
    e->status.wants = e->wants.items;
    e->status.want_count = e->wants.count;
    explain_wanted(x, e);
    if (e->known) {
        explain_upstream(x, e);
        explain_published(x, e);
        explain_problem(x, e);
    }
    e->verdict = xstrdup(find_verdict(e));
    return 0;
}

static struct explanation *add_explanation(struct explanations *out)
{
    ARRAY_GROW(out->items, out->count, out->capacity);
    out->items[out->count] = (struct explanation){0};
    return &out->items[out->count++];
}

/* The name, or its end: lists may have it below a prefix. */
static bool is_meant(const char *name, const char *image)
{
    size_t len = strlen(name), image_len = strlen(image);
    return len >= image_len && strcmp(name + len - image_len, image) == 0 &&
           (len == image_len || name[len - image_len - 1] == '/');
}

static int explain_all(const struct subject *x, struct explanations *out, struct error *err)
{
    for (size_t i = 0; i < x->s->image_count; i++) {
        const struct name_record *r = &x->s->images[i].record;
        if (is_meant(r->name, x->q->image) && is_of(r->repository, x->q->repository) &&
            explain_one(x, r, add_explanation(out), err) < 0)
            return -1;
    }
    return out->count ? 0 : explain_one(x, NULL, add_explanation(out), err);
}

int explain(struct database *db, const struct question *question, struct explanations *out,
            struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct snapshot s _cleanup_snapshot_ = {0};
    struct explanations found = {0};
    struct subject x = {db, question, &s};
    if (transaction_begin_read(db, &t, err) < 0 ||
        snapshot_take(db, &(struct snapshot_filter){.repository = question->repository}, &s, err) <
            0)
        return -1;
    if (explain_all(&x, &found, err) < 0) {
        explanations_release(&found);
        return -1;
    }
    *out = found;
    return 0;
}

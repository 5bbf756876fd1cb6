#include "worker/expand.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/path.h"
#include "worker/recorder.h"
#include "repository/documents.h"

#include <string.h>

void expansion_release(struct expansion *x)
{
    for (size_t i = 0; i < x->count; i++)
        reference_release(&x->refs[i]);
    free(x->refs);
    error_release(&x->error);
    *x = (struct expansion){0};
}

/* ---- selecting ---- */

static struct document_source source_of(const struct resolve_options *o)
{
    return (struct document_source){.client = o->client,
                                    .repository = o->target->repository,
                                    .prefix = o->prefix,
                                    .again = o->again};
}

struct times_of {
    const struct resolve_options *o;
    const struct reference *repository;
};

static int find_times(void *arg, struct tag_time *tags, size_t count, struct error *err)
{
    const struct times_of *t = arg;
    struct document_source source = source_of(t->o);
    struct creation_lookup lookup = {
        t->o->times, &source, t->repository, t->o->platforms, t->o->platform_count, t->o->threads};
    return creation_find(&lookup, tags, count, err);
}

static int check_count(const struct resolve_options *o, const struct wanted *w, size_t selected,
                       const struct tag_list *list, struct error *err)
{
    _cleanup_free_ char *text = selector_text(w->selector);
    if (o->tags_max > 0 && selected > o->tags_max)
        return error_set(err, ERROR_LIMIT,
                         "selects %zu tags, more than the %llu that its list allows (limits: "
                         "tags); narrow it, or add newest: %llu",
                         selected, (unsigned long long)o->tags_max,
                         (unsigned long long)o->tags_max);
    if (selected > 0)
        return 0;
    bool versions = w->selector->newest > 0 && w->selector->by == NEWEST_BY_SEMVER;
    return error_set(err, ERROR_NOT_FOUND, "no tag of %zu is selected by %s%s", list->count, text,
                     versions ? " (those that are no versions are left out, unless \"by\" says "
                                "name or created)"
                              : "");
}

static void add_ref(struct expansion *out, const struct reference *of, const char *tag)
{
    ARRAY_GROW(out->refs, out->count, out->capacity);
    reference_with_tag(&out->refs[out->count++], of, tag);
}

static int select_tags(const struct resolve_options *o, const struct wanted *w,
                       const struct tag_list *list, struct expansion *out, struct error *err)
{
    struct times_of times = {o, &w->ref};
    struct selector_input input = {(const char *const *)list->items, list->count, clock_now(),
                                   find_times, &times};
    const char **tags;
    size_t count;
    out->tags_seen = list->count;
    if (list->error.kind != ERROR_NONE) {
        error_copy(err, &list->error);
        return -1;
    }
    if (selector_run(w->selector, &input, &tags, &count, err) < 0)
        return -1;
    int rc = check_count(o, w, count, list, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        add_ref(out, &w->ref, tags[i]);
    free(tags);
    return rc;
}

/* ---- what is published ---- */

struct known_tags {
    char **items;
    size_t count, capacity;
};

static void add_known(void *arg, const char *tag)
{
    struct known_tags *known = arg;
    ARRAY_GROW(known->items, known->count, known->capacity);
    known->items[known->count++] = xstrdup(tag);
}

static bool was_wanted(const struct resolve_options *o, const struct wanted *w, const char *tag)
{
    struct reference ref;
    reference_with_tag(&ref, &w->ref, tag);
    _cleanup_free_ char *name = reference_name(&ref);
    _cleanup_free_ char *public_name = path_join(o->prefix ? o->prefix : "", name);
    reference_release(&ref);
    return recorder_was_wanted(o->recorder, w, public_name);
}

/* The published names that the wish could mean, by their tags alone. With `list`, of these the ones
 * that it does not have and that the wish stood for until now. */
static void keep_known(const struct resolve_options *o, const struct wanted *w,
                       const struct tag_list *list, struct expansion *out)
{
    if (!o->target->repository)
        return; /* nobody looks at one */
    struct document_source source = source_of(o);
    struct known_tags known = {0};
    struct error ignored = ERROR_INIT;
    struct selector by_name = *w->selector; /* borrows its texts */
    by_name.newest = by_name.newer_than = 0;
    documents_known_tags(&source, &w->ref, add_known, &known);
    struct selector_input input = {(const char *const *)known.items, known.count, 0, NULL, NULL};
    const char **tags = NULL;
    size_t count = 0;
    if (selector_run(&by_name, &input, &tags, &count, &ignored) < 0)
        error_release(&ignored);
    for (size_t i = 0; i < count; i++)
        if (!list || (!tag_list_has(list, tags[i]) && was_wanted(o, w, tags[i])))
            add_ref(out, &w->ref, tags[i]);
    free(tags);
    for (size_t i = 0; i < known.count; i++)
        free(known.items[i]);
    free(known.items);
}

/* ---- one wish ---- */

static void expand_one(const struct resolve_options *o, const struct tag_lists *lists,
                       const struct wanted *w, struct expansion *out)
{
    if (!w->selector) {
        ARRAY_GROW(out->refs, out->count, out->capacity);
        reference_copy(&out->refs[out->count++], &w->ref);
        return;
    }
    const struct tag_list *list = tag_lists_find(lists, &w->ref);
    bool failed = select_tags(o, w, list, out, &out->error) < 0;
    /* That nothing is selected is an answer; that a tag is missing is not enough of one. */
    bool answered = !failed || out->error.kind == ERROR_NOT_FOUND;
    keep_known(o, w, answered ? list : NULL, out);
}

void expand(const struct resolve_options *options, const struct wanted_list *wanted,
            struct tag_lists *lists, struct expansion *out)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (wanted->items[i].selector)
            tag_lists_want(lists, &wanted->items[i].ref);
    tag_lists_read(lists, options->client, options->threads);
    for (size_t i = 0; i < wanted->count; i++)
        expand_one(options, lists, &wanted->items[i], &out[i]);
}

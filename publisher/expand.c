#include "publisher/expand.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "registry/cosign.h"
#include "repository/documents.h"

#include <string.h>

/* The tags of one repository, for all wishes about it. */
struct tag_list {
    const struct reference *repository;
    char **items;
    size_t count, capacity;
    struct error error;
};

struct expander {
    const struct resolve_options *o;
    struct tag_list *lists;
    size_t list_count;
};

void expansion_release(struct expansion *x)
{
    for (size_t i = 0; i < x->count; i++)
        reference_release(&x->refs[i]);
    free(x->refs);
    error_release(&x->error);
    *x = (struct expansion){0};
}

/* ---- lists of tags ---- */

static bool same_repository(const struct reference *a, const struct reference *b)
{
    return a->plain_http == b->plain_http && strcmp(a->registry, b->registry) == 0 &&
           strcmp(a->repository, b->repository) == 0;
}

static struct tag_list *find_list(struct expander *e, const struct reference *ref)
{
    /* Wishes of one repository stand together: publisher/batches.h. */
    for (size_t i = e->list_count; i-- > 0;)
        if (same_repository(e->lists[i].repository, ref))
            return &e->lists[i];
    return NULL;
}

static void add_item(void *arg, const char *tag)
{
    struct tag_list *list = arg;
    ARRAY_GROW(list->items, list->count, list->capacity);
    list->items[list->count++] = xstrdup(tag);
}

static int add_tag(void *arg, const char *tag, struct error *err)
{
    (void)err;
    if (!cosign_is_signature_tag(tag))
        add_item(arg, tag);
    return 0;
}

static void read_list(void *arg, size_t i)
{
    struct expander *e = arg;
    struct tag_list *list = &e->lists[i];
    if (registry_list_tags(e->o->client, list->repository, add_tag, list, &list->error) < 0)
        error_wrap(&list->error, "the list of tags");
}

static void tag_list_release(struct tag_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    error_release(&list->error);
}

/* ---- one wish ---- */

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

/* The published names that the wish could mean, by their tags alone. */
static void keep_known(const struct resolve_options *o, const struct wanted *w,
                       struct expansion *out)
{
    struct document_source source = source_of(o);
    struct tag_list known = {0};
    struct error ignored = ERROR_INIT;
    struct selector by_name = *w->selector; /* borrows its texts */
    by_name.newest = by_name.newer_than = 0;
    documents_known_tags(&source, &w->ref, add_item, &known);
    struct selector_input input = {(const char *const *)known.items, known.count, 0, NULL, NULL};
    const char **tags = NULL;
    size_t count = 0;
    if (selector_run(&by_name, &input, &tags, &count, &ignored) < 0)
        error_release(&ignored);
    for (size_t i = 0; i < count; i++)
        add_ref(out, &w->ref, tags[i]);
    free(tags);
    tag_list_release(&known);
}

static void expand_one(struct expander *e, const struct wanted *w, struct expansion *out)
{
    if (!w->selector) {
        ARRAY_GROW(out->refs, out->count, out->capacity);
        reference_copy(&out->refs[out->count++], &w->ref);
        return;
    }
    /* That nothing is selected is an answer. */
    if (select_tags(e->o, w, find_list(e, &w->ref), out, &out->error) < 0 &&
        out->error.kind != ERROR_NOT_FOUND)
        keep_known(e->o, w, out);
}

void expand(const struct resolve_options *options, const struct wanted_list *wanted,
            struct expansion *out)
{
    struct expander e = {.o = options, .lists = xcalloc(wanted->count + 1, sizeof *e.lists)};
    for (size_t i = 0; i < wanted->count; i++) {
        const struct wanted *w = &wanted->items[i];
        if (w->selector && !find_list(&e, &w->ref))
            e.lists[e.list_count++] = (struct tag_list){.repository = &w->ref};
    }
    parallel_for(e.list_count, options->threads, read_list, &e);
    for (size_t i = 0; i < wanted->count; i++)
        expand_one(&e, &wanted->items[i], &out[i]);
    for (size_t i = 0; i < e.list_count; i++)
        tag_list_release(&e.lists[i]);
    free(e.lists);
}

#include "worker/gone.h"

#include "base/parallel.h"

struct finder {
    const struct document_source *source;
    const struct tag_lists *lists;
    struct missing_tag *tags;
};

static bool is_published(const struct document_source *source, const struct reference *ref)
{
    struct digest ignored;
    return documents_known_digest(source, ref, &ignored);
}

static bool list_lacks(const struct tag_lists *lists, const struct reference *ref)
{
    const struct tag_list *list = tag_lists_find(lists, ref);
    return list && list->is_read && list->error.kind == ERROR_NONE && !tag_list_has(list, ref->tag);
}

/* HEAD is what registries get wrong more often than GET. */
static bool manifest_is_missing(const struct document_source *source, const struct reference *ref)
{
    struct fetched_manifest manifest = {.bytes = BUF_INIT};
    struct error err = ERROR_INIT;
    bool missing = registry_get_manifest(source->client, ref, NULL, &manifest, &err) < 0 &&
                   err.kind == ERROR_NOT_FOUND;
    fetched_manifest_release(&manifest);
    error_release(&err);
    return missing;
}

static void find_one(void *arg, size_t i)
{
    const struct finder *f = arg;
    struct missing_tag *tag = &f->tags[i];
    tag->is_gone = is_published(f->source, tag->ref) && list_lacks(f->lists, tag->ref) &&
                   manifest_is_missing(f->source, tag->ref);
}

void gone_find(const struct document_source *source, struct tag_lists *lists, size_t threads,
               struct missing_tag *tags, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_published(source, tags[i].ref))
            tag_lists_want(lists, tags[i].ref);
    tag_lists_read(lists, source->client, threads);
    parallel_for(count, threads, find_one, &(struct finder){source, lists, tags});
}

#include "worker/tag_lists.h"

#include "base/memory.h"
#include "base/parallel.h"
#include "registry/cosign.h"

#include <string.h>

static bool same_repository(const struct reference *a, const struct reference *b)
{
    return a->plain_http == b->plain_http && strcmp(a->registry, b->registry) == 0 &&
           strcmp(a->repository, b->repository) == 0;
}

const struct tag_list *tag_lists_find(const struct tag_lists *lists, const struct reference *ref)
{
    /* Wishes of one repository stand together: worker/batches.h. */
    for (size_t i = lists->count; i-- > 0;)
        if (same_repository(&lists->items[i].repository, ref))
            return &lists->items[i];
    return NULL;
}

void tag_lists_want(struct tag_lists *lists, const struct reference *ref)
{
    if (tag_lists_find(lists, ref))
        return;
    ARRAY_GROW(lists->items, lists->count, lists->capacity);
    struct tag_list *list = &lists->items[lists->count++];
    *list = (struct tag_list){0};
    reference_copy(&list->repository, ref);
}

static int add_tag(void *arg, const char *tag, struct error *err)
{
    struct tag_list *list = arg;
    (void)err;
    if (cosign_is_signature_tag(tag))
        return 0;
    ARRAY_GROW(list->items, list->count, list->capacity);
    list->items[list->count++] = xstrdup(tag);
    return 0;
}

struct reading {
    struct tag_lists *lists;
    struct registry_client *client;
};

static void read_list(void *arg, size_t i)
{
    const struct reading *r = arg;
    struct tag_list *list = &r->lists->items[i];
    if (list->is_read)
        return;
    list->is_read = true;
    if (registry_list_tags(r->client, &list->repository, add_tag, list, &list->error) < 0)
        error_wrap(&list->error, "the list of tags");
}

void tag_lists_read(struct tag_lists *lists, struct registry_client *client, size_t threads)
{
    parallel_for(lists->count, threads, read_list, &(struct reading){lists, client});
}

bool tag_list_has(const struct tag_list *list, const char *tag)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], tag) == 0)
            return true;
    return false;
}

void tag_lists_release(struct tag_lists *lists)
{
    for (size_t i = 0; i < lists->count; i++) {
        struct tag_list *list = &lists->items[i];
        for (size_t k = 0; k < list->count; k++)
            free(list->items[k]);
        free(list->items);
        reference_release(&list->repository);
        error_release(&list->error);
    }
    free(lists->items);
    *lists = (struct tag_lists){0};
}

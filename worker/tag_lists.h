/*
 * Lists of tags: what the registries say there is, read once for each repository and asked by
 * everybody who wants to know (worker/expand.h, worker/gone.h).
 *
 *     tag_lists_want()     a repository, for any of its references
 *     tag_lists_read()     reads those that were not read yet, many at a time
 *     tag_lists_find()
 *     tag_lists_release()
 *
 * Tags that hold signatures are left out: they are no images.
 */
#ifndef WORKER_TAG_LISTS_H
#define WORKER_TAG_LISTS_H

#include "base/error.h"
#include "registry/client.h"

struct tag_list {
    struct reference repository; /* its tag says nothing */
    char **items;                /* owned */
    size_t count, capacity;
    bool is_read;
    struct error error; /* kind ERROR_NONE: it is whole */
};
struct tag_lists {
    struct tag_list *items;
    size_t count, capacity;
};

void tag_lists_want(struct tag_lists *lists, const struct reference *ref);
void tag_lists_read(struct tag_lists *lists, struct registry_client *client, size_t threads);
/* NULL if nobody wanted it. Borrowed until the next tag_lists_want(). */
const struct tag_list *tag_lists_find(const struct tag_lists *lists, const struct reference *ref);
/* Whether the registry said so: false too if the list could not be read. */
bool tag_list_has(const struct tag_list *list, const char *tag);
void tag_lists_release(struct tag_lists *lists);

#endif

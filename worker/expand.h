/*
 * Expansion: from wishes to names, one tags/list for each repository that a selector is about.
 *
 * It is safe to act on: if the tags cannot be read (or the times of their images), or a selector
 * takes more of them than its list allows, the wish has failed, and the names that are published of
 * those it could mean stay in `refs`: they go on being looked at. Half a list of tags is not acted
 * on, nor cut where the limit is: it will be whole another time.
 *
 * A published name that the wish stood for, and whose tag the list does not have any more, stays in
 * `refs` as well: whether it is gone, its manifest has to say too (worker/gone.h).
 */
#ifndef WORKER_EXPAND_H
#define WORKER_EXPAND_H

#include "worker/resolve.h"
#include "worker/tag_lists.h"

struct expansion {
    struct reference *refs;
    size_t count, capacity;
    size_t tags_seen;   /* in the registry's list */
    struct error error; /* kind ERROR_NONE: `refs` is what is wished */
};

/* Fills out[i] for each wish; the array is the caller's, zeroed. The lists that are read for it
 * are added to *lists. */
void expand(const struct resolve_options *options, const struct wanted_list *wanted,
            struct tag_lists *lists, struct expansion *out);
void expansion_release(struct expansion *expansion);

#endif

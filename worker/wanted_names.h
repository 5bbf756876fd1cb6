/*
 * Which public names a recipe asks for, now: selectors expanded with what the registries list.
 *
 * Repositories are not looked at. Where tags cannot be read it is not known what is asked for: that
 * is said, and none of the entry's names stand there.
 */
#ifndef WORKER_WANTED_NAMES_H
#define WORKER_WANTED_NAMES_H

#include "base/string_list.h"
#include "config/access.h"
#include "worker/creation.h"
#include "worker/tag_lists.h"
#include "worker/tag_lists.h"
#include "wishlist/recipe.h"

/* A wish whose names are not known, or that selects nothing. */
struct unknown_wish {
    char *entry, *place;
    struct error error;
};

struct wanted_names {
    struct string_list names; /* "REPOSITORY\nNAME", sorted, some of them twice */
    struct unknown_wish *unknown;
    size_t unknown_count, unknown_capacity;
};

/* What the registries said, for several calls: the same of all. */
struct wanted_names_source {
    struct access *access;
    struct tag_lists lists;
    struct creation_times *times;
};

/* Of the wishes that are not `left_out` (one for each). A suspended one counts as the others do. */
void wanted_names_find(struct wanted_names_source *source, const struct recipe *recipe,
                       const bool *left_out, struct wanted_names *out);
void wanted_names_release(struct wanted_names *names);
#define _cleanup_wanted_names_ __attribute__((cleanup(wanted_names_release)))

#endif

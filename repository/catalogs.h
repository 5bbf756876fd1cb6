/*
 * Where a large tree is cut into nested catalogs (layout.md, "Nested catalogs").
 *
 * CernVM-FS keeps the entries of a directory tree in catalogs, SQLite files that a client loads
 * whole: one of a million entries costs each client 200 MB to see one file. A tree of up to
 * CATALOG_MAX_ENTRIES is one catalog. A larger one is cut at directories so that each part has no
 * more than that, itself and the directories where the next ones begin counted; from the bottom
 * up, and in each directory the largest subtrees first, so that the parts are few. The result
 * depends on the tree alone.
 *
 * Nothing smaller than CATALOG_MIN_ENTRIES becomes a part: a client loads each one by a request.
 * What that leaves, a directory with more entries or small subtrees than the maximum, is a part
 * above it; CernVM-FS has no way to split a directory.
 */
#ifndef REPOSITORY_CATALOGS_H
#define REPOSITORY_CATALOGS_H

#include "layers/stack.h"

/* The weights that CernVM-FS's own CVMFS_AUTOCATALOGS uses. */
#define CATALOG_MAX_ENTRIES 100000
#define CATALOG_MIN_ENTRIES 1000

struct catalog_places {
    uint32_t *nodes; /* directories of the tree, in its order; the root is none of them */
    size_t count, capacity;
};

void catalog_places_find(const struct stack *stack, const struct tree *tree, size_t max_entries,
                         size_t min_entries, struct catalog_places *out);
void catalog_places_release(struct catalog_places *places);

#endif

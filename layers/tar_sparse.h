/*
 * Maps of sparse files in tar: which parts of the content are stored, the rest being holes.
 * GNU tar manual, "Storing Sparse Files": old GNU (typeflag 'S'), PAX 0.0, 0.1 and 1.0.
 * A zeroed struct is an empty map; tar_sparse_release() frees it.
 */
#ifndef LAYERS_TAR_SPARSE_H
#define LAYERS_TAR_SPARSE_H

#include "base/error.h"
#include "layers/tar_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tar_sparse {
    uint64_t *numbers; /* offset, length, offset, length, ... */
    size_t count, capacity;
    size_t cursor; /* of tar_sparse_at() */
};

/* Reads one 512-byte block; 1 or -1. */
typedef int (*tar_block_fn)(void *arg, void *block, struct error *err);

void tar_sparse_clear(struct tar_sparse *map);
void tar_sparse_release(struct tar_sparse *map);
MUST_CHECK int tar_sparse_add_number(struct tar_sparse *map, uint64_t number, struct error *err);
/* PAX 0.1: "offset,length,offset,length". */
MUST_CHECK int tar_sparse_parse_list(struct tar_sparse *map, const char *text, size_t len,
                                     struct error *err);
/* PAX 1.0: decimal numbers, one a line, in blocks before the content; the first is their count. */
MUST_CHECK int tar_sparse_read_1_0(struct tar_sparse *map, tar_block_fn next, void *arg,
                                   struct error *err);
/* Old GNU: in the header and in extension blocks behind it. */
MUST_CHECK int tar_sparse_read_old(struct tar_sparse *map, const struct tar_header *header,
                                   uint64_t *out_size, tar_block_fn next, void *arg,
                                   struct error *err);
/* Ascending, not overlapping, inside `size`, and `stored` bytes in all. */
MUST_CHECK int tar_sparse_check(struct tar_sparse *map, uint64_t size, uint64_t stored,
                                struct error *err);
/* How many bytes from `offset` on are alike (all stored, or *out_hole), given `left` to the end.
 * Offsets must not go back. */
uint64_t tar_sparse_at(struct tar_sparse *map, uint64_t offset, uint64_t left, bool *out_hole);

#endif

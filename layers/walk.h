/*
 * A layer's entries from an unpacked tree, where there is neither its tar nor an index of ours: the
 * layers that the Go tool published. ".wh.NAME" files and devices 0:0 are deletions, as in a tar.
 * The index has sizes, hashes if that is asked for, and no data.
 */
#ifndef LAYERS_WALK_H
#define LAYERS_WALK_H

#include "base/error.h"
#include "layers/layer.h"

/* Around each slice of reading, a directory's entries or one file: nothing below the root is open
 * between two of them. No slice is inside another. All NULL: nobody needs to know. */
struct layer_walk_guard {
    void (*begin)(void *arg);
    void (*end)(void *arg);
    void *arg;
};

/* What a tree does not say of its layer. All zero: not known. */
struct layer_walk_options {
    struct digest blob, diff_id;
    uint64_t compressed_size, diff_size;
    bool hash; /* read all files, so that the index has their hashes */
    struct layer_walk_guard guard;
};

/* `root` is the layer's `layerfs`. The result has no data: layer_release(). */
MUST_CHECK int layer_walk(const char *root, const struct layer_walk_options *options,
                          struct layer *out, struct error *err);

/* Each deletion in the old form (a file ".wh.NAME" or ".wh..wh..opq") below `root`: `found` is
 * called with its path below it, outside of the slices; -1 from it stops. */
MUST_CHECK int layer_find_old_whiteouts(const char *root, const struct layer_walk_guard *guard,
                                        int (*found)(void *arg, const char *path,
                                                     struct error *err),
                                        void *arg, struct error *err);

#endif

/*
 * Files that need not be sent, because the repository or the same commit has them: which file of a
 * new layer becomes a link, and to what.
 *
 * A rebuilt image has new layer digests and mostly old files. CernVM-FS takes a link to a file that
 * it holds without reading, hashing or compressing anything. A link shares the attributes of its
 * target, too: content, mode, owner, time and extended attributes must all be equal. (Those that
 * differ in attributes only are counted.) A link becomes an entry of its own, so that the content
 * lives on when the layer it was linked to is deleted.
 *
 *     known_files_new()
 *     known_files_want() ...     each new layer, in the order of the commit
 *     known_files_offer() ...    each layer that the repository holds and that may have the files
 *     known_files_finish()
 *     known_layer_find(), known_layer_path() ...
 *
 * Links lead to files that are sent or that the repository holds, never to other links of the same
 * commit: of links to links, cvmfs_server ingest takes only some.
 *
 * Memory: 16 to 32 bytes for each file that is new, 12 for each link, and 16 for each file of the
 * one layer that is being offered. Indexes that are offered are read once, from the beginning to
 * the end.
 */
#ifndef REPOSITORY_KNOWN_FILES_H
#define REPOSITORY_KNOWN_FILES_H

#include "base/buf.h"
#include "layers/layer_index.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct known_files;
struct known_layer;

/* With `whole_seconds`, times are equal if their seconds are: CernVM-FS keeps no more. */
struct known_files *known_files_new(bool whole_seconds);
void known_files_free(struct known_files *known);

/* A layer whose files will be published in `home` (copied). The index is borrowed until
 * known_files_free(). A layer that is wanted already is not wanted again. */
void known_files_want(struct known_files *known, const struct digest *blob,
                      const struct layer_index *index, const char *home);

/* A layer whose files the repository holds. */
struct known_source {
    struct layer_index index; /* taken over, if `owned` */
    bool owned;
    const char *home;            /* where its files lie; copied */
    const uint8_t *not_linkable; /* as in struct layer_source; may be NULL */
    /* Whether files may be linked to: asked once, for those that would be. `out` has as many items
     * as `entries`. May be NULL. */
    void (*may_link)(void *arg, const struct known_source *source, const uint32_t *entries,
                     size_t count, bool *out);
    void *arg;
};
void known_files_offer(struct known_files *known, struct known_source *source);

struct known_counts {
    uint64_t files, bytes;                     /* found, and so not sent */
    uint64_t files_differing, bytes_differing; /* sent only because attributes differ */
};
void known_files_finish(struct known_files *known, struct known_counts *out);

/* NULL: the layer was not wanted. */
const struct known_layer *known_layer_find(const struct known_files *known,
                                           const struct digest *blob);
/* The path in the repository that a file of the layer becomes a link to, in *out; false: it is
 * sent. `entry` is the first of those that share an inode. */
bool known_layer_path(const struct known_layer *layer, uint32_t entry, struct buf *out);

#endif

/*
 * From the entries of one layer's tar, in their order, to the layer's index.
 *
 * The rules (layout.md, "Layers, and what correct means"; OCI image specification, "Layers"):
 *
 * - Names are cleaned as Go's filepath.Clean does ("/a", "./a" and "x/../a" are "a"); a name that
 *   would leave the root is an error. A path below a symlink of the same layer lands where the
 *   symlink points, inside the layer's root; missing directories on the way are made (IMPLIED).
 * - A later entry for a path wins; over a directory, another directory changes the attributes and
 *   anything else drops what is below. A directory in place of something else is OPAQUE: that had
 *   taken the place of what the layers below have.
 * - ".wh.NAME" hides NAME in the layers below only, wherever it stands in the tar: if the same
 * layer also brings a directory NAME, that directory is OPAQUE. ".wh..wh..opq" makes its directory
 * OPAQUE. A character device 0:0 is a whiteout too, as it is for overlayfs.
 * - A hard link shares the inode its target has at that moment: the target's content and
 *   attributes. A target that this layer does not have is looked for in the layers below when the
 *   image is put together (ENTRY_LOWER_LINK).
 * - ".cvmfscatalog" and ".cvmfsgraft-*" are instructions to CernVM-FS, not files: dropped and
 * counted.
 *
 * Memory: about 170 bytes an entry, until layer_builder_free().
 */
#ifndef LAYERS_LAYER_BUILDER_H
#define LAYERS_LAYER_BUILDER_H

#include "base/error.h"
#include "layers/layer_index.h"
#include "layers/tar_reader.h"

#include <stdint.h>

struct layer_builder;
struct layer_builder *layer_builder_new(void);
void layer_builder_free(struct layer_builder *builder);

/* Where a file's content lies in the layer's data. */
struct content {
    uint64_t offset;
    uint64_t size;
    uint8_t hash[SHA256_SIZE];
};

/* Add the next entry; `content` for files only. Errors name the entry: ERROR_PARSE, ERROR_LIMIT. */
MUST_CHECK int layer_builder_add(struct layer_builder *builder, const struct tar_entry *entry,
                                 const struct content *content, struct error *err);

/* Write the index. The counts and magic in *header are filled here; the caller gives the sizes and
 * the diff id. The file is complete and synced when this returns 0. */
MUST_CHECK int layer_builder_write(struct layer_builder *builder, struct layer_index_header *header,
                                   int fd, struct error *err);

static inline void cleanup_layer_builder(struct layer_builder **builder)
{
    layer_builder_free(*builder);
}
#define _cleanup_layer_builder_ __attribute__((cleanup(cleanup_layer_builder)))

#endif

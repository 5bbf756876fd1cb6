/*
 * Decompression of a blob on disk, streaming. The compression is told by the first bytes (as
 * Podman and Docker do), since media types in the wild are often wrong: gzip (RFC 1952, any number
 * of members), zstd (RFC 8878, any number of frames, skippable ones included), or plain. xz and
 * bzip2 get a clear error.
 */
#ifndef LAYERS_DECOMPRESS_H
#define LAYERS_DECOMPRESS_H

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

struct decompressor;
/* Reads from the descriptor's current position; the descriptor stays the caller's. */
struct decompressor *decompressor_new(int fd, struct error *err);
/* Up to `size` bytes; 0 at the end. ERROR_CORRUPT if the compressed data is damaged or ends
 * early. */
ssize_t decompressor_read(struct decompressor *d, void *bytes, size_t size, struct error *err);
void decompressor_free(struct decompressor *d);

static inline void cleanup_decompressor(struct decompressor **d)
{
    decompressor_free(*d);
}
#define _cleanup_decompressor_ __attribute__((cleanup(cleanup_decompressor)))

#endif

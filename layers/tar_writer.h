/*
 * Writing the tar stream that `cvmfs_server ingest` reads: GNU format (long names as 'L' and 'K'
 * entries, large and negative numbers in base-256), since there names are plain bytes and need no
 * character set, as PAX records would. Buffered by 1 MiB; the descriptor stays the caller's.
 *
 * A reader takes the end of the stream between two members for the end of the archive, complete or
 * not. So that a stream cut short by our sudden death is never taken for a whole one, all writes
 * but the last end in the middle of a block: a cut anywhere is inside a header or a content.
 *
 * Any write may fail with EPIPE when the reader has gone: ERROR_IO, retryable is not set, and
 * tar_writer_broken() is true, so that the caller asks the reader why.
 */
#ifndef LAYERS_TAR_WRITER_H
#define LAYERS_TAR_WRITER_H

#include "base/error.h"
#include "layers/tar_reader.h"

#include <stdint.h>

struct tar_member {
    enum tar_type type;
    const char *path;
    const char *link; /* hard link or symlink, else NULL */
    uint32_t mode, uid, gid;
    int64_t mtime;
    uint64_t size; /* files; the content follows with tar_writer_bytes() or tar_writer_file() */
    uint32_t major, minor;
};

struct tar_writer;
struct tar_writer *tar_writer_new(int fd);
void tar_writer_free(struct tar_writer *writer);

MUST_CHECK int tar_writer_member(struct tar_writer *writer, const struct tar_member *member,
                                 struct error *err);
/* The content of the member before, whole, from memory or from a file; padded here. */
MUST_CHECK int tar_writer_bytes(struct tar_writer *writer, const void *bytes, size_t len,
                                struct error *err);
MUST_CHECK int tar_writer_file(struct tar_writer *writer, int fd, uint64_t offset, uint64_t size,
                               struct error *err);
/* The two zero blocks, and everything that is still buffered. */
MUST_CHECK int tar_writer_finish(struct tar_writer *writer, struct error *err);

/* Give up: make sure that the reader, who will find no more, does not take what it has for whole.
 */
void tar_writer_spoil(struct tar_writer *writer);

/* Keep in *written what the reader has taken, for other threads. */
void tar_writer_tell(struct tar_writer *writer, _Atomic uint64_t *written);
bool tar_writer_broken(const struct tar_writer *writer);
uint64_t tar_writer_count(const struct tar_writer *writer); /* bytes so far */

static inline void cleanup_tar_writer(struct tar_writer **writer)
{
    tar_writer_free(*writer);
}
#define _cleanup_tar_writer_ __attribute__((cleanup(cleanup_tar_writer)))

#endif

/*
 * Reading a layer's tar stream: v7, ustar, star, GNU (long names, base-256 numbers, old sparse)
 * and PAX (POSIX.1-2001: path, linkpath, size, uid, gid, mtime, SCHILY.xattr.*, GNU.sparse 0.0,
 * 0.1 and 1.0), with the reading that Podman's and Docker's Go code gives them.
 *
 * Names and link targets come out as the bytes that stand in the archive: no character set is
 * converted, nothing is normalised, a NUL in a PAX record is an error and not an end (libarchive
 * cuts there, folds decomposed UTF-8, and clamps large ids: see ARCHITECTURE.md, "Tar").
 *
 * The reader pulls bytes through a callback and never seeks:
 *
 *     struct tar_reader *r = tar_reader_new(read, arg);
 *     while ((more = tar_reader_next(r, &entry, err)) > 0)
 *         while ((more = tar_reader_data(r, &bytes, &len, err)) > 0) ...
 *     tar_reader_free(r);
 */
#ifndef LAYERS_TAR_READER_H
#define LAYERS_TAR_READER_H

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

enum tar_type {
    TAR_FILE,
    TAR_HARD_LINK,
    TAR_SYMLINK,
    TAR_CHAR,
    TAR_BLOCK,
    TAR_DIRECTORY,
    TAR_FIFO,
    TAR_OTHER, /* a type we do not know */
};

/* All pointers are the reader's, good until the next call of tar_reader_next(). */
struct tar_entry {
    enum tar_type type;
    char typeflag;    /* as in the header */
    const char *name; /* NUL-terminated; holds no other NUL */
    const char *link; /* target of a hard link or symlink, "" otherwise */
    uint32_t mode;    /* 07777 at most */
    uint32_t uid, gid;
    int64_t mtime; /* seconds since 1970, may be negative */
    uint32_t mtime_nsec;
    uint64_t size; /* bytes of content, holes of a sparse file included */
    uint32_t major, minor;
    /* Extended attributes: name NUL, 4 bytes length (native order), value; one behind another. */
    const struct buf *xattrs;
};

/* Fills up to `size` bytes; 0 at the end of the stream, -1 with *err set on failure. */
typedef ssize_t (*tar_read_fn)(void *arg, void *bytes, size_t size, struct error *err);

struct tar_reader;
struct tar_reader *tar_reader_new(tar_read_fn read, void *arg);
void tar_reader_free(struct tar_reader *reader);

/* 1 and the next entry, 0 at the end of the archive, -1: ERROR_PARSE (with the offset in the
 * archive), ERROR_LIMIT, or what the callback said. What was not read of the last entry's content
 * is skipped. A zero block, or the end of the stream behind an entry's content, ends the archive.
 */
MUST_CHECK int tar_reader_next(struct tar_reader *reader, struct tar_entry *out, struct error *err);
/* 1 and the next piece of the content (borrowed until the next call), 0 at its end, -1. A hole of
 * a sparse file comes as zeros. */
MUST_CHECK int tar_reader_data(struct tar_reader *reader, const void **bytes, size_t *len,
                               struct error *err);

static inline void cleanup_tar_reader(struct tar_reader **reader)
{
    tar_reader_free(*reader);
}
#define _cleanup_tar_reader_ __attribute__((cleanup(cleanup_tar_reader)))

#endif

/*
 * Files of our own: reading whole, writing so that a crash leaves the old or the new, directories.
 * Messages name the path. Everything is opened close-on-exec.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

/* The whole file into *out (appended). ERROR_NOT_FOUND if it is not there, ERROR_LIMIT if it is
 * larger than max_bytes. */
MUST_CHECK int file_read(const char *path, size_t max_bytes, struct buf *out, struct error *err);
MUST_CHECK int file_read_fd(int fd, const char *name, size_t max_bytes, struct buf *out,
                            struct error *err);
/* Temporary file beside it, fsync, rename. */
MUST_CHECK int file_write(const char *path, const void *bytes, size_t len, mode_t mode,
                          struct error *err);
/* All bytes, however often write() stops short. errno is set on failure. */
MUST_CHECK int file_write_all(int fd, const void *bytes, size_t len);
MUST_CHECK int file_pwrite_all(int fd, const void *bytes, size_t len, off_t offset);
/* Exactly len bytes; a shorter file is -1 with errno EIO. */
MUST_CHECK int file_pread_all(int fd, void *bytes, size_t len, off_t offset);

/* The directory and its parents. What exists is left as it is. */
MUST_CHECK int dir_make(const char *path, mode_t mode, struct error *err);
/* The directory (or other file) with everything below it; what is not there is fine. Does not
 * follow symlinks, and goes below directories that its owner may not enter. */
MUST_CHECK int tree_remove(const char *path, struct error *err);
/* The same, `path` relative to the directory `dirfd`. */
MUST_CHECK int tree_remove_at(int dirfd, const char *path, struct error *err);

/* Free bytes that the file system of `path` has for us. */
MUST_CHECK int disk_free_bytes(const char *path, uint64_t *out, struct error *err);

/* An exclusive lock on a file, held until the descriptor is closed. The file then holds the text
 * `holder`; ERROR_BUSY with the text of the one who holds it. */
MUST_CHECK int lock_take(const char *path, const char *holder, int *out_fd, struct error *err);

#endif

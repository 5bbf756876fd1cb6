/* The folder of a local list: what it includes lies there or below. */
#ifndef WISHLIST_FOLDER_H
#define WISHLIST_FOLDER_H

#include "base/buf.h"
#include "base/error.h"

#include <stddef.h>

/* A file below a folder ("." for the current one), of which no symlink that somebody proposed leads
 * out. Appended to *out; ERROR_LIMIT above max_bytes. */
MUST_CHECK int folder_read(const char *folder, const char *path, size_t max_bytes, struct buf *out,
                           struct error *err);
/* The folder that a file's path names: "a/b" -> "a", "/b" -> "/", "b" -> ".". Owned. */
char *folder_of(const char *path);

#endif

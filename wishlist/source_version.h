/* One version of a list: the bytes of the files that were read of it, and how it is kept (internal
 * to source). */
#ifndef WISHLIST_SOURCE_VERSION_H
#define WISHLIST_SOURCE_VERSION_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct source_file {
    char *path;
    struct buf bytes;
};

struct source_version {
    char *revision;
    char *etag, *last_modified; /* of http; or NULL */
    int64_t time;
    bool kept; /* read from the state directory: what is not in it is not to be had */
    struct source_file *files; /* the list itself is the first */
    size_t count, capacity;
};

/* NULL if the version does not have it. Borrowed until the next one is added. */
const struct source_file *version_find(const struct source_version *v, const char *path);
/* Takes *bytes over. */
const struct source_file *version_add(struct source_version *v, const char *path,
                                      struct buf *bytes);
void version_copy(struct source_version *dst, const struct source_version *src);
void version_release(struct source_version *v);

/* A JSON file; ERROR_PARSE or ERROR_LIMIT if it is not one of ours. */
MUST_CHECK int version_save(const struct source_version *v, const char *path, struct error *err);
MUST_CHECK int version_load(const char *path, struct source_version *out, struct error *err);

#endif

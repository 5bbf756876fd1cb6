/*
 * When the images behind tags were made: the "created" of their configurations.
 *
 * A digest never changes, so what has been found out is remembered (for as long as the table lives,
 * up to a limit). What the repository holds is read there. Else it costs requests: the manifest,
 * for an index the platform's manifest too, and the configuration; so a look-up has a budget of
 * them.
 *
 * Thread-safe.
 */
#ifndef WORKER_CREATION_H
#define WORKER_CREATION_H

#include "registry/manifest.h"
#include "repository/documents.h"
#include "wishlist/selector.h"

/* Images looked at that are not published, for one wish. */
#define CREATION_LOOKUPS_MAX ((size_t)500)

struct creation_times;
struct creation_times *creation_times_new(void);
void creation_times_free(struct creation_times *times); /* NULL is fine */

struct creation_lookup {
    struct creation_times *times; /* NULL: nothing is remembered */
    const struct document_source *source;
    const struct reference *repository; /* whose tags they are */
    const struct platform *platforms;   /* of an index, the first of these that is there counts */
    size_t platform_count;
    size_t threads;
};
/* A HEAD for each tag, and what else is needed. A tag that is no (more an) image for any of the
 * platforms is `gone`. ERROR_LIMIT above CREATION_LOOKUPS_MAX; any failure that says nothing about
 * the image fails all of it. */
MUST_CHECK int creation_find(const struct creation_lookup *lookup, struct tag_time *tags,
                             size_t count, struct error *err);

/* "2024-05-01T12:00:00.5+02:00" (RFC 3339) as seconds since 1970; INT64_MIN if it is none, or is
 * 1970 itself: builds that can be repeated say that. */
int64_t creation_parse(const char *text);

#endif

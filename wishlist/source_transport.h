/* How each kind of source is asked (internal to source). */
#ifndef WISHLIST_SOURCE_TRANSPORT_H
#define WISHLIST_SOURCE_TRANSPORT_H

#include "wishlist/source.h"
#include "wishlist/source_version.h"

struct source {
    struct source_url url;
    struct source_options options;
    char *base;
    char *folder;                       /* STATE_DIR/sources; NULL: none */
    char *good_path;                    /* of the good version; NULL: it is not kept */
    struct source_version newest, good; /* no revision: there is none */
    struct source_version *current;     /* one of them, or NULL */
    bool incomplete; /* the newest could not be read whole: it counts as changed next time */
};

struct source_transport {
    /* The list into *next, with revision and what else is known of it. *out_same instead, if the
     * server says that it is as in `known` (which may be NULL). */
    int (*fetch)(struct source *source, const struct source_version *known,
                 struct source_version *next, bool *out_same, struct error *err);
    /* Another file of that version. */
    int (*read)(struct source *source, const struct source_version *version, const char *path,
                size_t max_bytes, struct buf *out, struct error *err);
};

extern const struct source_transport source_file_transport, source_http_transport,
    source_git_transport;

#endif

/*
 * Errors: what went wrong, of which kind, and whether trying again can help.
 *
 * Every function that can fail for a reason worth telling returns int (0, or -1 on failure), or a
 * pointer (NULL on failure), and takes `struct error *err` as its last argument. On failure the
 * callee has filled it; each caller on the way up may put a frame of context in front of the
 * message with error_wrap(), so that what the user reads names the image, the layer and the path:
 *
 *     image localhost:5000/a:1: layer sha256:12ab…: entry "../x": leaves the layer's root
 *
 * Life cycle: ERROR_INIT, any number of calls, error_release(). `_cleanup_error_` does the last.
 * Setting an error that is already set replaces it. An error is owned by one thread at a time.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

enum error_kind {
    ERROR_NONE,
    ERROR_IO,          /* a local file, pipe or directory */
    ERROR_NET,         /* connection, TLS, an unexpected answer */
    ERROR_AUTH,        /* 401, 403, no credentials */
    ERROR_NOT_FOUND,   /* 404, or a thing that is not there */
    ERROR_PARSE,       /* syntax of a recipe, reference, manifest, layer, ... */
    ERROR_CORRUPT,     /* bytes do not match their digest or size */
    ERROR_LIMIT,       /* larger, longer or more than we accept; a full disk */
    ERROR_UNSUPPORTED, /* well-formed, but nothing we can publish */
    ERROR_POLICY,      /* the site's rules forbid it */
    ERROR_BUSY,        /* somebody else holds the lock or the transaction */
    ERROR_CHILD,       /* a program we ran failed */
    ERROR_CANCELLED,   /* we were asked to stop */
    ERROR_BUG,         /* an assumption of ours does not hold */
};

struct error {
    enum error_kind kind;
    bool retryable; /* the same call may succeed later without anybody's doing */
    char *message;  /* owned; NULL while kind is ERROR_NONE */
};

#define ERROR_INIT                                                                                 \
    {                                                                                              \
        ERROR_NONE, false, 0                                                                       \
    }

/* Set *err and return -1, so that a callee can `return error_set(...)`. */
int error_set(struct error *err, enum error_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": " and the text of errno value `errnum` behind the message. The kind is
 * ERROR_LIMIT for a full disk or quota, else `kind`. */
int error_set_errno(struct error *err, enum error_kind kind, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Put "context: " in front of the message. Returns -1. */
int error_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Mark as worth another try. Returns -1. */
int error_retryable(struct error *err);

/* Move *src to *dst (which is released first); *src becomes ERROR_INIT. */
void error_move(struct error *dst, struct error *src);
void error_copy(struct error *dst, const struct error *src);

void error_release(struct error *err);

/* The kind in one lower-case word ("not-found"), for logs and JSON. */
const char *error_kind_name(enum error_kind kind);

#define _cleanup_error_ __attribute__((cleanup(error_release)))
#define MUST_CHECK      __attribute__((warn_unused_result))

#endif

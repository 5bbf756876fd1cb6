/*
 * Digests as the OCI image specification writes them ("Digests": ALGORITHM ":" HEX), for the two
 * registered algorithms sha256 and sha512, and hashing of bytes as they stream by.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum digest_algorithm {
    DIGEST_NONE,
    DIGEST_SHA256,
    DIGEST_SHA512,
};

#define SHA256_SIZE      32
#define DIGEST_SIZE_MAX  64
#define DIGEST_HEX_SIZE  (2 * DIGEST_SIZE_MAX + 1)
#define DIGEST_TEXT_SIZE (7 + DIGEST_HEX_SIZE) /* "sha512:" + hex + NUL */

/* A value type: copy it freely. All zero means "no digest". */
struct digest {
    enum digest_algorithm algorithm;
    uint8_t bytes[DIGEST_SIZE_MAX]; /* the first digest_size() count, the rest is zero */
};

struct digest_text {
    char s[DIGEST_TEXT_SIZE];
};

/* "sha256:0123…", lower-case hex only. ERROR_PARSE, or ERROR_UNSUPPORTED for another algorithm. */
MUST_CHECK int digest_parse(const char *text, struct digest *out, struct error *err);
size_t digest_size(const struct digest *d);
bool digest_is_set(const struct digest *d);
bool digest_equal(const struct digest *a, const struct digest *b);
/* "sha256:0123…" and "0123…"; by value, so that they can be used in a printf argument:
 *     printf("%s", digest_text(&d).s); */
struct digest_text digest_text(const struct digest *d);
struct digest_text digest_hex(const struct digest *d);

/* Hashing of a stream: new, update..., finish; free at any time (NULL is fine). */
struct hasher;
struct hasher *hasher_new(enum digest_algorithm algorithm);
void hasher_update(struct hasher *h, const void *bytes, size_t len);
/* The digest of all bytes so far; the hasher starts again from none. */
struct digest hasher_finish(struct hasher *h);
void hasher_free(struct hasher *h);
static inline void cleanup_hasher(struct hasher **h)
{
    hasher_free(*h);
}
#define _cleanup_hasher_ __attribute__((cleanup(cleanup_hasher)))

struct digest digest_of(enum digest_algorithm algorithm, const void *bytes, size_t len);
/* SHA-256 of what is left to read. `what` begins the message of an error: ERROR_IO. */
MUST_CHECK int digest_of_fd(int fd, const char *what, struct digest *out, struct error *err);

#endif

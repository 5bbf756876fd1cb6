/*
 * Message authentication by a shared secret: HMAC with SHA-256 (RFC 2104, RFC 4231), and comparing
 * without telling how much was right.
 */
#ifndef BASE_HMAC_H
#define BASE_HMAC_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>

struct digest hmac_sha256(const void *key, size_t key_len, const void *message, size_t len);

/* The time this takes depends on the lengths only, never on where the two differ. */
bool secret_equal(const void *a, size_t a_len, const void *b, size_t b_len);

#endif

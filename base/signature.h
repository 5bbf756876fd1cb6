/*
 * Signatures by a public key: ECDSA over P-256 with SHA-256, RSA (PKCS #1 v1.5, 2048 bits or more)
 * with SHA-256, Ed25519. Keys are PEM, "BEGIN PUBLIC KEY" (RFC 7468, section 13).
 */
#ifndef BASE_SIGNATURE_H
#define BASE_SIGNATURE_H

#include "base/error.h"

#include <stddef.h>

/* ERROR_PARSE if it is no such key, ERROR_UNSUPPORTED for one of another kind. */
MUST_CHECK int public_key_check(const char *pem, size_t len, struct error *err);
/* 1: the signature is right; 0: it is not; -1: the key cannot be used (as above). */
MUST_CHECK int signature_verify(const char *pem, size_t pem_len, const void *message, size_t len,
                                const void *signature, size_t signature_len, struct error *err);

#endif

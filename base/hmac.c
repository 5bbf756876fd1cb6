#include "base/hmac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

struct digest hmac_sha256(const void *key, size_t key_len, const void *message, size_t len)
{
    struct digest d = {.algorithm = DIGEST_SHA256};
    size_t size = 0;
    /* OpenSSL takes a NULL key for "the one of last time". */
    if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key ? key : "", key_len, message, len,
                   d.bytes, sizeof d.bytes, &size) ||
        size != SHA256_SIZE)
        abort(); /* as in digest.c: OpenSSL has no SHA-256, or no memory */
    return d;
}

bool secret_equal(const void *a, size_t a_len, const void *b, size_t b_len)
{
    /* Secrets of any two lengths become digests of one length. */
    struct digest x = hmac_sha256("compare", 7, a, a_len), y = hmac_sha256("compare", 7, b, b_len);
    return CRYPTO_memcmp(x.bytes, y.bytes, SHA256_SIZE) == 0;
}

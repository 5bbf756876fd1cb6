#include "base/signature.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>

#define RSA_BITS_MIN 2048

static void cleanup_key(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void cleanup_bio(BIO **bio)
{
    BIO_free(*bio);
}

static void cleanup_context(EVP_MD_CTX **context)
{
    EVP_MD_CTX_free(*context);
}
#define _cleanup_key_     __attribute__((cleanup(cleanup_key)))
#define _cleanup_bio_     __attribute__((cleanup(cleanup_bio)))
#define _cleanup_context_ __attribute__((cleanup(cleanup_context)))

static bool is_p256(EVP_PKEY *key)
{
    char name[64];
    size_t len = 0;
    return EVP_PKEY_get_group_name(key, name, sizeof name, &len) == 1 &&
           OBJ_sn2nid(name) == NID_X9_62_prime256v1;
}

static bool is_known(EVP_PKEY *key)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_ED25519:
        return true;
    case EVP_PKEY_EC:
        return is_p256(key);
    case EVP_PKEY_RSA:
        return EVP_PKEY_get_bits(key) >= RSA_BITS_MIN;
    default:
        return false;
    }
}

static EVP_PKEY *read_key(const char *pem, size_t len, struct error *err)
{
    _cleanup_bio_ BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    ERR_clear_error();
    if (!key) {
        error_set(err, ERROR_PARSE, "not a public key in PEM form (BEGIN PUBLIC KEY)");
        return NULL;
    }
    if (is_known(key))
        return key;
    EVP_PKEY_free(key);
    error_set(err, ERROR_UNSUPPORTED,
              "a public key of a kind that is not accepted; there are ECDSA P-256, RSA with 2048 "
              "bits or more, and Ed25519");
    return NULL;
}

int public_key_check(const char *pem, size_t len, struct error *err)
{
    _cleanup_key_ EVP_PKEY *key = read_key(pem, len, err);
    return key ? 0 : -1;
}

int signature_verify(const char *pem, size_t pem_len, const void *message, size_t len,
                     const void *signature, size_t signature_len, struct error *err)
{
    _cleanup_key_ EVP_PKEY *key = read_key(pem, pem_len, err);
    if (!key)
        return -1;
    _cleanup_context_ EVP_MD_CTX *context = EVP_MD_CTX_new();
    /* Ed25519 hashes by itself: RFC 8032. */
    const EVP_MD *md = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    bool good = context && EVP_DigestVerifyInit(context, NULL, md, NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, signature_len, message, len) == 1;
    ERR_clear_error();
    return good;
}

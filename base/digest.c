#include "base/digest.h"

#include "base/buf.h"
#include "base/memory.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *prefix;
    size_t size;
    const EVP_MD *(*md)(void);
} algorithms[] = {
    [DIGEST_NONE] = {"", 0, NULL},
    [DIGEST_SHA256] = {"sha256:", 32, EVP_sha256},
    [DIGEST_SHA512] = {"sha512:", 64, EVP_sha512},
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

static int bad_digest(const char *text, const char *why, struct error *err)
{
    _cleanup_free_ char *q = quoted(text);
    return error_set(err, ERROR_PARSE, "digest %s: %s", q, why);
}

static int parse_hex(const char *hex, size_t size, struct digest *d)
{
    if (strlen(hex) != 2 * size)
        return -1;
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        d->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

int digest_parse(const char *text, struct digest *out, struct error *err)
{
    if (!strchr(text, ':'))
        return bad_digest(text, "expected ALGORITHM:HEX", err);
    for (int a = DIGEST_SHA256; a <= DIGEST_SHA512; a++) {
        if (!starts_with(text, algorithms[a].prefix))
            continue;
        struct digest d = {.algorithm = (enum digest_algorithm)a};
        if (parse_hex(text + strlen(algorithms[a].prefix), algorithms[a].size, &d) < 0) {
            _cleanup_free_ char *why =
                xasprintf("expected %zu lower-case hex digits", 2 * algorithms[a].size);
            return bad_digest(text, why, err);
        }
        *out = d;
        return 0;
    }
    bad_digest(text, "expected algorithm sha256 or sha512", err);
    err->kind = ERROR_UNSUPPORTED;
    return -1;
}

size_t digest_size(const struct digest *d)
{
    return algorithms[d->algorithm].size;
}

bool digest_is_set(const struct digest *d)
{
    return d->algorithm != DIGEST_NONE;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return a->algorithm == b->algorithm && memcmp(a->bytes, b->bytes, digest_size(a)) == 0;
}

static struct digest_text render(const struct digest *d, const char *prefix)
{
    static const char digits[] = "0123456789abcdef";
    struct digest_text t;
    char *p = stpcpy(t.s, prefix);
    for (size_t i = 0; i < digest_size(d); i++) {
        *p++ = digits[d->bytes[i] >> 4];
        *p++ = digits[d->bytes[i] & 15];
    }
    *p = '\0';
    return t;
}

struct digest_text digest_text(const struct digest *d)
{
    return render(d, algorithms[d->algorithm].prefix);
}

struct digest_text digest_hex(const struct digest *d)
{
    return render(d, "");
}

struct hasher {
    EVP_MD_CTX *ctx;
    enum digest_algorithm algorithm;
};

static void hasher_start(struct hasher *h)
{
    if (!EVP_DigestInit_ex(h->ctx, algorithms[h->algorithm].md(), NULL))
        abort(); /* the algorithm is missing from OpenSSL: nothing can be verified */
}

struct hasher *hasher_new(enum digest_algorithm algorithm)
{
    struct hasher *h = xcalloc(1, sizeof *h);
    h->algorithm = algorithm;
    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx)
        abort();
    hasher_start(h);
    return h;
}

void hasher_update(struct hasher *h, const void *bytes, size_t len)
{
    if (!EVP_DigestUpdate(h->ctx, bytes, len))
        abort();
}

struct digest hasher_finish(struct hasher *h)
{
    struct digest d = {.algorithm = h->algorithm};
    if (!EVP_DigestFinal_ex(h->ctx, d.bytes, NULL))
        abort();
    hasher_start(h);
    return d;
}

void hasher_free(struct hasher *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

struct digest digest_of(enum digest_algorithm algorithm, const void *bytes, size_t len)
{
    _cleanup_hasher_ struct hasher *h = hasher_new(algorithm);
    hasher_update(h, bytes, len);
    return hasher_finish(h);
}

int digest_of_fd(int fd, const char *what, struct digest *out, struct error *err)
{
    _cleanup_hasher_ struct hasher *h = hasher_new(DIGEST_SHA256);
    char buffer[1 << 16];
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) != 0;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, ERROR_IO, errno, "%s: cannot read", what);
        hasher_update(h, buffer, (size_t)n);
    }
    *out = hasher_finish(h);
    return 0;
}

#include "registry/reference.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <string.h>

#define NAME_BYTES_MAX 255 /* REGISTRY/REPOSITORY, as the distribution project limits it */
#define TAG_BYTES_MAX  128

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

static int bad_part(const char *part, const char *text, size_t len, const char *expected,
                    struct error *err)
{
    _cleanup_free_ char *q = quoted_bytes(text, len);
    return error_set(err, ERROR_PARSE, "%s %s: %s", part, q, expected);
}

/* --- registry --- */

/* DNS labels: letters, digits, and '-' inside; an IPv4 address has the same form. */
static bool host_is_valid(const char *host, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool at_edge = i == 0 || i + 1 == len || host[i - 1] == '.' || host[i + 1] == '.';
        if (is_alnum(host[i]))
            continue;
        if ((host[i] != '-' && host[i] != '.') || at_edge)
            return false;
    }
    return len > 0;
}

static bool ipv6_is_valid(const char *host, size_t len)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr unused;
    if (len < 2 || host[len - 1] != ']' || len - 2 >= sizeof address)
        return false;
    memcpy(address, host + 1, len - 2);
    address[len - 2] = '\0';
    return inet_pton(AF_INET6, address, &unused) == 1;
}

static bool port_is_valid(const char *port, size_t len)
{
    unsigned n = 0;
    if (len < 1 || len > 5 || port[0] == '0')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (port[i] < '0' || port[i] > '9')
            return false;
        n = n * 10 + (unsigned)(port[i] - '0');
    }
    return n <= 65535;
}

static int check_registry(const char *text, size_t len, struct error *err)
{
    const char *bracket = text[0] == '[' ? memchr(text, ']', len) : NULL;
    const char *search = bracket ? bracket : text;
    const char *colon = memchr(search, ':', len - (size_t)(search - text));
    size_t host_len = colon ? (size_t)(colon - text) : len;
    bool host_ok = text[0] == '[' ? ipv6_is_valid(text, host_len) : host_is_valid(text, host_len);
    if (!host_ok)
        return bad_part("registry", text, len, "expected a host name or [IPv6 address]", err);
    if (colon && !port_is_valid(colon + 1, len - host_len - 1))
        return bad_part("registry", text, len, "expected a port from 1 to 65535 behind the colon",
                        err);
    return 0;
}

/* "ubuntu" or "user/image": what Docker would complete silently. */
static bool looks_like_registry(const char *text, size_t len)
{
    return memchr(text, '.', len) || memchr(text, ':', len) || text[0] == '[' ||
           (len == strlen("localhost") && memcmp(text, "localhost", len) == 0);
}

static int short_name(const char *text, struct error *err)
{
    _cleanup_free_ char *q = quoted(text);
    _cleanup_free_ char *full =
        xasprintf("docker.io/%s%s", strchr(text, '/') ? "" : "library/", text);
    _cleanup_free_ char *hint = quoted(full);
    return error_set(err, ERROR_PARSE, "%s does not begin with a registry: for Docker Hub write %s",
                     q, hint);
}

/* --- repository, tag --- */

/* The separator at text[i]: one '.', one or two '_', or any number of '-'. Its length, or 0. */
static size_t separator_length(const char *text, size_t len, size_t i)
{
    size_t n = 0;
    while (i + n < len && text[i + n] == text[i])
        n++;
    if (text[i] == '-' || (text[i] == '_' && n <= 2) || (text[i] == '.' && n == 1))
        return n;
    return 0;
}

static bool component_is_valid(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len) {
        if (is_lower_or_digit(text[i])) {
            i++;
            continue;
        }
        size_t n = i > 0 ? separator_length(text, len, i) : 0;
        i += n;
        if (n == 0 || i == len || !is_lower_or_digit(text[i]))
            return false;
    }
    return len > 0;
}

static bool has_upper(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            return true;
    return false;
}

static int check_repository(const char *text, size_t len, struct error *err)
{
    if (len == 0)
        return error_set(err, ERROR_PARSE, "the repository behind the registry is missing");
    if (has_upper(text, len))
        return bad_part("repository", text, len,
                        "upper-case letters are not allowed in a repository (only in a tag)", err);
    for (size_t start = 0; start <= len;) {
        const char *slash = memchr(text + start, '/', len - start);
        size_t end = slash ? (size_t)(slash - text) : len;
        if (!component_is_valid(text + start, end - start))
            return bad_part("repository", text, len,
                            "expected lower-case letters and digits, separated by '/', '.', '_', "
                            "'__' or '-'",
                            err);
        start = end + 1;
    }
    return 0;
}

static bool tag_chars_are_valid(const char *text, size_t len, unsigned flags)
{
    for (size_t i = 0; i < len; i++) {
        bool inner = text[i] == '.' || text[i] == '-';
        bool pattern = (text[i] == '*' && (flags & REFERENCE_TAG_PATTERN)) ||
                       ((flags & REFERENCE_TAG_GLOB) && memchr("?[!]", text[i], 4));
        if (!is_alnum(text[i]) && text[i] != '_' && !pattern && !(inner && i > 0))
            return false;
    }
    return len >= 1 && len <= TAG_BYTES_MAX;
}

bool reference_tag_is_valid(const char *tag)
{
    return tag_chars_are_valid(tag, strlen(tag), 0);
}

static int check_tag(const char *text, size_t len, unsigned flags, struct error *err)
{
    if (tag_chars_are_valid(text, len, flags))
        return 0;
    if (memchr(text, '*', len) && !(flags & REFERENCE_TAG_PATTERN))
        return bad_part("tag", text, len, "'*' stands for many tags, but one image is needed here",
                        err);
    return bad_part("tag", text, len,
                    "expected up to 128 letters, digits, '_', '.' and '-', beginning with a "
                    "letter, a digit or '_'",
                    err);
}

/* --- the whole --- */

/* Pieces of the text, not yet checked. */
struct pieces {
    bool plain_http;
    const char *registry, *repository, *tag, *digest; /* tag, digest: NULL if not there */
    size_t registry_len, repository_len, tag_len;
};

/* An '@' that does not begin a digest. The text may hold a password: the message repeats nothing.
 */
static int check_userinfo(const char *text, struct error *err)
{
    const char *at = strchr(text, '@');
    bool digest = at && !strchr(at, '/') && (strchr(text, '/') || starts_with(at, "@sha"));
    if (!at || digest)
        return 0;
    return error_set(err, ERROR_PARSE,
                     "a user or password in front of the registry: credentials do not belong in a "
                     "reference");
}

static int split_scheme(const char **text, struct pieces *p, struct error *err)
{
    const char *end = strstr(*text, "://");
    if (!end)
        return 0;
    p->plain_http = starts_with(*text, "http://");
    if (!p->plain_http && !starts_with(*text, "https://"))
        return bad_part("scheme", *text, (size_t)(end - *text), "expected http or https", err);
    *text = end + strlen("://");
    return 0;
}

static int split(const char *text, struct pieces *p, struct error *err)
{
    if (split_scheme(&text, p, err) < 0 || check_userinfo(text, err) < 0)
        return -1;
    const char *slash = strchr(text, '/');
    size_t first = slash ? (size_t)(slash - text) : strlen(text);
    if (first == 0)
        return error_set(err, ERROR_PARSE, "the registry is missing");
    if (!slash || !looks_like_registry(text, first))
        return short_name(text, err);
    p->registry = text;
    p->registry_len = first;
    p->repository = slash + 1;
    const char *at = strchr(p->repository, '@');
    size_t len = at ? (size_t)(at - p->repository) : strlen(p->repository);
    p->digest = at ? at + 1 : NULL;
    const char *colon = memrchr(p->repository, ':', len);
    p->repository_len = colon ? (size_t)(colon - p->repository) : len;
    p->tag = colon ? colon + 1 : NULL;
    p->tag_len = colon ? len - p->repository_len - 1 : 0;
    return 0;
}

static int check_pieces(const struct pieces *p, unsigned flags, struct digest *digest,
                        struct error *err)
{
    if (check_registry(p->registry, p->registry_len, err) < 0 ||
        check_repository(p->repository, p->repository_len, err) < 0)
        return -1;
    if (p->registry_len + 1 + p->repository_len > NAME_BYTES_MAX)
        return bad_part("name", p->registry, p->registry_len + 1 + p->repository_len,
                        "longer than 255 bytes", err);
    if (p->tag && check_tag(p->tag, p->tag_len, flags, err) < 0)
        return -1;
    if (p->tag && p->digest && memchr(p->tag, '*', p->tag_len))
        return bad_part("tag", p->tag, p->tag_len, "'*' and a digest exclude each other", err);
    return p->digest ? digest_parse(p->digest, digest, err) : 0;
}

static int parse(const char *text, unsigned flags, struct reference *out, struct error *err)
{
    struct pieces p = {0};
    struct digest digest = {0};
    if (strlen(text) > LIMIT_REFERENCE_BYTES)
        return error_set(err, ERROR_LIMIT, "longer than %zu bytes", LIMIT_REFERENCE_BYTES);
    if (split(text, &p, err) < 0 || check_pieces(&p, flags, &digest, err) < 0)
        return -1;
    *out = (struct reference){
        .plain_http = p.plain_http,
        .registry = xstrndup(p.registry, p.registry_len),
        .repository = xstrndup(p.repository, p.repository_len),
        .digest = digest,
    };
    if (p.tag)
        out->tag = xstrndup(p.tag, p.tag_len);
    else if (!p.digest)
        out->tag = xstrdup("latest");
    return 0;
}

int reference_parse(const char *text, unsigned flags, struct reference *out, struct error *err)
{
    if (parse(text, flags, out, err) < 0)
        return error_wrap(err, "image reference");
    return 0;
}

void reference_copy(struct reference *dst, const struct reference *src)
{
    *dst = *src;
    dst->registry = xstrdup(src->registry);
    dst->repository = xstrdup(src->repository);
    dst->tag = src->tag ? xstrdup(src->tag) : NULL;
}

void reference_with_tag(struct reference *dst, const struct reference *src, const char *tag)
{
    reference_copy(dst, src);
    free(dst->tag);
    dst->tag = xstrdup(tag);
    dst->digest = (struct digest){0};
}

void reference_release(struct reference *ref)
{
    free(ref->registry);
    free(ref->repository);
    free(ref->tag);
    *ref = (struct reference){0};
}

char *reference_name(const struct reference *ref)
{
    if (digest_is_set(&ref->digest))
        return xasprintf("%s/%s@%s", ref->registry, ref->repository, digest_text(&ref->digest).s);
    return xasprintf("%s/%s:%s", ref->registry, ref->repository, ref->tag);
}

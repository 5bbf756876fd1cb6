#include "wishlist/source_url.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"

#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define DIGITS  "0123456789"

static const struct scheme {
    const char *start;
    enum source_kind kind;
    bool plain, has_host;
} schemes[] = {
    {"https://", SOURCE_HTTP, false, true},    {"http://", SOURCE_HTTP, true, true},
    {"git+https://", SOURCE_GIT, false, true}, {"git+http://", SOURCE_GIT, true, true},
    {"git+ssh://", SOURCE_GIT, false, true},   {"git+file://", SOURCE_GIT, false, false},
};
#define SCHEME_COUNT (sizeof schemes / sizeof *schemes)

static const struct scheme *find_scheme(const char *text)
{
    for (size_t i = 0; i < SCHEME_COUNT; i++)
        if (starts_with(text, schemes[i].start))
            return &schemes[i];
    return NULL;
}

bool source_is_url(const char *text)
{
    return strstr(text, "://") &&
           text[strspn(text, LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ+-." DIGITS)] == ':';
}

/* What is left to read of a URL while it is parsed. */
struct parser {
    const struct scheme *scheme;
    const char *rest; /* behind the scheme */
    struct source_url *url;
    struct error *err;
};

static int unknown_scheme(const char *text, struct error *err)
{
    _cleanup_free_ char *q = quoted_bytes(text, strcspn(text, ":"));
    const char *hint = starts_with(text, "ssh:") || starts_with(text, "file:") ? "git+" : "";
    struct buf known = BUF_INIT;
    for (size_t i = 0; i < SCHEME_COUNT; i++)
        buf_addf(&known, "%s%s", i ? ", " : "", schemes[i].start);
    int rc = *hint ? error_set(err, ERROR_PARSE,
                               "lists are not read by %s; for a git repository write git+%.*s://",
                               q, (int)strcspn(text, ":"), text)
                   : error_set(err, ERROR_PARSE,
                               "lists are not read by %s; write a file's path, or one of %s", q,
                               known.data);
    buf_release(&known);
    return rc;
}

/* Bytes that stand in no URL: RFC 3986, section 2. Other languages' letters are left alone. */
static int check_bytes(const char *text, struct error *err)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c <= 0x20 || c == 0x7f || strchr("\"<>\\^`{|}", c))
            return error_set(err, ERROR_PARSE,
                             "a URL holds the character \\x%02x; write %%%02X for it", c, c);
    }
    return 0;
}

/* ---- parts ---- */

static int check_port(const char *port, struct error *err)
{
    size_t len = strlen(port);
    if (len < 1 || len > 5 || strspn(port, DIGITS) != len || atoi(port) < 1 || atoi(port) > 65535)
        return error_set(err, ERROR_PARSE, "a port is a number from 1 to 65535");
    return 0;
}

/* Where the host of "HOST[:PORT]" ends; an IPv6 address stands in brackets. */
static size_t host_length(const char *authority)
{
    if (*authority != '[')
        return strcspn(authority, ":");
    size_t len = strcspn(authority, "]");
    return authority[len] ? len + 1 : 0;
}

static int check_host(const char *authority, struct error *err)
{
    size_t len = host_length(authority);
    bool bracketed = *authority == '[';
    const char *allowed = bracketed ? "[]:." DIGITS "abcdef" : "-._" DIGITS LETTERS;
    if (len == 0 || strspn(authority, allowed) < len || (bracketed && len < 4) ||
        *authority == '-' || *authority == '.')
        return error_set(err, ERROR_PARSE, "expected a host name behind \"://\"");
    if (authority[len] == ':')
        return check_port(authority + len + 1, err);
    return authority[len]
               ? error_set(err, ERROR_PARSE, "expected \":PORT\" or \"/\" behind the host name")
               : 0;
}

/* A user is for ssh, which must know whom to be. A password in a URL would end up in process lists,
 * histories and messages. */
static int take_user(struct parser *p, const char *user, size_t len)
{
    if (memchr(user, ':', len))
        return error_set(p->err, ERROR_PARSE,
                         "a password does not belong into a URL; keep it in a file that the "
                         "configuration names (docs/sources.md)");
    if (strcmp(p->scheme->start, "git+ssh://") != 0)
        return error_set(p->err, ERROR_PARSE,
                         "a user name is for git+ssh only; for others it stands in the "
                         "configuration, beside the password (docs/sources.md)");
    if (len == 0 || strspn(user, "-._" DIGITS LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ") < len ||
        *user == '-')
        return error_set(p->err, ERROR_PARSE, "expected a user name in front of \"@\"");
    p->url->user = xstrndup(user, len);
    return 0;
}

static int take_authority(struct parser *p)
{
    size_t len = strcspn(p->rest, "/?#");
    const char *at = memrchr(p->rest, '@', len);
    const char *host = at ? at + 1 : p->rest;
    if (at && take_user(p, p->rest, (size_t)(at - p->rest)) < 0)
        return -1;
    p->url->host = xstrndup(host, len - (size_t)(host - p->rest));
    for (char *c = p->url->host; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    p->rest += len;
    return check_host(p->url->host, p->err);
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* %XX decoded. Owned; NULL with an error. */
static char *decode(const char *text, size_t len, struct error *err)
{
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < len; i++) {
        int high = text[i] == '%' && i + 2 < len ? hex_value(text[i + 1]) : -1;
        int low = high >= 0 ? hex_value(text[i + 2]) : -1;
        if (text[i] != '%') {
            buf_addc(&out, text[i]);
            continue;
        }
        char c = low >= 0 ? (char)(high * 16 + low) : 0;
        if (c == 0 || (unsigned char)c < 0x20 || c == 0x7f) {
            buf_release(&out);
            error_set(err, ERROR_PARSE,
                      "a '%%' must be followed by two hex digits that make a printable character");
            return NULL;
        }
        buf_addc(&out, c);
        i += 2;
    }
    return buf_take(&out);
}

/* ---- git ---- */

static bool is_branch_component(const char *part, size_t len)
{
    return len > 0 && *part != '.' && part[len - 1] != '.' &&
           !(len >= 5 && memcmp(part + len - 5, ".lock", 5) == 0);
}

/* git-check-ref-format(1). */
static int check_branch(const char *branch, struct error *err)
{
    bool good = *branch != '-' && strlen(branch) <= LIMIT_NAME_BYTES &&
                strcmp(branch, "HEAD") != 0 && !strstr(branch, "..") && !strstr(branch, "@{") &&
                strcmp(branch, "@") != 0 && !strpbrk(branch, " ~^:?*[\\");
    for (const char *part = branch; good; part++) {
        size_t len = strcspn(part, "/");
        good = is_branch_component(part, len);
        part += len;
        if (!*part)
            break;
    }
    _cleanup_free_ char *q = quoted(branch);
    return good ? 0 : error_set(err, ERROR_PARSE, "%s cannot be the name of a branch", q);
}

static int check_path(const char *path, struct error *err)
{
    _cleanup_free_ char *q = quoted(path);
    if (path_is_clean(path) && strlen(path) <= LIMIT_PATH_BYTES)
        return 0;
    return error_set(err, ERROR_PARSE,
                     "%s cannot be a list's path in its repository; write it without \".\", \"..\" "
                     "and empty parts",
                     q);
}

/* "PATH[@BRANCH]". */
static int take_path_and_branch(struct parser *p, const char *text)
{
    struct source_url *url = p->url;
    const char *at = strrchr(text, '@');
    size_t len = at ? (size_t)(at - text) : strlen(text);
    url->path = decode(text, len, p->err);
    if (!url->path || check_path(url->path, p->err) < 0)
        return -1;
    if (!at)
        return 0;
    url->branch = decode(at + 1, strlen(at + 1), p->err);
    return url->branch ? check_branch(url->branch, p->err) : -1;
}

static int parse_git(struct parser *p, const char *text)
{
    struct source_url *url = p->url;
    const char *separator = strstr(p->rest, "//");
    if (strpbrk(p->rest, "?#"))
        return error_set(p->err, ERROR_PARSE,
                         "a git URL has no '?' and no '#'; write REPOSITORY//PATH@BRANCH, and %%3F "
                         "or %%23 if they are part of a name");
    if (!separator || !separator[2])
        return error_set(p->err, ERROR_PARSE,
                         "which file of the repository? Write REPOSITORY//PATH@BRANCH, with two "
                         "slashes in front of the path");
    if (*p->rest != '/' || separator == p->rest)
        return error_set(p->err, ERROR_PARSE, "expected the repository's path in front of \"//\"");
    text += strlen("git+");
    url->remote = xstrndup(text, (size_t)(separator - text));
    return take_path_and_branch(p, separator + 2);
}

/* ---- http ---- */

static int parse_http(struct parser *p, const char *text)
{
    struct source_url *url = p->url;
    size_t len = strcspn(p->rest, "?#");
    if (strchr(p->rest, '#'))
        return error_set(p->err, ERROR_PARSE, "a list's URL has no '#'");
    const char *name = memrchr(p->rest, '/', len);
    if (!name || name + 1 == p->rest + len)
        return error_set(p->err, ERROR_PARSE,
                         "the URL names no file; it ends with a slash, or has no path");
    name++;
    url->remote = xstrdup(text);
    url->path = decode(name, (size_t)(p->rest + len - name), p->err);
    return url->path ? check_path(url->path, p->err) : -1;
}

/* ---- files ---- */

static int parse_file(const char *text, struct source_url *url, struct error *err)
{
    /* "git@host:repo", as git and ssh take it, is no file that anybody means. */
    const char *colon = strchr(text, ':');
    const char *at = strchr(text, '@');
    if (at && colon && at < colon && !memchr(text, '/', (size_t)(colon - text)))
        return error_set(err, ERROR_PARSE,
                         "for a git repository by ssh write git+ssh://%.*s/PATH-OF-REPOSITORY//"
                         "PATH-OF-LIST@BRANCH",
                         (int)(colon - text), text);
    const char *name = path_name(text);
    if (!*name)
        return error_set(err, ERROR_PARSE, "%s is no file's name", *text ? text : "\"\"");
    url->kind = SOURCE_FILE;
    url->shown = xstrdup(text);
    url->remote = xstrndup(text, (size_t)(name - text));
    url->host = xstrdup("");
    url->path = xstrdup(name);
    return 0;
}

static int parse_url(const char *text, struct source_url *url, struct error *err)
{
    struct parser p = {find_scheme(text), NULL, url, err};
    if (strlen(text) > LIMIT_REFERENCE_BYTES)
        return error_set(err, ERROR_LIMIT, "a URL of more than %zu bytes", LIMIT_REFERENCE_BYTES);
    if (!p.scheme)
        return unknown_scheme(text, err);
    p.rest = text + strlen(p.scheme->start);
    url->kind = p.scheme->kind;
    url->plain = p.scheme->plain;
    url->shown = xstrndup(text, strcspn(text, "?"));
    if (check_bytes(text, err) < 0)
        return -1;
    if (!p.scheme->has_host)
        url->host = xstrdup("");
    else if (take_authority(&p) < 0)
        return -1;
    return url->kind == SOURCE_GIT ? parse_git(&p, text) : parse_http(&p, text);
}

/* How a message calls a URL that is wrong: a password that may stand in it is not repeated. */
static char *shown_wrong(const char *text)
{
    const char *start = strstr(text, "://");
    size_t scheme = start ? (size_t)(start - text) + 3 : 0;
    size_t authority = strcspn(text + scheme, "/?#");
    const char *at = source_is_url(text) ? memrchr(text + scheme, '@', authority) : NULL;
    struct buf b = BUF_INIT;
    buf_add(&b, text, at ? scheme : 0);
    const char *rest = at ? at : text;
    buf_add(&b, rest, source_is_url(text) ? strcspn(rest, "?") : strlen(rest));
    char *shown = quoted(b.data);
    buf_release(&b);
    return shown;
}

int source_url_parse(const char *text, struct source_url *out, struct error *err)
{
    struct source_url url = {0};
    int rc = source_is_url(text) ? parse_url(text, &url, err) : parse_file(text, &url, err);
    if (rc < 0) {
        _cleanup_free_ char *shown = shown_wrong(text);
        source_url_release(&url);
        return error_wrap(err, "list %s", shown);
    }
    *out = url;
    return 0;
}

void source_url_release(struct source_url *url)
{
    free(url->shown);
    free(url->remote);
    free(url->host);
    free(url->user);
    free(url->path);
    free(url->branch);
    *url = (struct source_url){0};
}

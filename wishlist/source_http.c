/* Lists by http(s): RFC 9110. A list that did not change costs an answer without a body. */
#include "base/digest.h"
#include "base/limits.h"
#include "base/memory.h"
#include "registry/auth.h"
#include "registry/http.h"
#include "registry/token.h"
#include "registry/url.h"
#include "wishlist/source_auth.h"
#include "wishlist/source_transport.h"

#include <string.h>

#define CONNECT_SECONDS 30.0
#define SILENCE_SECONDS 60.0

/* The value of the Authorization header; *out NULL: there is none to send. */
static int authorization(struct source *s, char **out, struct error *err)
{
    struct source_secret secret = {0};
    if (source_secret_find(s->options.settings, s->options.site, &s->url, &secret, err) < 0)
        return -1;
    int rc = 0;
    if (secret.text && secret.bearer) {
        *out = xasprintf("Bearer %s", secret.text);
    } else if (secret.text) {
        struct credential pair = {.username = secret.user ? secret.user : (char *)"oauth2",
                                  .password = secret.text};
        *out = basic_authorization(&pair, err);
        rc = *out ? 0 : -1;
    }
    source_secret_release(&secret);
    return rc;
}

static int send(struct source *s, struct http_request *request, struct http_response *out,
                struct error *err)
{
    const struct source_settings *settings = s->options.settings;
    double silence =
        settings && settings->silence_seconds > 0 ? settings->silence_seconds : SILENCE_SECONDS;
    struct tls_store *tls = tls_store_new(s->options.site);
    struct http_options options = {.connect_seconds =
                                       silence < CONNECT_SECONDS ? silence : CONNECT_SECONDS,
                                   .stall_seconds = silence,
                                   .tls = tls};
    char *value = NULL;
    int rc = -1;
    struct http_client *client = http_client_new(&options, err);
    if (client && authorization(s, &value, err) == 0) {
        request->authorization = value;
        rc = http_perform(client, request, out, err);
    }
    http_client_free(client);
    tls_store_free(tls);
    secret_free(value);
    request->authorization = NULL;
    return rc;
}

static int wrong_status(const struct http_request *request, const struct http_response *response,
                        struct error *err)
{
    long status = response->status;
    enum error_kind kind = status == 404 || status == 410   ? ERROR_NOT_FOUND
                           : status == 401 || status == 403 ? ERROR_AUTH
                                                            : ERROR_NET;
    _cleanup_free_ char *text = http_status_text(status);
    _cleanup_free_ char *shown = url_shown(request->url);
    error_set(err, kind, "%s: %s", shown, text);
    err->retryable = kind == ERROR_NET;
    return -1;
}

/* 0 for 200 and for 304. */
static int get(struct source *s, struct http_request *request, struct http_response *out,
               struct error *err)
{
    request->accept = "application/yaml, text/yaml, text/plain, */*";
    if (send(s, request, out, err) < 0)
        return -1;
    bool conditional = request->if_none_match || request->if_modified_since;
    if (out->status == 200 || (out->status == 304 && conditional))
        return 0;
    wrong_status(request, out, err);
    http_response_release(out);
    return -1;
}

static char *header(const struct http_response *response, const char *name)
{
    const char *value = http_header(response, name);
    return value ? xstrdup(value) : NULL;
}

static int http_version(struct source *s, const struct source_version *known,
                        struct source_version *next, bool *out_same, struct error *err)
{
    struct http_response response;
    struct http_request request = {.url = s->url.remote,
                                   .max_body_bytes = LIMIT_RECIPE_BYTES,
                                   .if_none_match = known ? known->etag : NULL};
    if (known && !known->etag)
        request.if_modified_since = known->last_modified;
    if (get(s, &request, &response, err) < 0)
        return -1;
    *out_same = response.status == 304;
    if (!*out_same) {
        struct digest digest = digest_of(DIGEST_SHA256, response.body.data, response.body.len);
        next->etag = header(&response, "etag");
        next->last_modified = header(&response, "last-modified");
        next->revision = xstrdup(next->etag ? next->etag : digest_text(&digest).s);
        version_add(next, s->url.path, &response.body);
        response.body = (struct buf)BUF_INIT;
    }
    http_response_release(&response);
    return 0;
}

/* A path as it stands in a URL. Owned. */
static char *encode(const char *path)
{
    struct buf b = BUF_INIT;
    for (const char *p = path; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr("-._~/", *p);
        if (plain)
            buf_addc(&b, *p);
        else
            buf_addf(&b, "%%%02X", (unsigned)(unsigned char)*p);
    }
    return buf_take(&b);
}

static int http_other(struct source *s, const struct source_version *version, const char *path,
                      size_t max_bytes, struct buf *out, struct error *err)
{
    (void)version;
    _cleanup_free_ char *encoded = encode(path);
    _cleanup_free_ char *url = xasprintf("%s%s", s->base, encoded);
    struct http_response response;
    struct http_request request = {.url = url, .max_body_bytes = max_bytes};
    if (get(s, &request, &response, err) < 0)
        return -1;
    buf_add(out, response.body.data, response.body.len);
    http_response_release(&response);
    return 0;
}

const struct source_transport source_http_transport = {http_version, http_other};

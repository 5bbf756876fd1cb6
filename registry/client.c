#include "registry/client.h"

#include "base/limits.h"
#include "base/memory.h"
#include "registry/answer.h"
#include "registry/endpoint.h"
#include "registry/request.h"
#include "registry/url.h"

#define DEFAULT_ATTEMPTS      4
#define DEFAULT_PAUSE_SECONDS 0.5
#define DEFAULT_STALL_SECONDS 30.0
#define CONNECT_SECONDS       15.0

/* --- the client --- */

struct registry_client *registry_client_new(const struct registry_options *options,
                                            struct error *err)
{
    struct http_options http = {
        .connect_seconds = CONNECT_SECONDS,
        .stall_seconds =
            options->stall_seconds > 0 ? options->stall_seconds : DEFAULT_STALL_SECONDS,
    };
    struct registry_client *client = xcalloc(1, sizeof *client);
    client->tls = http.tls = tls_store_new(options->site);
    client->http = http_client_new(&http, err);
    if (!client->http) {
        tls_store_free(client->tls);
        free(client);
        return NULL;
    }
    client->site = options->site;
    client->sizes = site_sizes_of(options->site);
    client->load = load_new(options->site);
    client->retry = (struct retry_policy){
        .attempts = options->attempts > 0 ? options->attempts : DEFAULT_ATTEMPTS,
        .first_pause_seconds =
            options->first_pause_seconds > 0 ? options->first_pause_seconds : DEFAULT_PAUSE_SECONDS,
    };
    client->authorizer = authorizer_new(&(struct token_options){
        .http = client->http,
        .retry = client->retry,
        .credentials = options->credentials,
        .request_counter = &client->counts[REQUEST_TOKEN],
    });
    return client;
}

void registry_client_free(struct registry_client *client)
{
    if (!client)
        return;
    authorizer_free(client->authorizer);
    http_client_free(client->http);
    load_free(client->load);
    tls_store_free(client->tls);
    free(client);
}

void registry_get_counters(struct registry_client *client, struct registry_counters *out)
{
    *out = (struct registry_counters){
        .head_manifest = atomic_load(&client->counts[REQUEST_HEAD_MANIFEST]),
        .get_manifest = atomic_load(&client->counts[REQUEST_GET_MANIFEST]),
        .get_blob = atomic_load(&client->counts[REQUEST_GET_BLOB]),
        .list_tags = atomic_load(&client->counts[REQUEST_LIST_TAGS]),
        .token = atomic_load(&client->counts[REQUEST_TOKEN]),
        .blob_bytes = atomic_load(&client->blob_bytes),
    };
}

/* --- manifests --- */

/* Owned. `digest` before the reference's own digest before its tag. */
static char *manifest_path(const struct reference *ref, const struct digest *digest)
{
    if (!digest && digest_is_set(&ref->digest))
        digest = &ref->digest;
    return xasprintf("manifests/%s", digest ? digest_text(digest).s : ref->tag);
}

/* Docker-Content-Digest (OCI distribution specification, "Pulling manifests"); not set if it is
 * not there. */
static int header_digest(const struct http_response *response, struct digest *out,
                         struct error *err)
{
    const char *value = http_header(response, "docker-content-digest");
    *out = (struct digest){0};
    if (!value || !*value)
        return 0;
    if (digest_parse(value, out, err) < 0)
        return error_wrap(err, "Docker-Content-Digest");
    return 0;
}

/* A registry says 404 of what it does not have, and of what it does not show to us. */
static int explain_missing(const struct reference *ref, const struct digest *digest,
                           struct error *err)
{
    bool by_digest = digest || digest_is_set(&ref->digest);
    if (err->kind == ERROR_NOT_FOUND)
        error_wrap(err, "no such image or %s, or it is private", by_digest ? "digest" : "tag");
    return -1;
}

int registry_head_manifest(struct registry_client *client, const struct reference *ref,
                           struct digest *out, struct error *err)
{
    struct http_response response;
    struct digest digest;
    static const long no_head[] = {400, 405, 501, 0};
    _cleanup_free_ char *path = manifest_path(ref, NULL);
    struct registry_request request = {
        .kind = REQUEST_HEAD_MANIFEST,
        .ref = ref,
        .path = path,
        .also = no_head,
        .http = {.head = true, .accept = media_accept()},
    };
    if (request_send(client, &request, &response, err) < 0)
        return explain_missing(ref, NULL, err);
    int rc = 0;
    digest = (struct digest){0};
    if (response.status == 200 && (rc = header_digest(&response, &digest, err)) < 0) {
        _cleanup_free_ char *shown = url_shown(response.url);
        error_wrap(err, "%s", shown);
    }
    http_response_release(&response);
    if (rc < 0)
        return -1;
    if (digest_is_set(&ref->digest) && digest.algorithm == ref->digest.algorithm &&
        !digest_equal(&digest, &ref->digest))
        return answer_wrong_digest(ref, "manifest", &ref->digest, &digest, err);
    *out = digest;
    return 0;
}

/* What the bytes must hash to: what the caller knows, else what the registry says, else nothing
 * (then *out is what they do hash to). */
static int verify_manifest(const struct reference *ref, const struct digest *expected,
                           const struct http_response *response, struct digest *out,
                           struct error *err)
{
    struct digest said;
    if (!expected && digest_is_set(&ref->digest))
        expected = &ref->digest;
    if (!expected) {
        if (header_digest(response, &said, err) < 0)
            return -1;
        expected = digest_is_set(&said) ? &said : NULL;
    }
    struct digest got = digest_of(expected ? expected->algorithm : DIGEST_SHA256,
                                  response->body.data, response->body.len);
    if (expected && !digest_equal(expected, &got))
        return answer_wrong_digest(ref, "manifest", expected, &got, err);
    *out = got;
    return 0;
}

struct manifest_get {
    struct registry_client *client;
    const struct reference *ref;
    const struct digest *digest; /* as registry_get_manifest() */
    const struct digest *known;  /* as registry_get_manifest_unless() */
    struct fetched_manifest manifest;
    bool unchanged;
};

static int take_manifest(struct manifest_get *get, struct http_response *response,
                         struct error *err)
{
    struct fetched_manifest manifest = {.bytes = BUF_INIT};
    if (verify_manifest(get->ref, get->digest, response, &manifest.digest, err) < 0)
        return -1;
    const char *type = http_header(response, "content-type");
    if (manifest_kind(response->body.data, response->body.len, type, &manifest.kind, err) < 0) {
        _cleanup_free_ char *shown = url_shown(response->url);
        return error_wrap(err, "%s", shown);
    }
    manifest.media_type = manifest_media_type(response->body.data, response->body.len, type);
    manifest.bytes = response->body;
    response->body = (struct buf)BUF_INIT;
    get->manifest = manifest;
    return 0;
}

/* From one place, verified: what a mirror damaged is asked for elsewhere. */
static int get_from(void *arg, const struct endpoint *at, struct error *err)
{
    struct manifest_get *get = arg;
    struct http_response response;
    static const long not_modified[] = {304, 0};
    _cleanup_free_ char *path = manifest_path(get->ref, get->digest);
    _cleanup_free_ char *url = endpoint_url(at, path);
    _cleanup_free_ char *etag = get->known ? xasprintf("\"%s\"", digest_text(get->known).s) : NULL;
    struct registry_request request = {
        .kind = REQUEST_GET_MANIFEST,
        .ref = get->ref,
        .also = etag ? not_modified : NULL,
        .http = {.url = url,
                 .accept = media_accept(),
                 .if_none_match = etag,
                 .max_body_bytes = get->client->sizes.manifest_bytes},
    };
    if (request_send_to(get->client, at, &request, &response, err) < 0)
        return -1;
    get->unchanged = response.status == 304;
    int rc = get->unchanged ? 0 : take_manifest(get, &response, err);
    http_response_release(&response);
    return rc;
}

int registry_get_manifest(struct registry_client *client, const struct reference *ref,
                          const struct digest *digest, struct fetched_manifest *out,
                          struct error *err)
{
    struct manifest_get get = {.client = client, .ref = ref, .digest = digest};
    if (request_anywhere(client, ref, get_from, &get, err) < 0)
        return explain_missing(ref, digest, err);
    *out = get.manifest;
    return 0;
}

int registry_get_manifest_unless(struct registry_client *client, const struct reference *ref,
                                 const struct digest *known, struct fetched_manifest *out,
                                 struct error *err)
{
    struct manifest_get get = {.client = client, .ref = ref, .known = known};
    if (request_anywhere(client, ref, get_from, &get, err) < 0)
        return explain_missing(ref, NULL, err);
    if (get.unchanged)
        return 0;
    *out = get.manifest;
    return 1;
}

void fetched_manifest_release(struct fetched_manifest *manifest)
{
    buf_release(&manifest->bytes);
    free(manifest->media_type);
    manifest->media_type = NULL;
}

/* --- small blobs --- */

static int verify_blob(const struct reference *ref, const struct descriptor *blob,
                       const struct buf *bytes, struct error *err)
{
    struct digest got = digest_of(blob->digest.algorithm, bytes->data, bytes->len);
    if (!digest_equal(&blob->digest, &got))
        return answer_wrong_digest(ref, "blob", &blob->digest, &got, err);
    if (bytes->len != blob->size)
        return error_set(err, ERROR_CORRUPT,
                         "%s/%s: blob %s: %zu bytes, but its descriptor says %llu", ref->registry,
                         ref->repository, digest_text(&blob->digest).s, bytes->len,
                         (unsigned long long)blob->size);
    return 0;
}

struct blob_get {
    struct registry_client *client;
    const struct reference *ref;
    const struct descriptor *blob;
    size_t max_bytes;
    struct buf *out;
};

static int get_blob_from(void *arg, const struct endpoint *at, struct error *err)
{
    struct blob_get *get = arg;
    struct http_response response;
    _cleanup_free_ char *path = xasprintf("blobs/%s", digest_text(&get->blob->digest).s);
    _cleanup_free_ char *url = endpoint_url(at, path);
    struct registry_request request = {
        .kind = REQUEST_GET_BLOB,
        .ref = get->ref,
        .http = {.url = url, .max_body_bytes = get->max_bytes},
    };
    if (request_send_to(get->client, at, &request, &response, err) < 0)
        return -1;
    int rc = verify_blob(get->ref, get->blob, &response.body, err);
    atomic_fetch_add(&get->client->blob_bytes, response.body.len);
    if (rc == 0) {
        buf_release(get->out);
        *get->out = response.body;
        response.body = (struct buf)BUF_INIT;
    }
    http_response_release(&response);
    return rc;
}

int registry_get_blob(struct registry_client *client, const struct reference *ref,
                      const struct descriptor *blob, size_t max_bytes, struct buf *out,
                      struct error *err)
{
    struct blob_get get = {client, ref, blob, max_bytes, out};
    if (blob->size > max_bytes)
        return error_set(err, ERROR_LIMIT,
                         "blob %s: %llu bytes, more than the %zu that are accepted",
                         digest_text(&blob->digest).s, (unsigned long long)blob->size, max_bytes);
    return request_anywhere(client, ref, get_blob_from, &get, err);
}

int registry_get_config(struct registry_client *client, const struct reference *ref,
                        const struct descriptor *config, struct buf *out, struct error *err)
{
    return registry_get_blob(client, ref, config, client->sizes.config_bytes, out, err);
}

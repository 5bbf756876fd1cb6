#include "registry/client.h"

#include "base/limits.h"
#include "base/memory.h"
#include "registry/answer.h"
#include "registry/endpoint.h"
#include "registry/request.h"

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
    client->http = http_client_new(&http, err);
    if (!client->http) {
        free(client);
        return NULL;
    }
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
static char *manifest_url(const struct reference *ref, const struct digest *digest)
{
    if (!digest && digest_is_set(&ref->digest))
        digest = &ref->digest;
    _cleanup_free_ char *path =
        xasprintf("manifests/%s", digest ? digest_text(digest).s : ref->tag);
    return endpoint_url(ref, path);
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

int registry_head_manifest(struct registry_client *client, const struct reference *ref,
                           struct digest *out, struct error *err)
{
    struct http_response response;
    struct digest digest;
    _cleanup_free_ char *url = manifest_url(ref, NULL);
    struct registry_request request = {
        .kind = REQUEST_HEAD_MANIFEST,
        .ref = ref,
        .http = {.head = true, .url = url, .accept = media_accept()},
    };
    if (request_send(client, &request, &response, err) < 0)
        return -1;
    int rc = header_digest(&response, &digest, err);
    http_response_release(&response);
    if (rc < 0)
        return error_wrap(err, "%s", url);
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

int registry_get_manifest(struct registry_client *client, const struct reference *ref,
                          const struct digest *digest, struct fetched_manifest *out,
                          struct error *err)
{
    struct http_response response;
    struct fetched_manifest manifest = {.bytes = BUF_INIT};
    _cleanup_free_ char *url = manifest_url(ref, digest);
    struct registry_request request = {
        .kind = REQUEST_GET_MANIFEST,
        .ref = ref,
        .http = {.url = url, .accept = media_accept(), .max_body_bytes = LIMIT_MANIFEST_BYTES},
    };
    if (request_send(client, &request, &response, err) < 0)
        return -1;
    int rc = verify_manifest(ref, digest, &response, &manifest.digest, err);
    if (rc == 0)
        rc = manifest_kind(response.body.data, response.body.len,
                           http_header(&response, "content-type"), &manifest.kind, err);
    if (rc == 0) {
        manifest.bytes = response.body;
        response.body = (struct buf)BUF_INIT;
        *out = manifest;
    } else if (err->kind != ERROR_CORRUPT) {
        error_wrap(err, "%s", url);
    }
    http_response_release(&response);
    return rc;
}

void fetched_manifest_release(struct fetched_manifest *manifest)
{
    buf_release(&manifest->bytes);
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

int registry_get_blob(struct registry_client *client, const struct reference *ref,
                      const struct descriptor *blob, size_t max_bytes, struct buf *out,
                      struct error *err)
{
    struct http_response response;
    if (blob->size > max_bytes)
        return error_set(err, ERROR_LIMIT,
                         "blob %s: %llu bytes, more than the %zu that are accepted",
                         digest_text(&blob->digest).s, (unsigned long long)blob->size, max_bytes);
    _cleanup_free_ char *path = xasprintf("blobs/%s", digest_text(&blob->digest).s);
    _cleanup_free_ char *url = endpoint_url(ref, path);
    struct registry_request request = {
        .kind = REQUEST_GET_BLOB,
        .ref = ref,
        .http = {.url = url, .max_body_bytes = max_bytes},
    };
    if (request_send(client, &request, &response, err) < 0)
        return -1;
    int rc = verify_blob(ref, blob, &response.body, err);
    atomic_fetch_add(&client->blob_bytes, response.body.len);
    if (rc == 0) {
        buf_release(out);
        *out = response.body;
        response.body = (struct buf)BUF_INIT;
    }
    http_response_release(&response);
    return rc;
}

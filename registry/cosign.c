#include "registry/cosign.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/signature.h"
#include "registry/auth_file.h"
#include "registry/manifest_json.h"
#include "registry/request.h"

#include <string.h>

#define PAYLOAD_TYPE   "application/vnd.dev.cosign.simplesigning.v1+json"
#define ARTIFACT_TYPE  "application/vnd.dev.cosign.artifact.sig.v1+json"
#define ANNOTATION     "dev.cosignproject.cosign/signature"
#define PAYLOAD_KIND   "cosign container image signature"
#define SIGNATURES_MAX ((size_t)100)

struct check {
    struct registry_client *client;
    const struct reference *ref;
    const struct digest *digest;
    const struct site_rule *rule;
    size_t seen;      /* signatures looked at */
    struct error why; /* of the last one that did not count */
};

/* --- one signature --- */

int cosign_check_payload(const char *bytes, size_t len, const struct digest *digest,
                         struct error *err)
{
    const char *what = "the signature's payload", *named, *type;
    json_t *critical, *image;
    _cleanup_json_ json_t *doc = json_parse(what, bytes, len, LIMIT_SIGNATURE_BYTES, err);
    if (!doc)
        return -1;
    if (!json_is_object(doc) ||
        json_get_optional_object(doc, what, "critical", &critical, err) < 0 || !critical)
        return error_set(err, ERROR_PARSE, "%s: field \"critical\": expected an object", what);
    if (json_get_optional_object(critical, what, "image", &image, err) < 0 || !image)
        return error_set(err, ERROR_PARSE, "%s: field \"image\": expected an object", what);
    if (json_get_string(critical, what, "type", &type, err) < 0 ||
        json_get_string(image, what, "docker-manifest-digest", &named, err) < 0)
        return -1;
    if (strcmp(type, PAYLOAD_KIND) != 0)
        return error_set(err, ERROR_POLICY, "%s is of another kind than an image's", what);
    if (strcmp(named, digest_text(digest).s) == 0)
        return 0;
    _cleanup_free_ char *q = quoted(named);
    return error_set(err, ERROR_POLICY, "%s is about another image: %s", what, q);
}

/* 1: right by one of the keys. */
static int verify(const struct check *c, const struct buf *payload, const char *encoded,
                  struct error *err)
{
    size_t len;
    _cleanup_free_ char *signature = base64_decode(encoded, &len);
    if (!signature)
        return error_set(err, ERROR_PARSE, "a signature is not base64");
    for (size_t i = 0; i < c->rule->key_count; i++) {
        const char *key = c->rule->keys[i];
        int right =
            signature_verify(key, strlen(key), payload->data, payload->len, signature, len, err);
        if (right != 0)
            return right;
    }
    return error_set(err, ERROR_POLICY, "it is signed, but not by a key of the rule");
}

static int check_layer(const struct check *c, const json_t *layer, struct error *err)
{
    struct descriptor blob = {0};
    _cleanup_buf_ struct buf payload = BUF_INIT;
    const char *encoded =
        json_string_value(json_object_get(json_object_get(layer, "annotations"), ANNOTATION));
    if (descriptor_parse(layer, "signature", LIMIT_SIGNATURE_BYTES, &blob, err) < 0)
        return -1;
    int rc = -1;
    if (!encoded || !media_type_is_same(blob.media_type, PAYLOAD_TYPE))
        error_set(err, ERROR_POLICY, "a layer that is no signature of cosign's");
    else if (registry_get_blob(c->client, c->ref, &blob, LIMIT_SIGNATURE_BYTES, &payload, err) == 0)
        rc = verify(c, &payload, encoded, err);
    descriptor_release(&blob);
    if (rc <= 0)
        return -1;
    return cosign_check_payload(payload.data, payload.len, c->digest, err);
}

/* 0: one of the signatures in a manifest counts; 1: none does; -1: it cannot be found out. */
static int check_manifest(struct check *c, const struct buf *bytes, struct error *err)
{
    size_t i;
    json_t *layer;
    _cleanup_json_ json_t *doc =
        json_parse("signature", bytes->data, bytes->len, LIMIT_MANIFEST_BYTES_MAX, err);
    if (!doc)
        return -1;
    json_array_foreach(json_object_get(doc, "layers"), i, layer)
    {
        struct error why = ERROR_INIT;
        if (++c->seen > SIGNATURES_MAX)
            return error_set(err, ERROR_LIMIT, "more than %zu signatures", SIGNATURES_MAX);
        if (check_layer(c, layer, &why) == 0)
            return 0;
        if (why.kind == ERROR_NET || why.kind == ERROR_CANCELLED) {
            error_move(err, &why);
            return -1;
        }
        error_move(&c->why, &why);
    }
    return 1;
}

/* --- where they are --- */

/* As check_manifest(); what is not there is 1. */
static int check_at(struct check *c, const struct reference *at, const struct digest *digest,
                    struct error *err)
{
    struct fetched_manifest m = {.bytes = BUF_INIT};
    if (registry_get_manifest(c->client, at, digest, &m, err) < 0) {
        bool absent = err->kind == ERROR_NOT_FOUND || err->kind == ERROR_UNSUPPORTED;
        if (absent)
            error_release(err);
        return absent ? 1 : -1;
    }
    int rc = check_manifest(c, &m.bytes, err);
    fetched_manifest_release(&m);
    return rc;
}

static struct reference tag_of(const struct check *c, const char *ending)
{
    struct reference at;
    _cleanup_free_ char *tag = xasprintf("%s%s", digest_text(c->digest).s, ending);
    *strchr(tag, ':') = '-';
    reference_with_tag(&at, c->ref, tag);
    return at;
}

static int check_tag(struct check *c, struct error *err)
{
    _cleanup_reference_ struct reference at = tag_of(c, ".sig");
    return check_at(c, &at, NULL, err);
}

/* The entries of a list of referrers that say they are signatures. */
static int check_list(struct check *c, const struct buf *bytes, struct error *err)
{
    size_t i;
    json_t *item;
    _cleanup_json_ json_t *doc =
        json_parse("referrers", bytes->data, bytes->len, LIMIT_MANIFEST_BYTES_MAX, err);
    if (!doc)
        return -1;
    json_array_foreach(json_object_get(doc, "manifests"), i, item)
    {
        struct descriptor d;
        const char *type = json_string_value(json_object_get(item, "artifactType"));
        if (!type || !media_type_is_same(type, ARTIFACT_TYPE))
            continue;
        if (descriptor_parse(item, "referrer", LIMIT_MANIFEST_BYTES_MAX, &d, err) < 0)
            return -1;
        int rc = check_at(c, c->ref, &d.digest, err);
        descriptor_release(&d);
        if (rc <= 0)
            return rc;
    }
    return 1;
}

static int check_referrers(struct check *c, struct error *err)
{
    struct http_response response;
    static const long not_known[] = {400, 404, 405, 501, 0};
    _cleanup_free_ char *path = xasprintf("referrers/%s", digest_text(c->digest).s);
    struct registry_request request = {
        .kind = REQUEST_GET_MANIFEST,
        .ref = c->ref,
        .path = path,
        .also = not_known,
        .http = {.accept = media_accept(), .max_body_bytes = c->client->sizes.manifest_bytes},
    };
    if (request_send(c->client, &request, &response, err) < 0)
        return -1;
    int rc = response.status == 200 ? check_list(c, &response.body, err) : 1;
    bool known = response.status == 200;
    http_response_release(&response);
    if (known || rc < 0)
        return rc;
    /* "Referrers Tag Schema": a registry without that list has an index under a tag. */
    struct fetched_manifest m = {.bytes = BUF_INIT};
    _cleanup_reference_ struct reference at = tag_of(c, "");
    if (registry_get_manifest(c->client, &at, NULL, &m, err) < 0) {
        bool absent = err->kind == ERROR_NOT_FOUND;
        if (absent)
            error_release(err);
        return absent ? 1 : -1;
    }
    rc = check_list(c, &m.bytes, err);
    fetched_manifest_release(&m);
    return rc;
}

int cosign_check(struct registry_client *client, const struct reference *ref,
                 const struct digest *digest, const struct site_rule *rule, struct error *err)
{
    struct check c = {
        .client = client, .ref = ref, .digest = digest, .rule = rule, .why = ERROR_INIT};
    int rc = check_tag(&c, err);
    if (rc == 1)
        rc = check_referrers(&c, err);
    if (rc == 1) {
        error_set(err, ERROR_POLICY, "the rule \"%s\" (%s) wants a signature: %s", rule->name,
                  rule->place, c.seen ? c.why.message : "it is not signed");
        rc = -1;
    }
    error_release(&c.why);
    return rc;
}

bool cosign_is_signature_tag(const char *tag)
{
    static const char start[] = "sha256-";
    if (!starts_with(tag, start))
        return false;
    size_t digits = strspn(tag + strlen(start), "0123456789abcdef");
    const char *rest = tag + strlen(start) + digits;
    return digits == 2 * SHA256_SIZE && (*rest == '\0' || *rest == '.');
}

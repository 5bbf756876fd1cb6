#include "registry/manifest.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "registry/manifest_json.h"
#include "registry/media_type.h"

#include <string.h>

/* --- which kind --- */

static bool has(const json_t *object, const char *field)
{
    json_t *value = json_object_get(object, field);
    return value && !json_is_null(value);
}

/* What the fields look like. A document that can be read both ways is refused: two readers could
 * publish two images for one digest (CVE-2021-41190). */
static int kind_of_shape(const json_t *doc, enum media_kind *out, struct error *err)
{
    bool is_manifest = has(doc, "layers") || has(doc, "config");
    bool is_index = has(doc, "manifests");
    bool is_schema1 =
        has(doc, "fsLayers") || json_integer_value(json_object_get(doc, "schemaVersion")) == 1;
    if (is_manifest + is_index + is_schema1 > 1)
        return error_set(err, ERROR_PARSE,
                         "manifest: it has the fields of a manifest and of an index or another "
                         "schema at once");
    *out = is_index      ? MEDIA_INDEX
           : is_manifest ? MEDIA_MANIFEST
           : is_schema1  ? MEDIA_SCHEMA1
                         : MEDIA_UNKNOWN;
    return 0;
}

static int schema1(struct error *err)
{
    return error_set(err, ERROR_UNSUPPORTED,
                     "manifest: Docker schema 1 is not supported: ask the owner to push it again "
                     "with a current tool");
}

static int unknown_type(const char *type, struct error *err)
{
    _cleanup_free_ char *q = quoted(type);
    return error_set(err, ERROR_UNSUPPORTED,
                     "manifest: media type %s is neither an image manifest nor an image index", q);
}

static int contradiction(const char *what, const char *type, const char *other, struct error *err)
{
    _cleanup_free_ char *q = quoted(type);
    return error_set(err, ERROR_PARSE, "manifest: %s says %s, which contradicts %s", what, q,
                     other);
}

static bool is_readable_kind(enum media_kind kind)
{
    return kind == MEDIA_MANIFEST || kind == MEDIA_INDEX || kind == MEDIA_SCHEMA1;
}

/* Whatever is said must be the same: field, Content-Type, shape. MEDIA_UNKNOWN: not said. */
static int decide(const char *field, const char *content_type, enum media_kind shape,
                  enum media_kind *out, struct error *err)
{
    enum media_kind by_field = field ? media_kind_of(field) : MEDIA_UNKNOWN;
    enum media_kind by_header =
        media_type_is_generic(content_type) ? MEDIA_UNKNOWN : media_kind_of(content_type);
    if (field && !is_readable_kind(by_field))
        return unknown_type(field, err);
    if (!field && !media_type_is_generic(content_type) && !is_readable_kind(by_header))
        return unknown_type(content_type, err);
    if (by_field && by_header && by_field != by_header)
        return contradiction("its mediaType field", field, "the registry's Content-Type", err);
    enum media_kind said = by_field ? by_field : by_header;
    if (said && shape && said != shape)
        return contradiction(field ? "its mediaType field" : "the Content-Type",
                             field ? field : content_type, "its other fields", err);
    *out = said ? said : shape;
    return 0;
}

static json_t *parse_object(const char *bytes, size_t len, const char *what, struct error *err)
{
    json_t *doc = json_parse(what, bytes, len, LIMIT_MANIFEST_BYTES_MAX, err);
    if (doc && !json_is_object(doc)) {
        json_decref(doc);
        error_set(err, ERROR_PARSE, "%s: expected a JSON object", what);
        return NULL;
    }
    return doc;
}

static int kind_of_doc(const json_t *doc, const char *content_type, enum media_kind *out,
                       struct error *err)
{
    const char *field;
    enum media_kind shape = MEDIA_UNKNOWN, kind = MEDIA_UNKNOWN;
    if (json_get_optional_string(doc, "manifest", "mediaType", &field, err) < 0 ||
        kind_of_shape(doc, &shape, err) < 0 || decide(field, content_type, shape, &kind, err) < 0)
        return -1;
    if (kind == MEDIA_SCHEMA1)
        return schema1(err);
    if (kind == MEDIA_UNKNOWN)
        return error_set(err, ERROR_UNSUPPORTED,
                         "manifest: neither an image manifest nor an image index");
    *out = kind;
    return 0;
}

int manifest_kind(const char *bytes, size_t len, const char *content_type, enum media_kind *out,
                  struct error *err)
{
    _cleanup_json_ json_t *doc = parse_object(bytes, len, "manifest", err);
    return doc ? kind_of_doc(doc, content_type, out, err) : -1;
}

char *manifest_media_type(const char *bytes, size_t len, const char *content_type)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_json_ json_t *doc = parse_object(bytes, len, "manifest", &ignored);
    const char *field = json_string_value(json_object_get(doc, "mediaType"));
    if (!field)
        field = media_type_is_generic(content_type) ? NULL : content_type;
    return field ? xstrndup(field, strcspn(field, "; \t")) : NULL;
}

/* A document that must be of one kind. */
json_t *manifest_json_parse(const char *bytes, size_t len, enum media_kind wanted, const char *what,
                            struct error *err)
{
    _cleanup_json_ json_t *doc = parse_object(bytes, len, what, err);
    enum media_kind kind = MEDIA_UNKNOWN;
    if (!doc || kind_of_doc(doc, NULL, &kind, err) < 0)
        return NULL;
    uint64_t version = 0;
    if (json_get_size(doc, what, "schemaVersion", &version, err) < 0)
        return NULL;
    if (kind != wanted || version != 2) {
        error_set(err, ERROR_PARSE, "%s: expected %s with schemaVersion 2", what,
                  wanted == MEDIA_INDEX ? "an index" : "a manifest");
        return NULL;
    }
    return json_incref(doc);
}

/* --- descriptors --- */

/* OCI "Content Descriptors". `urls` is left alone on purpose: bytes come from the registry only. */
int descriptor_parse(const json_t *object, const char *what, uint64_t max_bytes,
                     struct descriptor *out, struct error *err)
{
    const char *type, *digest;
    struct descriptor d = {0};
    if (!json_is_object(object))
        return error_set(err, ERROR_PARSE, "%s: expected a descriptor", what);
    if (json_get_string(object, what, "mediaType", &type, err) < 0 ||
        json_get_string(object, what, "digest", &digest, err) < 0 ||
        json_get_size(object, what, "size", &d.size, err) < 0)
        return -1;
    if (digest_parse(digest, &d.digest, err) < 0)
        return error_wrap(err, "%s", what);
    if (d.size > max_bytes)
        return error_set(err, ERROR_LIMIT, "%s: %llu bytes, more than the %llu that are accepted",
                         what, (unsigned long long)d.size, (unsigned long long)max_bytes);
    d.media_type = xstrdup(type);
    *out = d;
    return 0;
}

void descriptor_release(struct descriptor *descriptor)
{
    free(descriptor->media_type);
    *descriptor = (struct descriptor){0};
}

/* --- manifest --- */

/* The type decides first: an artifact should be told from an image whatever else it holds. */
static int parse_config_descriptor(const json_t *doc, struct descriptor *out, struct error *err)
{
    const char *what = "manifest: config", *type;
    const json_t *config = json_object_get(doc, "config");
    if (!json_is_object(config))
        return error_set(err, ERROR_PARSE, "%s: expected a descriptor", what);
    if (json_get_string(config, what, "mediaType", &type, err) < 0)
        return -1;
    if (media_kind_of(type) != MEDIA_CONFIG) {
        _cleanup_free_ char *q = quoted(type);
        return error_set(err, ERROR_UNSUPPORTED,
                         "manifest: an artifact whose configuration is of type %s, not a "
                         "container image",
                         q);
    }
    return descriptor_parse(config, what, LIMIT_CONFIG_BYTES_MAX, out, err);
}

static int layer_type(const char *what, const char *name, struct layer_descriptor *out,
                      struct error *err)
{
    const struct media_type *type = media_type_find(name);
    if (type && (type->kind == MEDIA_LAYER || type->kind == MEDIA_FOREIGN_LAYER)) {
        out->foreign = type->kind == MEDIA_FOREIGN_LAYER;
        out->compression = type->compression;
        return 0;
    }
    _cleanup_free_ char *q = quoted(name);
    return error_set(err, ERROR_UNSUPPORTED, "%s: %s %s", what,
                     ends_with(name, "+encrypted") ? "it is encrypted:"
                                                   : "not a layer of a container image:",
                     q);
}

static int parse_layer(const json_t *item, size_t number, struct layer_descriptor *out,
                       struct error *err)
{
    struct layer_descriptor layer = {0};
    _cleanup_free_ char *what = xasprintf("manifest: layer %zu", number);
    if (descriptor_parse(item, what, LIMIT_LAYER_BYTES, &layer.blob, err) < 0)
        return -1;
    if (layer_type(what, layer.blob.media_type, &layer, err) < 0) {
        descriptor_release(&layer.blob);
        return -1;
    }
    *out = layer;
    return 0;
}

static int parse_layers(const json_t *doc, struct manifest *out, struct error *err)
{
    json_t *layers;
    if (json_get_optional_array(doc, "manifest", "layers", &layers, err) < 0)
        return -1;
    if (!layers)
        return error_set(err, ERROR_PARSE,
                         "manifest: field \"layers\": expected an array, but it is missing");
    if (json_array_size(layers) > LIMIT_LAYERS)
        return error_set(err, ERROR_LIMIT,
                         "manifest: %zu layers, more than the %zu that are accepted",
                         json_array_size(layers), LIMIT_LAYERS);
    out->layers = xcalloc(json_array_size(layers) + 1, sizeof *out->layers);
    for (size_t i = 0; i < json_array_size(layers); i++) {
        if (parse_layer(json_array_get(layers, i), i + 1, &out->layers[i], err) < 0)
            return -1;
        out->layer_count++;
    }
    return 0;
}

int manifest_parse(const char *bytes, size_t len, struct manifest *out, struct error *err)
{
    struct manifest manifest = {0};
    _cleanup_json_ json_t *doc = manifest_json_parse(bytes, len, MEDIA_MANIFEST, "manifest", err);
    if (!doc)
        return -1;
    if (parse_config_descriptor(doc, &manifest.config, err) < 0 ||
        parse_layers(doc, &manifest, err) < 0) {
        manifest_release(&manifest);
        return -1;
    }
    *out = manifest;
    return 0;
}

void manifest_release(struct manifest *manifest)
{
    descriptor_release(&manifest->config);
    for (size_t i = 0; i < manifest->layer_count; i++)
        descriptor_release(&manifest->layers[i].blob);
    free(manifest->layers);
    *manifest = (struct manifest){0};
}

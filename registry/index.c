#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "registry/manifest.h"
#include "registry/manifest_json.h"

#include <string.h>

/* --- reading --- */

static int parse_platform(const json_t *item, const char *what, struct platform *out,
                          struct error *err)
{
    json_t *platform;
    const char *os = NULL, *architecture = NULL, *variant = NULL;
    if (json_get_optional_object(item, what, "platform", &platform, err) < 0)
        return -1;
    if (!platform)
        return 0;
    if (json_get_optional_string(platform, what, "os", &os, err) < 0 ||
        json_get_optional_string(platform, what, "architecture", &architecture, err) < 0 ||
        json_get_optional_string(platform, what, "variant", &variant, err) < 0)
        return -1;
    out->os = os && *os ? xstrdup(os) : NULL;
    out->architecture = architecture && *architecture ? xstrdup(architecture) : NULL;
    out->variant = variant && *variant ? xstrdup(variant) : NULL;
    return 0;
}

/* 1: *out is filled; 0: the entry is something else than an image, to be skipped (OCI "Image
 * Index": "implementations MUST ignore" unknown types). */
static int parse_entry(const json_t *item, size_t number, struct index_entry *out,
                       struct error *err)
{
    const char *type;
    struct index_entry entry = {0};
    _cleanup_free_ char *what = xasprintf("index: manifest %zu", number);
    if (!json_is_object(item))
        return error_set(err, ERROR_PARSE, "%s: expected a descriptor", what);
    if (json_get_string(item, what, "mediaType", &type, err) < 0)
        return -1;
    if (media_kind_of(type) != MEDIA_MANIFEST && media_kind_of(type) != MEDIA_INDEX)
        return 0;
    if (descriptor_parse(item, what, LIMIT_MANIFEST_BYTES_MAX, &entry.manifest, err) < 0)
        return -1;
    if (parse_platform(item, what, &entry.platform, err) < 0) {
        descriptor_release(&entry.manifest);
        return -1;
    }
    *out = entry;
    return 1;
}

static int parse_entries(const json_t *doc, struct index *out, struct error *err)
{
    json_t *manifests;
    if (json_get_optional_array(doc, "index", "manifests", &manifests, err) < 0)
        return -1;
    if (!manifests)
        return error_set(err, ERROR_PARSE,
                         "index: field \"manifests\": expected an array, but it is missing");
    if (json_array_size(manifests) > LIMIT_INDEX_MANIFESTS)
        return error_set(err, ERROR_LIMIT,
                         "index: %zu manifests, more than the %zu that are accepted",
                         json_array_size(manifests), LIMIT_INDEX_MANIFESTS);
    out->entries = xcalloc(json_array_size(manifests) + 1, sizeof *out->entries);
    for (size_t i = 0; i < json_array_size(manifests); i++) {
        int got = parse_entry(json_array_get(manifests, i), i + 1, &out->entries[out->count], err);
        if (got < 0)
            return -1;
        out->count += (size_t)got;
    }
    return 0;
}

int index_parse(const char *bytes, size_t len, struct index *out, struct error *err)
{
    struct index index = {0};
    _cleanup_json_ json_t *doc = manifest_json_parse(bytes, len, MEDIA_INDEX, "index", err);
    if (!doc)
        return -1;
    if (parse_entries(doc, &index, err) < 0) {
        index_release(&index);
        return -1;
    }
    *out = index;
    return 0;
}

void index_release(struct index *index)
{
    for (size_t i = 0; i < index->count; i++) {
        descriptor_release(&index->entries[i].manifest);
        platform_release(&index->entries[i].platform);
    }
    free(index->entries);
    *index = (struct index){0};
}

/* --- choosing --- */

static bool same(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static bool same_machine(const struct platform *a, const struct platform *b)
{
    return same(a->os, b->os) && same(a->architecture, b->architecture);
}

static bool matches_exactly(const struct index_entry *entry, const struct platform *wanted)
{
    return same_machine(&entry->platform, wanted) && same(entry->platform.variant, wanted->variant);
}

/* The variant that an architecture means when none is said (OCI "Image Index", and what Go's and
 * containerd's platform packages assume). */
static const char *default_variant(const char *architecture)
{
    static const struct {
        const char *architecture, *variant;
    } defaults[] = {{"arm64", "v8"}, {"arm", "v7"}, {"amd64", "v1"}};
    for (size_t i = 0; architecture && i < sizeof defaults / sizeof defaults[0]; i++)
        if (strcmp(architecture, defaults[i].architecture) == 0)
            return defaults[i].variant;
    return NULL;
}

static bool matches_by_default(const struct index_entry *entry, const struct platform *wanted)
{
    const char *variant = entry->platform.variant;
    if (!same_machine(&entry->platform, wanted))
        return false;
    return !variant || (!wanted->variant && same(variant, default_variant(wanted->architecture)));
}

/* An index inside the index, for whoever it is. */
static bool is_open_index(const struct index_entry *entry, const struct platform *wanted)
{
    (void)wanted;
    return media_kind_of(entry->manifest.media_type) == MEDIA_INDEX && !entry->platform.os &&
           !entry->platform.architecture;
}

static bool is_attestation(const struct index_entry *entry)
{
    return same(entry->platform.os, "unknown") && same(entry->platform.architecture, "unknown");
}

size_t index_attestations(const struct index *index)
{
    size_t count = 0;
    for (size_t i = 0; i < index->count; i++)
        count += is_attestation(&index->entries[i]);
    return count;
}

static int not_found(const struct index *index, const struct platform *wanted, struct error *err)
{
    _cleanup_buf_ struct buf there = BUF_INIT;
    _cleanup_free_ char *name = platform_text(wanted);
    for (size_t i = 0; i < index->count && there.len < 1000; i++) {
        if (is_attestation(&index->entries[i]))
            continue;
        _cleanup_free_ char *text = platform_text(&index->entries[i].platform);
        _cleanup_free_ char *q = quoted(text);
        /* Plain names as they are, anything odd in its quoted form. */
        bool odd = strlen(q) != strlen(text) + 2;
        buf_addf(&there, "%s%s", there.len ? ", " : "", odd ? q : text);
    }
    return error_set(err, ERROR_NOT_FOUND, "no image for platform %s; there is: %s", name,
                     there.len ? there.data : "none");
}

const struct index_entry *index_find(const struct index *index, const struct platform *platform,
                                     struct error *err)
{
    static bool (*const rules[])(const struct index_entry *, const struct platform *) = {
        matches_exactly, matches_by_default, is_open_index};
    for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++)
        for (size_t i = 0; i < index->count; i++)
            if (!is_attestation(&index->entries[i]) && rules[r](&index->entries[i], platform))
                return &index->entries[i];
    /* One image and not a word about its platform: its configuration will tell. */
    if (index->count == 1 && !index->entries[0].platform.os &&
        !index->entries[0].platform.architecture)
        return &index->entries[0];
    not_found(index, platform, err);
    return NULL;
}

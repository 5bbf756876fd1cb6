#include "registry/media_type.h"

#include "base/memory.h"

#include <string.h>
#include <strings.h>

/* OCI image specification 1.1, "Media Types"; Docker image manifest version 2, schema 2. */
#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."
static const struct media_type types[] = {
    {OCI "manifest.v1+json", MEDIA_MANIFEST, 0},
    {DOCKER "distribution.manifest.v2+json", MEDIA_MANIFEST, 0},
    {OCI "index.v1+json", MEDIA_INDEX, 0},
    {DOCKER "distribution.manifest.list.v2+json", MEDIA_INDEX, 0},
    {DOCKER "distribution.manifest.v1+json", MEDIA_SCHEMA1, 0},
    {DOCKER "distribution.manifest.v1+prettyjws", MEDIA_SCHEMA1, 0},
    {OCI "config.v1+json", MEDIA_CONFIG, 0},
    {DOCKER "container.image.v1+json", MEDIA_CONFIG, 0},
    {OCI "layer.v1.tar", MEDIA_LAYER, COMPRESSION_NONE},
    {OCI "layer.v1.tar+gzip", MEDIA_LAYER, COMPRESSION_GZIP},
    {OCI "layer.v1.tar+zstd", MEDIA_LAYER, COMPRESSION_ZSTD},
    {DOCKER "image.rootfs.diff.tar", MEDIA_LAYER, COMPRESSION_NONE},
    {DOCKER "image.rootfs.diff.tar.gzip", MEDIA_LAYER, COMPRESSION_GZIP},
    {DOCKER "image.rootfs.diff.tar.zstd", MEDIA_LAYER, COMPRESSION_ZSTD},
    {OCI "layer.nondistributable.v1.tar", MEDIA_FOREIGN_LAYER, COMPRESSION_NONE},
    {OCI "layer.nondistributable.v1.tar+gzip", MEDIA_FOREIGN_LAYER, COMPRESSION_GZIP},
    {OCI "layer.nondistributable.v1.tar+zstd", MEDIA_FOREIGN_LAYER, COMPRESSION_ZSTD},
    {DOCKER "image.rootfs.foreign.diff.tar", MEDIA_FOREIGN_LAYER, COMPRESSION_NONE},
    {DOCKER "image.rootfs.foreign.diff.tar.gzip", MEDIA_FOREIGN_LAYER, COMPRESSION_GZIP},
};

static bool type_equals(const char *value, const char *name)
{
    size_t len = strcspn(value, "; \t");
    return len == strlen(name) && strncasecmp(value, name, len) == 0;
}

bool media_type_is_same(const char *a, const char *b)
{
    _cleanup_free_ char *name = xstrndup(b, strcspn(b, "; \t"));
    return type_equals(a, name);
}

const struct media_type *media_type_find(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (type_equals(name, types[i].name))
            return &types[i];
    return NULL;
}

bool media_type_is_generic(const char *name)
{
    static const char *const generic[] = {"", "application/json", "application/octet-stream",
                                          "binary/octet-stream", "text/plain"};
    if (!name)
        return true;
    for (size_t i = 0; i < sizeof generic / sizeof generic[0]; i++)
        if (type_equals(name, generic[i]))
            return true;
    return false;
}

enum media_kind media_kind_of(const char *media_type)
{
    const struct media_type *type = media_type_find(media_type);
    return type ? type->kind : MEDIA_UNKNOWN;
}

/* Schema 1 is not asked for: a registry that can convert then sends something newer. */
const char *media_accept(void)
{
    return OCI "index.v1+json, " DOCKER "distribution.manifest.list.v2+json, " OCI
               "manifest.v1+json, " DOCKER "distribution.manifest.v2+json";
}

/* Manifests, indexes and image configurations, all three from the same bytes. */
#include "registry/manifest.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_manifest(const char *bytes, size_t len, struct error *err)
{
    struct manifest manifest;
    struct image_config config;
    size_t layers = 0;
    if (manifest_parse(bytes, len, &manifest, err) == 0) {
        layers = manifest.layer_count;
        manifest_release(&manifest);
    }
    for (size_t i = 0; i < 3; i++)
        if (image_config_parse(bytes, len, layers + i, &config, err) == 0)
            image_config_release(&config);
}

static void read_index(const char *bytes, size_t len, struct error *err)
{
    struct index index;
    char os[] = "linux", architecture[] = "arm64";
    struct platform wanted = {os, architecture, NULL};
    if (index_parse(bytes, len, &index, err) < 0)
        return;
    (void)index_find(&index, &wanted, err);
    index_release(&index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    const char *bytes = (const char *)data;
    enum media_kind kind = MEDIA_UNKNOWN;
    struct manifest manifest;
    struct index index;
    int rc = manifest_kind(bytes, size, NULL, &kind, &err);
    read_manifest(bytes, size, &err);
    read_index(bytes, size, &err);
    /* Nothing may be both (CVE-2021-41190). */
    if (manifest_parse(bytes, size, &manifest, &err) == 0) {
        if (rc < 0 || kind != MEDIA_MANIFEST || index_parse(bytes, size, &index, &err) == 0)
            abort();
        manifest_release(&manifest);
    }
    return 0;
}

#include "tests/bench/bench.h"

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"

#include <errno.h>
#include <unistd.h>

static char *layout_blob(const char *layout, const struct digest *digest)
{
    return xasprintf("%s/blobs/sha256/%s", layout, digest_hex(digest).s);
}

static int read_blob(const char *layout, const struct digest *digest, struct buf *out,
                     struct error *err)
{
    _cleanup_free_ char *path = layout_blob(layout, digest);
    return file_read(path, LIMIT_CONFIG_BYTES, out, err);
}

static int first_manifest(const char *layout, struct digest *out, struct error *err)
{
    _cleanup_free_ char *path = path_join(layout, "index.json");
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (file_read(path, LIMIT_MANIFEST_BYTES, &text, err) < 0)
        return -1;
    _cleanup_json_ json_t *index = json_parse(path, text.data, text.len, LIMIT_MANIFEST_BYTES, err);
    const json_t *first = json_array_get(json_object_get(index, "manifests"), 0);
    const char *digest = json_string_value(json_object_get(first, "digest"));
    if (!digest)
        return error_set(err, ERROR_PARSE, "%s: no manifest in it", path);
    return digest_parse(digest, out, err);
}

int image_of_layout(const char *layout, struct image *out, struct error *err)
{
    struct image image = {.index = BUF_INIT, .manifest = BUF_INIT, .config = BUF_INIT};
    struct manifest manifest;
    if (first_manifest(layout, &image.manifest_digest, err) < 0 ||
        read_blob(layout, &image.manifest_digest, &image.manifest, err) < 0 ||
        manifest_parse(image.manifest.data, image.manifest.len, &manifest, err) < 0)
        return -1;
    struct digest config = manifest.config.digest;
    manifest_release(&manifest);
    if (read_blob(layout, &config, &image.config, err) < 0 || image_parse(&image, err) < 0)
        return -1;
    image.names = xcalloc(1, sizeof *image.names);
    image.name_count = image.name_capacity = 1;
    *out = image;
    return reference_parse("registry.example/bench/image:1", 0, &out->names[0], err);
}

int spool_blobs(const struct spool *spool, const struct image *image, const char *layout,
                struct error *err)
{
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct digest *digest = &image->layers[i].descriptor->blob.digest;
        _cleanup_free_ char *from = layout_blob(layout, digest);
        _cleanup_free_ char *to = spool_blob_path(spool, digest);
        if (link(from, to) < 0 && errno != EEXIST)
            return error_set_errno(err, ERROR_IO, errno,
                                   "%s: cannot link it to %s (layout and spool must lie on one "
                                   "file system)",
                                   from, to);
    }
    return 0;
}

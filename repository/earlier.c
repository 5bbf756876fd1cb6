#include "repository/earlier.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

void earlier_layers_release(struct earlier_layers *layers)
{
    free(layers->blobs);
    *layers = (struct earlier_layers){0};
}

static void add_blob(struct earlier_layers *layers, const struct digest *blob)
{
    for (size_t i = 0; i < layers->count; i++)
        if (digest_equal(&layers->blobs[i], blob))
            return;
    ARRAY_GROW(layers->blobs, layers->count, layers->capacity);
    layers->blobs[layers->count++] = *blob;
}

/* The layers of the manifest in a folder of .metadata. False if there is none that can be read. */
static bool add_manifest(struct earlier_layers *layers, const struct repository *r, const char *dir)
{
    _cleanup_free_ char *path = path_join(dir, "manifest.json");
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_error_ struct error why = ERROR_INIT;
    struct manifest manifest;
    if (repository_read(r, path, LIMIT_MANIFEST_BYTES_MAX, &text, &why) < 0)
        return false;
    if (manifest_parse(text.data, text.len, &manifest, &why) < 0) {
        log_debug("%s: %s", path, why.message);
        return false;
    }
    for (size_t i = 0; i < manifest.layer_count; i++)
        if (!manifest.layers[i].foreign)
            add_blob(layers, &manifest.layers[i].blob.digest);
    manifest_release(&manifest);
    return true;
}

/* Where the documents of one of the image's names lie. Owned. */
static char *metadata_of(const struct image *image, size_t name)
{
    _cleanup_free_ char *text = reference_name(&image->names[name]);
    if (!image->multiarch.directory)
        return layout_metadata(text);
    _cleanup_free_ char *below = multiarch_name(image->multiarch.directory, text);
    return layout_metadata(below);
}

/* "REPOSITORY" of "REPOSITORY:TAG" or "REPOSITORY@DIGEST", as a length. */
static size_t repository_len(const char *name)
{
    return strcspn(name, ":@");
}

/* The tag beside `dir` that was published last. Owned, or NULL. */
static char *newest_sibling(const struct repository *r, const char *dir)
{
    _cleanup_free_ char *parent = path_parent(dir);
    _cleanup_free_ char *folder = repository_path(r, parent);
    const char *name = path_name(dir);
    size_t len = repository_len(name), seen = 0;
    char *newest = NULL;
    int64_t newest_time = INT64_MIN;
    repository_reading_begin(r);
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)) && seen < LIMIT_TAGS;) {
        if (repository_len(e->d_name) != len || memcmp(e->d_name, name, len) != 0 ||
            !e->d_name[len])
            continue;
        struct stat st;
        _cleanup_free_ char *manifest = path_join(e->d_name, "manifest.json");
        seen++;
        if (fstatat(dirfd(d), manifest, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            st.st_mtim.tv_sec < newest_time)
            continue;
        free(newest);
        newest = path_join(parent, e->d_name);
        newest_time = st.st_mtim.tv_sec;
    }
    if (d)
        closedir(d);
    repository_reading_end(r);
    return newest;
}

void earlier_layers_add(struct earlier_layers *layers, const struct repository *r,
                        const struct image *image)
{
    bool found = false;
    for (size_t i = 0; i < image->name_count; i++) {
        _cleanup_free_ char *dir = metadata_of(image, i);
        found |= add_manifest(layers, r, dir);
    }
    if (found || image->name_count == 0)
        return;
    _cleanup_free_ char *dir = metadata_of(image, 0);
    _cleanup_free_ char *sibling = newest_sibling(r, dir);
    if (sibling)
        add_manifest(layers, r, sibling);
}

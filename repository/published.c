#include "repository/published.h"

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "podmanstore/podman_store.h"
#include "registry/manifest.h"
#include "repository/image.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- files and folders ---- */

static char *view_path(const struct repository *r, const char *path)
{
    return path_join(r->view, path);
}

/* errno of the first failure, or 0. */
static int read_names(const char *full, struct string_list *out)
{
    DIR *dir = opendir(full);
    if (!dir)
        return errno;
    errno = 0;
    for (struct dirent *e; (e = readdir(dir)); errno = 0)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            string_list_add(out, e->d_name);
    int saved = errno; /* half a list would look as if the rest were not there */
    closedir(dir);
    return saved;
}

int published_list(const struct repository *r, const char *path, struct string_list *out,
                   struct error *err)
{
    _cleanup_free_ char *full = view_path(r, path);
    repository_reading_begin(r);
    int why = read_names(full, out);
    repository_reading_end(r);
    if (why != 0 && why != ENOENT && why != ENOTDIR)
        return error_set_errno(err, ERROR_IO, why, "%s: cannot read", full);
    string_list_sort(out);
    return 0;
}

int published_type(const struct repository *r, const char *path, mode_t *out, struct error *err)
{
    return repository_layer_type(r, path, out, err);
}

int published_read(const struct repository *r, const char *path, size_t max, struct buf *out,
                   struct error *err)
{
    _cleanup_free_ char *full = view_path(r, path);
    repository_reading_begin(r);
    int result = file_read(full, max, out, err);
    repository_reading_end(r);
    return result;
}

int published_readlink(const struct repository *r, const char *path, struct buf *out,
                       struct error *err)
{
    _cleanup_free_ char *full = view_path(r, path);
    char text[PATH_MAX];
    repository_reading_begin(r);
    ssize_t len = readlink(full, text, sizeof text);
    repository_reading_end(r);
    if (len < 0)
        return error_set_errno(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, errno,
                               "%s: cannot read the link", full);
    buf_add(out, text, (size_t)len);
    return 0;
}

static void begin_slice(void *arg)
{
    repository_reading_begin(arg);
}

static void end_slice(void *arg)
{
    repository_reading_end(arg);
}

struct layer_walk_guard published_guard(const struct repository *r)
{
    return (struct layer_walk_guard){begin_slice, end_slice, (void *)(uintptr_t)r};
}

bool digest_of_name(const char *name, struct digest *out)
{
    size_t len = strlen(name);
    if (len != 64 && len != 128)
        return false;
    _cleanup_free_ char *text = xasprintf("%s:%s", len == 128 ? "sha512" : "sha256", name);
    _cleanup_error_ struct error ignored = ERROR_INIT;
    return digest_parse(text, out, &ignored) == 0;
}

/* ---- manifests ---- */

json_t *published_field(const json_t *object, const char *name)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (strcasecmp(key, name) == 0)
            return value;
    }
    return NULL;
}

static int get_digest(const json_t *descriptor, const char *what, struct digest *out,
                      struct error *err)
{
    const char *text = json_string_value(published_field(descriptor, "digest"));
    if (!text)
        return error_set(err, ERROR_PARSE, "%s without a digest", what);
    return digest_parse(text, out, err) < 0 ? error_wrap(err, "%s", what) : 0;
}

static int fill(const json_t *doc, struct published_manifest *out, struct error *err)
{
    const json_t *layers = published_field(doc, "layers");
    size_t i;
    json_t *layer;
    if (get_digest(published_field(doc, "config"), "a configuration", &out->config, err) < 0)
        return -1;
    if (!json_is_array(layers) || json_array_size(layers) > LIMIT_LAYERS)
        return error_set(err, ERROR_PARSE, "no list of layers");
    out->layers = xcalloc(json_array_size(layers) + 1, sizeof *out->layers);
    json_array_foreach(layers, i, layer)
    {
        struct published_layer *l = &out->layers[out->layer_count++];
        const char *type = json_string_value(published_field(layer, "mediaType"));
        l->foreign = type && media_kind_of(type) == MEDIA_FOREIGN_LAYER;
        if (get_digest(layer, "a layer", &l->blob, err) < 0)
            return -1;
    }
    return 0;
}

int published_manifest_parse(const struct buf *bytes, const char *what,
                             struct published_manifest *out, struct error *err)
{
    struct published_manifest m = {0};
    _cleanup_json_ json_t *doc =
        json_parse(what, bytes->data, bytes->len, LIMIT_MANIFEST_BYTES_MAX, err);
    if (!doc)
        return -1;
    if (fill(doc, &m, err) < 0) {
        published_manifest_release(&m);
        return error_wrap(err, "%s", what);
    }
    *out = m;
    return 0;
}

void published_manifest_release(struct published_manifest *m)
{
    free(m->layers);
    *m = (struct published_manifest){0};
}

/* ---- configurations and chains ---- */

static bool read_config(const struct repository *r, char *path, const struct digest *config,
                        struct buf *out)
{
    _cleanup_free_ char *owned = path;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    buf_truncate(out, 0);
    if (published_read(r, owned, LIMIT_CONFIG_BYTES_MAX, out, &ignored) < 0)
        return false;
    struct digest got = digest_of(config->algorithm, out->data, out->len);
    return digest_equal(&got, config);
}

bool published_config(const struct repository *r, const char *name, const struct digest *config,
                      struct buf *out)
{
    _cleanup_free_ char *metadata = layout_metadata(name);
    if (read_config(r, path_join(metadata, "config.json"), config, out))
        return true;
    _cleanup_free_ char *file = podman_big_data_file(digest_text(config).s);
    return read_config(r,
                       xasprintf(PODMAN_STORE "/overlay-images/%s/%s", digest_hex(config).s, file),
                       config, out);
}

static bool chains_of_config(const struct buf *config, size_t layer_count, struct digest *out)
{
    struct image_config parsed;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    if (image_config_parse(config->data, config->len, layer_count, &parsed, &ignored) < 0)
        return false;
    for (size_t i = 0; i < layer_count; i++)
        out[i] = image_next_chain_id(i ? &out[i - 1] : NULL, &parsed.diff_ids[i]);
    image_config_release(&parsed);
    return true;
}

/* What stands beside a layer, a list of one; NULL: nothing that can be read. */
static json_t *layers_json(const struct repository *r, const char *folder)
{
    _cleanup_free_ char *path = path_join(folder, ".metadata/layers.json");
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    if (published_read(r, path, LIMIT_MANIFEST_BYTES, &bytes, &ignored) < 0)
        return NULL;
    return json_parse(path, bytes.data, bytes.len, LIMIT_MANIFEST_BYTES, &ignored);
}

static bool diff_id_beside(const struct repository *r, const struct digest *blob,
                           struct digest *out)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_free_ char *folder = layout_layer(blob);
    _cleanup_json_ json_t *list = layers_json(r, folder);
    const char *text = json_string_value(json_object_get(json_array_get(list, 0), "diff-digest"));
    return text && digest_parse(text, out, &ignored) == 0;
}

uint64_t published_diff_size(const struct repository *r, const char *folder)
{
    _cleanup_json_ json_t *list = layers_json(r, folder);
    json_int_t size = json_integer_value(json_object_get(json_array_get(list, 0), "diff-size"));
    return size > 0 ? (uint64_t)size : 0;
}

bool published_chains(const struct repository *r, const char *name,
                      const struct published_manifest *m, struct digest *out)
{
    _cleanup_buf_ struct buf config = BUF_INIT;
    if (published_config(r, name, &m->config, &config) &&
        chains_of_config(&config, m->layer_count, out))
        return true;
    for (size_t i = 0; i < m->layer_count; i++) {
        struct digest diff_id;
        if (!diff_id_beside(r, &m->layers[i].blob, &diff_id))
            return false;
        out[i] = image_next_chain_id(i ? &out[i - 1] : NULL, &diff_id);
    }
    return true;
}

/* ---- Podman's store ---- */

int published_podman(const struct repository *r, struct podman_store *out, struct error *err)
{
    static const char *const paths[] = {PODMAN_IMAGES_JSON, PODMAN_LAYERS_JSON};
    struct buf texts[2] = {BUF_INIT, BUF_INIT};
    int result = 0;
    for (size_t i = 0; result == 0 && i < 2; i++) {
        result = published_read(r, paths[i], PODMAN_LIMIT_BYTES, &texts[i], err);
        if (result < 0 && err->kind == ERROR_NOT_FOUND) {
            error_release(err);
            result = 0;
        }
    }
    if (result == 0)
        result = podman_store_parse(&texts[0], &texts[1], out, err);
    buf_release(&texts[0]);
    buf_release(&texts[1]);
    return result;
}

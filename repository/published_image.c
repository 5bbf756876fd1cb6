#include "repository/published_image.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"
#include "repository/published.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>

void published_image_release(struct published_image *p)
{
    image_release(&p->image);
    free(p->walked);
    p->walked = NULL;
}

static int failed(struct published_image *p, enum published_failure failure)
{
    p->failure = failure;
    return -1;
}

/* ---- names ---- */

const char *published_reference(const char *name)
{
    for (const char *p = name; *p;) {
        size_t len = strcspn(p, "/");
        bool registry = memchr(p, '.', len) || memchr(p, ':', len) ||
                        (len == 9 && memcmp(p, "localhost", 9) == 0);
        if (registry || !p[len])
            return p;
        p += len + 1;
    }
    return name;
}

static int parse_name(struct image *image, const char *name, struct error *err)
{
    const char *plain = multiarch_plain(name);
    if (plain) {
        const char *directory = name + strlen(MULTIARCH_FOLDER "/");
        image->multiarch.directory = xstrndup(directory, (size_t)(plain - directory) - 1);
    } else {
        plain = name;
    }
    const char *reference = published_reference(plain);
    if (reference != plain)
        image->prefix = xstrndup(plain, (size_t)(reference - plain) - 1);
    ARRAY_GROW(image->names, image->name_count, image->name_capacity);
    if (reference_parse(reference, 0, &image->names[0], err) < 0)
        return -1;
    image->name_count = 1;
    return 0;
}

/* ---- documents ---- */

static int read_document(const struct repository *r, const char *name, const char *document,
                         struct buf *out, struct error *err)
{
    _cleanup_free_ char *folder = layout_metadata(name);
    _cleanup_free_ char *path = path_join(folder, document);
    return published_read(r, path, LIMIT_CONFIG_BYTES_MAX, out, err);
}

/* One that need not be there. */
static int read_if_there(const struct repository *r, const char *name, const char *document,
                         struct buf *out, struct error *err)
{
    if (read_document(r, name, document, out, err) == 0)
        return 0;
    if (err->kind != ERROR_NOT_FOUND)
        return -1;
    error_release(err);
    return 0;
}

static bool index_names(const struct buf *index, const struct digest *digest)
{
    struct index parsed = {0};
    _cleanup_error_ struct error ignored = ERROR_INIT;
    if (index_parse(index->data, index->len, &parsed, &ignored) < 0)
        return false;
    bool found = false;
    for (size_t i = 0; i < parsed.count; i++)
        found |= digest_equal(&parsed.entries[i].manifest.digest, digest);
    index_release(&parsed);
    return found;
}

/* index.json holds the manifest itself where the tag named an index only once. */
static int check_index(struct image *image, const char *name, struct error *err)
{
    struct buf *index = &image->index;
    if (index->len == image->manifest.len &&
        memcmp(index->data, image->manifest.data, index->len) == 0)
        buf_truncate(index, 0);
    if (index->len == 0)
        return 0;
    struct digest nested = digest_of(DIGEST_SHA256, image->nested.data, image->nested.len);
    if (image->nested.len > 0 && index_names(index, &nested) &&
        index_names(&image->nested, &image->manifest_digest))
        return 0;
    buf_truncate(&image->nested, 0); /* of an earlier index */
    if (index_names(index, &image->manifest_digest))
        return 0;
    return error_set(err, ERROR_CORRUPT,
                     ".metadata/%s/manifest.json has the digest %s, which the index.json beside "
                     "it does not name",
                     name, digest_text(&image->manifest_digest).s);
}

/* "SchemaVersion" becomes "schemaVersion": a copy. */
static json_t *lower_keys(const json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_array(value)) {
        json_t *list = json_array();
        json_array_foreach(value, i, item)
        {
            json_array_append_new(list, lower_keys(item));
        }
        return list;
    }
    if (!json_is_object(value))
        return json_deep_copy(value);
    json_t *object = json_object();
    json_object_foreach((json_t *)value, key, item)
    {
        _cleanup_free_ char *lower = xstrdup(key);
        lower[0] = (char)tolower((unsigned char)lower[0]);
        json_object_set_new(object, lower, lower_keys(item));
    }
    return object;
}

/* The Go tool's manifest as a registry would spell it; false if it is not one. */
static bool respell(const struct buf *bytes, struct buf *out)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_json_ json_t *doc =
        json_parse("manifest", bytes->data, bytes->len, LIMIT_MANIFEST_BYTES_MAX, &ignored);
    if (!json_object_get(doc, "SchemaVersion"))
        return false;
    _cleanup_json_ json_t *lower = lower_keys(doc);
    _cleanup_free_ char *text = json_text(lower);
    buf_adds(out, text);
    return true;
}

static int parse_documents(struct published_image *p, struct error *err)
{
    struct image *image = &p->image;
    struct buf text = BUF_INIT, bytes = image->manifest;
    p->old_spelling = respell(&bytes, &text);
    if (p->old_spelling)
        image->manifest = text;
    int result = image_parse(image, err);
    if (p->old_spelling) {
        image->manifest = bytes;
        buf_release(&text);
    }
    return result;
}

static int load_config(const struct repository *r, struct published_image *p, const char *name,
                       struct error *err)
{
    struct published_manifest m;
    _cleanup_free_ char *what = xasprintf(".metadata/%s/manifest.json", name);
    if (published_manifest_parse(&p->image.manifest, what, &m, err) < 0)
        return failed(p, FAILED_DOCUMENTS);
    struct digest config = m.config;
    published_manifest_release(&m);
    if (!published_config(r, name, &config, &p->image.config)) {
        error_set(err, ERROR_NOT_FOUND,
                  "there is no configuration %s: .metadata/%s/config.json is missing or not what "
                  "the manifest says",
                  digest_text(&config).s, name);
        return failed(p, FAILED_CONFIG);
    }
    if (parse_documents(p, err) < 0)
        return failed(p, FAILED_DOCUMENTS);
    return 0;
}

static int load_documents(const struct repository *r, struct published_image *p, const char *name,
                          struct error *err)
{
    struct image *image = &p->image;
    if (read_document(r, name, "manifest.json", &image->manifest, err) < 0 ||
        read_if_there(r, name, "index.json", &image->index, err) < 0 ||
        read_if_there(r, name, "nested.json", &image->nested, err) < 0)
        return failed(p, FAILED_DOCUMENTS);
    image->manifest_digest = digest_of(DIGEST_SHA256, image->manifest.data, image->manifest.len);
    if (check_index(image, name, err) < 0)
        return failed(p, FAILED_DOCUMENTS);
    return load_config(r, p, name, err);
}

/* ---- layers ---- */

static int walk_layer(const struct repository *r, struct image_layer *l, const char *folder,
                      bool hash, struct error *err)
{
    _cleanup_free_ char *layerfs = path_join(folder, "layerfs");
    _cleanup_free_ char *root = path_join(r->view, layerfs);
    struct layer_walk_options options = {.blob = l->descriptor->blob.digest,
                                         .diff_id = l->diff_id,
                                         .compressed_size = l->descriptor->blob.size,
                                         .diff_size = published_diff_size(r, folder),
                                         .hash = hash,
                                         .guard = published_guard(r)};
    return layer_walk(root, &options, &l->layer, err);
}

static int open_index(const struct repository *r, struct image_layer *l, const char *folder,
                      const char *scratch, struct error *err)
{
    _cleanup_free_ char *index = path_join(folder, ".metadata/index");
    _cleanup_free_ char *path = path_join(r->view, index);
    l->layer = (struct layer){.blob = l->descriptor->blob.digest, .data_fd = -1};
    repository_reading_begin(r);
    int opened = layer_index_open_copy(path, scratch, &l->layer.index, err);
    repository_reading_end(r);
    if (opened < 0)
        return -1;
    struct digest got = layer_index_diff_id(&l->layer.index);
    if (digest_equal(&got, &l->diff_id))
        return 0;
    layer_release(&l->layer);
    return error_set(err, ERROR_CORRUPT,
                     "its index is of the diff id %s, but the image's configuration says %s",
                     digest_text(&got).s, digest_text(&l->diff_id).s);
}

static int open_layer(const struct repository *r, struct published_image *p, size_t i,
                      const struct published_image_options *o, struct error *err)
{
    struct image_layer *l = &p->image.layers[i];
    _cleanup_free_ char *folder = layout_layer(&l->descriptor->blob.digest);
    _cleanup_free_ char *layerfs = path_join(folder, "layerfs");
    mode_t type;
    if (published_type(r, layerfs, &type, err) < 0)
        return -1;
    if (!S_ISDIR(type))
        return error_set(err, ERROR_NOT_FOUND, "%s is missing", layerfs);
    int result = open_index(r, l, folder, o->scratch, err);
    if (result < 0 && (err->kind == ERROR_NOT_FOUND || err->kind == ERROR_CORRUPT)) {
        log_debug("%s: %s; its tree is walked", folder, err->message);
        p->walked[i] = true;
        error_release(err);
        result = walk_layer(r, l, folder, o->hash, err);
    }
    if (result < 0)
        return -1;
    /* Nobody reads contents by way of it, but a layer without any could not be planned. */
    l->layer.data_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    l->open = true;
    return 0;
}

static int open_layers(const struct repository *r, struct published_image *p,
                       const struct published_image_options *o, struct error *err)
{
    p->walked = xcalloc(p->image.layer_count + 1, sizeof *p->walked);
    for (size_t i = 0; i < p->image.layer_count; i++) {
        const struct digest *blob = &p->image.layers[i].descriptor->blob.digest;
        if (p->image.layers[i].descriptor->foreign || open_layer(r, p, i, o, err) == 0)
            continue;
        p->layer = *blob;
        error_wrap(err, "layer %s", digest_text(blob).s);
        return failed(p, err->kind == ERROR_IO ? FAILED_READING : FAILED_LAYER);
    }
    return 0;
}

int published_image_load(const struct repository *r, const char *name,
                         const struct published_image_options *o, struct published_image *out,
                         struct error *err)
{
    *out = (struct published_image){0};
    if (parse_name(&out->image, name, err) < 0)
        return failed(out, FAILED_READING);
    if (load_documents(r, out, name, err) < 0 || open_layers(r, out, o, err) < 0)
        return -1;
    return image_stack(&out->image, err) < 0 ? failed(out, FAILED_READING) : 0;
}

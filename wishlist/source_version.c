#include "wishlist/source_version.h"

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"

#include <string.h>

#define KEPT_BYTES_MAX (16 * LIMIT_RECIPE_BYTES)

const struct source_file *version_find(const struct source_version *v, const char *path)
{
    for (size_t i = 0; i < v->count; i++)
        if (strcmp(v->files[i].path, path) == 0)
            return &v->files[i];
    return NULL;
}

const struct source_file *version_add(struct source_version *v, const char *path, struct buf *bytes)
{
    ARRAY_GROW(v->files, v->count, v->capacity);
    struct source_file *file = &v->files[v->count++];
    *file = (struct source_file){xstrdup(path), *bytes};
    *bytes = (struct buf)BUF_INIT;
    return file;
}

static char *copy(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

void version_copy(struct source_version *dst, const struct source_version *src)
{
    struct source_version v = {.revision = copy(src->revision),
                               .etag = copy(src->etag),
                               .last_modified = copy(src->last_modified),
                               .time = src->time,
                               .kept = src->kept};
    for (size_t i = 0; i < src->count; i++) {
        struct buf bytes = BUF_INIT;
        buf_add(&bytes, src->files[i].bytes.data, src->files[i].bytes.len);
        version_add(&v, src->files[i].path, &bytes);
    }
    version_release(dst);
    *dst = v;
}

void version_release(struct source_version *v)
{
    for (size_t i = 0; i < v->count; i++) {
        free(v->files[i].path);
        buf_release(&v->files[i].bytes);
    }
    free(v->files);
    free(v->revision);
    free(v->etag);
    free(v->last_modified);
    *v = (struct source_version){0};
}

int version_save(const struct source_version *v, const char *path, struct error *err)
{
    _cleanup_json_ json_t *files = json_array();
    for (size_t i = 0; i < v->count; i++) {
        const struct source_file *f = &v->files[i];
        json_t *text = json_stringn(f->bytes.data, f->bytes.len);
        if (!text)
            return error_set(err, ERROR_PARSE, "%s: not UTF-8 text, it is not kept", f->path);
        json_array_append_new(files, json_pack("{s:s, s:o}", "path", f->path, "text", text));
    }
    _cleanup_json_ json_t *root =
        json_pack("{s:s, s:s?, s:s?, s:I, s:O}", "revision", v->revision, "etag", v->etag,
                  "last_modified", v->last_modified, "time", (json_int_t)v->time, "files", files);
    if (!root)
        return error_set(err, ERROR_BUG, "a version that cannot be written");
    _cleanup_free_ char *text = json_text(root);
    return file_write(path, text, strlen(text), 0644, err);
}

static int load_file(const json_t *item, struct source_version *v, struct error *err)
{
    const char *path, *text;
    struct buf bytes = BUF_INIT;
    if (json_get_string(item, "file", "path", &path, err) < 0 ||
        json_get_string(item, "file", "text", &text, err) < 0)
        return -1;
    buf_adds(&bytes, text);
    version_add(v, path, &bytes);
    return 0;
}

static int load(const json_t *root, struct source_version *v, struct error *err)
{
    const char *revision, *etag, *last_modified;
    uint64_t time;
    json_t *files;
    if (json_get_string(root, "version", "revision", &revision, err) < 0 ||
        json_get_optional_string(root, "version", "etag", &etag, err) < 0 ||
        json_get_optional_string(root, "version", "last_modified", &last_modified, err) < 0 ||
        json_get_size(root, "version", "time", &time, err) < 0 ||
        json_get_optional_array(root, "version", "files", &files, err) < 0)
        return -1;
    v->revision = xstrdup(revision);
    v->etag = copy(etag);
    v->last_modified = copy(last_modified);
    v->time = (int64_t)time;
    v->kept = true;
    for (size_t i = 0; i < json_array_size(files); i++)
        if (load_file(json_array_get(files, i), v, err) < 0)
            return -1;
    return v->count > 0 ? 0 : error_set(err, ERROR_PARSE, "version: no files");
}

int version_load(const char *path, struct source_version *out, struct error *err)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    struct source_version v = {0};
    if (file_read(path, KEPT_BYTES_MAX, &bytes, err) < 0)
        return -1;
    _cleanup_json_ json_t *root = json_parse(path, bytes.data, bytes.len, KEPT_BYTES_MAX, err);
    if (!root || load(root, &v, err) < 0) {
        version_release(&v);
        return root ? error_wrap(err, "%s", path) : -1;
    }
    *out = v;
    return 0;
}

#include "repository/verify.h"

#include "base/memory.h"
#include "base/path.h"
#include "layers/walk.h"
#include "repository/image.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

void layer_findings_release(struct layer_findings *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->items[i].first);
    free(f->items);
    *f = (struct layer_findings){0};
}

static int count_whiteout(void *arg, const char *path, struct error *err)
{
    struct layer_finding *f = arg;
    (void)err;
    if (f->old_whiteouts++ == 0)
        f->first = xstrdup(path);
    return 0;
}

static int check_layer(const struct repository *r, const struct digest *blob,
                       struct layer_findings *out, struct error *err)
{
    _cleanup_free_ char *folder = layout_layer(blob);
    _cleanup_free_ char *layerfs = path_join(folder, "layerfs");
    _cleanup_free_ char *root = path_join(r->view, layerfs);
    struct layer_finding found = {.blob = *blob};
    mode_t type;
    if (repository_layer_type(r, layerfs, &type, err) < 0)
        return -1;
    out->checked++;
    if (type == 0) /* metadata without a tree: not this check's business */
        return 0;
    if (layer_find_old_whiteouts(root, count_whiteout, &found, err) < 0) {
        free(found.first);
        return -1;
    }
    if (found.old_whiteouts > 0) {
        ARRAY_GROW(out->items, out->count, out->capacity);
        out->items[out->count++] = found;
    }
    return 0;
}

/* The folders of one level whose names are wanted. */
static int each_name(const char *dir, int (*visit)(void *arg, const char *name, struct error *err),
                     void *arg, struct error *err)
{
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? 0 : error_set_errno(err, ERROR_IO, errno, "%s: cannot read", dir);
    int result = 0;
    for (struct dirent *e; result == 0 && (e = readdir(d));)
        if (e->d_name[0] != '.')
            result = visit(arg, e->d_name, err);
    closedir(d);
    return result;
}

struct scan {
    const struct repository *repository;
    struct layer_findings *out;
};

static int visit_layer(void *arg, const char *name, struct error *err)
{
    struct scan *s = arg;
    struct digest blob;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_free_ char *text = xasprintf("%s:%s", strlen(name) == 128 ? "sha512" : "sha256", name);
    if (digest_parse(text, &blob, &ignored) < 0)
        return 0; /* not a layer's folder */
    return check_layer(s->repository, &blob, s->out, err);
}

static int visit_prefix(void *arg, const char *name, struct error *err)
{
    struct scan *s = arg;
    _cleanup_free_ char *dir = xasprintf("%s/.layers/%s", s->repository->view, name);
    return each_name(dir, visit_layer, s, err);
}

int verify_layers(const struct repository *r, const struct digest *only, size_t only_count,
                  struct layer_findings *out, struct error *err)
{
    struct layer_findings found = {0};
    struct scan scan = {r, &found};
    int result = 0;
    for (size_t i = 0; result == 0 && i < only_count; i++)
        result = check_layer(r, &only[i], &found, err);
    if (only_count == 0) {
        _cleanup_free_ char *dir = path_join(r->view, ".layers");
        result = each_name(dir, visit_prefix, &scan, err);
    }
    if (result < 0) {
        layer_findings_release(&found);
        return -1;
    }
    *out = found;
    return 0;
}

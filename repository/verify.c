#include "repository/verify.h"

#include "base/memory.h"
#include "base/path.h"
#include "repository/image.h"
#include "repository/published.h"

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
    struct layer_walk_guard guard = published_guard(r);
    if (layer_find_old_whiteouts(root, &guard, count_whiteout, &found, err) < 0) {
        free(found.first);
        return -1;
    }
    if (found.old_whiteouts > 0) {
        ARRAY_GROW(out->items, out->count, out->capacity);
        out->items[out->count++] = found;
    }
    return 0;
}

struct scan {
    const struct repository *repository;
    struct layer_findings *out;
};

static int visit_layer(struct scan *s, const char *name, struct error *err)
{
    struct digest blob;
    /* Else it is not a layer's folder. */
    return digest_of_name(name, &blob) ? check_layer(s->repository, &blob, s->out, err) : 0;
}

static int visit_prefix(struct scan *s, const char *name, struct error *err)
{
    _cleanup_string_list_ struct string_list names = STRING_LIST_INIT;
    _cleanup_free_ char *dir = path_join(".layers", name);
    if (*name == '.')
        return 0;
    int result = published_list(s->repository, dir, &names, err);
    for (size_t i = 0; result == 0 && i < names.count; i++)
        result = visit_layer(s, names.items[i], err);
    return result;
}

static int visit_all(struct scan *s, struct error *err)
{
    _cleanup_string_list_ struct string_list names = STRING_LIST_INIT;
    int result = published_list(s->repository, ".layers", &names, err);
    for (size_t i = 0; result == 0 && i < names.count; i++)
        result = visit_prefix(s, names.items[i], err);
    return result;
}

int verify_layers(const struct repository *r, const struct digest *only, size_t only_count,
                  struct layer_findings *out, struct error *err)
{
    struct layer_findings found = {0};
    struct scan scan = {r, &found};
    int result = 0;
    for (size_t i = 0; result == 0 && i < only_count; i++)
        result = check_layer(r, &only[i], &found, err);
    if (only_count == 0)
        result = visit_all(&scan, err);
    if (result < 0) {
        layer_findings_release(&found);
        return -1;
    }
    *out = found;
    return 0;
}

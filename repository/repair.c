/* repair_layers(): repository/verify.h says what it does. */
#include "repository/verify.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "layers/stack.h"
#include "repository/image.h"
#include "repository/published.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* The layers of a published image that have content, the lowest first. */
struct layer_list {
    struct digest *items;
    size_t count, capacity;
};

struct images {
    struct layer_list *items;
    size_t count, capacity;
};

struct paths {
    char **items;
    size_t count, capacity;
};

struct repair {
    struct repository *repository;
    struct images images; /* of all published names */
    struct changeset *cs;
    struct paths old; /* files to take away */
    struct repair_report *report;
};

/* ---- the images that are published ---- */

static int add_layer(struct layer_list *list, const json_t *layer, struct error *err)
{
    const char *type = json_string_value(published_field(layer, "mediaType"));
    const char *text = json_string_value(published_field(layer, "digest"));
    struct digest digest;
    if (type && media_kind_of(type) == MEDIA_FOREIGN_LAYER)
        return 0;
    if (!text)
        return error_set(err, ERROR_PARSE, "a layer without a digest");
    if (digest_parse(text, &digest, err) < 0)
        return -1;
    ARRAY_GROW(list->items, list->count, list->capacity);
    list->items[list->count++] = digest;
    return 0;
}

static int read_layers(const struct buf *bytes, const char *path, struct layer_list *out,
                       struct error *err)
{
    _cleanup_json_ json_t *doc =
        json_parse(path, bytes->data, bytes->len, LIMIT_MANIFEST_BYTES, err);
    if (!doc)
        return -1;
    const json_t *layers = published_field(doc, "layers");
    size_t i;
    json_t *layer;
    if (!json_is_array(layers) || json_array_size(layers) > LIMIT_LAYERS)
        return error_set(err, ERROR_PARSE, "%s: no list of layers", path);
    json_array_foreach(layers, i, layer)
    {
        if (add_layer(out, layer, err) < 0)
            return error_wrap(err, "%s", path);
    }
    return 0;
}

static int read_manifest(struct repair *r, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    struct layer_list list = {0};
    if (repository_read(r->repository, path, LIMIT_MANIFEST_BYTES, &bytes, err) < 0 ||
        read_layers(&bytes, path, &list, err) < 0) {
        free(list.items);
        return -1;
    }
    ARRAY_GROW(r->images.items, r->images.count, r->images.capacity);
    r->images.items[r->images.count++] = list;
    return 0;
}

static int read_manifests(struct repair *r, const char *dir, struct error *err)
{
    _cleanup_string_list_ struct string_list names = STRING_LIST_INIT;
    int result = published_list(r->repository, dir, &names, err);
    for (size_t i = 0; result == 0 && i < names.count; i++) {
        mode_t type;
        _cleanup_free_ char *path = path_join(dir, names.items[i]);
        result = repository_type(r->repository, path, &type, err);
        if (result == 0 && S_ISDIR(type))
            result = read_manifests(r, path, err);
        else if (result == 0 && strcmp(names.items[i], "manifest.json") == 0)
            result = read_manifest(r, path, err);
    }
    return result;
}

/* ---- one layer ---- */

static char *layerfs_of(const struct digest *blob)
{
    _cleanup_free_ char *folder = layout_layer(blob);
    return path_join(folder, "layerfs");
}

static int walk_layer(const struct repair *r, const struct digest *blob, struct layer *out,
                      struct error *err)
{
    _cleanup_free_ char *layerfs = layerfs_of(blob);
    _cleanup_free_ char *root = path_join(r->repository->view, layerfs);
    struct layer_walk_options options = {.guard = published_guard(r->repository)};
    return layer_walk(root, &options, out, err);
}

/* The deletions of the stack's top layer that its published tree lacks. */
static int add_whiteouts(struct repair *r, const struct stack *stack, const struct digest *blob,
                         struct error *err)
{
    _cleanup_free_ char *layerfs = layerfs_of(blob);
    struct tree tree;
    stack_layer_tree(stack, stack->count - 1, &tree);
    int result = 0;
    for (size_t i = 0; result == 0 && i < tree.count; i++) {
        size_t len;
        mode_t type;
        if (tree.nodes[i].source_layer != NODE_IS_WHITEOUT)
            continue;
        const char *path = node_path(stack, &tree.nodes[i], &len);
        _cleanup_free_ char *full = xasprintf("%s/%.*s", layerfs, (int)len, path);
        if (changeset_has(r->cs, full))
            continue;
        result = repository_layer_type(r->repository, full, &type, err);
        if (result < 0 || type != 0)
            continue;
        r->report->whiteouts_added++;
        result = changeset_add_whiteout(r->cs, full, err);
    }
    tree_release(&tree);
    return result;
}

/* For an image in which the layer is number `k`. */
static int mend_for_image(struct repair *r, const struct layer_list *list, size_t k,
                          struct error *err)
{
    struct layer *layers = xcalloc(k + 1, sizeof *layers);
    const struct layer_index **indexes = xcalloc(k + 1, sizeof *indexes);
    struct stack stack = {0};
    size_t opened = 0, bad;
    int result = 0;
    while (result == 0 && opened <= k) {
        result = walk_layer(r, &list->items[opened], &layers[opened], err);
        if (result == 0) {
            indexes[opened] = &layers[opened].index;
            opened++;
        }
    }
    if (result == 0)
        result = stack_init(&stack, indexes, opened, &bad, err);
    if (result < 0 && bad < opened)
        error_wrap(err, "layer %s", digest_text(&list->items[bad]).s);
    if (result == 0)
        result = add_whiteouts(r, &stack, &list->items[k], err);
    stack_release(&stack);
    for (size_t i = 0; i < opened; i++)
        layer_release(&layers[i]);
    free(layers);
    free(indexes);
    return result;
}

static int note_old(void *arg, const char *path, struct error *err)
{
    struct paths *p = arg;
    (void)err;
    ARRAY_GROW(p->items, p->count, p->capacity);
    p->items[p->count++] = xstrdup(path);
    return 0;
}

static int note_old_files(struct repair *r, const struct digest *blob, struct error *err)
{
    _cleanup_free_ char *layerfs = layerfs_of(blob);
    _cleanup_free_ char *root = path_join(r->repository->view, layerfs);
    size_t from = r->old.count;
    struct layer_walk_guard guard = published_guard(r->repository);
    if (layer_find_old_whiteouts(root, &guard, note_old, &r->old, err) < 0)
        return -1;
    for (size_t i = from; i < r->old.count; i++) {
        char *below = r->old.items[i];
        r->old.items[i] = path_join(layerfs, below);
        free(below);
    }
    return 0;
}

static int mend_layer(struct repair *r, const struct digest *blob, struct error *err)
{
    bool used = false;
    for (size_t i = 0; i < r->images.count; i++) {
        const struct layer_list *list = &r->images.items[i];
        for (size_t k = 0; k < list->count; k++) {
            if (!digest_equal(&list->items[k], blob))
                continue;
            used = true;
            if (mend_for_image(r, list, k, err) < 0)
                return error_wrap(err, "layer %s", digest_text(blob).s);
        }
    }
    /* What a layer hides that no image uses cannot be known: it stays as it is. */
    if (!used)
        return 0;
    r->report->layers++;
    return note_old_files(r, blob, err);
}

/* ---- all ---- */

static int mend(struct repair *r, const struct layer_findings *findings, struct error *err)
{
    struct commit_options options = {.what = "repairing layers"};
    struct commit_report committed = {0};
    if (read_manifests(r, ".metadata", err) < 0)
        return -1;
    for (size_t i = 0; i < findings->count; i++)
        if (mend_layer(r, &findings->items[i].blob, err) < 0)
            return -1;
    if (!changeset_is_empty(r->cs)) {
        if (repository_commit(r->repository, r->cs, &options, &committed, err) < 0)
            return -1;
        r->report->revisions++;
    }
    if (r->old.count == 0)
        return 0;
    if (repository_remove(r->repository, (const char *const *)r->old.items, r->old.count, err) < 0)
        return -1;
    r->report->files_removed = r->old.count;
    r->report->revisions++;
    return 0;
}

int repair_layers(struct repository *repository, const struct layer_findings *findings,
                  struct repair_report *out, struct error *err)
{
    *out = (struct repair_report){0};
    struct repair r = {.repository = repository, .cs = changeset_new(), .report = out};
    int result = mend(&r, findings, err);
    changeset_free(r.cs);
    for (size_t i = 0; i < r.images.count; i++)
        free(r.images.items[i].items);
    for (size_t i = 0; i < r.old.count; i++)
        free(r.old.items[i]);
    free(r.images.items);
    free(r.old.items);
    return result;
}

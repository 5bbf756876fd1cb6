/* The planner's part for the Podman store: podmanstore/podman_store.h says what lies where. */
#include "repository/planner.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"

#include <string.h>

/* ---- the lists as published ---- */

static int read_list(const struct repository *r, const char *path, struct buf *out,
                     struct error *err)
{
    int result = repository_read(r, path, PODMAN_LIMIT_BYTES, out, err);
    if (result < 0 && err->kind == ERROR_NOT_FOUND) {
        error_release(err);
        result = 0;
    }
    return result;
}

static int parse_lists(struct podman_lists *lists, const struct buf *images,
                       const struct buf *layers, struct error *err)
{
    struct digest of_images = digest_of(DIGEST_SHA256, images->data, images->len);
    struct digest of_layers = digest_of(DIGEST_SHA256, layers->data, layers->len);
    if (digest_equal(&of_images, &lists->images) && digest_equal(&of_layers, &lists->layers))
        return 0;
    podman_lists_release(lists);
    if (podman_store_parse(images, layers, &lists->store, err) < 0)
        return -1;
    lists->images = of_images;
    lists->layers = of_layers;
    return 0;
}

int plan_read_podman(const struct plan_target *t, struct error *err)
{
    _cleanup_buf_ struct buf images = BUF_INIT;
    _cleanup_buf_ struct buf layers = BUF_INIT;
    if (t->policy->podman == PODMAN_NONE)
        return 0;
    /* A list that cannot be read is not written over: what it names would be lost. */
    if (read_list(t->repository, PODMAN_IMAGES_JSON, &images, err) < 0 ||
        read_list(t->repository, PODMAN_LAYERS_JSON, &layers, err) < 0 ||
        parse_lists(t->podman, &images, &layers, err) < 0)
        return error_wrap(err, "Podman store of %s (ducc repair %s writes broken lists anew)",
                          t->repository->name, t->repository->name);
    return 0;
}

void podman_lists_release(struct podman_lists *lists)
{
    podman_store_release(&lists->store);
    *lists = (struct podman_lists){0};
}

/* The first change makes the parsed lists something that was never published. */
static struct podman_store *changing(struct planner *p)
{
    p->podman_changed = true;
    p->podman->images = p->podman->layers = (struct digest){0};
    return &p->podman->store;
}

/* The kernel takes a page of mount options, in which Podman names each layer with its whole path:
 * about 56 layers below /cvmfs/unpacked.cern.ch. */
#define STACKED_MAX 50

static enum podman_policy mode_for(const struct image *image, const struct policy *policy)
{
    bool deep = image->layer_count > STACKED_MAX && policy->chains != CHAINS_NONE;
    return deep && policy->podman == PODMAN_LAYERS ? PODMAN_MERGED : policy->podman;
}

/* ---- ids ---- */

/* A merged layer stands for the whole chain, but is not the layer that the chain's id names in a
 * store of stacked layers: it has an id of its own, so that both can be in one store. */
static struct digest merged_id(const struct digest *chain)
{
    _cleanup_free_ char *text = xasprintf("%s merged", digest_text(chain).s);
    return digest_of(DIGEST_SHA256, text, strlen(text));
}

static const struct digest *top_chain(const struct image *image)
{
    return image->layer_count ? &image->layers[image->layer_count - 1].chain_id : NULL;
}

/* The highest layer that has content of ours; NULL if none has. */
static const struct image_layer *top_layer(const struct image *image)
{
    for (size_t i = image->layer_count; i-- > 0;)
        if (!image->layers[i].descriptor->foreign)
            return &image->layers[i];
    return NULL;
}

static struct digest top_id(const struct image *image, const struct policy *policy)
{
    const struct image_layer *top = top_layer(image);
    if (!top)
        return (struct digest){0};
    return mode_for(image, policy) == PODMAN_MERGED ? merged_id(top_chain(image)) : top->chain_id;
}

bool plan_podman_has_layers(const struct podman_store *store, const struct image *image,
                            const struct policy *policy)
{
    struct digest top = top_id(image, policy);
    return !digest_is_set(&top) || podman_store_has_layer(store, &top);
}

/* ---- layers ---- */

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

struct id_list {
    uint32_t *ids;
    size_t count, capacity;
};

static void add_id(struct id_list *list, uint32_t id)
{
    /* Layers have few owners, and runs of one. */
    if (list->count && list->ids[list->count - 1] == id)
        return;
    for (size_t i = 0; i < list->count; i++)
        if (list->ids[i] == id)
            return;
    ARRAY_GROW(list->ids, list->count, list->capacity);
    list->ids[list->count++] = id;
}

/* Who owns something in the layer, as Podman notes it: the owners of its tar's entries, so not of
 * directories that no entry names, nor of deletions. */
static void owners_of(const struct layer_index *index, struct id_list *uids, struct id_list *gids)
{
    for (size_t i = 0; i < index->count; i++) {
        const struct layer_entry *e = &index->entries[i];
        if (e->type == ENTRY_WHITEOUT || e->type == ENTRY_LOWER_LINK || (e->flags & ENTRY_IMPLIED))
            continue;
        add_id(uids, e->uid);
        add_id(gids, e->gid);
    }
    if (uids->count)
        qsort(uids->ids, uids->count, sizeof *uids->ids, compare_ids);
    if (gids->count)
        qsort(gids->ids, gids->count, sizeof *gids->ids, compare_ids);
}

static const char *created_of(const struct image *image)
{
    return image->parsed_config.created ? image->parsed_config.created : "1970-01-01T00:00:00Z";
}

static void add_record(struct planner *p, const struct image *image, struct podman_layer *record,
                       struct id_list *uids, struct id_list *gids)
{
    record->created = created_of(image);
    record->uids = uids->ids;
    record->uid_count = uids->count;
    record->gids = gids->ids;
    record->gid_count = gids->count;
    podman_store_add_layer(changing(p), record);
    free(uids->ids);
    free(gids->ids);
}

static void record_layer(struct planner *p, const struct image *image, const struct image_layer *l,
                         const struct digest *parent)
{
    struct id_list uids = {0}, gids = {0};
    owners_of(&l->layer.index, &uids, &gids);
    struct podman_layer record = {.id = l->chain_id,
                                  .parent = parent ? *parent : (struct digest){0},
                                  .blob = l->descriptor->blob.digest,
                                  .compressed_size = l->layer.index.header->compressed_size,
                                  .diff_id = l->diff_id,
                                  .diff_size = l->layer.index.header->diff_size,
                                  .compression = l->descriptor->compression};
    add_record(p, image, &record, &uids, &gids);
}

/* A merged layer is no blob's content. It needs a digest all the same, for Podman to tell sizes:
 * one that no other layer has, so that it is never taken for another. */
static void record_merged(struct planner *p, const struct image *image, const struct digest *id)
{
    struct id_list uids = {0}, gids = {0};
    struct podman_layer record = {.id = *id, .diff_id = *id};
    for (size_t level = 0; level < image->stack_count; level++) {
        const struct layer_index *index = &image->layers[image->stack_layers[level]].layer.index;
        owners_of(index, &uids, &gids);
        record.diff_size += index->header->diff_size;
    }
    add_record(p, image, &record, &uids, &gids);
}

static int add_text(struct planner *p, const char *dir, const char *name, const char *text,
                    struct error *err)
{
    _cleanup_free_ char *path = path_join(dir, name);
    return changeset_add_file(p->cs, path, text, strlen(text), err);
}

/* overlay/ID: `diff` leads to the published tree; `lower` lists the short names below, the nearest
 * first. Short names lead to the tree, too, and not to `diff` as containers/storage makes them: it
 * follows one symlink there, not two (the layers of a `podman build FROM`). */
static int add_layer_folder(struct planner *p, const struct digest *id, const char *tree,
                            const char *lower, struct error *err)
{
    struct podman_link link = podman_link(id);
    struct digest_text hex = digest_hex(id);
    _cleanup_free_ char *dir = xasprintf(PODMAN_STORE "/overlay/%s", hex.s);
    _cleanup_free_ char *diff = path_join(dir, "diff");
    _cleanup_free_ char *target = xasprintf("../../../%s", tree);
    _cleanup_free_ char *short_name = xasprintf(PODMAN_STORE "/overlay/l/%s", link.s);
    bool fresh;
    if (planner_is_new(p, dir, &fresh, err) < 0)
        return -1;
    if (!fresh)
        return 0;
    if (planner_ensure_parents(p, dir, err) < 0 || planner_ensure_parents(p, short_name, err) < 0)
        return -1;
    changeset_begin_unit(p->cs, dir);
    int result = changeset_add_directory(p->cs, dir, err);
    if (result == 0)
        result = changeset_add_symlink(p->cs, diff, target, err);
    if (result == 0)
        result = add_text(p, dir, "link", link.s, err);
    if (result == 0 && *lower)
        result = add_text(p, dir, "lower", lower, err);
    /* Where Podman mounts a layer to read it; in a store that it cannot write to they must be
     * there. */
    static const char *const places[] = {"merged", "work", "empty"};
    for (size_t i = 0; result == 0 && i < (*lower ? 2u : 3u); i++) {
        _cleanup_free_ char *place = path_join(dir, places[i]);
        result = changeset_add_directory(p->cs, place, err);
    }
    changeset_end_unit(p->cs);
    return result < 0 ? -1 : changeset_add_symlink(p->cs, short_name, target, err);
}

static const struct image_layer *layer_at(const struct image *image, size_t level)
{
    return &image->layers[image->stack_layers[level]];
}

static bool stands_between(const struct image *image, size_t above, size_t level)
{
    for (size_t i = level + 1; i <= above; i++)
        if (digest_equal(&layer_at(image, i)->layer.blob, &layer_at(image, level)->layer.blob))
            return true;
    return false;
}

/* The short names of what a layer stands on, the nearest first. The kernel refuses a directory that
 * occurs twice: of a layer that an image has twice (Docker's empty one, say) the upper occurrence
 * decides everything, so the lower one is left out. */
static char *lower_text(const struct image *image, size_t level)
{
    struct buf lower = BUF_INIT;
    for (size_t i = level; i-- > 0;) {
        if (!stands_between(image, level, i))
            buf_addf(&lower, "%sl/%s", lower.len ? ":" : "",
                     podman_link(&layer_at(image, i)->chain_id).s);
    }
    return buf_take(&lower);
}

static int plan_stacked(struct planner *p, const struct image *image, struct error *err)
{
    const struct digest *parent = NULL;
    for (size_t level = 0; level < image->stack_count; level++) {
        const struct image_layer *l = layer_at(image, level);
        _cleanup_free_ char *folder = layout_layer(&l->layer.blob);
        _cleanup_free_ char *tree = path_join(folder, "layerfs");
        _cleanup_free_ char *lower = lower_text(image, level);
        if (!podman_store_has_layer(&p->podman->store, &l->chain_id))
            record_layer(p, image, l, parent);
        if (add_layer_folder(p, &l->chain_id, tree, lower, err) < 0)
            return -1;
        parent = &l->chain_id;
    }
    return 0;
}

static int plan_one_merged(struct planner *p, const struct image *image, struct error *err)
{
    const struct image_layer *top = top_layer(image);
    if (!top)
        return 0;
    struct digest id = merged_id(top_chain(image));
    _cleanup_free_ char *chain = layout_chain(top_chain(image));
    if (!podman_store_has_layer(&p->podman->store, &id))
        record_merged(p, image, &id);
    return add_layer_folder(p, &id, chain, "", err);
}

/* ---- images ---- */

struct image_names {
    char ***sets; /* of podman_names() */
    const char **flat;
};

static void collect_names(const struct image *image, struct image_names *out)
{
    size_t count = 0;
    size_t public_names = image_public_names(image);
    out->sets = xcalloc(public_names + 1, sizeof *out->sets);
    out->flat = xcalloc(2 * public_names + 1, sizeof *out->flat);
    for (size_t i = 0; i < public_names; i++) {
        const struct reference *ref = &image->names[i];
        _cleanup_free_ char *public_name = reference_name(ref);
        out->sets[i] = podman_names(ref->registry, ref->repository, public_name);
        for (char **n = out->sets[i]; *n; n++)
            out->flat[count++] = *n;
    }
}

static void release_names(struct image_names *names)
{
    for (char ***set = names->sets; *set; set++)
        podman_names_free(*set);
    free(names->sets);
    free(names->flat);
}

static struct podman_image image_record(const struct image *image, const struct digest *top,
                                        const struct image_names *names)
{
    struct podman_image record = {.id = image->config_digest,
                                  .manifest = image->manifest_digest,
                                  .top_layer = *top,
                                  .config_size = image->config.len,
                                  .manifest_size = image->manifest.len,
                                  .index_size = image->index.len,
                                  .created = created_of(image),
                                  .names = names->flat};
    if (image->index.len > 0)
        record.index = digest_of(DIGEST_SHA256, image->index.data, image->index.len);
    return record;
}

bool plan_podman_has_image(const struct podman_store *store, const struct image *image)
{
    struct image_names names;
    collect_names(image, &names);
    struct digest none = {0};
    struct podman_image record = image_record(image, &none, &names);
    bool has = podman_store_has_names(store, &record);
    release_names(&names);
    return has;
}

static int add_big_data(struct planner *p, const char *dir, const char *name,
                        const struct buf *bytes, struct error *err)
{
    _cleanup_free_ char *file = podman_big_data_file(name);
    _cleanup_free_ char *path = path_join(dir, file);
    mode_t type;
    if (changeset_has(p->cs, path))
        return 0;
    if (repository_type(p->repository, path, &type, err) < 0)
        return -1;
    /* All but "manifest" are named by their content; where the Go tool published the image, that
     * is a symlink to its metadata, which holds the newest. */
    if (type != 0 && !(S_ISREG(type) && strcmp(name, "manifest") == 0))
        return 0;
    return changeset_add_file(p->cs, path, bytes->data, bytes->len, err);
}

static int add_image_files(struct planner *p, const struct image *image, struct error *err)
{
    static const struct buf empty = BUF_INIT;
    _cleanup_free_ char *dir =
        xasprintf(PODMAN_STORE "/overlay-images/%s", digest_hex(&image->config_digest).s);
    _cleanup_free_ char *below = path_join(dir, "x");
    _cleanup_free_ char *manifest =
        xasprintf("manifest-%s", digest_text(&image->manifest_digest).s);
    _cleanup_free_ char *signature =
        xasprintf("signature-%s", digest_hex(&image->manifest_digest).s);
    if (planner_ensure_parents(p, below, err) < 0 ||
        add_big_data(p, dir, digest_text(&image->config_digest).s, &image->config, err) < 0 ||
        add_big_data(p, dir, manifest, &image->manifest, err) < 0 ||
        add_big_data(p, dir, signature, &empty, err) < 0 ||
        add_big_data(p, dir, "manifest", &image->manifest, err) < 0)
        return -1;
    if (image->index.len == 0)
        return 0;
    struct digest index = digest_of(DIGEST_SHA256, image->index.data, image->index.len);
    _cleanup_free_ char *name = xasprintf("manifest-%s", digest_text(&index).s);
    return add_big_data(p, dir, name, &image->index, err);
}

int plan_podman_image(struct planner *p, const struct image *image, struct error *err)
{
    int result = 0;
    if (image->stack.count > 0)
        result = mode_for(image, p->policy) == PODMAN_MERGED ? plan_one_merged(p, image, err)
                                                             : plan_stacked(p, image, err);
    if (result < 0)
        return -1;
    struct digest top = top_id(image, p->policy);
    struct image_names names;
    collect_names(image, &names);
    struct podman_image record = image_record(image, &top, &names);
    if (!podman_store_has_names(&p->podman->store, &record)) {
        p->summary->podman_new++;
        podman_store_add_image(changing(p), &record);
        result = add_image_files(p, image, err);
    }
    release_names(&names);
    return result;
}

/* ---- the lists ---- */

static int add_list(struct planner *p, const char *path, const char *lock, const char *text,
                    struct error *err)
{
    mode_t type;
    if (planner_ensure_parents(p, path, err) < 0 ||
        repository_type(p->repository, lock, &type, err) < 0 ||
        (type == 0 && changeset_add_file(p->cs, lock, "", 0, err) < 0))
        return -1;
    return changeset_add_file(p->cs, path, text, strlen(text), err);
}

int plan_podman_lists(struct planner *p, struct error *err)
{
    if (!p->podman_changed)
        return 0;
    _cleanup_free_ char *layers = podman_store_layers_text(&p->podman->store);
    _cleanup_free_ char *images = podman_store_images_text(&p->podman->store);
    p->podman->layers = digest_of(DIGEST_SHA256, layers, strlen(layers));
    p->podman->images = digest_of(DIGEST_SHA256, images, strlen(images));
    /* Layers first: an image record must not point to one that is not there. */
    if (add_list(p, PODMAN_LAYERS_JSON, PODMAN_STORE "/overlay-layers/layers.lock", layers, err) <
        0)
        return -1;
    return add_list(p, PODMAN_IMAGES_JSON, PODMAN_STORE "/overlay-images/images.lock", images, err);
}

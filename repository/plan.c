#include "repository/planner.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"

#include <string.h>
#include <sys/stat.h>

/* ---- what is there ---- */

static int is_directory(const struct repository *r, const char *path, bool *out, struct error *err)
{
    mode_t type;
    if (repository_type(r, path, &type, err) < 0)
        return -1;
    if (type != 0 && !S_ISDIR(type))
        return error_set(err, ERROR_UNSUPPORTED,
                         "%s/%s is no directory, but must become one; move it away", r->root, path);
    *out = type != 0;
    return 0;
}

int planner_is_new(const struct planner *p, const char *path, bool *out, struct error *err)
{
    bool there = true;
    if (!changeset_has(p->cs, path) && is_directory(p->repository, path, &there, err) < 0)
        return -1;
    *out = !there;
    return 0;
}

/* layout.md: ".layers, .chains, .flat, podmanStore, .metadata and each of their xx or first-level
 * folders". */
static bool wants_catalog(const char *dir)
{
    static const char *const tops[] = {".layers", ".chains", ".flat", "podmanStore", ".metadata"};
    size_t len = strcspn(dir, "/");
    const char *rest = dir[len] ? strchr(dir + len + 1, '/') : NULL;
    for (size_t i = 0; i < sizeof tops / sizeof *tops; i++)
        if (strlen(tops[i]) == len && memcmp(tops[i], dir, len) == 0)
            return rest == NULL;
    return false;
}

int planner_ensure_directory(struct planner *p, const char *path, struct error *err)
{
    bool there = false;
    if (changeset_has(p->cs, path))
        return 0;
    if (is_directory(p->repository, path, &there, err) < 0)
        return -1;
    if (there)
        return 0;
    if (changeset_add_directory(p->cs, path, err) < 0)
        return -1;
    return wants_catalog(path) ? changeset_add_catalog(p->cs, path, err) : 0;
}

int planner_ensure_parents(struct planner *p, const char *path, struct error *err)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        _cleanup_free_ char *dir = xstrndup(path, (size_t)(slash - path));
        if (planner_ensure_directory(p, dir, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- trees ---- */

/* Where each level of the image's stack has its contents. */
static struct layer_source *sources_of(const struct planner *p, const struct image *image)
{
    struct layer_source *sources = xcalloc(image->stack.count, sizeof *sources);
    for (size_t i = 0; i < image->stack_count; i++) {
        const struct image_layer *l = &image->layers[image->stack_layers[i]];
        sources[i].layer = &l->layer;
        if (p->policy->skip_layers)
            continue;
        _cleanup_free_ char *folder = layout_layer(&l->layer.blob);
        sources[i].home = path_join(folder, "layerfs");
        sources[i].known = p->known ? known_layer_find(p->known, &l->layer.blob) : NULL;
        if (l->not_linkable) {
            size_t bytes = l->layer.index.count / 8 + 1;
            sources[i].not_linkable = xmalloc(bytes);
            memcpy(sources[i].not_linkable, l->not_linkable, bytes);
        }
    }
    sources[image->stack_count].layer = &image->apptainer;
    return sources;
}

static int add_tree(struct planner *p, const struct image *image, const char *root,
                    struct tree *tree, const char *mirror, bool fix_perms, struct error *err)
{
    struct tree_change t = {.root = root,
                            .stack = &image->stack,
                            .tree = *tree,
                            .layers = sources_of(p, image),
                            .mirror = mirror ? xstrdup(mirror) : NULL,
                            .drop_devices = p->policy->drop_devices,
                            .fix_perms = fix_perms};
    return changeset_add_tree(p->cs, &t, err);
}

/* ---- layers ---- */

static int add_json(struct planner *p, const char *dir, const char *name, const json_t *value,
                    struct error *err)
{
    _cleanup_free_ char *path = path_join(dir, name);
    _cleanup_free_ char *text = json_text(value);
    return changeset_add_file(p->cs, path, text, strlen(text), err);
}

static int add_layers_json(struct planner *p, const char *dir, const struct image *image,
                           const struct image_layer *l, struct error *err)
{
    const struct layer_index_header *h = l->layer.index.header;
    const char *created = image->parsed_config.created;
    _cleanup_json_ json_t *list =
        json_pack("[{s:s, s:s, s:s, s:I, s:s, s:I}]", "id", digest_hex(&l->diff_id).s, "created",
                  created ? created : "1970-01-01T00:00:00Z", "compressed-diff-digest",
                  digest_text(&l->layer.blob).s, "compressed-size", (json_int_t)h->compressed_size,
                  "diff-digest", digest_text(&l->diff_id).s, "diff-size", (json_int_t)h->diff_size);
    return add_json(p, dir, "layers.json", list, err);
}

static int add_origin(json_t *list, const char *config)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), config) == 0)
            return 0;
    }
    json_array_append_new(list, json_string(config));
    return 1;
}

/* The configurations of all images of the group that use a layer. */
static int add_group_origins(json_t *list, struct image *const *images, size_t count,
                             const struct digest *blob)
{
    int added = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < images[i]->layer_count; k++)
            if (digest_equal(&images[i]->layers[k].descriptor->blob.digest, blob))
                added |= add_origin(list, digest_text(&images[i]->config_digest).s);
    return added;
}

static int add_layer_metadata(struct planner *p, const char *folder, const struct image *image,
                              const struct image_layer *l, struct image *const *images,
                              size_t count, struct error *err)
{
    _cleanup_free_ char *dir = path_join(folder, ".metadata");
    _cleanup_free_ char *index = path_join(dir, "index");
    _cleanup_json_ json_t *origin = json_pack("{s:[]}", "origin");
    add_group_origins(json_object_get(origin, "origin"), images, count, &l->layer.blob);
    if (changeset_add_directory(p->cs, dir, err) < 0 ||
        add_layers_json(p, dir, image, l, err) < 0 ||
        add_json(p, dir, "origin.json", origin, err) < 0)
        return -1;
    return changeset_add_mapped_file(p->cs, index, l->layer.index.map, l->layer.index.map_size,
                                     err);
}

/* Whether a layer's published tree, or the one planned for another image of the group, has a
 * deletion. */
static int has_whiteout(const struct planner *p, const struct tree_change *planned,
                        const char *layerfs, const char *path, size_t len, bool *out,
                        struct error *err)
{
    if (planned) {
        *out = tree_find(planned->stack, &planned->tree, path, len) != NULL;
        return 0;
    }
    _cleanup_free_ char *name = xstrndup(path, len);
    _cleanup_free_ char *full = path_join(layerfs, name);
    mode_t type;
    if (repository_layer_type(p->repository, full, &type, err) < 0)
        return -1;
    *out = type != 0;
    return 0;
}

/*
 * A layer that is there was published for the base it had then; on another base it may have to
 * hide more. More deletions do no harm to the first image, so they are added to the layer.
 */
static int plan_more_whiteouts(struct planner *p, const struct image *image, size_t level,
                               const char *layerfs, struct error *err)
{
    const struct image_layer *l = &image->layers[image->stack_layers[level]];
    const struct layer_index_header *h = l->layer.index.header;
    const struct tree_change *planned = changeset_find_tree(p->cs, layerfs);
    _cleanup_free_ char *folder = layout_layer(&l->layer.blob);
    _cleanup_free_ char *ours = path_join(folder, ".metadata/index");
    mode_t type;
    if (h->whiteout_count + h->opaque_count == 0)
        return 0;
    if (repository_type(p->repository, ours, &type, err) < 0)
        return -1;
    if (!planned && type == 0)
        return 0; /* in the Go tool's form, which this would not mend */
    struct tree tree;
    stack_layer_tree(&image->stack, level, &tree);
    int result = 0;
    for (size_t i = 0; result == 0 && i < tree.count; i++) {
        size_t len;
        bool has;
        if (tree.nodes[i].source_layer != NODE_IS_WHITEOUT)
            continue;
        const char *path = node_path(&image->stack, &tree.nodes[i], &len);
        result = has_whiteout(p, planned, layerfs, path, len, &has, err);
        _cleanup_free_ char *full = xasprintf("%s/%.*s", layerfs, (int)len, path);
        if (result < 0 || has || changeset_has(p->cs, full))
            continue;
        p->summary->whiteouts_added++;
        result = changeset_add_whiteout(p->cs, full, err);
    }
    tree_release(&tree);
    return result;
}

static int plan_layer(struct planner *p, struct image *const *images, size_t count,
                      const struct image *image, size_t level, struct error *err)
{
    const struct image_layer *l = &image->layers[image->stack_layers[level]];
    _cleanup_free_ char *folder = layout_layer(&l->layer.blob);
    _cleanup_free_ char *layerfs = path_join(folder, "layerfs");
    bool fresh;
    if (planner_is_new(p, folder, &fresh, err) < 0)
        return -1;
    if (!fresh)
        return plan_more_whiteouts(p, image, level, layerfs, err);
    if (planner_ensure_parents(p, folder, err) < 0)
        return -1;
    p->summary->layers_new++;
    changeset_begin_unit(p->cs, folder);
    struct tree tree;
    stack_layer_tree(&image->stack, level, &tree);
    int result = changeset_add_directory(p->cs, folder, err);
    if (result == 0)
        result = add_layer_metadata(p, folder, image, l, images, count, err);
    if (result == 0)
        result = add_tree(p, image, layerfs, &tree, NULL, false, err);
    else
        tree_release(&tree);
    changeset_end_unit(p->cs);
    return result;
}

/* A layer that is there already: the images of this group that use it join its origins. */
static int plan_origins(struct planner *p, struct image *const *images, size_t count,
                        const struct digest *blob, struct error *err)
{
    _cleanup_free_ char *folder = layout_layer(blob);
    _cleanup_free_ char *path = path_join(folder, ".metadata/origin.json");
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_error_ struct error why = ERROR_INIT;
    mode_t type;
    if (changeset_has(p->cs, path))
        return 0;
    if (repository_type(p->repository, folder, &type, err) < 0)
        return -1;
    if (type == 0)
        return 0; /* --skip-layers */
    _cleanup_json_ json_t *origin = NULL;
    if (repository_read(p->repository, path, LIMIT_MANIFEST_BYTES, &text, &why) == 0)
        origin = json_parse(path, text.data, text.len, LIMIT_MANIFEST_BYTES, &why);
    /* A list that is missing or cannot be read is made anew. */
    if (!json_is_array(json_object_get(origin, "origin"))) {
        json_decref(origin);
        origin = json_pack("{s:[]}", "origin");
    }
    p->summary->layers_present++;
    if (!add_group_origins(json_object_get(origin, "origin"), images, count, blob))
        return 0;
    _cleanup_free_ char *dir = path_join(folder, ".metadata");
    if (planner_ensure_directory(p, dir, err) < 0)
        return -1;
    return add_json(p, dir, "origin.json", origin, err);
}

/* ---- chains and flat images ---- */

static int plan_merged(struct planner *p, const struct image *image, const char *root,
                       size_t levels, const char *mirror, size_t *counter, struct error *err)
{
    bool fresh;
    if (planner_is_new(p, root, &fresh, err) < 0)
        return -1;
    if (!fresh)
        return 0;
    if (planner_ensure_parents(p, root, err) < 0)
        return -1;
    ++*counter;
    changeset_begin_unit(p->cs, root);
    struct tree tree;
    stack_merge(&image->stack, levels, &tree);
    bool flat = levels == image->stack.count;
    int result = add_tree(p, image, root, &tree, mirror, flat && p->policy->fix_perms, err);
    changeset_end_unit(p->cs);
    return result;
}

/* The chains wanted of an image, as levels of its stack. */
static size_t first_chain(const struct image *image, const struct policy *policy)
{
    if (policy->chains == CHAINS_NONE || image->layer_count == 0)
        return image->layer_count;
    return policy->chains == CHAINS_ALL ? 0 : image->layer_count - 1;
}

/* How many levels of the stack the image's lowest `layers` layers make (foreign ones make none). */
static size_t levels_of(const struct image *image, size_t layers)
{
    size_t levels = 0;
    while (levels < image->stack_count && image->stack_layers[levels] < layers)
        levels++;
    return levels;
}

static int plan_chains(struct planner *p, const struct image *image, struct error *err)
{
    for (size_t k = first_chain(image, p->policy); k < image->layer_count; k++) {
        size_t levels = levels_of(image, k + 1);
        _cleanup_free_ char *root = layout_chain(&image->layers[k].chain_id);
        if (levels > 0 &&
            plan_merged(p, image, root, levels, NULL, &p->summary->chains_new, err) < 0)
            return -1;
    }
    return 0;
}

static int plan_flat(struct planner *p, const struct image *image, struct error *err)
{
    if (p->policy->skip_flat)
        return 0;
    _cleanup_free_ char *root = layout_flat(&image->config_digest);
    _cleanup_free_ char *chain = NULL;
    if (p->policy->skip_layers && p->policy->chains != CHAINS_NONE && image->stack_count > 0)
        chain = layout_chain(&image->layers[image->layer_count - 1].chain_id);
    return plan_merged(p, image, root, image->stack.count, chain, &p->summary->flat_new, err);
}

/* ---- metadata and names ---- */

/* Write a file unless it holds just these bytes. With `only_over` it is written over another only.
 */
static int plan_file(struct planner *p, const char *dir, const char *name, const struct buf *bytes,
                     bool only_over, struct error *err)
{
    _cleanup_free_ char *path = path_join(dir, name);
    _cleanup_buf_ struct buf old = BUF_INIT;
    _cleanup_error_ struct error why = ERROR_INIT;
    int there = repository_read(p->repository, path, LIMIT_CONFIG_BYTES, &old, &why);
    if (there == 0 && old.len == bytes->len && memcmp(old.data, bytes->data, old.len) == 0)
        return 0;
    if (there < 0 && only_over)
        return 0;
    return changeset_add_file(p->cs, path, bytes->data, bytes->len, err);
}

static int plan_metadata(struct planner *p, const struct image *image, const char *name,
                         struct error *err)
{
    _cleanup_free_ char *dir = layout_metadata(name);
    _cleanup_free_ char *below = path_join(dir, "x");
    if (changeset_has(p->cs, dir))
        return 0;
    if (planner_ensure_parents(p, below, err) < 0)
        return -1;
    /* index.json is what the tag names, if that is not the manifest; a tag that used to name an
     * index leaves a file that must not go on saying so. */
    bool has_index = image->index.len > 0;
    if (plan_file(p, dir, "manifest.json", &image->manifest, false, err) < 0 ||
        plan_file(p, dir, "config.json", &image->config, false, err) < 0)
        return -1;
    if (image->nested.len > 0 && plan_file(p, dir, "nested.json", &image->nested, false, err) < 0)
        return -1;
    return plan_file(p, dir, "index.json", has_index ? &image->index : &image->manifest, !has_index,
                     err);
}

/* From the folder of a public name to the repository's root, then to the flat image. */
static char *link_text(const char *name, const struct digest *config)
{
    struct buf text = BUF_INIT;
    for (const char *p = name; (p = strchr(p, '/')); p++)
        buf_adds(&text, "../");
    _cleanup_free_ char *flat = layout_flat(config);
    buf_adds(&text, flat);
    return buf_take(&text);
}

/* A symlink with this text; nothing if it is there. CernVM-FS shows a variant link resolved. */
static int plan_symlink(struct planner *p, const char *name, const char *text, struct error *err)
{
    mode_t type;
    if (changeset_has(p->cs, name))
        return 0;
    if (repository_type(p->repository, name, &type, err) < 0)
        return -1;
    if (type != 0 && !S_ISLNK(type))
        return error_set(err, ERROR_UNSUPPORTED,
                         "%s/%s is no symlink, but the image's public name; move it away",
                         p->repository->root, name);
    _cleanup_buf_ struct buf old = BUF_INIT;
    if (repository_readlink(p->repository, name, &old, err) < 0)
        return -1;
    if (strcmp(old.data, text) == 0 || multiarch_is_resolved(text, old.data))
        return 0;
    p->summary->names_new++;
    if (planner_ensure_parents(p, name, err) < 0)
        return -1;
    return changeset_add_symlink(p->cs, name, text, err);
}

static int plan_link_to_flat(struct planner *p, const struct image *image, const char *name,
                             struct error *err)
{
    _cleanup_free_ char *text = link_text(name, &image->config_digest);
    return plan_symlink(p, name, text, err);
}

static int plan_name(struct planner *p, const struct image *image, const char *name,
                     struct error *err)
{
    const char *directory = image->multiarch.directory;
    if (p->policy->skip_flat)
        return 0;
    if (!directory || p->repository->backend == &directory_backend)
        return plan_link_to_flat(p, image, name, err);
    _cleanup_free_ char *text = multiarch_variant_link(directory, name);
    return plan_symlink(p, name, text, err);
}

static int plan_alias(struct planner *p, const char *directory, struct error *err)
{
    const char *alias = multiarch_alias(directory);
    if (!alias || p->policy->skip_flat)
        return 0;
    _cleanup_free_ char *path = xasprintf(MULTIARCH_FOLDER "/%s", alias);
    return plan_symlink(p, path, directory, err);
}

/* Below .multiarch: of every image that is published for several architectures. */
static int plan_multiarch_name(struct planner *p, const struct image *image, const char *name,
                               bool metadata, struct error *err)
{
    _cleanup_free_ char *path = multiarch_name(image->multiarch.directory, name);
    if (metadata)
        return plan_metadata(p, image, path, err);
    if (p->policy->skip_flat)
        return 0;
    if (plan_link_to_flat(p, image, path, err) < 0)
        return -1;
    return plan_alias(p, image->multiarch.directory, err);
}

static int plan_names(struct planner *p, const struct image *image, bool metadata,
                      struct error *err)
{
    for (size_t i = 0; image->multiarch.directory && i < image->name_count; i++) {
        _cleanup_free_ char *name = image_public_name(image, i);
        if (plan_multiarch_name(p, image, name, metadata, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < image_public_names(image); i++) {
        _cleanup_free_ char *name = image_public_name(image, i);
        if ((metadata ? plan_metadata(p, image, name, err) : plan_name(p, image, name, err)) < 0)
            return -1;
    }
    return 0;
}

/* ---- the whole ---- */

enum plan_stage {
    PLAN_LAYERS,
    PLAN_CHAINS,
    PLAN_FLAT,
    PLAN_ORIGINS,
    PLAN_METADATA,
    PLAN_PODMAN,
    PLAN_NAMES,
    PLAN_STAGES,
};

static int plan_one_stage(struct planner *p, enum plan_stage stage, struct image *const *images,
                          size_t count, const struct image *image, struct error *err)
{
    bool assembled = image->stack.count > 0;
    int result = 0;
    switch (stage) {
    case PLAN_LAYERS:
        for (size_t i = 0;
             result == 0 && assembled && !p->policy->skip_layers && i < image->stack_count; i++)
            result = plan_layer(p, images, count, image, i, err);
        return result;
    case PLAN_CHAINS:
        return assembled ? plan_chains(p, image, err) : 0;
    case PLAN_FLAT:
        return assembled ? plan_flat(p, image, err) : 0;
    case PLAN_ORIGINS:
        for (size_t i = 0; result == 0 && i < image->layer_count; i++)
            if (!image->layers[i].descriptor->foreign)
                result =
                    plan_origins(p, images, count, &image->layers[i].descriptor->blob.digest, err);
        return result;
    case PLAN_METADATA:
    case PLAN_NAMES:
        return plan_names(p, image, stage == PLAN_METADATA, err);
    case PLAN_PODMAN:
        return p->policy->podman == PODMAN_NONE ? 0 : plan_podman_image(p, image, err);
    case PLAN_STAGES:
        break;
    }
    return 0;
}

static int plan_stages(struct planner *p, struct image *const *images, size_t count,
                       size_t *out_bad, struct error *err)
{
    for (int stage = 0; stage < PLAN_STAGES; stage++) {
        for (size_t i = 0; i < count; i++) {
            *out_bad = i;
            if (plan_one_stage(p, (enum plan_stage)stage, images, count, images[i], err) < 0)
                return -1;
        }
        *out_bad = count;
        if (stage == PLAN_PODMAN && plan_podman_lists(p, err) < 0)
            return -1;
    }
    return 0;
}

int plan_group(const struct plan_target *target, struct image *const *images, size_t count,
               struct changeset *out, struct plan_summary *out_summary, size_t *out_bad,
               struct error *err)
{
    *out_summary = (struct plan_summary){0};
    *out_bad = count;
    if (plan_read_podman(target, err) < 0)
        return -1;
    struct planner p = {.repository = target->repository,
                        .policy = target->policy,
                        .cs = out,
                        .summary = out_summary,
                        .podman = target->podman,
                        .scratch = target->scratch};
    struct known_range all = {0, SIZE_MAX};
    if (planner_find_known(&p, images, count, &all, err) < 0 ||
        plan_stages(&p, images, count, out_bad, err) < 0)
        return -1;
    return changeset_count(out, &out_summary->counts, err);
}

int plan_own_file(const struct repository *repository, const char *path, const void *bytes,
                  size_t len, struct changeset *out, struct error *err)
{
    struct planner p = {.repository = repository, .cs = out};
    if (planner_ensure_parents(&p, path, err) < 0)
        return -1;
    return changeset_add_file(out, path, bytes, len, err);
}

int plan_levels(const struct plan_target *target, struct image *image, size_t first, size_t count,
                struct changeset *out, struct plan_summary *out_summary, struct error *err)
{
    *out_summary = (struct plan_summary){0};
    struct planner p = {.repository = target->repository,
                        .policy = target->policy,
                        .cs = out,
                        .summary = out_summary,
                        .scratch = target->scratch};
    struct known_range range = {first, count};
    if (planner_find_known(&p, &image, 1, &range, err) < 0)
        return -1;
    for (size_t i = first; i < first + count; i++)
        if (plan_layer(&p, &image, 1, image, i, err) < 0)
            return -1;
    return changeset_count(out, &out_summary->counts, err);
}

/* ---- what an image lacks ---- */

static int lacks_directory(const struct repository *r, char *path, bool *lacks, struct error *err)
{
    _cleanup_free_ char *owned = path;
    bool there = false;
    if (is_directory(r, owned, &there, err) < 0)
        return -1;
    *lacks |= !there;
    return 0;
}

static int lacks_content(const struct repository *r, const struct image *image,
                         const struct policy *policy, bool *lacks, struct error *err)
{
    for (size_t i = 0; !policy->skip_layers && i < image->layer_count; i++)
        if (!image->layers[i].descriptor->foreign &&
            lacks_directory(r, layout_layer(&image->layers[i].descriptor->blob.digest), lacks,
                            err) < 0)
            return -1;
    for (size_t k = first_chain(image, policy); k < image->layer_count; k++)
        if (!image->layers[k].descriptor->foreign &&
            lacks_directory(r, layout_chain(&image->layers[k].chain_id), lacks, err) < 0)
            return -1;
    if (policy->skip_flat)
        return 0;
    return lacks_directory(r, layout_flat(&image->config_digest), lacks, err);
}

int plan_needs(const struct plan_target *target, const struct image *image, struct image_needs *out,
               struct error *err)
{
    const struct repository *r = target->repository;
    const struct policy *policy = target->policy;
    const struct podman_store *podman = &target->podman->store;
    struct image_needs needs = {0};
    if (lacks_content(r, image, policy, &needs.content, err) < 0)
        return -1;
    if (policy->podman != PODMAN_NONE && !plan_podman_has_layers(podman, image, policy))
        needs.content = true;
    /* The rest is small: plan it and see whether anything comes of it. */
    struct changeset *cs = changeset_new();
    struct plan_summary summary = {0};
    struct planner p = {.repository = r, .policy = policy, .cs = cs, .summary = &summary};
    int result = plan_names(&p, image, true, err);
    if (result == 0)
        result = plan_names(&p, image, false, err);
    needs.names = !changeset_is_empty(cs) ||
                  (policy->podman != PODMAN_NONE && !plan_podman_has_image(podman, image));
    changeset_free(cs);
    if (result == 0)
        *out = needs;
    return result;
}

#include "repository/image.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "layers/apptainer.h"
#include "layers/layer_builder.h"

#include <string.h>

void image_release(struct image *image)
{
    stack_release(&image->stack);
    if (image->apptainer.index.header)
        layer_release(&image->apptainer);
    for (size_t i = 0; i < image->layer_count; i++) {
        if (image->layers[i].open)
            layer_release(&image->layers[i].layer);
        free(image->layers[i].not_linkable);
    }
    free(image->layers);
    free(image->stack_layers);
    for (size_t i = 0; i < image->name_count; i++)
        reference_release(&image->names[i]);
    free(image->names);
    free(image->prefix);
    buf_release(&image->index);
    buf_release(&image->manifest);
    buf_release(&image->config);
    buf_release(&image->nested);
    multiarch_release(&image->multiarch);
    manifest_release(&image->parsed_manifest);
    image_config_release(&image->parsed_config);
    *image = (struct image){0};
}

char *image_public_name(const struct image *image, size_t name)
{
    _cleanup_free_ char *plain = reference_name(&image->names[name]);
    return path_join(image->prefix ? image->prefix : "", plain);
}

char *image_name(const struct image *image)
{
    return image_public_name(image, 0);
}

char *image_label(const struct image *image, size_t name)
{
    char *text = image_public_name(image, name);
    if (!image->multiarch.directory)
        return text;
    char *label = xasprintf("%s (%s)", text, image->multiarch.directory);
    free(text);
    return label;
}

size_t image_public_names(const struct image *image)
{
    return image->multiarch.directory && !image->multiarch.leads ? 0 : image->name_count;
}

struct digest image_next_chain_id(const struct digest *below, const struct digest *diff_id)
{
    if (!below)
        return *diff_id;
    _cleanup_free_ char *text = xasprintf("%s %s", digest_text(below).s, digest_text(diff_id).s);
    return digest_of(DIGEST_SHA256, text, strlen(text));
}

int image_parse(struct image *image, struct error *err)
{
    struct manifest *m = &image->parsed_manifest;
    if (manifest_parse(image->manifest.data, image->manifest.len, m, err) < 0)
        return -1;
    image->config_digest = m->config.digest;
    if (image_config_parse(image->config.data, image->config.len, m->layer_count,
                           &image->parsed_config, err) < 0)
        return -1;
    image->layer_count = m->layer_count;
    image->layers = xcalloc(m->layer_count, sizeof *image->layers);
    for (size_t i = 0; i < m->layer_count; i++) {
        struct image_layer *l = &image->layers[i];
        l->descriptor = &m->layers[i];
        l->diff_id = image->parsed_config.diff_ids[i];
        l->chain_id = image_next_chain_id(i ? &image->layers[i - 1].chain_id : NULL, &l->diff_id);
    }
    return 0;
}

static int open_layer(struct image_layer *l, const struct spool *spool, struct error *err)
{
    const struct digest *blob = &l->descriptor->blob.digest;
    if (layer_open(spool, blob, &l->layer, err) < 0)
        return error_wrap(err, "layer %s", digest_text(blob).s);
    l->open = true;
    struct digest got = layer_index_diff_id(&l->layer.index);
    if (!digest_equal(&got, &l->diff_id))
        return error_set(err, ERROR_CORRUPT,
                         "layer %s: its content has the diff id %s, but the image's configuration "
                         "says %s; the image was built or copied wrongly: push it again",
                         digest_text(blob).s, digest_text(&got).s, digest_text(&l->diff_id).s);
    return 0;
}

/* ---- Apptainer's files, as a layer on top ---- */

/* Whether the image has nothing of that name, and directories all the way to it. */
static bool is_missing(const struct stack *stack, const struct tree *tree, const char *path)
{
    for (size_t len = 0;; len++) {
        if (path[len] != '/' && path[len] != '\0')
            continue;
        const struct tree_node *n = tree_find(stack, tree, path, len);
        if (!n)
            return true;
        if (path[len] == '\0' || node_source(stack, n)->type != ENTRY_DIRECTORY)
            return false;
    }
}

static int add_apptainer_file(struct layer_builder *b, const struct apptainer_file *f,
                              struct buf *data, struct error *err)
{
    static const enum tar_type types[] = {[APPTAINER_DIR] = TAR_DIRECTORY,
                                          [APPTAINER_FILE] = TAR_FILE,
                                          [APPTAINER_SYMLINK] = TAR_SYMLINK};
    struct tar_entry e = {.type = types[f->type],
                          .name = f->path,
                          .link = f->type == APPTAINER_SYMLINK ? f->target : "",
                          .mode = (uint32_t)f->mode,
                          .size = f->len};
    struct content c = {.offset = data->len, .size = f->len};
    if (f->type == APPTAINER_FILE) {
        struct digest hash = digest_of(DIGEST_SHA256, f->content, f->len);
        memcpy(c.hash, hash.bytes, sizeof c.hash);
        buf_add(data, f->content, f->len);
    }
    return layer_builder_add(b, &e, &c, err);
}

static int make_apptainer_layer(struct image *image, const struct stack *stack, struct error *err)
{
    _cleanup_free_ char *name = image_name(image);
    _cleanup_buf_ struct buf data = BUF_INIT;
    struct apptainer_files files = {0};
    apptainer_files(&image->parsed_config, name, &image->manifest_digest, &files);
    struct layer_builder *b = layer_builder_new();
    struct tree tree;
    stack_merge(stack, stack->count, &tree);
    int result = 0;
    for (size_t i = 0; result == 0 && i < files.count; i++) {
        const struct apptainer_file *f = &files.items[i];
        if (!f->only_if_missing || is_missing(stack, &tree, f->path))
            result = add_apptainer_file(b, f, &data, err);
    }
    tree_release(&tree);
    apptainer_files_release(&files);
    if (result < 0) {
        layer_builder_free(b);
        return -1;
    }
    return layer_from_memory(b, NULL, data.data, data.len, &image->apptainer, err);
}

static int stack_layers(struct image *image, struct stack *out,
                        const struct layer_index *const *indexes, size_t count, struct error *err)
{
    size_t bad;
    int result = stack_init(out, indexes, count, &bad, err);
    if (result < 0 && bad < image->stack_count)
        error_wrap(err, "layer %s",
                   digest_text(&image->layers[image->stack_layers[bad]].descriptor->blob.digest).s);
    return result;
}

uint64_t image_compressed_size(const struct image *image)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct layer_descriptor *l = image->layers[i].descriptor;
        bool twice = l->foreign;
        for (size_t k = 0; k < i; k++)
            twice |= digest_equal(&image->layers[k].descriptor->blob.digest, &l->blob.digest);
        bytes += twice ? 0 : l->blob.size;
    }
    return bytes;
}

int image_assemble(struct image *image, const struct spool *spool, struct error *err)
{
    for (size_t i = 0; i < image->layer_count; i++)
        if (!image->layers[i].descriptor->foreign && open_layer(&image->layers[i], spool, err) < 0)
            return -1;
    return image_stack(image, err);
}

int image_stack(struct image *image, struct error *err)
{
    const struct layer_index **indexes = xcalloc(image->layer_count + 1, sizeof *indexes);
    struct stack below = {0};
    size_t count = 0;
    image->stack_layers = xcalloc(image->layer_count, sizeof *image->stack_layers);
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct image_layer *l = &image->layers[i];
        if (l->descriptor->foreign)
            continue;
        image->stack_layers[count] = i;
        indexes[count++] = &l->layer.index;
    }
    image->stack_count = count;
    int result = stack_layers(image, &below, indexes, count, err);
    if (result == 0)
        result = make_apptainer_layer(image, &below, err);
    if (result == 0) {
        indexes[count++] = &image->apptainer.index;
        result = stack_layers(image, &image->stack, indexes, count, err);
    }
    stack_release(&below);
    free(indexes);
    return result;
}

/* ---- paths ---- */

static char *digest_path(const char *folder, const struct digest *d)
{
    struct digest_text hex = digest_hex(d);
    return xasprintf("%s/%.2s/%s", folder, hex.s, hex.s);
}

char *layout_layer(const struct digest *blob)
{
    return digest_path(".layers", blob);
}

char *layout_chain(const struct digest *chain_id)
{
    return digest_path(".chains", chain_id);
}

char *layout_flat(const struct digest *config)
{
    return digest_path(".flat", config);
}

char *layout_metadata(const char *public_name)
{
    return xasprintf(".metadata/%s", public_name);
}

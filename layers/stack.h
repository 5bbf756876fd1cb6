/*
 * The layers of an image on top of one another, and the trees that come of it.
 *
 * A stack borrows the layers' indexes, the lowest first. From it are computed, by a k-way merge
 * over the sorted indexes:
 *
 *     stack_merge(stack, n)     the root file system after applying the lowest n layers (a chain)
 *     stack_layer_tree(stack, k)  layer k as it is published for overlay file systems (`layerfs`)
 *
 * A tree is a sorted array of nodes that point into the indexes: 12 bytes a node, no strings. Each
 * node takes its path from one entry and what stands there (type, attributes, content) from
 * another, usually the same one. They differ for a hard link into a lower layer (the source is the
 * linked file), for an implied directory (the source is the lower directory, whose attributes it
 * keeps), and for deletions (no source).
 */
#ifndef LAYERS_STACK_H
#define LAYERS_STACK_H

#include "base/error.h"
#include "layers/layer_index.h"

#include <stddef.h>
#include <stdint.h>

#define NODE_IS_WHITEOUT UINT16_MAX

struct tree_node {
    uint32_t path_entry;
    uint32_t source_entry;
    uint16_t path_layer;
    uint16_t source_layer; /* NODE_IS_WHITEOUT: a deletion, published as a device 0:0 */
};

struct tree {
    struct tree_node *nodes;
    size_t count, capacity;
};
void tree_release(struct tree *tree);

/* What a lower link of a layer turned out to mean. */
struct resolved_link {
    uint32_t entry; /* the ENTRY_LOWER_LINK */
    uint32_t source_entry;
    uint16_t source_layer;
};

struct stack_layer {
    const struct layer_index *index; /* borrowed */
    struct resolved_link *links;     /* sorted by entry; owned */
    size_t link_count;
};

struct stack {
    struct stack_layer *layers; /* the lowest first */
    size_t count;
};

/* *out borrows the indexes. Links into lower layers are resolved here: ERROR_PARSE names the link
 * whose target no lower layer has; the caller, who knows the layers' digests, is told in *out_bad
 * which layer it is in (`count` if the error is about none). */
MUST_CHECK int stack_init(struct stack *out, const struct layer_index *const *indexes, size_t count,
                          size_t *out_bad, struct error *err);
void stack_release(struct stack *stack);

/* The merged tree of the lowest `count` layers. Its first node is the root. */
void stack_merge(const struct stack *stack, size_t count, struct tree *out);

/*
 * Layer `k` in overlay form, for kernel overlayfs and fuse-overlayfs alike:
 * - a deletion is a node without source, where the directory it stands in exists below. Where it
 *   does not, the deletion hides nothing, and the kernel would show the device's name in listings
 * of a directory that is not merged: it is left out.
 * - an opaque directory becomes a deletion of each entry that the layers below hold in it,
 *   descending where the layer brings a directory of the same name.
 * - implied directories keep the attributes of the directory they extend.
 */
void stack_layer_tree(const struct stack *stack, size_t k, struct tree *out);

/* Both borrowed from the index; the path is not NUL-terminated. */
static inline const struct layer_entry *node_path_entry(const struct stack *s,
                                                        const struct tree_node *n)
{
    return &s->layers[n->path_layer].index->entries[n->path_entry];
}

static inline const char *node_path(const struct stack *s, const struct tree_node *n, size_t *len)
{
    const struct layer_entry *e = node_path_entry(s, n);
    *len = e->path_len;
    return entry_path(s->layers[n->path_layer].index, e);
}

/* NULL for a deletion. */
static inline const struct layer_entry *node_source(const struct stack *s,
                                                    const struct tree_node *n)
{
    if (n->source_layer == NODE_IS_WHITEOUT)
        return NULL;
    return &s->layers[n->source_layer].index->entries[n->source_entry];
}

/* The node of a path, or NULL. */
const struct tree_node *tree_find(const struct stack *stack, const struct tree *tree,
                                  const char *path, size_t len);
/* The same, following symlinks on the way (not at the end), inside the tree's root. */
const struct tree_node *tree_find_following(const struct stack *stack, const struct tree *tree,
                                            const char *path, size_t len);

#endif

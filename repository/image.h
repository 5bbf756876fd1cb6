/*
 * An image on its way from a wish to the repository.
 *
 * Resolving fills `names` to `config`; preparing opens the layers and stacks them; the planner
 * reads all of it. One image is one image manifest: all tags that point to it are its names.
 */
#ifndef REPOSITORY_IMAGE_H
#define REPOSITORY_IMAGE_H

#include "base/buf.h"
#include "layers/layer.h"
#include "layers/stack.h"
#include "repository/multiarch.h"
#include "registry/client.h"
#include "registry/manifest.h"
#include "registry/reference.h"

struct image_layer {
    const struct layer_descriptor *descriptor;
    struct digest diff_id;
    struct digest chain_id; /* of this layer and those below (OCI image spec, "Layer ChainID") */
    struct layer layer;     /* opened by image_assemble(), unless the layer is foreign */
    bool open;
    /* The repository holds this layer, published by somebody else: see struct layer_source. */
    uint8_t *not_linkable;
};

struct image {
    struct reference *names; /* the public names it is wanted under */
    size_t name_count, name_capacity;
    char *prefix;        /* folders that its public names stand in, "atlas"; NULL: none */
    struct buf index;    /* the index that the tags name, byte for byte; empty if they name the */
    struct buf manifest; /* manifest itself */
    struct buf nested;   /* an index inside the index, if that leads to the manifest; else empty */
    struct multiarch multiarch;
    struct buf config;
    struct digest manifest_digest, config_digest;
    struct manifest parsed_manifest;
    struct image_config parsed_config;
    struct image_layer *layers; /* one a layer of the manifest */
    size_t layer_count;

    /* From image_assemble(). The stack holds the layers that are not foreign, and on top of them
     * Apptainer's files. */
    struct stack stack;
    struct layer apptainer;
    size_t *stack_layers; /* which of `layers` each level of the stack is */
    size_t stack_count;   /* levels without Apptainer's */
};

void image_release(struct image *image);

/* After `manifest` and `config` are there: parse both. ERROR_PARSE, ERROR_UNSUPPORTED. */
MUST_CHECK int image_parse(struct image *image, struct error *err);

/* Open the layers from the spool, compare each diff id with the configuration (ERROR_CORRUPT), and
 * stack them. */
MUST_CHECK int image_assemble(struct image *image, const struct spool *spool, struct error *err);
/* The second half of it: stack layers that the caller has opened, all but the foreign ones. */
MUST_CHECK int image_stack(struct image *image, struct error *err);

/* ChainID(L0) = DiffID(L0); ChainID(L0|...|Ln) = Digest(ChainID(L0|...|Ln-1) + " " + DiffID(Ln)).
 * `below` is NULL for the lowest layer. */
struct digest image_next_chain_id(const struct digest *below, const struct digest *diff_id);

/* The path of a public name: "REGISTRY/REPOSITORY:TAG" below the prefix, if there is one. Owned. */
char *image_public_name(const struct image *image, size_t name);
/* The compressed layers that are to be fetched, each once, in bytes. After image_parse(). */
uint64_t image_compressed_size(const struct image *image);
/* How messages call the image under one of its names: the name, and the architecture if it is
 * published for several. Owned. */
char *image_label(const struct image *image, size_t name);
/* How many of the names are public ones of this image, rather than names that another image of the
 * same tag leads: all or none. */
size_t image_public_names(const struct image *image);
/* The first public name, for messages. Owned. */
char *image_name(const struct image *image);

/* Paths of layout.md. Owned. */
char *layout_layer(const struct digest *blob);
char *layout_chain(const struct digest *chain_id);
char *layout_flat(const struct digest *config);
char *layout_metadata(const char *public_name);

#endif

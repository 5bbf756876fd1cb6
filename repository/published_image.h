/*
 * An image put together from what is published of it, without any registry: its documents, and of
 * each layer the index that lies beside it, or where there is none (the Go tool's) one made by
 * walking the layer. The result is as after image_assemble(), so that the planner can say what
 * should be there; contents are in the repository only.
 *
 * Documents are checked against each other on the way: the manifest must be what the index beside
 * it names, the configuration must have the digest that the manifest says.
 */
#ifndef REPOSITORY_PUBLISHED_IMAGE_H
#define REPOSITORY_PUBLISHED_IMAGE_H

#include "repository/image.h"
#include "repository/repository.h"

/* What could not be had, for whoever mends it. */
enum published_failure {
    FAILED_NOTHING,
    FAILED_DOCUMENTS, /* manifest, index: only a registry has them */
    FAILED_CONFIG,
    FAILED_LAYER, /* `layer` is missing, or its index is of something else */
    FAILED_READING,
};

struct published_image {
    struct image image;
    bool old_spelling; /* the manifest is the Go tool's text, not the registry's */
    bool *walked;      /* one a layer: it had no index */
    enum published_failure failure;
    struct digest layer; /* of FAILED_LAYER */
};

struct published_image_options {
    const char *scratch; /* a folder for copies of indexes, which no commit may find open */
    bool hash;           /* layers that are walked get hashes of their files */
};

/* `name` is a public name, or ".multiarch/ARCH/NAME". On failure `out->failure` says of what kind;
 * published_image_release() in any case. */
MUST_CHECK int published_image_load(const struct repository *repository, const char *name,
                                    const struct published_image_options *options,
                                    struct published_image *out, struct error *err);
void published_image_release(struct published_image *image);

/* Where in a public name its reference begins, behind the folders of a prefix (layout.md). */
const char *published_reference(const char *name);

#endif

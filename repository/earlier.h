/*
 * Which layers the earlier version of an image has: most files of a rebuilt image are theirs.
 *
 * The earlier version is what the image's names lead to in the repository now; if none of them is
 * published yet, the tag of the same repository that was published last. Found by the manifests in
 * .metadata; what cannot be read there is no earlier version.
 */
#ifndef REPOSITORY_EARLIER_H
#define REPOSITORY_EARLIER_H

#include "repository/image.h"
#include "repository/repository.h"

struct earlier_layers {
    struct digest *blobs; /* each once, foreign ones left out */
    size_t count, capacity;
};

/* Adds to *layers. */
void earlier_layers_add(struct earlier_layers *layers, const struct repository *repository,
                        const struct image *image);
void earlier_layers_release(struct earlier_layers *layers);

#endif

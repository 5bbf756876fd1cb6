/*
 * Looking at what is published, and mending it.
 *
 * So far: the form of layers. The Go tool left deletions as ".wh.NAME" files, which the kernel's
 * overlayfs does not know: under Podman and containerd deleted files come back. verify_layers()
 * names the layers of that form; repair_layers() adds the devices 0:0 that mean the same to both
 * overlay implementations (one ingest), and then takes the old files away (one transaction, since
 * names may hold colons). In between the layers are right already, with the old files still to be
 * seen. Both steps are ordinary revisions: the repository's own rollback undoes them.
 *
 * An opaque directory has to hide what the layers below it hold. Which those are is read from the
 * manifests in .metadata: a layer is mended for every published image that uses it.
 */
#ifndef REPOSITORY_VERIFY_H
#define REPOSITORY_VERIFY_H

#include "repository/repository.h"

struct layer_finding {
    struct digest blob;
    size_t old_whiteouts;
    char *first; /* the path of one, below the layer's layerfs; owned */
};

struct layer_findings {
    struct layer_finding *items;
    size_t count, capacity;
    size_t checked; /* layers looked at */
};
void layer_findings_release(struct layer_findings *findings);

/* Every layer below .layers, or only those in `only` (`only_count` of them; 0: all). */
MUST_CHECK int verify_layers(const struct repository *repository, const struct digest *only,
                             size_t only_count, struct layer_findings *out, struct error *err);

struct repair_report {
    size_t layers, whiteouts_added, files_removed, revisions;
};
/* With the repository's lock held, after repository_begin(). */
MUST_CHECK int repair_layers(struct repository *repository, const struct layer_findings *findings,
                             struct repair_report *out, struct error *err);

#endif

/*
 * Looking at what is published, and mending it.
 *
 * verify_repository() holds every public name against what stands in the repository: documents
 * against each other (published_image.h), then everything that the planner would publish of the
 * image against what is there (compare.h), then Podman's records. Nothing is changed, no lock is
 * needed. With a `struct mending` it also collects what would put things right; repair_apply()
 * carries that out, in a few revisions.
 *
 * The form of layers: the Go tool left deletions as ".wh.NAME" files, which the kernel's
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

#include "base/string_list.h"
#include "podmanstore/podman_store.h"
#include "repository/finding.h"
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

/* What would put right what was found. Paths are the repository's. */
struct mending {
    struct changeset *changes;
    struct string_list remove; /* files and links that are in the way */
    struct string_list
        rebuild; /* units to delete before `changes` bring them anew, and leftovers */
    /* Public names of images that need a registry, and for each the folder of a layer that is
     * damaged and must go first, or "". */
    struct string_list names, layers;
    struct podman_store podman; /* as it should be */
    bool podman_changed;
    json_t *origins; /* path of an origin.json -> the list that should stand in it */
    /* Only what is lacking beside layers and among documents: nothing is replaced or made anew. */
    bool only_records;
};
void mending_init(struct mending *mending);
void mending_release(struct mending *mending);

struct verify_options {
    bool content;                   /* read every file, and compare its hash */
    const struct string_list *only; /* public names, sorted; NULL: all, and the rest, too */
    struct mending *mending;        /* filled in, unless NULL; files of layers without an index are
                                       read then */
};

struct verify_report {
    size_t names;  /* looked at */
    size_t layers; /* in the old form */
};

/* -1 only if nothing can be said at all. */
MUST_CHECK int verify_repository(const struct repository *repository,
                                 const struct verify_options *options, struct findings *out,
                                 struct verify_report *out_report, struct error *err);

/* The names that have documents, sorted; those of single architectures left out. */
MUST_CHECK int verify_names_of(const struct repository *repository, struct string_list *out,
                               struct error *err);

struct repair_done {
    size_t changes, removed, revisions;
};
/* With the repository's lock held, after repository_begin(). What needs a registry stays. */
MUST_CHECK int repair_apply(struct repository *repository, struct mending *mending,
                            struct repair_done *out, struct error *err);

#endif

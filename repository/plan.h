/*
 * The plan: from images that are ready and what the repository holds to a changeset.
 *
 * A pure function of the two: it reads the repository and changes nothing. What the repository has
 * already (layers, chains, flat images are named by their content) is left out; what several images
 * of a group share is planned once. The order is: layers, chains, flat images, metadata, public
 * names.
 */
#ifndef REPOSITORY_PLAN_H
#define REPOSITORY_PLAN_H

#include "podmanstore/podman_store.h"
#include "repository/changeset.h"
#include "repository/image.h"
#include "repository/policy.h"
#include "repository/repository.h"

struct plan_summary {
    size_t layers_new, layers_present;
    size_t whiteouts_added; /* to layers that are there, for another base */
    size_t chains_new, flat_new, names_new, podman_new;
    struct known_counts known; /* files of new layers that are links */
    struct changeset_counts counts;
};

/* What of an image the repository lacks. */
struct image_needs {
    bool content; /* a layer, chain or flat image: its layers must be prepared */
    bool names;   /* metadata or a public name */
};
/*
 * The lists of the repository's Podman store, parsed. In a large repository that takes longer than
 * anything else in adding an image, so it is done once a run: a plan leaves them here as they will
 * be when it is committed. The digests of the texts say what `store` stands for; if the repository
 * holds others (the plan failed, or was not committed; somebody else wrote), the next plan parses
 * them again.
 */
struct podman_lists {
    struct podman_store store;
    struct digest images, layers; /* not set: `store` is none that was or will be published */
};
void podman_lists_release(struct podman_lists *lists);

/* Where images go, and in which form. Borrowed. */
struct plan_target {
    const struct repository *repository;
    const struct policy *policy;
    struct podman_lists *podman; /* all zero, or from an earlier plan for this repository */
    /* A folder for temporary files; NULL: files of earlier versions are not looked for. */
    const char *scratch;
};

/* The lists of the Podman store as published; empty ones if there is none. Does nothing if the
 * policy wants no store. ERROR_PARSE: lists that cannot be read are not written over. */
MUST_CHECK int plan_read_podman(const struct plan_target *target, struct error *err);

/* The Podman store's lists must have been read. */
MUST_CHECK int plan_needs(const struct plan_target *target, const struct image *image,
                          struct image_needs *out, struct error *err);

/* Add everything that one group of images needs. On failure *out_bad is the image it is about (its
 * number), or `count` if it is about none. Images whose needs.content is false need not be
 * assembled. */
MUST_CHECK int plan_group(const struct plan_target *target, struct image *const *images,
                          size_t count, struct changeset *out, struct plan_summary *out_summary,
                          size_t *out_bad, struct error *err);

/* A file of our own, with the directories above it. */
MUST_CHECK int plan_own_file(const struct repository *repository, const char *path,
                             const void *bytes, size_t len, struct changeset *out,
                             struct error *err);

/* Only layers of one image that is assembled: `count` of its stack's levels, from `first` on. For
 * an image that is too large for one revision; it is not public until the rest has followed. */
MUST_CHECK int plan_levels(const struct plan_target *target, struct image *image, size_t first,
                           size_t count, struct changeset *out, struct plan_summary *out_summary,
                           struct error *err);

/* A layer that the repository has, but that somebody else published, or that has files in chunks:
 * find the files that cannot be linked to. Reads the repository's attributes of every file. */
MUST_CHECK int plan_check_links(const struct repository *repository, struct image_layer *layer,
                                struct error *err);
/* Whether CernVM-FS keeps any file of a published layer in chunks, which only an ordinary publish
 * does: a link to one could not be read. */
bool plan_layer_has_chunks(const struct repository *repository, const struct layer *layer);

#endif

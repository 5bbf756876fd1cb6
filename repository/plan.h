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
    struct changeset_counts counts;
};

/* What of an image the repository lacks. */
struct image_needs {
    bool content; /* a layer, chain or flat image: its layers must be prepared */
    bool names;   /* metadata or a public name */
};
/* `podman` is the repository's image store: plan_read_podman(). */
MUST_CHECK int plan_needs(const struct repository *repository, const struct podman_store *podman,
                          const struct image *image, const struct policy *policy,
                          struct image_needs *out, struct error *err);

/* The lists of the Podman store as published; empty ones if there is none. */
MUST_CHECK int plan_read_podman(const struct repository *repository, struct podman_store *out,
                                struct error *err);

/* Add everything that one group of images needs. On failure *out_bad is the image it is about (its
 * number), or `count` if it is about none. Images whose needs.content is false need not be
 * assembled. */
MUST_CHECK int plan_group(const struct repository *repository, struct image *const *images,
                          size_t count, const struct policy *policy, struct changeset *out,
                          struct plan_summary *out_summary, size_t *out_bad, struct error *err);

/* A layer that the repository has, but that somebody else published, or that has files in chunks:
 * find the files that cannot be linked to. Reads the repository's attributes of every file. */
MUST_CHECK int plan_check_links(const struct repository *repository, struct image_layer *layer,
                                struct error *err);
/* Whether CernVM-FS keeps any file of a published layer in chunks, which only an ordinary publish
 * does: a link to one could not be read. */
bool plan_layer_has_chunks(const struct repository *repository, const struct layer *layer);

#endif

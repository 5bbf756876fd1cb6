/* What the parts of verify_repository() share: verify_images.c, verify_podman.c. */
#ifndef REPOSITORY_VERIFIER_H
#define REPOSITORY_VERIFIER_H

#include "repository/compare.h"
#include "repository/published_image.h"
#include "repository/verify.h"

struct verifier {
    const struct repository *repository;
    const struct verify_options *options;
    struct findings *findings;
    struct compare compare;
    struct repository nothing; /* like the repository, but empty: what to plan against */
    char *scratch;             /* a folder of ours */
    struct string_list linked; /* public names by their links, sorted */
    struct string_list names;  /* by their documents, sorted */
    struct string_list led;    /* plain names that an architecture's image leads */
    struct string_list old;    /* digests of layers in the old form, sorted */
    bool has_chains, has_flat, has_layers, has_podman;
    struct podman_store podman; /* as published; no lists if they are broken */
    bool podman_broken;
    bool incomplete;     /* an image could not be looked at */
    const char *copying; /* the unit that is being copied into the mending */
    json_t *claimed;     /* Podman's names -> image id, of all images looked at */
};

/* Podman's lists as published, and what is wrong with them as such. */
void verify_podman_read(struct verifier *v);
/* Which form of the store the image is in. */
enum podman_policy verify_podman_form(const struct verifier *v, const struct image *image);
/* The records of one image. */
void verify_podman_image(struct verifier *v, const char *name, const struct podman_store *expected);
/* Names that no image has, once all images have been looked at. */
void verify_podman_names(struct verifier *v);

#endif

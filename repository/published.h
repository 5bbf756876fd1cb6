/*
 * What is published, read back: the names of directories, manifests in either spelling, and what a
 * manifest's image consists of.
 *
 * Everything is read where clients see it (struct repository, `view`): a transaction that somebody
 * has open shows nothing of itself.
 */
#ifndef REPOSITORY_PUBLISHED_H
#define REPOSITORY_PUBLISHED_H

#include "base/digest.h"
#include "base/string_list.h"
#include "layers/walk.h"
#include "podmanstore/podman_store.h"
#include "repository/repository.h"

/* Names in a directory, in byte order, "." and ".." left out; none if it is not there. */
MUST_CHECK int published_list(const struct repository *repository, const char *path,
                              struct string_list *out, struct error *err);
/* As repository_type(), repository_read() and repository_readlink(), of the last revision. */
MUST_CHECK int published_type(const struct repository *repository, const char *path, mode_t *out,
                              struct error *err);
MUST_CHECK int published_read(const struct repository *repository, const char *path, size_t max,
                              struct buf *out, struct error *err);
MUST_CHECK int published_readlink(const struct repository *repository, const char *path,
                                  struct buf *out, struct error *err);
/* For walks of published trees: each slice is one of repository_reading_begin(). */
struct layer_walk_guard published_guard(const struct repository *repository);

/* A folder's name as a digest: 64 hex digits, or 128. False if it is none. */
bool digest_of_name(const char *name, struct digest *out);

/* A field of a manifest, borrowed; NULL if it is not there. The Go tool wrote manifests in its own
 * spelling ("Layers", "MediaType", "Digest"). */
json_t *published_field(const json_t *object, const char *name);

struct published_layer {
    struct digest blob;
    bool foreign; /* non-distributable: not published */
};

struct published_manifest {
    struct digest config;
    struct published_layer *layers; /* the lowest first */
    size_t layer_count;
};

/* A manifest.json of .metadata: the registry's bytes, or the Go tool's own spelling of them
 * ("Layers", "Digest"). `what` begins the message of an error: ERROR_PARSE, ERROR_LIMIT. */
MUST_CHECK int published_manifest_parse(const struct buf *bytes, const char *what,
                                        struct published_manifest *out, struct error *err);
void published_manifest_release(struct published_manifest *manifest);

/* The image's configuration, checked against its digest, from where one is published: beside the
 * manifest of `name`, or in Podman's store. False if there is none. */
bool published_config(const struct repository *repository, const char *name,
                      const struct digest *config, struct buf *out);

/* The chain ids of an image, one a layer (OCI image specification, "Layer ChainID"), from its
 * configuration, or where there is none from what stands beside its layers. False if they cannot
 * be known. */
bool published_chains(const struct repository *repository, const char *name,
                      const struct published_manifest *manifest, struct digest *out);

/* How large a layer's tar is, from what stands in its folder; 0: not known. */
uint64_t published_diff_size(const struct repository *repository, const char *folder);

/* The lists of Podman's store; empty ones if there is none. ERROR_PARSE names the list. */
MUST_CHECK int published_podman(const struct repository *repository, struct podman_store *out,
                                struct error *err);

#endif

/*
 * The image store for Podman (containers/storage, driver "overlay") as a function from images to
 * files. Podman reads it as a read-only additional image store:
 *
 *     podmanStore/overlay-layers/layers.json   one record a layer
 *     podmanStore/overlay-images/images.json   one record an image id, with all its names
 *     podmanStore/overlay-images/ID/...        manifest, configuration ("big data")
 *     podmanStore/overlay/ID/{diff,link,lower} the layer's tree, its short name, what is below it
 *     podmanStore/overlay/l/LINK               short names: mount options have little room
 *
 * This file keeps the two lists: parse what the repository holds, add images and layers, print.
 * Records are those that Podman 4.3 writes when it pulls the image, but for times and short names,
 * which depend on nothing but the image here, so that two runs write the same bytes. Fields that
 * somebody else wrote and we do not know stay as they are. Each layer and image is kept once,
 * whatever the list held (the Go tool's holds some twice).
 *
 * Life cycle: podman_store_parse(), any number of additions, podman_store_release().
 */
#ifndef PODMANSTORE_PODMAN_STORE_H
#define PODMANSTORE_PODMAN_STORE_H

#include "base/buf.h"
#include "base/digest.h"
#include "base/error.h"
#include "registry/manifest.h"

#include <jansson.h>

#define PODMAN_STORE       "podmanStore"
#define PODMAN_IMAGES_JSON PODMAN_STORE "/overlay-images/images.json"
#define PODMAN_LAYERS_JSON PODMAN_STORE "/overlay-layers/layers.json"
#define PODMAN_LIMIT_BYTES ((size_t)1 << 30) /* of either list */

struct podman_store {
    json_t *images; /* objects in the lists' order: id -> record */
    json_t *layers;
    json_t *names; /* name -> image id */
};

/* The texts of the two lists; empty ones are empty lists. ERROR_PARSE names the file. */
MUST_CHECK int podman_store_parse(const struct buf *images, const struct buf *layers,
                                  struct podman_store *out, struct error *err);
void podman_store_release(struct podman_store *store);

struct podman_layer {
    struct digest id;     /* chain id */
    struct digest parent; /* not set: the lowest */
    struct digest blob;   /* compressed; not set: the layer is no blob's content (a merged one) */
    uint64_t compressed_size;
    struct digest diff_id;
    uint64_t diff_size;
    enum compression compression;
    const char *created;         /* RFC 3339 */
    const uint32_t *uids, *gids; /* that own something in it, ascending */
    size_t uid_count, gid_count;
};

struct podman_image {
    struct digest id;        /* of the configuration */
    struct digest manifest;  /* and */
    struct digest index;     /* what its names point to; not set if that is the manifest */
    struct digest top_layer; /* not set: an image without layers */
    uint64_t config_size, manifest_size, index_size;
    const char *created;
    const char *const *names; /* NULL-ended */
};

bool podman_store_has_layer(const struct podman_store *store, const struct digest *id);
/* Whether the image's record is complete: it has all these names and this manifest. */
bool podman_store_has_names(const struct podman_store *store, const struct podman_image *image);

/* A record for a layer; one that is there is replaced. */
void podman_store_add_layer(struct podman_store *store, const struct podman_layer *layer);
/* A record for an image, or its names and manifest added to the one that is there. A name that
 * another image had moves here. */
void podman_store_add_image(struct podman_store *store, const struct podman_image *image);

/* Everything that `other` records, in place of what `store` has of the same layers and images;
 * names that an image had before stay. */
void podman_store_merge(struct podman_store *store, const struct podman_store *other);

/* Taking away. All are false if there is no such thing. A name goes from the record that has it;
 * the record stays, also without names, until it is removed itself. */
bool podman_store_remove_name(struct podman_store *store, const char *name);
bool podman_store_remove_image(struct podman_store *store, const struct digest *id);
bool podman_store_remove_layer(struct podman_store *store, const struct digest *id);
/* A name for a record that is there; false if there is none, or it has the name. */
bool podman_store_add_name(struct podman_store *store, const struct digest *id, const char *name);

/* The lists as text. Owned. */
char *podman_store_images_text(const struct podman_store *store);
char *podman_store_layers_text(const struct podman_store *store);

/* The short name of a layer: 26 characters of A-Z and 2-7, made of its id. */
struct podman_link {
    char s[27];
};
struct podman_link podman_link(const struct digest *id);
/* The file name that holds an image's big data of some name: the name itself, if it is of
 * lower-case letters, digits and dots, else "=" and its base64. Owned. */
char *podman_big_data_file(const char *name);
/* The names that Podman's users type for a public name: the name, and for Docker Hub's other
 * addresses also "docker.io/…". NULL-ended list of owned strings, owned. */
char **podman_names(const char *registry, const char *repository, const char *public_name);
void podman_names_free(char **names);

#endif

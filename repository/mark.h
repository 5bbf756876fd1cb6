/*
 * What of a repository is reached: the first half of taking away (repository/sweep.h is the
 * second).
 *
 * Computed from the repository itself. Roots are public names (links below REGISTRY/ and
 * .multiarch/), names that have documents below .metadata, and names in Podman's list of images. A
 * root reaches the flat image that its link leads to, and what its manifest names: the flat image
 * of the configuration, the layers, the chain after each layer, Podman's record of the image, the
 * records of that image's layers and what these show.
 *
 * A name that was removed and can still be restored (repository/removal.h) is a root of a lesser
 * kind: it *holds* what it reaches, by the time at which it was removed.
 *
 *     mark_repository()    ERROR_CORRUPT or ERROR_PARSE if a single manifest cannot be read: then
 *                          nothing may be taken away, since what it reaches is not known
 *     mark_reach()         what is reached, for one unit
 *     mark_release()
 *
 * Reads, and needs no lock; the result is true for the moment at which it was made.
 */
#ifndef REPOSITORY_MARK_H
#define REPOSITORY_MARK_H

#include "base/digest.h"
#include "base/string_list.h"
#include "podmanstore/podman_store.h"
#include "repository/repository.h"

/* Where the relative link at `from` leads, as a path in the repository; NULL: out of it. Owned. */
char *link_target(const char *from, const char *text);

/* What is taken away as a whole or not at all. */
enum unit_kind {
    UNIT_FLAT,         /* .flat/xx/CONFIG */
    UNIT_CHAIN,        /* .chains/xx/CHAINID */
    UNIT_LAYER,        /* .layers/xx/BLOB */
    UNIT_PODMAN_IMAGE, /* a record, and podmanStore/overlay-images/CONFIG */
    UNIT_PODMAN_LAYER, /* a record, podmanStore/overlay/ID, and its short names */
};
#define UNIT_KIND_COUNT 5
/* "flat image", for messages. */
const char *unit_kind_word(enum unit_kind kind);
/* Its folder. Owned. */
char *unit_path(enum unit_kind kind, const struct digest *id);
/* The unit that a path is or lies in; false if in none. */
bool unit_of_path(const char *path, enum unit_kind *out_kind, struct digest *out_id);

struct mark_unit {
    enum unit_kind kind;
    struct digest id;
    /* 0: reached by a name; else the removal of the last name that reached it; HELD_BY_SELECTED */
    int64_t held;
};

/* Held by nothing but the removed names that mark_repository() was given. */
#define HELD_BY_SELECTED (-1)

/* A name, or one that was removed. Of an image for several architectures, ".multiarch/ARCH/NAME" is
 * a name of its own. */
struct mark_name {
    char *name;
    struct digest image; /* its configuration: by its documents, else by its link */
    bool has_link, has_documents;
    int64_t removed_at; /* 0: it is there */
    bool is_stale;      /* removed, and there again */
    bool is_selected;   /* removed, and one of those that mark_repository() was given */
};

struct mark {
    struct mark_unit *units; /* ordered by kind and id, each once */
    size_t unit_count, unit_capacity;
    struct mark_name *names; /* ordered: those that are there by name, then the removed by name */
    size_t name_count, name_capacity;
    /* An image whose chains cannot be known (neither its configuration nor its layers' metadata are
     * there): all chains count as reached. NULL: there is none. */
    char *unknown_chains_of;
    struct podman_store podman; /* as published */
};

enum reach {
    REACH_NOTHING,
    REACH_HELD,
    REACH_NAME,
};

/* `selected`, sorted: removed names that are told from others; NULL: none. */
MUST_CHECK int mark_repository(const struct repository *repository,
                               const struct string_list *selected, struct mark *out,
                               struct error *err);
void mark_release(struct mark *mark);

/* *out_held (may be NULL): when the last name that reached it was removed, for REACH_HELD. */
enum reach mark_reach(const struct mark *mark, enum unit_kind kind, const struct digest *id,
                      int64_t *out_held);
/* Whether it is the public name, or stands for it below .multiarch. */
bool mark_is_name_of(const struct mark_name *name, const char *public_name);
/* Whether it is there, or was removed and can be restored. */
bool mark_knows(const struct mark *mark, const char *name);
/* The name that is there, or NULL. */
const struct mark_name *mark_find_name(const struct mark *mark, const char *name);

#endif

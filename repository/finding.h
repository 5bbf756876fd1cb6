/*
 * What a look at a repository found: one finding a defect, with the image it was met in, where it
 * is, and what would mend it.
 */
#ifndef REPOSITORY_FINDING_H
#define REPOSITORY_FINDING_H

#include "base/error.h"

#include <stddef.h>

enum finding_kind {
    FOUND_DOCUMENTS,     /* manifest or index missing, unreadable, or not belonging together */
    FOUND_CONFIGURATION, /* nowhere to be had with the digest that the manifest says */
    FOUND_DOCUMENT,      /* one of the copies of a document is missing or wrong */
    FOUND_NAME,          /* a public name is missing or leads somewhere else */
    FOUND_UNDOCUMENTED,  /* a public name without documents */
    FOUND_COLLISION,     /* two images claim one name */
    FOUND_LAYER,         /* missing, or its tree is not what its index says */
    FOUND_LAYER_FILES,   /* layers.json or the index beside a layer */
    FOUND_BACK_LINK,     /* origin.json does not name an image that uses the layer */
    FOUND_DELETION,      /* a layer lacks a deletion that an image needs */
    FOUND_OLD_FORM,      /* a layer with .wh. files */
    FOUND_CHAIN,
    FOUND_FLAT,
    FOUND_CATALOG, /* the marker of a nested catalog */
    FOUND_PODMAN_LISTS,
    FOUND_PODMAN_IMAGE,
    FOUND_PODMAN_LAYER,
    FOUND_PODMAN_NAME,
    FOUND_PODMAN_FILE,
    FOUND_LEFTOVER,   /* of a run that was cut short */
    FOUND_UPSTREAM,   /* a registry names something else now, or nothing */
    FOUND_UNREADABLE, /* could not be looked at */
};

enum remedy {
    REMEDY_NONE,     /* by hand */
    REMEDY_HERE,     /* from what the repository holds */
    REMEDY_REGISTRY, /* with the image from its registry */
};

struct finding {
    enum finding_kind kind;
    char *image; /* a public name; "" where it belongs to none */
    char *path;
    char *text;
};

struct findings {
    struct finding *items;
    size_t count, capacity;
};

/* "back-link", for messages and JSON. */
const char *finding_word(enum finding_kind kind);
enum remedy finding_remedy(enum finding_kind kind);

/* `image` may be NULL. */
void findings_add(struct findings *findings, enum finding_kind kind, const char *image,
                  const char *path, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void findings_release(struct findings *findings);

#endif

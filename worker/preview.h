/*
 * A preview: what a pass over wishes would do to one repository after the other.
 *
 * It asks the registries what a pass asks them and reads what is published, but fetches no layer,
 * writes nothing, and needs neither the repository's lock nor its stratum 0: a mounted repository
 * is enough. What it says is of this moment; tags move.
 *
 *     preview_make(&options, &wishes, &out, err)
 *     preview_release(&out)
 *
 * Sizes are of compressed layers. A layer counts as held if the repository has it with its index,
 * which is all that is needed of it. A few such layers are fetched after all: with fix-perms or
 * files in chunks some files are needed, which only a look at each of them would tell.
 */
#ifndef WORKER_PREVIEW_H
#define WORKER_PREVIEW_H

#include "config/access.h"
#include "worker/wishes.h"

enum preview_fate {
    PREVIEW_NEW,        /* its public name is not there yet */
    PREVIEW_MOVED,      /* its public name leads to another image: the tag has moved */
    PREVIEW_INCOMPLETE, /* the same image, of which something is missing: another policy, say */
    PREVIEW_REFUSED,    /* it cannot or must not be published; the error says why */
    PREVIEW_SUSPENDED,  /* an entry that is not looked at; what it published stays */
    PREVIEW_UNCHANGED,
};
#define PREVIEW_FATES 6
const char *preview_word(enum preview_fate fate);

struct preview_item {
    enum preview_fate fate;
    char *name;           /* the public name; of a suspended entry what is written */
    struct digest digest; /* that the tag points to; unset if refused before that was known */
    struct digest before; /* that it pointed to when it was published; unset: not known */
    char *platform;       /* NULL: not known */
    struct error error;   /* of PREVIEW_REFUSED */
    uint64_t bytes, bytes_to_fetch;
    size_t layers, layers_to_fetch;
};

struct preview_repository {
    char *name;
    struct preview_item *items; /* by fate, then by name */
    size_t count, capacity;
    /* All images together: a layer of several counts once. */
    uint64_t bytes, bytes_to_fetch;
    size_t layers, layers_to_fetch;
    size_t fates[PREVIEW_FATES];
};

struct preview {
    struct preview_repository *repositories; /* in the order of the wishes */
    size_t count, capacity;
};

/* ERROR_NOT_FOUND, ERROR_IO, ERROR_PARSE: a repository cannot be read. A directory that is not
 * there is an empty one. ERROR_CANCELLED. Takes wishes out of *wishes. */
MUST_CHECK int preview_make(struct access *access, struct wishes *wishes, struct preview *out,
                            struct error *err);
void preview_release(struct preview *preview);
#define _cleanup_preview_ __attribute__((cleanup(preview_release)))

#endif

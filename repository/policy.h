/*
 * What to publish of an image, and how: the options of `convert` that a recipe may set, too.
 *
 * policy_set() takes a setting by its name and value as text (an option's without "--", a recipe's
 * with '_' for '-'), so that both places know the same words. A setting that was given on the
 * command line wins over the recipe's. policy_finish() checks what was set together.
 */
#ifndef REPOSITORY_POLICY_H
#define REPOSITORY_POLICY_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum chain_policy {
    CHAINS_TOP, /* the whole image's chain */
    CHAINS_ALL, /* one after each layer */
    CHAINS_NONE,
};

enum podman_policy {
    PODMAN_LAYERS, /* the image's layers, stacked by Podman */
    PODMAN_MERGED, /* one layer, which is the chain of the whole image */
    PODMAN_NONE,
};

/* All zero is the default. */
struct policy {
    enum chain_policy chains;
    enum podman_policy podman;
    bool skip_layers;
    bool skip_flat;             /* no flat image, and so no public name */
    bool drop_devices;          /* publish no character and block devices */
    bool fix_perms;             /* flat images: the owner may read every file and enter every
                                   directory */
    bool keep_xattrs;           /* publish extended attributes where that takes another revision */
    uint64_t chunk_above_bytes; /* files that CernVM-FS shall keep in chunks; 0: none */
    unsigned given;             /* which settings have been set: the first to set one wins */
};

/* ERROR_PARSE for an unknown word; ERROR_BUG for an unknown name. */
MUST_CHECK int policy_set(struct policy *policy, const char *name, const char *value,
                          struct error *err);
MUST_CHECK int policy_finish(struct policy *policy, struct error *err);

#endif

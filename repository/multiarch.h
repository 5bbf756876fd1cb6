/*
 * Names of images that are published for several architectures (layout.md): each architecture's
 * stands below .multiarch/ARCH[:VARIANT]/, and the public name is a link that CernVM-FS resolves
 * by the client's variable CVMFS_ARCH. In a plain directory, where nobody resolves variables, the
 * public name leads to one architecture's image.
 */
#ifndef REPOSITORY_MULTIARCH_H
#define REPOSITORY_MULTIARCH_H

#include "registry/manifest.h"

#include <stdbool.h>

#define MULTIARCH_FOLDER ".multiarch"

struct multiarch {
    char *directory; /* "amd64", "arm:v7"; NULL: the image is published for one platform */
    bool leads;      /* of the images of a name, the one that carries the public name, too */
};
void multiarch_release(struct multiarch *multiarch);

/* "ARCH[:VARIANT]", the variant left out where it is what the architecture means. Owned. */
char *multiarch_directory(const struct platform *platform);
/* ".multiarch/DIRECTORY/NAME". Owned. */
char *multiarch_name(const char *directory, const char *public_name);
/* Of ".multiarch/DIRECTORY/NAME" the part that is NAME; NULL if it is no such name. */
const char *multiarch_plain(const char *name);
/* The public name's link: "../../.multiarch/$(CVMFS_ARCH:-DIRECTORY)/NAME". Owned. */
char *multiarch_variant_link(const char *directory, const char *public_name);
/* Whether `shown` is such a link as CernVM-FS shows it: with a directory in the variable's place.
 */
bool multiarch_is_resolved(const char *link, const char *shown);
/* What `uname -m` calls an architecture if not by the directory's name; NULL: the same. */
const char *multiarch_alias(const char *directory);

#endif

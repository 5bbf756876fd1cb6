/*
 * Apptainer's files in a flat image (layout.md): what turns a root file system into something that
 * `apptainer exec`, `run`, `shell` and `test` understand. A pure function of the image's
 * configuration and its name: the same arguments give the same bytes.
 *
 * What the scripts do is said in layers/apptainer_scripts.h.
 *
 *     struct apptainer_files files = {0};
 *     apptainer_files(&config, "quay.io/a/b:1", &manifest_digest, &files);
 *     for each item: merge it over the image's tree
 *     apptainer_files_release(&files);
 */
#ifndef LAYERS_APPTAINER_H
#define LAYERS_APPTAINER_H

#include "base/digest.h"
#include "registry/manifest.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum apptainer_type {
    APPTAINER_DIR,
    APPTAINER_FILE,
    APPTAINER_SYMLINK,
};

struct apptainer_file {
    const char *path; /* relative to the image's root, clean */
    enum apptainer_type type;
    mode_t mode;   /* permission bits */
    char *content; /* APPTAINER_FILE: owned, NUL-terminated behind len */
    size_t len;
    const char *target; /* APPTAINER_SYMLINK */
    /* Leave out if the image has anything of that name, or if a directory above it is, in the
     * image, no directory (a symlink, say). Without it the file replaces what the image has; a
     * directory keeps the content of the image's. */
    bool only_if_missing;
};

struct apptainer_files {
    struct apptainer_file *items; /* ordered by path_compare: parents before children */
    size_t count;
};

/* `source_name` is the public name, REGISTRY/REPOSITORY:TAG; `manifest_digest` that of the image's
 * manifest. Both stand in labels.json. */
void apptainer_files(const struct image_config *config, const char *source_name,
                     const struct digest *manifest_digest, struct apptainer_files *out);
void apptainer_files_release(struct apptainer_files *files);

#endif

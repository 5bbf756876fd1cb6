/*
 * One image held against the repository: what the planner would publish of it, into a repository
 * that holds nothing, must be there, entry by entry, and nothing else within its trees.
 *
 * Trees are compared by type, mode, owner, time (seconds), size, link text and device number, and
 * if that is asked for by the hashes of files. Apptainer's files must be there; their text may be
 * another version's. Devices may have been left out (--devices drop), the owner may have been
 * given more rights (--fix-perms), and who was not root could not keep owners.
 *
 * A tree that several images share is looked at once: `seen` remembers it.
 */
#ifndef REPOSITORY_COMPARE_H
#define REPOSITORY_COMPARE_H

#include "base/string_list.h"
#include "repository/changeset.h"
#include "repository/finding.h"
#include "repository/repository.h"

struct compare {
    const struct repository *repository;
    bool content;       /* read and hash files, too */
    bool ignore_owners; /* the repository was filled by somebody who was not root */
    void *seen;         /* a search tree (tsearch) of owned paths */
    struct findings *findings;
    /* What has to be put right, if `collect`: paths outside units and small files in layers, and
     * units that are to be made anew. Sorted after compare_image(). */
    bool collect;
    struct string_list paths, units;
};

/* `name` is for the findings. `old` are layers in the old form, whose trees are left alone; sorted.
 */
MUST_CHECK int compare_image(struct compare *compare, const struct changeset *expected,
                             const char *name, const struct string_list *old, struct error *err);
/* Forget what was collected, and what was seen. */
void compare_release(struct compare *compare);

#endif

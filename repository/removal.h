/*
 * Taking public names away, and bringing them back.
 *
 * A name is gone for its users at once: its link, its documents and Podman's name of it. What is
 * needed to bring it back stays in the repository itself, so that it survives the loss of the state
 * directory:
 *
 *     .metadata/.removed/NAME/manifest.json, config.json, …   its documents
 *     .metadata/.removed/NAME/removed.json                    when, why, and where its link led
 *
 * As long as that folder is there the name's content is held (repository/mark.h). What
 * repository/sweep.h does when the grace period is over begins with the folder, so that a name that
 * can be restored has all its parts.
 *
 * Removing takes two revisions: the folder and Podman's lists by an ingest, then the names, which
 * hold colons, by a transaction. Restoring too, the other way round. After a crash between the two
 * the name is there and its folder is stale, which the next sweep takes away.
 *
 * Of an image for several architectures the names below .multiarch come and go with the public one.
 */
#ifndef REPOSITORY_REMOVAL_H
#define REPOSITORY_REMOVAL_H

#include "repository/repository.h"

#define REMOVED_FOLDER ".metadata/.removed"

struct mark;

struct removed_name {
    char *name; /* "REGISTRY/REPOSITORY:TAG", or ".multiarch/ARCH/…" */
    char *why;
    char *link; /* the text of its link; NULL: it had none */
    int64_t removed_at;
};
struct removed_names {
    struct removed_name *items;
    size_t count, capacity;
};
void removed_names_release(struct removed_names *names);
/* All that can be restored, by name. ERROR_PARSE for a removed.json that cannot be read. */
MUST_CHECK int removed_list(const struct repository *repository, struct removed_names *out,
                            struct error *err);

struct name_removal {
    const char *name; /* a public name */
    const char *why;  /* for people: "no list asks for it since …" */
};
struct removal_report {
    size_t names;      /* public names, of those asked for */
    size_t kept_whole; /* of these, names that can be restored */
    size_t revisions;
};
/* `mark` is of the repository as it is now; the lock is held. A name that is not there is
 * ERROR_NOT_FOUND, and nothing is done. */
MUST_CHECK int removal_take(struct repository *repository, const struct mark *mark,
                            const struct name_removal *removals, size_t count, int64_t now,
                            struct removal_report *out, struct error *err);

/* Bring removed names back. ERROR_NOT_FOUND if one was not removed, or parts of its content are
 * gone (then by name which), or if there is such a name again; nothing is done then. */
MUST_CHECK int removal_restore(struct repository *repository, const struct mark *mark,
                               const char *const *names, size_t count, struct removal_report *out,
                               struct error *err);

#endif

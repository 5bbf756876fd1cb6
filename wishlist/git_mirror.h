/*
 * The bare repository that a list's git repository is mirrored into (internal to git_fetch, which
 * is the only one to write to it). It keeps the branches that were asked for, each under
 * refs/ducc/HASH, so that no two names can stand in each other's way, and nothing else.
 */
#ifndef WISHLIST_GIT_MIRROR_H
#define WISHLIST_GIT_MIRROR_H

#include "wishlist/git_library.h"

#include <stdbool.h>

/* libgit2 wants a name for what it fetches; nothing is ever kept under it. */
#define GIT_MIRROR_INCOMING "refs/ducc/incoming"

/* Wait for whoever fetches into the mirror; `alive` is called meanwhile. Held until *out_fd is
 * closed. */
MUST_CHECK int git_mirror_lock(const char *path, void (*alive)(void *arg), void *arg, int *out_fd,
                               struct error *err);
/* Opened, or made: also in place of one that cannot be opened (it can be fetched again). */
MUST_CHECK int git_mirror_open(const char *path, git_repository **out, struct error *err);
/* Is the commit there, with all that it needs? Commits get their name last: git_mirror_keep(). */
bool git_mirror_has(git_repository *mirror, const git_oid *commit);
/* `branch` (NULL: the default one) is now `commit`. */
MUST_CHECK int git_mirror_keep(git_repository *mirror, const char *branch, const git_oid *commit,
                               struct error *err);
/* Each fetch brings a pack: many become one, without what no branch needs. */
MUST_CHECK int git_mirror_tidy(git_repository *mirror, void (*alive)(void *arg), void *arg,
                               struct error *err);

#endif

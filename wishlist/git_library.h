/* libgit2 as all of us use it: started once, and deaf to the configuration files of the machine and
 * of the user (a `url.insteadOf` there must not lead elsewhere than the list's URL says). */
#ifndef WISHLIST_GIT_LIBRARY_H
#define WISHLIST_GIT_LIBRARY_H

#include "base/error.h"

#include <git2.h>

void git_library_start(void);
/* Set *err from what libgit2 said last; -1. `what` begins the message. */
int git_library_error(struct error *err, enum error_kind kind, const char *what);

#define GIT_CLEANUP(type, name)                                                                    \
    static inline void cleanup_git_##name(type **p)                                                \
    {                                                                                              \
        git_##name##_free(*p);                                                                     \
    }
GIT_CLEANUP(git_repository, repository)
GIT_CLEANUP(git_commit, commit)
GIT_CLEANUP(git_tree, tree)
GIT_CLEANUP(git_blob, blob)
GIT_CLEANUP(git_object, object)
GIT_CLEANUP(git_odb, odb)
GIT_CLEANUP(git_remote, remote)
GIT_CLEANUP(git_reference, reference)
GIT_CLEANUP(git_revwalk, revwalk)
GIT_CLEANUP(git_packbuilder, packbuilder)
#define _cleanup_git_(name) __attribute__((cleanup(cleanup_git_##name)))

#endif

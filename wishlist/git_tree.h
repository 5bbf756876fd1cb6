/*
 * A file of one commit of a local git repository, read without a work tree. What others committed
 * is untrusted: objects are looked at for their size before they are read, and a path leads through
 * folders to a plain file, never through a symlink or into a submodule.
 */
#ifndef WISHLIST_GIT_TREE_H
#define WISHLIST_GIT_TREE_H

#include "base/buf.h"
#include "base/error.h"

/* `commit` is what git calls a revision: 40 hex digits, a branch. Appended to *out.
 * ERROR_NOT_FOUND: no such repository, commit or path; ERROR_LIMIT above max_bytes;
 * ERROR_UNSUPPORTED for what is no plain file. */
MUST_CHECK int git_tree_read(const char *repository, const char *commit, const char *path,
                             size_t max_bytes, struct buf *out, struct error *err);

/* Where a file of a work tree stands in git. Strings are owned: git_place_release(). */
struct git_place {
    char *repository; /* for git_tree_read() */
    char *path;       /* below the work tree's root */
    char *commit;     /* see below */
};
/* `file` need not be committed. `revision` is as git writes them ("origin/main", a commit); the
 * place's commit is where what is checked out left it (the merge base), so that what others merged
 * since does not count as removed here. Without a common history (a shallow clone), it is the
 * revision itself. ERROR_NOT_FOUND: no repository, no such revision. */
MUST_CHECK int git_place_of(const char *file, const char *revision, struct git_place *out,
                            struct error *err);
void git_place_release(struct git_place *place);
#define _cleanup_git_place_ __attribute__((cleanup(git_place_release)))

#endif

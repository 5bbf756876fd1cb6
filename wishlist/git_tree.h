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

#endif

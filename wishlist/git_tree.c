#include "wishlist/git_tree.h"

#include "base/limits.h"
#include "base/memory.h"
#include "wishlist/git_library.h"

#include <string.h>

/* While a path is followed. */
struct finder {
    git_repository *repository;
    git_odb *odb;
    const char *path;
    struct error *err;
};

/* ERROR_LIMIT for an object that is too large to be read. */
static int check_size(const struct finder *f, const git_oid *id, size_t max_bytes)
{
    size_t size;
    git_object_t type;
    if (git_odb_read_header(&size, &type, f->odb, id) < 0)
        return git_library_error(f->err, ERROR_CORRUPT, f->path);
    if (size > max_bytes)
        return error_set(f->err, ERROR_LIMIT, "%s: larger than the %zu bytes that are accepted",
                         f->path, max_bytes);
    return 0;
}

static int wrong_kind(const struct finder *f, const git_tree_entry *entry, bool last)
{
    git_filemode_t mode = git_tree_entry_filemode(entry);
    const char *is = mode == GIT_FILEMODE_LINK     ? "a symlink"
                     : mode == GIT_FILEMODE_COMMIT ? "a submodule"
                     : mode == GIT_FILEMODE_TREE   ? "a folder"
                                                   : "a file";
    return error_set(f->err, ERROR_UNSUPPORTED, "%s: \"%.200s\" is %s, expected a %s", f->path,
                     git_tree_entry_name(entry), is, last ? "plain file" : "folder");
}

static bool is_file(const git_tree_entry *entry)
{
    git_filemode_t mode = git_tree_entry_filemode(entry);
    return mode == GIT_FILEMODE_BLOB || mode == GIT_FILEMODE_BLOB_EXECUTABLE;
}

/* One part of the path, from the folder *at; *at is then what it names. */
static int step(const struct finder *f, git_oid *at, const char *name, bool last)
{
    _cleanup_git_(tree) git_tree *tree = NULL;
    if (check_size(f, at, LIMIT_SOURCE_TREE_BYTES) < 0)
        return -1;
    if (git_tree_lookup(&tree, f->repository, at) < 0)
        return git_library_error(f->err, ERROR_CORRUPT, f->path);
    const git_tree_entry *entry = git_tree_entry_byname(tree, name);
    if (!entry)
        return error_set(f->err, ERROR_NOT_FOUND, "%s: there is no such file in this commit",
                         f->path);
    if (last ? !is_file(entry) : git_tree_entry_filemode(entry) != GIT_FILEMODE_TREE)
        return wrong_kind(f, entry, last);
    git_oid_cpy(at, git_tree_entry_id(entry));
    return 0;
}

static int follow(const struct finder *f, git_oid *at)
{
    _cleanup_free_ char *path = xstrdup(f->path);
    for (char *part = path; part;) {
        char *slash = strchr(part, '/');
        if (slash)
            *slash = '\0';
        if (step(f, at, part, !slash) < 0)
            return -1;
        part = slash ? slash + 1 : NULL;
    }
    return 0;
}

static int root_of(git_repository *repository, const char *commit, git_oid *out, struct error *err)
{
    _cleanup_git_(object) git_object *found = NULL, *tree = NULL;
    _cleanup_free_ char *q = quoted(commit);
    if (git_revparse_single(&found, repository, commit) < 0)
        return error_set(err, ERROR_NOT_FOUND, "there is no commit %s in the repository", q);
    if (git_object_peel(&tree, found, GIT_OBJECT_TREE) < 0)
        return error_set(err, ERROR_NOT_FOUND, "%s is no commit", q);
    git_oid_cpy(out, git_object_id(tree));
    return 0;
}

int git_tree_read(const char *repository, const char *commit, const char *path, size_t max_bytes,
                  struct buf *out, struct error *err)
{
    _cleanup_git_(repository) git_repository *opened = NULL;
    _cleanup_git_(odb) git_odb *odb = NULL;
    _cleanup_git_(blob) git_blob *blob = NULL;
    git_oid at;
    git_library_start();
    if (git_repository_open(&opened, repository) < 0 || git_repository_odb(&odb, opened) < 0)
        return git_library_error(err, ERROR_NOT_FOUND, repository);
    struct finder f = {opened, odb, path, err};
    if (root_of(opened, commit, &at, err) < 0 || follow(&f, &at) < 0 ||
        check_size(&f, &at, max_bytes) < 0)
        return -1;
    if (git_blob_lookup(&blob, opened, &at) < 0)
        return git_library_error(err, ERROR_CORRUPT, path);
    buf_add(out, git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob));
    return 0;
}

#include "wishlist/git_tree.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "wishlist/folder.h"
#include "wishlist/git_library.h"

#include <errno.h>
#include <limits.h>
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

/* ---- work trees ---- */

static int find_repository(const char *folder, git_repository **out, struct error *err)
{
    git_buf found = {0};
    int rc = git_repository_discover(&found, folder, 0, NULL);
    if (rc == 0)
        rc = git_repository_open(out, found.ptr);
    git_buf_dispose(&found);
    return rc < 0 ? git_library_error(err, ERROR_NOT_FOUND, folder) : 0;
}

static int find_commit(git_repository *repository, const char *revision, char **out,
                       struct error *err)
{
    _cleanup_git_(object) git_object *found = NULL, *commit = NULL;
    _cleanup_git_(commit) git_commit *there = NULL;
    git_oid head, base;
    _cleanup_free_ char *q = quoted(revision);
    if (git_revparse_single(&found, repository, revision) < 0 ||
        git_object_peel(&commit, found, GIT_OBJECT_COMMIT) < 0)
        return error_set(
            err, ERROR_NOT_FOUND,
            "%s is no revision of the repository; in a CI job, fetch the target branch "
            "with its history first (docs/lint.md)",
            q);
    git_oid_cpy(&base, git_object_id(commit));
    /* The base of a shallow history may be known by name only. */
    if (git_reference_name_to_id(&head, repository, "HEAD") < 0 ||
        git_merge_base(&base, repository, &head, git_object_id(commit)) < 0 ||
        git_commit_lookup(&there, repository, &base) < 0)
        git_oid_cpy(&base, git_object_id(commit));
    *out = xcalloc(GIT_OID_HEXSZ + 1, 1);
    git_oid_tostr(*out, GIT_OID_HEXSZ + 1, &base);
    return 0;
}

int git_place_of(const char *file, const char *revision, struct git_place *out, struct error *err)
{
    _cleanup_git_(repository) git_repository *repository = NULL;
    _cleanup_git_place_ struct git_place place = {0};
    _cleanup_free_ char *folder = folder_of(file);
    char real[PATH_MAX];
    git_library_start();
    if (!realpath(folder, real))
        return error_set_errno(err, ERROR_NOT_FOUND, errno, "%s", folder);
    if (find_repository(real, &repository, err) < 0)
        return -1;
    const char *root = git_repository_workdir(repository);
    _cleanup_free_ char *full = path_join(real, path_name(file));
    size_t len = root ? strlen(root) : 0;
    if (!root || strncmp(full, root, len) != 0)
        return error_set(err, ERROR_NOT_FOUND, "%s is in no work tree of a git repository", file);
    place.repository = xstrdup(git_repository_path(repository));
    place.path = xstrdup(full + len + strspn(full + len, "/"));
    if (find_commit(repository, revision, &place.commit, err) < 0)
        return -1;
    *out = place;
    place = (struct git_place){0};
    return 0;
}

void git_place_release(struct git_place *place)
{
    free(place->repository);
    free(place->path);
    free(place->commit);
    *place = (struct git_place){0};
}

#include "repository/repository.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"
#include "wishlist/repository.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Where CernVM-FS mounts repositories; tests set another place. */
static const char *cvmfs_mount(void)
{
    const char *dir = getenv("DUCC_CVMFS_MOUNT");
    return dir && *dir ? dir : "/cvmfs";
}

int repository_open(const char *name, struct repository **out, struct error *err)
{
    if (repository_check(name, err) < 0)
        return -1;
    bool directory = repository_is_directory(name);
    struct repository *r = xcalloc(1, sizeof *r);
    r->name = xstrdup(name);
    r->root = directory ? xstrdup(name) : path_join(cvmfs_mount(), name);
    r->view = directory ? xstrdup(name) : xasprintf("%s/%s/rdonly", cvmfs_spool_root(), name);
    r->backend = directory ? &directory_backend : &cvmfs_backend;
    *out = r;
    return 0;
}

void repository_free(struct repository *r)
{
    if (!r)
        return;
    if (r->backend->free)
        r->backend->free(r);
    free(r->name);
    free(r->root);
    free(r->view);
    free(r);
}

int repository_begin(struct repository *r, const char *journal, struct error *err)
{
    if (r->backend->begin(r, journal, err) < 0)
        return error_wrap(err, "%s %s", r->backend->noun, r->name);
    return 0;
}

int repository_commit(struct repository *r, const struct changeset *cs,
                      const struct commit_options *options, struct commit_report *out,
                      struct error *err)
{
    *out = (struct commit_report){.revisions = 1};
    double start = clock_monotonic();
    if (r->backend->commit(r, cs, options, out, err) < 0)
        return error_wrap(err, "%s %s", r->backend->noun, r->name);
    out->seconds = clock_monotonic() - start;
    return 0;
}

int repository_remove(struct repository *r, const char *const *paths, size_t count,
                      struct error *err)
{
    if (r->backend->remove(r, paths, count, err) < 0)
        return error_wrap(err, "%s %s", r->backend->noun, r->name);
    return 0;
}

int remove_files(int root, const char *const *paths, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        _cleanup_free_ char *parent = path_parent(paths[i]);
        struct stat st;
        if (fstatat(root, parent, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            (unlinkat(root, paths[i], 0) < 0 && errno != ENOENT) ||
            utimensat(root, parent, (struct timespec[2]){st.st_atim, st.st_mtim},
                      AT_SYMLINK_NOFOLLOW) < 0) {
            int saved = errno;
            _cleanup_free_ char *q = quoted(paths[i]);
            return error_set_errno(err, ERROR_IO, saved, "cannot remove %s", q);
        }
    }
    return 0;
}

char *repository_path(const struct repository *r, const char *path)
{
    return path_join(r->root, path);
}

static int type_below(const char *root, const char *path, mode_t *out, struct error *err)
{
    _cleanup_free_ char *full = path_join(root, path);
    struct stat st;
    if (lstat(full, &st) == 0)
        *out = st.st_mode & S_IFMT;
    else if (errno == ENOENT || errno == ENOTDIR)
        *out = 0;
    else
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot look at it", full);
    return 0;
}

int repository_type(const struct repository *r, const char *path, mode_t *out, struct error *err)
{
    return type_below(r->root, path, out, err);
}

int repository_layer_type(const struct repository *r, const char *path, mode_t *out,
                          struct error *err)
{
    return type_below(r->view, path, out, err);
}

int repository_read(const struct repository *r, const char *path, size_t max, struct buf *out,
                    struct error *err)
{
    _cleanup_free_ char *full = repository_path(r, path);
    return file_read(full, max, out, err);
}

int repository_readlink(const struct repository *r, const char *path, struct buf *out,
                        struct error *err)
{
    _cleanup_free_ char *full = repository_path(r, path);
    char text[PATH_MAX];
    ssize_t len = readlink(full, text, sizeof text);
    if (len >= 0)
        buf_add(out, text, (size_t)len);
    else if (errno != ENOENT && errno != ENOTDIR && errno != EINVAL)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot look at it", full);
    return 0;
}

uint64_t repository_revision(const struct repository *repository)
{
    char text[32];
    ssize_t len = getxattr(repository->view, "user.revision", text, sizeof text - 1);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    return strtoull(text, NULL, 10);
}

#include "repository/repository.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"
#include "repository/change_note.h"
#include "repository/multiarch.h"
#include "wishlist/repository.h"

#include <dirent.h>
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
    readers_init(&r->readers);
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
    free(r->counter);
    free(r->note);
    free(r->cut_off);
    readers_release(&r->readers);
    free(r);
}

void repository_join_readers(struct repository *r, const char *journal)
{
    if (r->backend == &cvmfs_backend)
        readers_join(&r->readers, journal, false);
}

int repository_begin(struct repository *r, const char *journal, struct error *err)
{
    free(r->counter);
    free(r->note);
    r->counter = xasprintf("%s.count", journal);
    r->note = xasprintf("%s.change", journal);
    if (r->backend == &cvmfs_backend)
        readers_join(&r->readers, journal, true);
    r->aborted = false;
    if (r->backend->begin(r, journal, err) < 0)
        return error_wrap(err, "%s %s", r->backend->noun, r->name);
    free(r->cut_off);
    r->cut_off = change_note_find(r->note, repository_revision(r), r->aborted);
    return 0;
}

/* ---- changes ---- */

int repository_changes(const struct repository *r, uint64_t *out, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    *out = 0;
    if (file_read(r->counter, 64, &text, err) == 0)
        *out = strtoull(text.data, NULL, 10);
    else if (err->kind == ERROR_NOT_FOUND)
        error_release(err);
    else
        return -1;
    return 0;
}

/* Before the change: one that is counted and fails does no harm. */
static int begin_change(struct repository *r, const char *what, struct error *err)
{
    uint64_t changes;
    if (repository_changes(r, &changes, err) < 0)
        return -1;
    _cleanup_free_ char *text = xasprintf("%llu\n", (unsigned long long)changes + 1);
    if (file_write(r->counter, text, strlen(text), 0644, err) < 0)
        return -1;
    return change_note_begin(r->note, what, repository_revision(r), err);
}

static int end_change(struct repository *r, int result, struct error *err)
{
    change_note_end(r->note);
    return result < 0 ? error_wrap(err, "%s %s", r->backend->noun, r->name) : 0;
}

/* "taking away .layers/ab/… and 6 others" */
static char *removal_text(const char *const *paths, size_t count)
{
    const char *first = count ? paths[0] : "nothing";
    return count < 2 ? xasprintf("taking away %s", first)
                     : xasprintf("taking away %s and %zu others", first, count - 1);
}

int repository_commit(struct repository *r, const struct changeset *cs,
                      const struct commit_options *options, struct commit_report *out,
                      struct error *err)
{
    *out = (struct commit_report){.revisions = 1};
    double start = clock_monotonic();
    if (begin_change(r, options->what ? options->what : "changing it", err) < 0)
        return error_wrap(err, "%s %s", r->backend->noun, r->name);
    if (end_change(r, r->backend->commit(r, cs, options, out, err), err) < 0)
        return -1;
    out->seconds = clock_monotonic() - start;
    return 0;
}

struct removal {
    const char *const *paths;
    size_t count;
};

static int remove_in_place(struct repository *r, repository_work *work, struct removal *removal,
                           struct error *err)
{
    _cleanup_free_ char *what = removal_text(removal->paths, removal->count);
    if (begin_change(r, what, err) < 0)
        return error_wrap(err, "%s %s", r->backend->noun, r->name);
    return end_change(r, r->backend->in_place(r, work, removal, err), err);
}

int repository_delete(struct repository *r, const char *const *paths, size_t count,
                      struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if (strchr(paths[i], ':') || !path_is_clean(paths[i]))
            return error_set(err, ERROR_BUG, "not to be deleted as a tree: %s", paths[i]);
    _cleanup_free_ char *what = removal_text(paths, count);
    if (begin_change(r, what, err) < 0)
        return error_wrap(err, "%s %s", r->backend->noun, r->name);
    return end_change(r, r->backend->delete_trees(r, paths, count, err), err);
}

static int cannot_remove(const char *path, struct error *err)
{
    int saved = errno;
    _cleanup_free_ char *q = quoted(path);
    return error_set_errno(err, ERROR_IO, saved, "cannot remove %s", q);
}

static int remove_files(int root, void *arg, struct error *err)
{
    const struct removal *x = arg;
    for (size_t i = 0; i < x->count; i++) {
        _cleanup_free_ char *parent = path_parent(x->paths[i]);
        struct stat st;
        if (fstatat(root, parent, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            (unlinkat(root, x->paths[i], 0) < 0 && errno != ENOENT) ||
            utimensat(root, parent, (struct timespec[2]){st.st_atim, st.st_mtim},
                      AT_SYMLINK_NOFOLLOW) < 0)
            return cannot_remove(x->paths[i], err);
    }
    return 0;
}

int repository_remove(struct repository *r, const char *const *paths, size_t count,
                      struct error *err)
{
    return remove_in_place(r, remove_files, &(struct removal){paths, count}, err);
}

/* Whether a directory holds nothing but, perhaps, the mark of a catalog. */
static bool is_bare(int root, const char *path)
{
    int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    bool bare = dir != NULL;
    if (!dir && fd >= 0)
        close(fd);
    for (struct dirent *e; dir && (e = readdir(dir));)
        bare &= strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
                strcmp(e->d_name, ".cvmfscatalog") == 0;
    if (dir)
        closedir(dir);
    return bare;
}

/* Of ours at the top only .multiarch comes and goes with the names in it. */
static bool is_ours_to_keep(const char *path)
{
    return *path == '\0' ||
           (*path == '.' && !strchr(path, '/') && strcmp(path, MULTIARCH_FOLDER) != 0);
}

static int remove_bare_parents(int root, const char *path, struct error *err)
{
    _cleanup_free_ char *dir = path_parent(path);
    while (!is_ours_to_keep(dir) && is_bare(root, dir)) {
        if (tree_remove_at(root, dir, err) < 0)
            return -1;
        char *next = path_parent(dir);
        free(dir);
        dir = next;
    }
    return 0;
}

static int remove_names(int root, void *arg, struct error *err)
{
    const struct removal *x = arg;
    for (size_t i = 0; i < x->count; i++) {
        if (!path_is_clean(x->paths[i]))
            return error_set(err, ERROR_BUG, "not to be removed: %s", x->paths[i]);
        if (tree_remove_at(root, x->paths[i], err) < 0 ||
            remove_bare_parents(root, x->paths[i], err) < 0)
            return -1;
    }
    return 0;
}

int repository_remove_names(struct repository *r, const char *const *paths, size_t count,
                            struct error *err)
{
    return remove_in_place(r, remove_names, &(struct removal){paths, count}, err);
}

int repository_collect(struct repository *r, struct error *err)
{
    if (!r->backend->collect)
        return error_set(err, ERROR_UNSUPPORTED, "%s %s: has no garbage of its own to collect",
                         r->backend->noun, r->name);
    if (r->backend->collect(r, err) < 0)
        return error_wrap(err, "%s %s", r->backend->noun, r->name);
    return 0;
}

/* ---- looking ---- */

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
    repository_reading_begin(r);
    int result = type_below(r->root, path, out, err);
    repository_reading_end(r);
    return result;
}

int repository_layer_type(const struct repository *r, const char *path, mode_t *out,
                          struct error *err)
{
    repository_reading_begin(r);
    int result = type_below(r->view, path, out, err);
    repository_reading_end(r);
    return result;
}

int repository_read(const struct repository *r, const char *path, size_t max, struct buf *out,
                    struct error *err)
{
    _cleanup_free_ char *full = repository_path(r, path);
    repository_reading_begin(r);
    int result = file_read(full, max, out, err);
    repository_reading_end(r);
    return result;
}

int repository_readlink(const struct repository *r, const char *path, struct buf *out,
                        struct error *err)
{
    _cleanup_free_ char *full = repository_path(r, path);
    char text[PATH_MAX];
    repository_reading_begin(r);
    ssize_t len = readlink(full, text, sizeof text);
    repository_reading_end(r);
    if (len >= 0)
        buf_add(out, text, (size_t)len);
    else if (errno != ENOENT && errno != ENOTDIR && errno != EINVAL)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot look at it", full);
    return 0;
}

/* ---- readers and commits ---- */

static struct readers *readers_of(const struct repository *r)
{
    return &((struct repository *)(uintptr_t)r)->readers;
}

void repository_reading_begin(const struct repository *r)
{
    readers_begin(readers_of(r));
}

void repository_reading_end(const struct repository *r)
{
    int saved = errno; /* of what was read */
    readers_end(readers_of(r));
    errno = saved;
}

int repository_lstat(const struct repository *r, const char *full, struct stat *out)
{
    repository_reading_begin(r);
    int result = lstat(full, out);
    repository_reading_end(r);
    return result;
}

void repository_exclude_readers(struct repository *r)
{
    readers_exclude(&r->readers);
}

void repository_admit_readers(struct repository *r)
{
    readers_admit(&r->readers);
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

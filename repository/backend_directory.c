/*
 * The directory back end: the published layout in a plain folder.
 *
 * A unit is built in ROOT/.ducc-staging/ and renamed into place when it is complete, so a layer, a
 * chain or a flat image is there as a whole or not at all; small files and symlinks are written
 * beside and renamed over. The changeset's order (layers, chains, flat images, metadata, names)
 * leaves every public name valid at every instant. Everything staged is on disk (syncfs) before
 * the first rename. A killed run leaves at most the staging folder, which the next run removes, and
 * whole units that no name points to yet, which the next run finds and uses.
 *
 * Links are hard links; where the file system allows no more of them, the file is copied.
 */
#include "repository/repository.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define STAGING   ".ducc-staging"
#define COPY_SIZE ((size_t)1 << 20)

/* A directory whose attributes are set once everything below it is made. */
struct open_directory {
    char *path; /* where it is being made */
    uint32_t mode, uid, gid;
    struct timespec mtime;
};

struct move {
    char *from, *to; /* relative to the root */
    bool keep_time;  /* of the directory it goes into: that is an image's */
};

struct applier {
    int root;         /* descriptor of the repository's root */
    const char *unit; /* root path of the unit under way, NULL outside */
    unsigned unit_number, file_number;
    struct move *moves; /* carried out in order, at the end */
    size_t move_count, move_capacity;
    struct open_directory *dirs;
    size_t dir_count, dir_capacity;
    char *buffer;
    struct commit_report *report;
    bool privileged;
};

static int fail(const char *what, const char *path, struct error *err)
{
    int saved = errno;
    _cleanup_free_ char *q = quoted(path);
    return error_set_errno(err, ERROR_IO, saved, "%s %s", what, q);
}

/* Where a path of the changeset is being made: staged, if it lies in the unit under way. */
static char *place_of(const struct applier *a, const char *path)
{
    if (!a->unit)
        return xstrdup(path);
    return xasprintf("%s/%u%s", STAGING, a->unit_number, path + strlen(a->unit));
}

/* Where a link's target is now: in the repository, or in a unit that is still staged. */
static char *find_target(const struct applier *a, const char *target)
{
    for (size_t i = a->move_count; i-- > 0;) {
        size_t len = strlen(a->moves[i].to);
        if (strncmp(target, a->moves[i].to, len) == 0 && (!target[len] || target[len] == '/'))
            return xasprintf("%s%s", a->moves[i].from, target + len);
    }
    if (a->unit && starts_with(target, a->unit))
        return place_of(a, target);
    return xstrdup(target);
}

/* ---- attributes ---- */

static int set_owner(struct applier *a, const char *place, uint32_t uid, uint32_t gid,
                     struct error *err)
{
    if (!a->privileged) {
        a->report->owners_left_out |= uid != geteuid() || gid != getegid();
        return 0;
    }
    if (fchownat(a->root, place, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail("cannot set the owner of", place, err);
    return 0;
}

static int set_mode(struct applier *a, const char *place, uint32_t mode, struct error *err)
{
    /* After the owner: chown takes the set-id bits away. */
    return fchmodat(a->root, place, mode, 0) < 0 ? fail("cannot set the mode of", place, err) : 0;
}

static int set_time(struct applier *a, const char *place, struct timespec mtime, struct error *err)
{
    struct timespec times[2] = {mtime, mtime};
    if (utimensat(a->root, place, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail("cannot set the time of", place, err);
    return 0;
}

static int set_xattrs(struct applier *a, const char *place, const struct change *c,
                      struct error *err)
{
    const char *p = c->xattrs, *end = p + c->xattrs_len;
    bool left_out = false;
    char link[64];
    _cleanup_close_ int fd =
        c->xattrs_len ? openat(a->root, place, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    while (p < end) {
        const char *name = p;
        uint32_t len;
        p += strlen(p) + 1;
        memcpy(&len, p, sizeof len);
        p += sizeof len;
        if (c->type == CHANGE_SYMLINK || setxattr(link, name, p, len, 0) < 0) {
            if (errno == ENOSPC)
                return fail("cannot set an extended attribute of", place, err);
            left_out = true; /* not kept by this file system, or not for us to set */
        }
        p += len;
    }
    a->report->xattrs_left_out += left_out;
    return 0;
}

static struct timespec mtime_of(const struct change *c)
{
    return (struct timespec){.tv_sec = c->mtime, .tv_nsec = c->mtime_nsec};
}

static int set_attributes(struct applier *a, const char *place, const struct change *c,
                          struct error *err)
{
    if (set_owner(a, place, c->uid, c->gid, err) < 0 ||
        (c->type != CHANGE_SYMLINK && set_mode(a, place, c->mode, err) < 0) ||
        set_xattrs(a, place, c, err) < 0)
        return -1;
    return set_time(a, place, mtime_of(c), err);
}

/* ---- making ---- */

static int make_directory(struct applier *a, const char *place, const struct change *c,
                          struct error *err)
{
    if (mkdirat(a->root, place, 0700) < 0 && errno != EEXIST)
        return fail("cannot make directory", place, err);
    if (set_xattrs(a, place, c, err) < 0)
        return -1;
    ARRAY_GROW(a->dirs, a->dir_count, a->dir_capacity);
    a->dirs[a->dir_count++] = (struct open_directory){.path = xstrdup(place),
                                                      .mode = c->mode,
                                                      .uid = c->uid,
                                                      .gid = c->gid,
                                                      .mtime = mtime_of(c)};
    return 0;
}

/* Deepest first: setting the time of a directory must come after the last change in it. */
static int finish_directories(struct applier *a, struct error *err)
{
    int result = 0;
    while (a->dir_count > 0) {
        struct open_directory *d = &a->dirs[--a->dir_count];
        if (result == 0 &&
            (set_owner(a, d->path, d->uid, d->gid, err) < 0 ||
             set_mode(a, d->path, d->mode, err) < 0 || set_time(a, d->path, d->mtime, err) < 0))
            result = -1;
        free(d->path);
    }
    return result;
}

static int copy_content(struct applier *a, int fd, const struct change *c, struct error *err)
{
    if (c->bytes)
        return file_write_all(fd, c->bytes, c->size) < 0 ? fail("cannot write", c->path, err) : 0;
    for (uint64_t done = 0; done < c->size;) {
        uint64_t left = c->size - done;
        size_t n = left < COPY_SIZE ? (size_t)left : COPY_SIZE;
        if (file_pread_all(c->fd, a->buffer, n, (off_t)(c->offset + done)) < 0)
            return fail("cannot read from the spool the content of", c->path, err);
        if (file_write_all(fd, a->buffer, n) < 0)
            return fail("cannot write", c->path, err);
        done += n;
    }
    a->report->stream_bytes += c->size;
    return 0;
}

static int make_file(struct applier *a, const char *place, const struct change *c,
                     struct error *err)
{
    _cleanup_close_ int fd =
        openat(a->root, place, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail("cannot create", place, err);
    return copy_content(a, fd, c, err);
}

static int copy_file(struct applier *a, const char *from, const char *to, const struct stat *st,
                     struct error *err)
{
    _cleanup_close_ int fd = openat(a->root, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail("cannot open", from, err);
    struct change c = {.type = CHANGE_FILE,
                       .path = to,
                       .mode = st->st_mode & 07777,
                       .uid = st->st_uid,
                       .gid = st->st_gid,
                       .mtime = st->st_mtim.tv_sec,
                       .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
                       .size = (uint64_t)st->st_size,
                       .fd = fd};
    if (make_file(a, to, &c, err) < 0)
        return -1;
    return set_attributes(a, to, &c, err);
}

static int make_link(struct applier *a, const char *place, const struct change *c,
                     struct error *err)
{
    _cleanup_free_ char *target = find_target(a, c->target);
    if (linkat(a->root, target, a->root, place, 0) == 0)
        return 0;
    struct stat st;
    if (errno == EMLINK && fstatat(a->root, target, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return copy_file(a, target, place, &st, err);
    return fail("cannot link to", target, err);
}

static int make_device(struct applier *a, const char *place, const struct change *c,
                       struct error *err)
{
    static const mode_t types[] = {
        [CHANGE_CHAR] = S_IFCHR, [CHANGE_BLOCK] = S_IFBLK, [CHANGE_FIFO] = S_IFIFO};
    if (mknodat(a->root, place, types[c->type] | 0600, makedev(c->major, c->minor)) == 0)
        return 0;
    if (errno == EPERM && !a->privileged) {
        a->report->owners_left_out = true;
        return 1; /* left out, and said so */
    }
    return fail("cannot make device", place, err);
}

static int make(struct applier *a, const char *place, const struct change *c, struct error *err)
{
    int result = 0;
    switch (c->type) {
    case CHANGE_DIRECTORY:
        return make_directory(a, place, c, err);
    case CHANGE_LINK:
        return make_link(a, place, c, err);
    case CHANGE_FILE:
        result = make_file(a, place, c, err);
        break;
    case CHANGE_SYMLINK:
        if (symlinkat(c->target, a->root, place) < 0)
            result = fail("cannot make symlink", place, err);
        break;
    case CHANGE_CHAR:
    case CHANGE_BLOCK:
    case CHANGE_FIFO:
        result = make_device(a, place, c, err);
        break;
    }
    return result == 0 ? set_attributes(a, place, c, err) : result > 0 ? 0 : -1;
}

static void plan_move(struct applier *a, char *from, const char *to, bool keep_time)
{
    ARRAY_GROW(a->moves, a->move_count, a->move_capacity);
    a->moves[a->move_count++] = (struct move){from, xstrdup(to), keep_time};
}

static int apply_change(void *arg, const struct change *c, struct error *err)
{
    struct applier *a = arg;
    if (a->unit) {
        _cleanup_free_ char *place = place_of(a, c->path);
        return make(a, place, c, err);
    }
    /* A directory between units is made at once: it is empty, and units are renamed into it. Its
     * attributes are those it is made with. */
    if (c->type == CHANGE_DIRECTORY) {
        if (mkdirat(a->root, c->path, c->mode) < 0 && errno != EEXIST)
            return fail("cannot make directory", c->path, err);
        return 0;
    }
    char *place = xasprintf("%s/f%u", STAGING, a->file_number++);
    bool marker = strcmp(path_name(c->path), ".cvmfscatalog") == 0;
    plan_move(a, place, c->path, marker || c->type == CHANGE_CHAR);
    return make(a, place, c, err);
}

static int begin_unit(void *arg, const char *root, struct error *err)
{
    struct applier *a = arg;
    (void)err;
    a->unit = root;
    a->unit_number++;
    return 0;
}

static int end_unit(void *arg, const char *root, struct error *err)
{
    struct applier *a = arg;
    if (finish_directories(a, err) < 0)
        return -1;
    plan_move(a, xasprintf("%s/%u", STAGING, a->unit_number), root, false);
    a->unit = NULL;
    return 0;
}

/* ---- the commit ---- */

static int carry_out_move(struct applier *a, const struct move *m)
{
    _cleanup_free_ char *parent = path_parent(m->to);
    struct stat st;
    if (m->keep_time && fstatat(a->root, parent, &st, 0) < 0)
        return -1;
    if (renameat(a->root, m->from, a->root, m->to) < 0)
        return -1;
    struct timespec times[2] = {st.st_atim, st.st_mtim};
    return m->keep_time ? utimensat(a->root, parent, times, 0) : 0;
}

static int carry_out_moves(struct applier *a, struct error *err)
{
    if (syncfs(a->root) < 0)
        return error_set_errno(err, ERROR_IO, errno, "cannot write to disk");
    for (size_t i = 0; i < a->move_count; i++)
        if (carry_out_move(a, &a->moves[i]) < 0)
            return fail("cannot move into place", a->moves[i].to, err);
    if (syncfs(a->root) < 0)
        return error_set_errno(err, ERROR_IO, errno, "cannot write to disk");
    return 0;
}

static void release(struct applier *a)
{
    for (size_t i = 0; i < a->move_count; i++) {
        free(a->moves[i].from);
        free(a->moves[i].to);
    }
    for (size_t i = 0; i < a->dir_count; i++)
        free(a->dirs[i].path);
    free(a->moves);
    free(a->dirs);
    free(a->buffer);
}

static int apply(struct applier *a, const struct changeset *cs, struct error *err)
{
    struct changeset_visitor v = {
        .change = apply_change, .begin_unit = begin_unit, .end_unit = end_unit, .arg = a};
    if (tree_remove_at(a->root, STAGING, err) < 0)
        return -1;
    if (mkdirat(a->root, STAGING, 0700) < 0)
        return fail("cannot make directory", STAGING, err);
    if (changeset_visit(cs, &v, err) < 0)
        return -1;
    return carry_out_moves(a, err);
}

static int directory_commit(struct repository *r, const struct changeset *cs,
                            const struct commit_options *options, struct commit_report *out,
                            struct error *err)
{
    (void)options; /* extended attributes are kept as they are */
    _cleanup_close_ int root = open(r->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set_errno(err, ERROR_IO, errno, "cannot open");
    struct applier a = {
        .root = root, .buffer = xmalloc(COPY_SIZE), .report = out, .privileged = geteuid() == 0};
    mode_t mask = umask(0); /* modes are the changeset's; other threads' files name theirs */
    int result = apply(&a, cs, err);
    umask(mask);
    release(&a);
    struct error ignored = ERROR_INIT;
    if (tree_remove_at(root, STAGING, &ignored) < 0) {
        log_debug("%s: %s", r->root, ignored.message); /* the next run removes it */
        error_release(&ignored);
    }
    return result;
}

static int directory_begin(struct repository *r, const char *journal, struct error *err)
{
    (void)journal; /* the staging folder says it all */
    if (dir_make(r->root, 0755, err) < 0)
        return -1;
    if (access(r->root, W_OK) < 0)
        return error_set_errno(err, ERROR_IO, errno, "cannot be written to");
    _cleanup_free_ char *staging = path_join(r->root, STAGING);
    return tree_remove(staging, err);
}

static int open_root(const struct repository *r, int *out, struct error *err)
{
    *out = open(r->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *out < 0 ? error_set_errno(err, ERROR_IO, errno, "cannot open") : 0;
}

static int directory_in_place(struct repository *r, repository_work *work, void *arg,
                              struct error *err)
{
    _cleanup_close_ int root = -1;
    return open_root(r, &root, err) < 0 ? -1 : work(root, arg, err);
}

/* Each is renamed out of the way first: nobody sees half of one, nor does the next run. */
static int directory_delete_trees(struct repository *r, const char *const *paths, size_t count,
                                  struct error *err)
{
    _cleanup_close_ int root = -1;
    if (open_root(r, &root, err) < 0 || tree_remove_at(root, STAGING, err) < 0)
        return -1;
    if (mkdirat(root, STAGING, 0700) < 0)
        return fail("cannot make directory", STAGING, err);
    for (size_t i = 0; i < count; i++) {
        _cleanup_free_ char *aside = xasprintf(STAGING "/%zu", i);
        if (renameat(root, paths[i], root, aside) < 0 && errno != ENOENT)
            return fail("cannot move aside", paths[i], err);
    }
    return tree_remove_at(root, STAGING, err);
}

const struct repository_backend directory_backend = {.noun = "directory",
                                                     .begin = directory_begin,
                                                     .commit = directory_commit,
                                                     .in_place = directory_in_place,
                                                     .delete_trees = directory_delete_trees};

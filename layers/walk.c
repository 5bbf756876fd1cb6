#include "layers/walk.h"

#include "base/buf.h"
#include "base/cancel.h"
#include "base/limits.h"
#include "base/memory.h"
#include "layers/layer_builder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

typedef int (*visit_fn)(void *arg, int dirfd, const char *name, const char *path,
                        const struct stat *st, struct error *err);

struct walk {
    struct buf path;
    visit_fn visit;
    void *arg;
};

static int fail(const char *path, struct error *err)
{
    int saved = errno;
    _cleanup_free_ char *q = quoted(path);
    return error_set_errno(err, ERROR_IO, saved, "cannot read %s", q);
}

static int walk_directory(struct walk *w, int fd, struct error *err);

static int walk_entry(struct walk *w, int dirfd, const char *name, struct error *err)
{
    struct stat st;
    if (cancel_check(err) < 0)
        return -1;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(w->path.data, err);
    if (w->visit(w->arg, dirfd, name, w->path.data, &st, err) < 0)
        return -1;
    if (!S_ISDIR(st.st_mode))
        return 0;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? fail(w->path.data, err) : walk_directory(w, fd, err);
}

/* Takes the descriptor over. */
static int walk_directory(struct walk *w, int fd, struct error *err)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return fail(w->path.data, err);
    }
    size_t len = w->path.len;
    int result = 0;
    for (struct dirent *e; result == 0 && (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        buf_addf(&w->path, "%s%s", len ? "/" : "", e->d_name);
        result =
            w->path.len > LIMIT_PATH_BYTES
                ? error_set(err, ERROR_LIMIT, "a path of more than %zu bytes", LIMIT_PATH_BYTES)
                : walk_entry(w, dirfd(dir), e->d_name, err);
        buf_truncate(&w->path, len);
    }
    closedir(dir);
    return result;
}

static int walk(const char *root, visit_fn visit, void *arg, struct error *err)
{
    struct walk w = {.path = BUF_INIT, .visit = visit, .arg = arg};
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result =
        fd < 0 ? error_set_errno(err, ERROR_IO, errno, "cannot open") : walk_directory(&w, fd, err);
    buf_release(&w.path);
    return result < 0 ? error_wrap(err, "%s", root) : 0;
}

/* ---- an index ---- */

struct indexer {
    struct layer_builder *builder;
    bool hash;
    uint64_t bytes; /* of the files so far: where the next one's would lie in the layer's data */
};

static int hash_file(int dirfd, const char *name, const char *path, struct content *out,
                     struct error *err)
{
    _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct digest digest;
    if (fd < 0)
        return fail(path, err);
    if (digest_of_fd(fd, path, &digest, err) < 0)
        return -1;
    memcpy(out->hash, digest.bytes, sizeof out->hash);
    return 0;
}

static int add_entry(void *arg, int dirfd, const char *name, const char *path,
                     const struct stat *st, struct error *err)
{
    char target[PATH_MAX] = "";
    struct content content = {.size = (uint64_t)st->st_size};
    struct tar_entry e = {.name = path,
                          .link = target,
                          .mode = st->st_mode & 07777,
                          .uid = st->st_uid,
                          .gid = st->st_gid,
                          .mtime = st->st_mtim.tv_sec,
                          .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
                          .size = (uint64_t)st->st_size,
                          .major = major(st->st_rdev),
                          .minor = minor(st->st_rdev)};
    if (S_ISSOCK(st->st_mode)) /* of whoever used the tree: no tar brings one */
        return 0;
    if (S_ISLNK(st->st_mode) && readlinkat(dirfd, name, target, sizeof target - 1) < 0)
        return fail(path, err);
    e.type = S_ISREG(st->st_mode)   ? TAR_FILE
             : S_ISDIR(st->st_mode) ? TAR_DIRECTORY
             : S_ISLNK(st->st_mode) ? TAR_SYMLINK
             : S_ISCHR(st->st_mode) ? TAR_CHAR
             : S_ISBLK(st->st_mode) ? TAR_BLOCK
                                    : TAR_FIFO;
    struct indexer *x = arg;
    if (x->hash && e.type == TAR_FILE && hash_file(dirfd, name, path, &content, err) < 0)
        return -1;
    content.offset = x->bytes;
    x->bytes += e.type == TAR_FILE ? content.size : 0;
    return layer_builder_add(x->builder, &e, &content, err);
}

/* The top directory's own attributes. */
static int add_root(struct indexer *x, const char *root, struct error *err)
{
    struct stat st;
    if (stat(root, &st) < 0)
        return fail(root, err);
    return add_entry(x, AT_FDCWD, root, ".", &st, err);
}

int layer_walk(const char *root, const struct layer_walk_options *o, struct layer *out,
               struct error *err)
{
    struct indexer x = {layer_builder_new(), o->hash, 0};
    struct layer_index_header header = {.compressed_size = o->compressed_size,
                                        .diff_size = o->diff_size,
                                        .diff_algorithm = digest_is_set(&o->diff_id)
                                                              ? (uint32_t)o->diff_id.algorithm
                                                              : DIGEST_SHA256};
    memcpy(header.diff_id, o->diff_id.bytes, sizeof header.diff_id);
    if (add_root(&x, root, err) < 0 || walk(root, add_entry, &x, err) < 0) {
        layer_builder_free(x.builder);
        return -1;
    }
    header.data_size = x.bytes;
    if (layer_from_memory(x.builder, &header, NULL, 0, out, err) < 0)
        return -1;
    close(TAKE_FD(out->data_fd)); /* there is none */
    out->blob = o->blob;
    return 0;
}

/* ---- old whiteouts ---- */

struct search {
    int (*found)(void *arg, const char *path, struct error *err);
    void *arg;
};

static int look(void *arg, int dirfd, const char *name, const char *path, const struct stat *st,
                struct error *err)
{
    struct search *s = arg;
    (void)dirfd;
    return S_ISREG(st->st_mode) && starts_with(name, ".wh.") ? s->found(s->arg, path, err) : 0;
}

int layer_find_old_whiteouts(const char *root,
                             int (*found)(void *arg, const char *path, struct error *err),
                             void *arg, struct error *err)
{
    struct search s = {found, arg};
    return walk(root, look, &s, err);
}

#include "layers/walk.h"

#include "base/buf.h"
#include "base/cancel.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "layers/layer_builder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct entry {
    char *name;
    char *target; /* a symlink's text, else NULL */
    struct stat st;
};

struct entries {
    struct entry *items;
    size_t count, capacity;
};

struct walk {
    const char *root;
    const struct layer_walk_guard *guard;
    struct buf path; /* below the root */
    int (*visit)(struct walk *w, const struct entry *entry, struct error *err);
    void *arg;
};

static void begin_slice(const struct walk *w)
{
    if (w->guard->begin)
        w->guard->begin(w->guard->arg);
}

static void end_slice(const struct walk *w)
{
    if (w->guard->end)
        w->guard->end(w->guard->arg);
}

static void release_entries(struct entries *e)
{
    for (size_t i = 0; i < e->count; i++) {
        free(e->items[i].name);
        free(e->items[i].target);
    }
    free(e->items);
}

static int fail(const char *path, struct error *err)
{
    int saved = errno;
    _cleanup_free_ char *q = quoted(path);
    return error_set_errno(err, ERROR_IO, saved, "cannot read %s", q);
}

static int read_entry(int dirfd, const char *name, struct entries *out)
{
    char target[PATH_MAX] = "";
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        (S_ISLNK(st.st_mode) && readlinkat(dirfd, name, target, sizeof target - 1) < 0))
        return -1;
    ARRAY_GROW(out->items, out->count, out->capacity);
    out->items[out->count++] = (struct entry){
        .name = xstrdup(name), .target = S_ISLNK(st.st_mode) ? xstrdup(target) : NULL, .st = st};
    return 0;
}

/* On failure errno says why, and w->path at which entry. */
static int read_entries(struct walk *w, const char *full, struct entries *out)
{
    int fd = open(full, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    int result = 0;
    errno = 0;
    for (struct dirent *e; result == 0 && (e = readdir(dir)); errno = 0) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        result = read_entry(dirfd(dir), e->d_name, out);
        if (result < 0)
            buf_addf(&w->path, "%s%s", w->path.len ? "/" : "", e->d_name);
    }
    int saved = errno; /* half a directory would look as if the rest were not there */
    closedir(dir);
    errno = saved;
    return result < 0 || saved != 0 ? -1 : 0;
}

static int walk_directory(struct walk *w, struct error *err);

static int walk_entry(struct walk *w, const struct entry *e, struct error *err)
{
    if (cancel_check(err) < 0)
        return -1;
    if (w->path.len > LIMIT_PATH_BYTES)
        return error_set(err, ERROR_LIMIT, "a path of more than %zu bytes", LIMIT_PATH_BYTES);
    if (w->visit(w, e, err) < 0)
        return -1;
    return S_ISDIR(e->st.st_mode) ? walk_directory(w, err) : 0;
}

static int walk_directory(struct walk *w, struct error *err)
{
    struct entries entries = {0};
    _cleanup_free_ char *full = path_join(w->root, w->path.data);
    size_t len = w->path.len;
    begin_slice(w);
    int result = read_entries(w, full, &entries);
    int saved = errno;
    end_slice(w);
    errno = saved;
    if (result < 0)
        fail(w->path.len ? w->path.data : w->root, err);
    for (size_t i = 0; result == 0 && i < entries.count; i++) {
        buf_addf(&w->path, "%s%s", len ? "/" : "", entries.items[i].name);
        result = walk_entry(w, &entries.items[i], err);
        buf_truncate(&w->path, len);
    }
    release_entries(&entries);
    return result;
}

static int walk(struct walk *w, struct error *err)
{
    buf_adds(&w->path, "");
    int result = walk_directory(w, err);
    buf_release(&w->path);
    return result < 0 ? error_wrap(err, "%s", w->root) : 0;
}

/* ---- an index ---- */

struct indexer {
    struct layer_builder *builder;
    bool hash;
    uint64_t bytes; /* of the files so far: where the next one's would lie in the layer's data */
};

static int hash_file(const struct walk *w, struct content *out, struct error *err)
{
    struct digest digest;
    _cleanup_free_ char *full = path_join(w->root, w->path.data);
    begin_slice(w);
    int fd = open(full, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int result = fd < 0 ? fail(w->path.data, err) : digest_of_fd(fd, w->path.data, &digest, err);
    if (fd >= 0)
        close(fd);
    end_slice(w);
    if (result == 0)
        memcpy(out->hash, digest.bytes, sizeof out->hash);
    return result;
}

static enum tar_type type_of(mode_t mode)
{
    return S_ISREG(mode)   ? TAR_FILE
           : S_ISDIR(mode) ? TAR_DIRECTORY
           : S_ISLNK(mode) ? TAR_SYMLINK
           : S_ISCHR(mode) ? TAR_CHAR
           : S_ISBLK(mode) ? TAR_BLOCK
                           : TAR_FIFO;
}

static int index_entry(struct indexer *x, const struct walk *w, const char *path,
                       const struct entry *entry, struct error *err)
{
    const struct stat *st = &entry->st;
    struct content content = {.size = (uint64_t)st->st_size};
    struct tar_entry e = {.type = type_of(st->st_mode),
                          .name = path,
                          .link = entry->target ? entry->target : "",
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
    if (x->hash && e.type == TAR_FILE && hash_file(w, &content, err) < 0)
        return -1;
    content.offset = x->bytes;
    x->bytes += e.type == TAR_FILE ? content.size : 0;
    return layer_builder_add(x->builder, &e, &content, err);
}

static int add_entry(struct walk *w, const struct entry *entry, struct error *err)
{
    return index_entry(w->arg, w, w->path.data, entry, err);
}

/* The top directory's own attributes. */
static int add_root(struct indexer *x, const struct walk *w, struct error *err)
{
    struct entry top = {0};
    begin_slice(w);
    int result = stat(w->root, &top.st) < 0 ? fail(w->root, err) : 0;
    end_slice(w);
    return result < 0 ? -1 : index_entry(x, w, ".", &top, err);
}

int layer_walk(const char *root, const struct layer_walk_options *o, struct layer *out,
               struct error *err)
{
    struct indexer x = {layer_builder_new(), o->hash, 0};
    struct walk w = {
        .root = root, .guard = &o->guard, .path = BUF_INIT, .visit = add_entry, .arg = &x};
    struct layer_index_header header = {.compressed_size = o->compressed_size,
                                        .diff_size = o->diff_size,
                                        .diff_algorithm = digest_is_set(&o->diff_id)
                                                              ? (uint32_t)o->diff_id.algorithm
                                                              : DIGEST_SHA256};
    memcpy(header.diff_id, o->diff_id.bytes, sizeof header.diff_id);
    if (add_root(&x, &w, err) < 0 || walk(&w, err) < 0) {
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

static int look(struct walk *w, const struct entry *entry, struct error *err)
{
    struct search *s = w->arg;
    bool old = S_ISREG(entry->st.st_mode) && starts_with(entry->name, ".wh.");
    return old ? s->found(s->arg, w->path.data, err) : 0;
}

int layer_find_old_whiteouts(const char *root, const struct layer_walk_guard *guard,
                             int (*found)(void *arg, const char *path, struct error *err),
                             void *arg, struct error *err)
{
    struct search s = {found, arg};
    struct walk w = {.root = root, .guard = guard, .path = BUF_INIT, .visit = look, .arg = &s};
    return walk(&w, err);
}

#include "repository/cvmfs.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct extra {
    char *path;
    const char *xattrs; /* the changeset's, which outlives this; NULL: touch the file only */
    uint32_t xattrs_len;
};

struct extras {
    const struct repository *repository;
    const struct commit_options *options;
    bool keep_xattrs;
    struct extra *items;
    size_t count, capacity;
};

/* ---- which ---- */

static int collect(void *arg, const struct change *c, struct error *err)
{
    struct extras *x = arg;
    (void)err;
    bool file = c->type == CHANGE_FILE || c->type == CHANGE_LINK;
    bool xattrs = x->keep_xattrs && c->xattrs_len > 0;
    bool large = file && x->options->chunk_above_bytes && c->size > x->options->chunk_above_bytes;
    if (!xattrs && !large)
        return 0;
    ARRAY_GROW(x->items, x->count, x->capacity);
    x->items[x->count++] = (struct extra){.path = xstrdup(c->path),
                                          .xattrs = xattrs ? c->xattrs : NULL,
                                          .xattrs_len = xattrs ? c->xattrs_len : 0};
    return 0;
}

static bool includes_xattrs(const struct repository *r)
{
    _cleanup_buf_ struct buf value = BUF_INIT;
    return cvmfs_setting(r, "CVMFS_INCLUDE_XATTRS", &value) &&
           (starts_with(value.data, "true") || starts_with(value.data, "yes") ||
            starts_with(value.data, "on"));
}

/* ---- doing ---- */

static int set_xattrs(const char *path, const struct extra *x, struct error *err)
{
    for (const char *p = x->xattrs, *end = p + x->xattrs_len; p < end;) {
        const char *name = p;
        uint32_t len;
        p += strlen(p) + 1;
        memcpy(&len, p, sizeof len);
        p += sizeof len;
        if (lsetxattr(path, name, p, len, 0) < 0) {
            _cleanup_free_ char *q = quoted(path);
            return error_set_errno(err, ERROR_IO, errno, "cannot set %s of %s", name, q);
        }
        p += len;
    }
    return 0;
}

/* Opening a file of the overlay for writing brings it into the transaction. */
static int touch(const char *path, struct error *err)
{
    struct stat st;
    _cleanup_close_ int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 ||
        futimens(fd, (struct timespec[2]){st.st_atim, st.st_mtim}) < 0) {
        _cleanup_free_ char *q = quoted(path);
        return error_set_errno(err, ERROR_IO, errno, "cannot touch %s", q);
    }
    return 0;
}

static int apply(void *arg, struct error *err)
{
    const struct extras *x = arg;
    for (size_t i = 0; i < x->count; i++) {
        _cleanup_free_ char *path = repository_path(x->repository, x->items[i].path);
        int result = x->items[i].xattrs ? set_xattrs(path, &x->items[i], err) : touch(path, err);
        if (result < 0)
            return -1;
    }
    return 0;
}

int cvmfs_publish_extras(struct repository *r, const struct changeset *cs,
                         const struct commit_options *options, struct commit_report *report,
                         struct error *err)
{
    if (!options->keep_xattrs && !options->chunk_above_bytes)
        return 0;
    struct extras x = {.repository = r,
                       .options = options,
                       .keep_xattrs = options->keep_xattrs && includes_xattrs(r)};
    struct changeset_visitor v = {.change = collect, .arg = &x};
    int result = changeset_visit(cs, &v, err);
    if (result == 0 && x.count > 0)
        result = cvmfs_transaction(r, apply, &x, err);
    if (result == 0 && x.keep_xattrs)
        report->xattrs_left_out = 0;
    report->revisions += result == 0 && x.count > 0;
    for (size_t i = 0; i < x.count; i++)
        free(x.items[i].path);
    free(x.items);
    return result;
}

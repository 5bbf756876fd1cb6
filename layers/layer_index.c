#include "layers/layer_index.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_SIZE ((size_t)1 << 20)

static int corrupt(const char *what, struct error *err)
{
    return error_set(err, ERROR_CORRUPT, "not a layer index of this version: %s", what);
}

static int check_header(const struct layer_index *x, size_t size, struct error *err)
{
    const struct layer_index_header *h = x->header;
    if (size < sizeof *h || memcmp(h->magic, LAYER_INDEX_MAGIC, 8) != 0)
        return corrupt("no such header", err);
    if (h->header_size != sizeof *h || h->entry_size != sizeof(struct layer_entry))
        return corrupt("other record sizes", err);
    uint64_t rest = size - sizeof *h;
    if (h->entry_count == 0 || h->entry_count > UINT32_MAX ||
        h->entry_count > rest / sizeof(struct layer_entry) ||
        h->names_size != rest - h->entry_count * sizeof(struct layer_entry))
        return corrupt("its parts do not add up to its size", err);
    if (h->diff_algorithm != DIGEST_SHA256 && h->diff_algorithm != DIGEST_SHA512)
        return corrupt("no diff id", err);
    return 0;
}

static bool in_names(const struct layer_index *x, uint32_t start, uint32_t len)
{
    return start <= x->header->names_size && len <= x->header->names_size - start;
}

/* NAME NUL LENGTH VALUE, one behind another. */
static bool xattrs_are_sound(const char *p, size_t len)
{
    while (len > 0) {
        uint32_t value;
        size_t name = strnlen(p, len);
        if (name == 0 || len - name < 1 + sizeof value)
            return false;
        memcpy(&value, p + name + 1, sizeof value);
        p += name + 1 + sizeof value;
        len -= name + 1 + sizeof value;
        if (value > len)
            return false;
        p += value;
        len -= value;
    }
    return true;
}

static bool names_are_inside(const struct layer_index *x, const struct layer_entry *e)
{
    return in_names(x, e->path, e->path_len) && in_names(x, e->target, e->target_len) &&
           in_names(x, e->xattrs, e->xattrs_len);
}

/* A text that a system call takes: nothing that ends it early. */
static bool target_is_sound(const struct layer_index *x, const struct layer_entry *e)
{
    bool wanted = e->type == ENTRY_SYMLINK || e->type == ENTRY_LOWER_LINK;
    return (e->target_len > 0) == wanted && !memchr(entry_target(x, e), '\0', e->target_len);
}

/* Given that the names of all entries are inside. */
static bool entry_is_sound(const struct layer_index *x, size_t i)
{
    const struct layer_entry *e = &x->entries[i];
    if (e->type < ENTRY_DIRECTORY || e->type > ENTRY_LOWER_LINK || e->primary > i ||
        !xattrs_are_sound(x->names + e->xattrs, e->xattrs_len) || !target_is_sound(x, e) ||
        e->mode > 07777 || e->mtime_nsec > 999999999 || (e->flags && e->type != ENTRY_DIRECTORY))
        return false;
    const struct layer_entry *primary = &x->entries[e->primary];
    if (primary->type != e->type || primary->primary != e->primary)
        return false;
    if (e->type == ENTRY_FILE &&
        (e->data_offset > x->header->data_size || e->size > x->header->data_size - e->data_offset))
        return false;
    if (i == 0)
        return e->path_len == 0 && e->type == ENTRY_DIRECTORY;
    const struct layer_entry *before = &x->entries[i - 1];
    if (path_compare(entry_path(x, before), before->path_len, entry_path(x, e), e->path_len) >= 0)
        return false;
    _cleanup_free_ char *path = xstrndup(entry_path(x, e), e->path_len);
    if (strlen(path) != e->path_len || !path_is_clean(path))
        return false;
    size_t parent = e->path_len;
    while (parent > 0 && path[parent] != '/')
        parent--;
    /* Sorted with parents first: the parent is before us, or missing. */
    const struct layer_entry *dir = layer_index_find(x, path, parent);
    return dir && dir->type == ENTRY_DIRECTORY;
}

/* What others count on to know how many of them there are. */
static bool counts_are_right(const struct layer_index *x)
{
    const struct layer_index_header *h = x->header;
    uint64_t links = 0, opaque = 0, implied = 0, xattrs = 0;
    for (size_t i = 0; i < x->count; i++) {
        const struct layer_entry *e = &x->entries[i];
        links += e->type == ENTRY_LOWER_LINK;
        opaque += (e->flags & ENTRY_OPAQUE) != 0;
        implied += (e->flags & ENTRY_IMPLIED) != 0;
        xattrs += e->xattrs_len > 0;
    }
    return h->lower_links == links && h->opaque_count == opaque && h->implied_count == implied &&
           h->xattr_count == xattrs;
}

static int check_entries(const struct layer_index *x, struct error *err)
{
    size_t i = 0;
    while (i < x->count && names_are_inside(x, &x->entries[i]))
        i++;
    if (i == x->count)
        for (i = 0; i < x->count && entry_is_sound(x, i);)
            i++;
    if (i < x->count)
        return error_set(err, ERROR_CORRUPT, "layer index: record %zu is damaged", i);
    if (!counts_are_right(x))
        return error_set(err, ERROR_CORRUPT, "layer index: its counts are damaged");
    return 0;
}

int layer_index_open_memory(const void *bytes, size_t len, struct layer_index *out,
                            struct error *err)
{
    struct layer_index x = {.header = bytes};
    if (check_header(&x, len, err) < 0)
        return -1;
    x.entries = (const void *)((const char *)bytes + sizeof *x.header);
    x.count = x.header->entry_count;
    x.names = (const char *)(x.entries + x.count);
    if (check_entries(&x, err) < 0)
        return -1;
    *out = x;
    return 0;
}

static int map_index(int fd, bool check_all, struct layer_index *out, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set_errno(err, ERROR_IO, errno, "cannot read");
    size_t size = (size_t)st.st_size;
    if (size < sizeof(struct layer_index_header))
        return corrupt("too short", err);
    void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return error_set_errno(err, ERROR_IO, errno, "cannot map");
    struct layer_index x = {.header = map, .map = map, .map_size = size};
    int result = check_header(&x, size, err);
    if (result == 0) {
        x.entries = (const void *)((const char *)map + sizeof *x.header);
        x.count = x.header->entry_count;
        x.names = (const char *)(x.entries + x.count);
        if (check_all)
            result = check_entries(&x, err);
    }
    if (result < 0) {
        munmap(map, size);
        return -1;
    }
    *out = x;
    return 0;
}

static int open_file(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        error_set_errno(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, errno, "%s: cannot open",
                        path);
    return fd;
}

int layer_index_open(const char *path, bool check_all, struct layer_index *out, struct error *err)
{
    _cleanup_close_ int fd = open_file(path, err);
    if (fd < 0)
        return -1;
    return map_index(fd, check_all, out, err) < 0 ? error_wrap(err, "%s", path) : 0;
}

static int copy_file(int from, int to, struct error *err)
{
    _cleanup_free_ char *bytes = xmalloc(COPY_SIZE);
    ssize_t n;
    while ((n = read(from, bytes, COPY_SIZE)) != 0)
        if ((n < 0 && errno != EINTR) || (n > 0 && file_write_all(to, bytes, (size_t)n) < 0))
            return error_set_errno(err, ERROR_IO, errno, "cannot copy");
    return 0;
}

int layer_index_open_copy(const char *path, const char *scratch, struct layer_index *out,
                          struct error *err)
{
    _cleanup_free_ char *name = xasprintf("%s/index-XXXXXX", scratch);
    _cleanup_close_ int from = open_file(path, err);
    if (from < 0)
        return -1;
    _cleanup_close_ int to = mkostemp(name, O_CLOEXEC);
    if (to < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot make a temporary file", scratch);
    unlink(name);
    if (copy_file(from, to, err) < 0 || map_index(to, true, out, err) < 0)
        return error_wrap(err, "%s", path);
    return 0;
}

void layer_index_forget_pages(const struct layer_index *x)
{
    if (x->map)
        madvise(x->map, x->map_size, MADV_DONTNEED); /* they can be read again */
}

void layer_index_release(struct layer_index *x)
{
    if (x->map)
        munmap(x->map, x->map_size);
    *x = (struct layer_index){0};
}

const struct layer_entry *layer_index_find(const struct layer_index *x, const char *path,
                                           size_t len)
{
    size_t low = 0, high = x->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct layer_entry *e = &x->entries[middle];
        int order = path_compare(entry_path(x, e), e->path_len, path, len);
        if (order == 0)
            return e;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

struct digest layer_index_diff_id(const struct layer_index *x)
{
    struct digest d = {.algorithm = (enum digest_algorithm)x->header->diff_algorithm};
    memcpy(d.bytes, x->header->diff_id, sizeof d.bytes);
    return d;
}

/* Which files of published layers can be linked to. */
#include "repository/planner.h"

#include "base/cancel.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* CernVM-FS's smallest chunk is far larger than this. */
#define CHUNKED_MIN_BYTES ((uint64_t)1 << 20)
/* Looking at a file below a FUSE mount is mostly waiting for its process. */
#define LOOK_THREADS 8

/* Those who look say so for this many files at a time: a commit waits for one slice at most. */
#define SLICE 64

/* The caller is reading. */
static bool is_chunked(const char *path)
{
    char chunks[32];
    ssize_t len = getxattr(path, "user.chunks", chunks, sizeof chunks - 1);
    if (len < 0)
        return false; /* not CernVM-FS, or too old to keep chunks */
    chunks[len] = '\0';
    return strtol(chunks, NULL, 10) > 1;
}

static char *file_path(const char *root, const struct layer_index *index,
                       const struct layer_entry *e)
{
    return xasprintf("%s/%.*s", root, (int)e->path_len, entry_path(index, e));
}

/* A link shares content and attributes: both must be what the index says. `owners`: of files, too.
 */
static bool can_link(int root_fd, const char *root, const struct layer_index *index,
                     const struct layer_entry *e, bool owners)
{
    struct stat st;
    _cleanup_free_ char *path = file_path(root, index, e);
    return fstatat(root_fd, path + strlen(root) + 1, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(st.st_mode) && (uint64_t)st.st_size == e->size &&
           (st.st_mode & 07777) == e->mode && st.st_mtim.tv_sec == e->mtime &&
           (!owners || (st.st_uid == e->uid && st.st_gid == e->gid)) &&
           (e->size < CHUNKED_MIN_BYTES || !is_chunked(path));
}

struct look {
    const struct repository *repository;
    const char *root;
    const struct layer_index *index;
    const uint32_t *entries;
    size_t count;
    bool *out;
};

static void look_at_slice(void *arg, size_t slice)
{
    const struct look *l = arg;
    const struct repository *r = l->repository;
    /* A directory that is not root's: files belong to whoever published them. */
    bool owners = r->backend == &cvmfs_backend || geteuid() == 0;
    size_t end = (slice + 1) * SLICE < l->count ? (slice + 1) * SLICE : l->count;
    repository_reading_begin(r);
    int fd = open(l->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = slice * SLICE; i < end; i++)
        l->out[i] = fd >= 0 && !cancel_requested() &&
                    can_link(fd, l->root, l->index, &l->index->entries[l->entries[i]], owners);
    if (fd >= 0)
        close(fd);
    repository_reading_end(r);
}

void planner_can_link(const struct repository *r, const char *home, const struct layer_index *index,
                      const uint32_t *entries, size_t count, bool *out)
{
    _cleanup_free_ char *root = path_join(r->view, home);
    struct look look = {r, root, index, entries, count, out};
    parallel_for((count + SLICE - 1) / SLICE, LOOK_THREADS, look_at_slice, &look);
}

/* The directory of a layer's files, in the file system. Owned. */
static char *layerfs_path(const struct repository *r, const struct digest *blob)
{
    _cleanup_free_ char *folder = layout_layer(blob);
    _cleanup_free_ char *layerfs = path_join(folder, "layerfs");
    return repository_path(r, layerfs);
}

bool plan_layer_has_chunks(const struct repository *r, const struct layer *layer)
{
    if (r->backend != &cvmfs_backend)
        return false;
    _cleanup_free_ char *root = layerfs_path(r, &layer->blob);
    bool found = false;
    for (size_t i = 0; !found && i < layer->index.count; i++) {
        const struct layer_entry *e = &layer->index.entries[i];
        if (e->type != ENTRY_FILE || e->primary != i || e->size < CHUNKED_MIN_BYTES)
            continue;
        _cleanup_free_ char *path = file_path(root, &layer->index, e);
        repository_reading_begin(r);
        found = is_chunked(path);
        repository_reading_end(r);
    }
    return found;
}

int plan_check_links(const struct repository *r, struct image_layer *l, struct error *err)
{
    _cleanup_free_ char *folder = layout_layer(&l->layer.blob);
    _cleanup_free_ char *home = path_join(folder, "layerfs");
    const struct layer_index *index = &l->layer.index;
    _cleanup_free_ uint32_t *files = xcalloc(index->count + 1, sizeof *files);
    size_t count = 0;
    for (uint32_t i = 0; i < index->count; i++)
        if (index->entries[i].type == ENTRY_FILE && index->entries[i].primary == i)
            files[count++] = i;
    _cleanup_free_ bool *linkable = xcalloc(count + 1, sizeof *linkable);
    planner_can_link(r, home, index, files, count, linkable);
    free(l->not_linkable);
    l->not_linkable = xcalloc(index->count / 8 + 1, 1);
    for (size_t i = 0; i < count; i++)
        if (!linkable[i])
            l->not_linkable[files[i] / 8] |= (uint8_t)(1 << files[i] % 8);
    return cancel_check(err);
}

/* Which files of published layers can be linked to. */
#include "repository/planner.h"

#include "base/cancel.h"
#include "base/memory.h"
#include "base/path.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* CernVM-FS's smallest chunk is far larger than this. */
#define CHUNKED_MIN_BYTES ((uint64_t)1 << 20)

static bool is_chunked(const struct repository *r, const char *path)
{
    char chunks[32];
    repository_reading_begin(r);
    ssize_t len = getxattr(path, "user.chunks", chunks, sizeof chunks - 1);
    repository_reading_end(r);
    if (len < 0)
        return false; /* not CernVM-FS, or too old to keep chunks */
    chunks[len] = '\0';
    return strtol(chunks, NULL, 10) > 1;
}

/* A link shares content and attributes: both must be what the index says. */
bool planner_can_link(const struct repository *r, const char *path, const struct layer_entry *e)
{
    struct stat st;
    /* A directory that is not root's: files belong to whoever published them. */
    bool owners = r->backend == &cvmfs_backend || geteuid() == 0;
    return repository_lstat(r, path, &st) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == e->size && (st.st_mode & 07777) == e->mode &&
           st.st_mtim.tv_sec == e->mtime &&
           (!owners || (st.st_uid == e->uid && st.st_gid == e->gid)) &&
           (e->size < CHUNKED_MIN_BYTES || !is_chunked(r, path));
}

/* The directory of a layer's files, in the file system. Owned. */
static char *layerfs_path(const struct repository *r, const struct digest *blob)
{
    _cleanup_free_ char *folder = layout_layer(blob);
    _cleanup_free_ char *layerfs = path_join(folder, "layerfs");
    return repository_path(r, layerfs);
}

static char *file_path(const char *root, const struct layer_index *index,
                       const struct layer_entry *e)
{
    return xasprintf("%s/%.*s", root, (int)e->path_len, entry_path(index, e));
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
        found = is_chunked(r, path);
    }
    return found;
}

int plan_check_links(const struct repository *r, struct image_layer *l, struct error *err)
{
    _cleanup_free_ char *root = layerfs_path(r, &l->layer.blob);
    const struct layer_index *index = &l->layer.index;
    free(l->not_linkable);
    l->not_linkable = xcalloc(index->count / 8 + 1, 1);
    for (size_t i = 0; i < index->count; i++) {
        const struct layer_entry *e = &index->entries[i];
        if (e->type != ENTRY_FILE || e->primary != i)
            continue;
        if (i % 1024 == 0 && cancel_check(err) < 0)
            return -1;
        _cleanup_free_ char *path = file_path(root, index, e);
        if (!planner_can_link(r, path, e))
            l->not_linkable[i / 8] |= (uint8_t)(1 << i % 8);
    }
    return 0;
}

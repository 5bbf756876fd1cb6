#include "layers/spool.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t size_of(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static uint64_t layer_size(const char *path)
{
    _cleanup_free_ char *data = path_join(path, "data");
    return size_of(data);
}

/* Count what an earlier run left, and remove what it left half-made. */
static int take_stock(struct spool *spool, const char *folder, bool layers, struct error *err)
{
    _cleanup_free_ char *path = path_join(spool->dir, folder);
    if (dir_make(path, 0700, err) < 0)
        return -1;
    DIR *dir = opendir(path);
    if (!dir)
        return error_set(err, ERROR_IO, "%s: cannot read", path);
    int result = 0;
    for (struct dirent *e; result == 0 && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        _cleanup_free_ char *item = path_join(path, e->d_name);
        if (ends_with(e->d_name, ".tmp"))
            result = tree_remove(item, err);
        else
            spool->used_bytes += layers ? layer_size(item) : size_of(item);
    }
    closedir(dir);
    return result;
}

int spool_open(struct spool *spool, const char *dir, uint64_t limit_bytes, struct error *err)
{
    *spool = (struct spool){.dir = xstrdup(dir), .limit_bytes = limit_bytes};
    if (take_stock(spool, "blobs", false, err) < 0 || take_stock(spool, "layers", true, err) < 0) {
        spool_release(spool);
        return error_wrap(err, "spool");
    }
    return 0;
}

void spool_release(struct spool *spool)
{
    free(spool->dir);
    spool->dir = NULL;
}

static char *item_path(const struct spool *spool, const char *folder, const struct digest *blob)
{
    return xasprintf("%s/%s/%s", spool->dir, folder, digest_hex(blob).s);
}

char *spool_blob_path(const struct spool *spool, const struct digest *blob)
{
    return item_path(spool, "blobs", blob);
}

char *spool_layer_path(const struct spool *spool, const struct digest *blob)
{
    return item_path(spool, "layers", blob);
}

int spool_charge_written(struct spool *spool, uint64_t bytes, struct error *err)
{
    uint64_t used = atomic_fetch_add(&spool->used_bytes, bytes) + bytes;
    if (spool->limit_bytes == 0 || used <= spool->limit_bytes)
        return 0;
    return error_set(err, ERROR_LIMIT,
                     "the spool %s is full: %llu more bytes pass its limit of %llu (give it more "
                     "room with --spool-limit, or another place with --spool)",
                     spool->dir, (unsigned long long)bytes, (unsigned long long)spool->limit_bytes);
}

int spool_charge(struct spool *spool, uint64_t bytes, struct error *err)
{
    int result = spool_charge_written(spool, bytes, err);
    if (result < 0)
        spool_credit(spool, bytes);
    return result;
}

void spool_credit(struct spool *spool, uint64_t bytes)
{
    /* Files may hold a little that was never counted: a write that failed in its middle. */
    uint64_t used = atomic_load(&spool->used_bytes);
    while (
        !atomic_compare_exchange_weak(&spool->used_bytes, &used, used > bytes ? used - bytes : 0))
        continue;
}

static void drop(struct spool *spool, const char *path, uint64_t bytes)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    if (tree_remove(path, &err) < 0)
        log_debug("spool: %s", err.message); /* the next run tries again */
    else
        spool_credit(spool, bytes);
}

void spool_drop_blob(struct spool *spool, const struct digest *blob)
{
    _cleanup_free_ char *path = spool_blob_path(spool, blob);
    drop(spool, path, size_of(path));
}

void spool_drop_layer(struct spool *spool, const struct digest *blob)
{
    _cleanup_free_ char *path = spool_layer_path(spool, blob);
    drop(spool, path, layer_size(path));
}

static void sweep_folder(struct spool *spool, const char *folder, bool layers,
                         bool (*wanted)(void *arg, const char *hex), void *arg)
{
    _cleanup_free_ char *path = path_join(spool->dir, folder);
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.' || wanted(arg, e->d_name))
            continue;
        _cleanup_free_ char *item = path_join(path, e->d_name);
        drop(spool, item, layers ? layer_size(item) : size_of(item));
    }
    closedir(dir);
}

void spool_sweep(struct spool *spool, bool (*wanted)(void *arg, const char *hex), void *arg)
{
    sweep_folder(spool, "blobs", false, wanted, arg);
    sweep_folder(spool, "layers", true, wanted, arg);
}

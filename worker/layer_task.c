#include "worker/layer_task.h"

#include "base/cancel.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"
#include "config/access.h"
#include "worker/order.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct layer_task *layer_task_new(const struct descriptor *blob,
                                  enum digest_algorithm diff_algorithm)
{
    struct layer_task *t = xcalloc(1, sizeof *t);
    t->blob = *blob;
    t->blob.media_type = blob->media_type ? xstrdup(blob->media_type) : NULL;
    t->diff_algorithm = diff_algorithm;
    pthread_mutex_init(&t->users_lock, NULL);
    return t;
}

void layer_task_free(struct layer_task *t)
{
    descriptor_release(&t->blob);
    error_release(&t->error);
    free(t->registry);
    free(t->users);
    pthread_mutex_destroy(&t->users_lock);
    free(t);
}

void layer_task_join(struct layer_task *t, struct job *job)
{
    pthread_mutex_lock(&t->users_lock);
    ARRAY_GROW(t->users, t->user_count, t->user_capacity);
    t->users[t->user_count++] = job;
    pthread_mutex_unlock(&t->users_lock);
}

size_t layer_task_leave(struct layer_task *t, const struct job *job)
{
    pthread_mutex_lock(&t->users_lock);
    for (size_t i = 0; i < t->user_count; i++)
        if (t->users[i] == job)
            t->users[i--] = t->users[--t->user_count];
    size_t left = t->user_count;
    pthread_mutex_unlock(&t->users_lock);
    return left;
}

/* ---- the work ---- */

/* Progress goes to every job that waits for the layer. */
static void count_progress(struct layer_task *t, size_t field, uint64_t old, uint64_t new)
{
    pthread_mutex_lock(&t->users_lock);
    for (size_t i = 0; i < t->user_count; i++) {
        char *tracked = (char *)&t->users[i]->tracked;
        atomic_fetch_add((_Atomic uint64_t *)(void *)(tracked + field), new - old);
    }
    pthread_mutex_unlock(&t->users_lock);
}

static int blob_progress(void *arg, uint64_t bytes, struct error *err)
{
    struct layer_task *t = arg;
    uint64_t before = t->charged;
    int result = 0;
    if (bytes > before)
        result = spool_charge_written(t->spool, bytes - before, err);
    else
        spool_credit(t->spool, before - bytes);
    t->charged = bytes;
    count_progress(t, offsetof(struct tracked_image, bytes_fetched), before, bytes);
    return result;
}

struct prepare_progress {
    struct layer_task *task;
    uint64_t entries;
};

static void note_entries(void *arg, uint64_t entries, uint64_t bytes)
{
    struct prepare_progress *p = arg;
    (void)bytes;
    count_progress(p->task, offsetof(struct tracked_image, entries_prepared), p->entries, entries);
    p->entries = entries;
}

static int download(struct layer_task *t, struct registry_client *client,
                    const struct reference *ref, struct error *err)
{
    struct spool *spool = t->spool;
    _cleanup_free_ char *path = spool_blob_path(spool, &t->blob.digest);
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot open", path);
    off_t size = lseek(fd, 0, SEEK_END);
    t->charged = size > 0 ? (uint64_t)size : 0; /* counted when the spool was opened */
    struct blob_download d = {.ref = ref,
                              .blob = &t->blob,
                              .place = spool->dir,
                              .fd = fd,
                              .progress = blob_progress,
                              .arg = t};
    return registry_download_blob(client, &d, err);
}

/* The next user's name to try, from *at on: another repository than `last`. False: there is none.
 */
static bool next_source(struct layer_task *t, size_t *at, struct reference *last,
                        struct access **out_access)
{
    bool found = false;
    size_t seen = 0;
    pthread_mutex_lock(&t->users_lock);
    for (size_t i = 0; !found && i < t->user_count; i++) {
        const struct image *image = &t->users[i]->image;
        for (size_t k = 0; !found && k < image->name_count; k++) {
            const struct reference *ref = &image->names[k];
            if (seen++ < *at || (last->registry && strcmp(last->registry, ref->registry) == 0 &&
                                 strcmp(last->repository, ref->repository) == 0))
                continue;
            reference_release(last);
            reference_copy(last, ref); /* the job may leave meanwhile */
            *out_access = access_ref(t->users[i]->order->access);
            *at = seen;
            found = true;
        }
    }
    pthread_mutex_unlock(&t->users_lock);
    return found;
}

/* Any registry and repository that an image with this layer was found in will do. */
static int download_from_any(struct layer_task *t, struct error *err)
{
    struct reference ref = {0};
    struct access *access;
    int result = error_set(err, ERROR_CANCELLED, "nobody wants it any more");
    for (size_t at = 0; result < 0 && next_source(t, &at, &ref, &access);) {
        error_release(err);
        result = download(t, access->client, &ref, err);
        access_unref(access);
        /* A full spool or a stop is the same everywhere. */
        if (result < 0 && (err->kind == ERROR_LIMIT || err->kind == ERROR_CANCELLED))
            break;
    }
    if (result == 0)
        error_release(err);
    reference_release(&ref);
    return result;
}

/* Whether the spool has the layer already, contents and all. */
static bool is_in_spool(const struct layer_task *t)
{
    struct layer layer;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    const struct digest *blob = &t->blob.digest;
    if (layer_open(t->spool, blob, &layer, &ignored) < 0)
        return false;
    bool whole = layer.data_fd >= 0;
    layer_release(&layer);
    return whole;
}

/* 1: the repository's own index is in the spool now; 0: it has none that can be used; -1. */
static int adopt_index(struct layer_task *t, struct error *err)
{
    const struct digest *blob = &t->blob.digest;
    _cleanup_free_ char *folder = layout_layer(blob);
    _cleanup_free_ char *index = path_join(folder, ".metadata/index");
    _cleanup_free_ char *path = repository_path(t->repository, index);
    repository_reading_begin(t->repository);
    int result = layer_adopt_index(t->spool, blob, path, err);
    repository_reading_end(t->repository);
    if (result == 0)
        return 1;
    if (err->kind != ERROR_NOT_FOUND && err->kind != ERROR_CORRUPT)
        return -1;
    log_debug("layer %s: %s; it is fetched again", digest_text(blob).s, err->message);
    error_release(err);
    return 0;
}

static int prepare(struct layer_task *t, struct error *err)
{
    struct prepare_progress progress = {.task = t};
    struct prepare_options options = {
        .diff_algorithm = t->diff_algorithm, .progress = note_entries, .arg = &progress};
    return layer_prepare(t->spool, &t->blob.digest, &options, err);
}

/* A layer that is published is linked to. But files that get other attributes in the flat image
 * carry their content, and so do those that CernVM-FS keeps in chunks. */
static bool needs_contents(struct layer_task *t)
{
    struct layer layer;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    if (layer_open(t->spool, &t->blob.digest, &layer, &ignored) < 0)
        return false;
    bool needs = false;
    for (size_t i = 0; !needs && (t->needs & LAYER_UNREADABLE) && i < layer.index.count; i++)
        needs =
            layer.index.entries[i].type == ENTRY_FILE && !(layer.index.entries[i].mode & S_IRUSR);
    t->check_links = plan_layer_has_chunks(t->repository, &layer);
    layer_release(&layer);
    return needs || t->check_links;
}

static int bring(struct layer_task *t, struct error *err)
{
    const struct digest *blob = &t->blob.digest;
    _cleanup_free_ char *folder = layout_layer(blob);
    mode_t type = 0;
    if (cancel_check(err) < 0 ||
        (!(t->needs & LAYER_CONTENTS) && repository_type(t->repository, folder, &type, err) < 0))
        return -1;
    bool present = type != 0;
    if (present) {
        int adopted = adopt_index(t, err);
        if (adopted < 0 || (adopted > 0 && !needs_contents(t)))
            return adopted < 0 ? -1 : 0;
        t->check_links |= adopted == 0;
    }
    if (is_in_spool(t))
        return 0;
    spool_drop_layer(t->spool, blob); /* an index without contents, or damaged */
    if (download_from_any(t, err) < 0)
        return error_wrap(err, "layer %s", digest_text(blob).s);
    return prepare(t, err);
}

int layer_task_run(struct layer_task *t, struct error *err)
{
    struct stat st;
    _cleanup_free_ char *folder = spool_layer_path(t->spool, &t->blob.digest);
    _cleanup_free_ char *data = path_join(folder, "data");
    if (bring(t, err) < 0)
        return -1;
    t->content_bytes = stat(data, &st) == 0 ? (uint64_t)st.st_size : 0;
    return 0;
}

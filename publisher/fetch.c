#include "publisher/fetch.h"

#include "base/cancel.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Unpacked layers are seen to be 2 to 4 times as large as compressed ones. */
#define EXPANSION 4

enum task_state {
    TASK_PENDING,
    TASK_RUNNING,
    TASK_DONE,
    TASK_FAILED,
};

struct layer_task {
    const struct layer_descriptor *descriptor; /* of one of the users */
    enum digest_algorithm diff_algorithm;
    enum task_state state;
    struct error error;
    bool check_links; /* see layer_task_check_links() */
    struct job **users;
    size_t user_count, user_capacity;
    size_t users_left; /* whose fetch_done() is still to come */
    bool keep;
    uint64_t charged; /* spool bytes of the blob under way */
    struct fetch *fetch;
};

struct fetch {
    struct fetch_options o;
    struct jobs *jobs;
    struct report *report;
    pthread_mutex_t lock; /* guards everything below and the jobs' states */
    pthread_cond_t changed;
    struct layer_task **tasks;
    size_t task_count, task_capacity;
    pthread_t *threads;
    size_t thread_count;
    uint64_t admitted_bytes;
    size_t admitted_jobs;
    bool stop;
};

bool layer_task_check_links(const struct layer_task *task)
{
    return task->check_links;
}

const struct digest *layer_task_blob(const struct layer_task *task)
{
    return &task->descriptor->blob.digest;
}

/* ---- one layer ---- */

/* Progress goes to every job that waits for the layer. */
static void count_progress(struct layer_task *t, size_t field, uint64_t old, uint64_t new)
{
    for (size_t i = 0; i < t->user_count; i++) {
        char *tracked = (char *)&t->users[i]->tracked;
        atomic_fetch_add((_Atomic uint64_t *)(void *)(tracked + field), new - old);
    }
}

static int blob_progress(void *arg, uint64_t bytes, struct error *err)
{
    struct layer_task *t = arg;
    uint64_t before = t->charged;
    int result = 0;
    if (bytes > before)
        result = spool_charge_written(t->fetch->o.spool, bytes - before, err);
    else
        spool_credit(t->fetch->o.spool, before - bytes);
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

static int download(struct layer_task *t, const struct reference *ref, struct error *err)
{
    struct spool *spool = t->fetch->o.spool;
    _cleanup_free_ char *path = spool_blob_path(spool, &t->descriptor->blob.digest);
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot open", path);
    off_t size = lseek(fd, 0, SEEK_END);
    t->charged = size > 0 ? (uint64_t)size : 0; /* counted when the spool was opened */
    struct blob_download d = {.ref = ref,
                              .blob = &t->descriptor->blob,
                              .place = spool->dir,
                              .fd = fd,
                              .progress = blob_progress,
                              .arg = t};
    return registry_download_blob(t->fetch->o.client, &d, err);
}

/* Any registry and repository that an image with this layer was found in will do. */
static int download_from_any(struct layer_task *t, struct error *err)
{
    const struct reference *last = NULL;
    int result = -1;
    for (size_t i = 0; result < 0 && i < t->user_count; i++) {
        const struct image *image = &t->users[i]->image;
        for (size_t k = 0; result < 0 && k < image->name_count; k++) {
            const struct reference *ref = &image->names[k];
            if (last && strcmp(last->registry, ref->registry) == 0 &&
                strcmp(last->repository, ref->repository) == 0)
                continue;
            last = ref;
            result = download(t, ref, err);
            /* A full spool or a stop is the same everywhere. */
            if (result < 0 && (err->kind == ERROR_LIMIT || err->kind == ERROR_CANCELLED))
                return -1;
        }
    }
    return result;
}

/* Whether the spool has the layer already, contents and all. */
static bool is_in_spool(const struct layer_task *t)
{
    struct layer layer;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    const struct digest *blob = &t->descriptor->blob.digest;
    if (layer_open(t->fetch->o.spool, blob, &layer, &ignored) < 0)
        return false;
    bool whole = layer.data_fd >= 0;
    layer_release(&layer);
    return whole;
}

/* 1: the repository's own index is in the spool now; 0: it has none that can be used; -1. */
static int adopt_index(struct layer_task *t, struct error *err)
{
    const struct digest *blob = &t->descriptor->blob.digest;
    _cleanup_free_ char *folder = layout_layer(blob);
    _cleanup_free_ char *index = path_join(folder, ".metadata/index");
    _cleanup_free_ char *path = repository_path(t->fetch->o.repository, index);
    if (layer_adopt_index(t->fetch->o.spool, blob, path, err) == 0)
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
    return layer_prepare(t->fetch->o.spool, &t->descriptor->blob.digest, &options, err);
}

/* A layer that is published is linked to. But files that get other attributes in the flat image
 * carry their content, and so do those that CernVM-FS keeps in chunks. */
static bool needs_contents(struct layer_task *t)
{
    struct layer layer;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    const struct fetch_options *o = &t->fetch->o;
    if (layer_open(o->spool, &t->descriptor->blob.digest, &layer, &ignored) < 0)
        return false;
    bool needs = false;
    for (size_t i = 0; !needs && o->policy->fix_perms && i < layer.index.count; i++)
        needs =
            layer.index.entries[i].type == ENTRY_FILE && !(layer.index.entries[i].mode & S_IRUSR);
    t->check_links = plan_layer_has_chunks(o->repository, &layer);
    layer_release(&layer);
    return needs || t->check_links;
}

static int run_task(struct layer_task *t, struct error *err)
{
    const struct fetch_options *o = &t->fetch->o;
    const struct digest *blob = &t->descriptor->blob.digest;
    _cleanup_free_ char *folder = layout_layer(blob);
    mode_t type = 0;
    if (cancel_check(err) < 0 ||
        (!o->policy->skip_layers && repository_type(o->repository, folder, &type, err) < 0))
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
    spool_drop_layer(o->spool, blob); /* an index without contents, or damaged */
    if (download_from_any(t, err) < 0)
        return error_wrap(err, "layer %s", digest_text(blob).s);
    return prepare(t, err);
}

/* ---- jobs ---- */

/* What a layer took of the spool, unless it is kept: for the real run after a dry one, or, after a
 * broken connection, for the next run to go on from. */
static void leave_spool(struct fetch *f, struct layer_task *t)
{
    if (t->keep)
        return;
    spool_drop_layer(f->o.spool, &t->descriptor->blob.digest);
    if (t->state != TASK_FAILED || t->error.kind != ERROR_NET)
        spool_drop_blob(f->o.spool, &t->descriptor->blob.digest);
}

/* The job needs the spool no more. With the lock held. */
static void let_go(struct fetch *f, struct job *job, bool keep)
{
    for (size_t i = 0; i < job->task_count; i++) {
        struct layer_task *t = job->tasks[i];
        t->keep |= keep;
        /* A layer that a thread works on is removed when that ends: fetch_stop(). */
        if (--t->users_left == 0 && t->state != TASK_RUNNING && t->state != TASK_PENDING)
            leave_spool(f, t);
    }
    job->task_count = 0;
    if (job->admitted) {
        f->admitted_bytes -= job->estimated_bytes;
        f->admitted_jobs--;
        job->admitted = false;
    }
    pthread_cond_broadcast(&f->changed);
}

/* A task has ended: see which jobs that decides. With the lock held. */
static void settle(struct fetch *f, struct layer_task *t)
{
    for (size_t i = 0; i < t->user_count; i++) {
        struct job *job = t->users[i];
        if (job->state != JOB_WAITING)
            continue;
        bool all = true;
        struct layer_task *failed = NULL;
        for (size_t k = 0; k < job->task_count; k++) {
            all &= job->tasks[k]->state == TASK_DONE;
            if (job->tasks[k]->state == TASK_FAILED)
                failed = job->tasks[k];
        }
        if (failed) {
            struct error err = ERROR_INIT;
            error_copy(&err, &failed->error);
            job_fail(job, &err);
            let_go(f, job, false);
        } else if (all) {
            job->state = JOB_READY;
            atomic_store(&job->tracked.stage, STAGE_READY);
        }
    }
    pthread_cond_broadcast(&f->changed);
}

static bool admit(struct fetch *f, struct job *job)
{
    if (job->admitted)
        return true;
    if (f->admitted_jobs > 0 && f->admitted_bytes + job->estimated_bytes > f->o.budget_bytes)
        return false;
    job->admitted = true;
    f->admitted_bytes += job->estimated_bytes;
    f->admitted_jobs++;
    atomic_store(&job->tracked.stage, STAGE_FETCHING);
    return true;
}

/* The next layer to work on, in the order of the jobs; NULL if there is none now. *out_more says
 * whether there may be one later. */
static struct layer_task *next_task(struct fetch *f, bool *out_more)
{
    *out_more = false;
    for (size_t i = 0; i < f->jobs->count; i++) {
        struct job *job = f->jobs->items[i];
        if (job->state != JOB_WAITING)
            continue;
        *out_more = true;
        if (!admit(f, job))
            return NULL; /* nobody overtakes: a large image gets its turn */
        for (size_t k = 0; k < job->task_count; k++)
            if (job->tasks[k]->state == TASK_PENDING)
                return job->tasks[k];
    }
    return NULL;
}

static void *work(void *arg)
{
    struct fetch *f = arg;
    pthread_mutex_lock(&f->lock);
    while (!f->stop) {
        bool more;
        struct layer_task *t = next_task(f, &more);
        if (!t && !more)
            break;
        if (!t) {
            pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        t->state = TASK_RUNNING;
        pthread_mutex_unlock(&f->lock);
        int result = run_task(t, &t->error);
        pthread_mutex_lock(&f->lock);
        t->state = result < 0 ? TASK_FAILED : TASK_DONE;
        settle(f, t);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

static struct layer_task *find_task(struct fetch *f, const struct digest *blob)
{
    for (size_t i = 0; i < f->task_count; i++)
        if (digest_equal(&f->tasks[i]->descriptor->blob.digest, blob))
            return f->tasks[i];
    return NULL;
}

static void use_task(struct fetch *f, struct job *job, const struct image_layer *l)
{
    struct layer_task *t = find_task(f, &l->descriptor->blob.digest);
    if (!t) {
        t = xcalloc(1, sizeof *t);
        t->descriptor = l->descriptor;
        t->diff_algorithm = l->diff_id.algorithm;
        t->fetch = f;
        ARRAY_GROW(f->tasks, f->task_count, f->task_capacity);
        f->tasks[f->task_count++] = t;
    }
    for (size_t i = 0; i < job->task_count; i++)
        if (job->tasks[i] == t)
            return; /* the same layer twice in one image */
    ARRAY_GROW(t->users, t->user_count, t->user_capacity);
    t->users[t->user_count++] = job;
    t->users_left++;
    job->tasks[job->task_count++] = t;
}

static int add_job(struct fetch *f, struct job *job, struct error *err)
{
    const struct image *image = &job->image;
    job->tasks = xcalloc(image->layer_count, sizeof(struct layer_task *));
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct layer_descriptor *d = image->layers[i].descriptor;
        if (d->foreign)
            continue;
        _cleanup_free_ char *folder = layout_layer(&d->blob.digest);
        mode_t type;
        if (repository_type(f->o.repository, folder, &type, err) < 0)
            return -1;
        bool fetched = type == 0 || f->o.policy->skip_layers;
        job->layers_new += fetched;
        job->layers_present += !fetched;
        job->estimated_bytes += fetched ? d->blob.size * (1 + EXPANSION) : 0;
        atomic_fetch_add(&job->tracked.bytes_to_fetch, fetched ? d->blob.size : 0);
        use_task(f, job, &image->layers[i]);
    }
    report_track(f->report, &job->tracked);
    char detail[128];
    snprintf(detail, sizeof detail, "%llu layer%s to fetch (%s), %llu present",
             (unsigned long long)job->layers_new, job->layers_new == 1 ? "" : "s",
             size_text(atomic_load(&job->tracked.bytes_to_fetch)).s,
             (unsigned long long)job->layers_present);
    report_event(f->report, "fetching", job->tracked.name, detail);
    if (job->task_count == 0)
        job->state = JOB_READY;
    return 0;
}

static bool is_wanted(void *arg, const char *hex)
{
    struct fetch *f = arg;
    for (size_t i = 0; i < f->task_count; i++)
        if (strcmp(digest_hex(&f->tasks[i]->descriptor->blob.digest).s, hex) == 0)
            return true;
    return false;
}

static void add_jobs(struct fetch *f)
{
    for (size_t i = 0; i < f->jobs->count; i++) {
        struct job *job = f->jobs->items[i];
        struct error err = ERROR_INIT;
        if (job->state == JOB_WAITING && add_job(f, job, &err) < 0)
            job_fail(job, &err);
    }
    spool_sweep(f->o.spool, is_wanted, f);
}

struct fetch *fetch_start(const struct fetch_options *options, struct jobs *jobs,
                          struct report *report)
{
    struct fetch *f = xcalloc(1, sizeof *f);
    f->o = *options;
    f->jobs = jobs;
    f->report = report;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    add_jobs(f);
    size_t wanted = options->threads < f->task_count ? options->threads : f->task_count;
    f->threads = xcalloc(wanted, sizeof *f->threads);
    while (f->thread_count < wanted) {
        if (pthread_create(&f->threads[f->thread_count], NULL, work, f) != 0) {
            if (f->thread_count == 0)
                abort(); /* not one thread: nothing can be done */
            break;
        }
        f->thread_count++;
    }
    return f;
}

/* Jobs that are decided, one way or the other, and not yet reported. With the lock held. */
static size_t collect(struct fetch *f, struct job **group, bool *out_waiting)
{
    size_t n = 0;
    *out_waiting = false;
    for (size_t i = 0; i < f->jobs->count; i++) {
        struct job *job = f->jobs->items[i];
        *out_waiting |= job->state == JOB_WAITING;
        if (job->state == JOB_READY || (job->state == JOB_DONE && !job->reported))
            group[n++] = job;
    }
    return n;
}

size_t fetch_next_ready(struct fetch *f, struct job ***out)
{
    struct job **group = xcalloc(f->jobs->count, sizeof(struct job *));
    size_t n = 0;
    pthread_mutex_lock(&f->lock);
    for (bool waiting = true; n == 0 && waiting && !cancel_requested();) {
        n = collect(f, group, &waiting);
        if (n > 0 || !waiting)
            break;
        struct timespec until; /* a request to stop wakes nobody: look again soon */
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 200 * 1000 * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&f->changed, &f->lock, &until);
    }
    pthread_mutex_unlock(&f->lock);
    if (n == 0)
        free(group);
    *out = n ? group : NULL;
    return n;
}

void fetch_done(struct fetch *f, struct job *job, bool keep)
{
    pthread_mutex_lock(&f->lock);
    let_go(f, job, keep);
    pthread_mutex_unlock(&f->lock);
}

void fetch_stop(struct fetch *f)
{
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    for (size_t i = 0; i < f->thread_count; i++)
        pthread_join(f->threads[i], NULL);
    for (size_t i = 0; i < f->task_count; i++) {
        struct layer_task *t = f->tasks[i];
        /* What was fetched for jobs that were stopped stays for the next run. */
        if (t->users_left == 0)
            leave_spool(f, t);
        error_release(&t->error);
        free(t->users);
        free(t);
    }
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
    free(f->tasks);
    free(f->threads);
    free(f);
}

#include "worker/fetch.h"

#include "base/cancel.h"
#include "base/log.h"
#include "base/memory.h"
#include "worker/layer_task.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Unpacked layers are seen to be 2 to 4 times as large as compressed ones. */
#define EXPANSION 4
/* An image that needs more of the spool leaves threads to others; as does one that takes a quarter
 * of the budget. */
#define LARGE_BYTES ((uint64_t)10 * 1000 * 1000 * 1000)
/* How many jobs may pass one that waits for room in the spool. */
#define PASSES_MAX   32
#define WAIT_SECONDS 5 /* for something to be decided */
#define NICE         10

struct fetch {
    struct fetch_options o;
    struct report *report;
    pthread_mutex_t lock;   /* guards everything below, and the jobs that are not given out */
    pthread_cond_t changed; /* work for threads, or an end */
    pthread_cond_t decided; /* something for fetch_next_ready() */
    struct jobs jobs;       /* added and not yet done; by job_precedes() */
    struct layer_task **tasks;
    size_t task_count, task_capacity;
    struct layer_task **running; /* one slot a thread */
    char **registries;           /* seen so far */
    size_t registry_count, registry_capacity;
    struct digest *resumable; /* blobs of which a part was left for the next try */
    size_t resumable_count, resumable_capacity;
    pthread_t *threads;
    size_t thread_count;
    uint64_t admitted_bytes;
    size_t admitted_jobs;
    bool quit;
};

/* ---- tasks ---- */

static struct layer_task *find_task(const struct fetch *f, const struct digest *blob)
{
    for (size_t i = 0; i < f->task_count; i++)
        if (digest_equal(&f->tasks[i]->blob.digest, blob))
            return f->tasks[i];
    return NULL;
}

static void remove_task(struct fetch *f, struct layer_task *t)
{
    for (size_t i = 0; i < f->task_count; i++)
        if (f->tasks[i] == t)
            f->tasks[i--] = f->tasks[--f->task_count];
    layer_task_free(t);
}

/* Nobody wants the layer any more. What it took of the spool goes, unless it is kept: for the real
 * run after a dry one, or, after a broken connection or a stop, to go on from. */
static void end_task(struct fetch *f, struct layer_task *t)
{
    const struct digest *blob = &t->blob.digest;
    bool resume =
        t->state == TASK_FAILED && (t->error.kind == ERROR_NET || t->error.kind == ERROR_CANCELLED);
    if (!t->keep) {
        spool_drop_layer(f->o.spool, blob);
        if (!resume)
            spool_drop_blob(f->o.spool, blob);
    }
    if (resume) {
        ARRAY_GROW(f->resumable, f->resumable_count, f->resumable_capacity);
        f->resumable[f->resumable_count++] = *blob;
    }
    remove_task(f, t);
}

static unsigned needs_of(const struct job *job)
{
    const struct policy *p = &job->order->policy;
    return (p->skip_layers ? LAYER_CONTENTS : 0U) | (p->fix_perms ? LAYER_UNREADABLE : 0U);
}

/* Whether a layer is at work for jobs that need less of it: then the job waits for their end. */
static bool must_wait(const struct fetch *f, const struct job *job)
{
    for (size_t i = 0; i < job->image.layer_count; i++) {
        const struct layer_task *t = find_task(f, &job->image.layers[i].descriptor->blob.digest);
        if (t && t->state != TASK_PENDING && (needs_of(job) & ~t->needs))
            return true;
    }
    return false;
}

static void use_task(struct fetch *f, struct job *job, const struct image_layer *l)
{
    struct layer_task *t = find_task(f, &l->descriptor->blob.digest);
    if (!t) {
        t = layer_task_new(&l->descriptor->blob, l->diff_id.algorithm);
        t->repository = f->o.repository;
        t->spool = f->o.spool;
        ARRAY_GROW(f->tasks, f->task_count, f->task_capacity);
        f->tasks[f->task_count++] = t;
    }
    t->needs |= needs_of(job);
    for (size_t i = 0; i < job->task_count; i++)
        if (job->tasks[i] == t)
            return; /* the same layer twice in one image */
    layer_task_join(t, job);
    job->running += t->state == TASK_RUNNING;
    job->tasks[job->task_count++] = t;
}

static void decide(struct fetch *f, struct job *job);

/* Give the job its tasks, if it has none yet. With the lock held. */
static bool join_tasks(struct fetch *f, struct job *job)
{
    if (job->tasks)
        return true;
    if (must_wait(f, job))
        return false;
    job->tasks = xcalloc(job->image.layer_count + 1, sizeof(struct layer_task *));
    for (size_t i = 0; i < job->image.layer_count; i++)
        if (!job->image.layers[i].descriptor->foreign)
            use_task(f, job, &job->image.layers[i]);
    decide(f, job);
    return true;
}

/* The job needs the spool no more. With the lock held. */
static void let_go(struct fetch *f, struct job *job, bool keep)
{
    for (size_t i = 0; i < job->task_count; i++) {
        struct layer_task *t = job->tasks[i];
        t->keep |= keep;
        if (layer_task_leave(t, job) == 0 && t->state != TASK_RUNNING)
            end_task(f, t); /* else when its thread is done with it */
    }
    job->task_count = 0;
    if (job->admitted) {
        f->admitted_bytes -= job->estimated_bytes;
        f->admitted_jobs--;
        job->admitted = false;
    }
    pthread_cond_broadcast(&f->changed);
}

/* Whether the job's tasks have decided it. With the lock held. */
static void decide(struct fetch *f, struct job *job)
{
    bool all = true;
    struct layer_task *failed = NULL;
    job->content_bytes = 0;
    for (size_t k = 0; k < job->task_count; k++) {
        all &= job->tasks[k]->state == TASK_DONE;
        job->content_bytes += job->tasks[k]->content_bytes;
        if (job->tasks[k]->state == TASK_FAILED)
            failed = job->tasks[k];
    }
    if (failed) {
        struct error err = ERROR_INIT;
        error_copy(&err, &failed->error);
        job_fail(job, &err);
    } else if (all) {
        job->state = JOB_READY;
        atomic_store(&job->tracked.stage, STAGE_READY);
    }
    if (failed || all)
        pthread_cond_signal(&f->decided);
}

/* A task has ended: see which jobs that decides. With the lock held. */
static void settle(struct fetch *f, struct layer_task *t)
{
    for (size_t i = 0; i < f->jobs.count; i++) {
        struct job *job = f->jobs.items[i];
        for (size_t k = 0; k < job->task_count; k++) {
            if (job->tasks[k] != t)
                continue;
            job->running--;
            if (job->state == JOB_WAITING)
                decide(f, job);
        }
    }
    if (t->user_count == 0)
        end_task(f, t);
    pthread_cond_broadcast(&f->changed);
}

/* ---- what comes next ---- */

static bool is_large(const struct fetch *f, const struct job *job)
{
    return job->estimated_bytes > LARGE_BYTES || job->estimated_bytes > f->o.budget_bytes / 4;
}

/* Threads that large images, or one registry, leave to others. */
static size_t reserve(const struct fetch *f)
{
    if (f->o.threads < 2)
        return 0;
    return f->o.threads / 4 > 0 ? f->o.threads / 4 : 1;
}

static bool admit(struct fetch *f, struct job *job)
{
    if (job->admitted)
        return true;
    if (f->admitted_jobs > 0 && f->admitted_bytes + job->estimated_bytes > f->o.budget_bytes)
        return false;
    for (size_t i = 0; f->jobs.items[i] != job; i++)
        f->jobs.items[i]->passed +=
            f->jobs.items[i]->state == JOB_WAITING && !f->jobs.items[i]->admitted;
    job->admitted = true;
    f->admitted_bytes += job->estimated_bytes;
    f->admitted_jobs++;
    atomic_store(&job->tracked.stage, STAGE_FETCHING);
    return true;
}

static const char *registry_of(const struct job *job)
{
    return job->image.names[0].registry;
}

static bool leaves_threads(const struct fetch *f, const struct job *job)
{
    size_t large = 0, registry = 0, limit = f->o.threads - reserve(f);
    for (size_t i = 0; i < f->o.threads; i++) {
        const struct layer_task *t = f->running[i];
        registry += t && strcmp(t->registry, registry_of(job)) == 0;
        large += t && t->large;
    }
    return (f->registry_count < 2 || registry < limit) && (!is_large(f, job) || large < limit);
}

static struct layer_task *pending_task(const struct job *job)
{
    for (size_t k = 0; k < job->task_count; k++)
        if (job->tasks[k]->state == TASK_PENDING)
            return job->tasks[k];
    return NULL;
}

/* The next layer to work on, NULL if there is none now. *out_job is the job that it is for. With
 * the lock held. */
static struct layer_task *next_task(struct fetch *f, const struct job **out_job)
{
    struct layer_task *best = NULL;
    bool full = false;
    for (size_t i = 0; i < f->jobs.count; i++) {
        struct job *job = f->jobs.items[i];
        if (job->state != JOB_WAITING || !join_tasks(f, job) || job->state != JOB_WAITING ||
            (full && !job->admitted))
            continue;
        if (!admit(f, job)) {
            full = job->passed >= PASSES_MAX; /* its turn now: nobody overtakes any more */
            continue;
        }
        struct layer_task *t = pending_task(job);
        if (!t || (best && ((*out_job)->rank < job->rank || (*out_job)->running <= job->running)) ||
            !leaves_threads(f, job))
            continue;
        best = t;
        *out_job = job;
    }
    return best;
}

/* ---- threads ---- */

static void begin_task(struct fetch *f, struct layer_task *t, const struct job *job, size_t slot)
{
    t->state = TASK_RUNNING;
    free(t->registry);
    t->registry = xstrdup(registry_of(job));
    t->large = is_large(f, job);
    f->running[slot] = t;
    for (size_t i = 0; i < f->jobs.count; i++)
        for (size_t k = 0; k < f->jobs.items[i]->task_count; k++)
            f->jobs.items[i]->running += f->jobs.items[i]->tasks[k] == t;
}

static size_t free_slot(const struct fetch *f)
{
    size_t slot = 0;
    while (f->running[slot])
        slot++;
    return slot;
}

/* A commit keeps everybody else from the repository: what CernVM-FS needs of the processors then
 * goes first. On Linux this is the thread's own, and that of those it makes. */
static void yield_to_commits(void)
{
    (void)!nice(NICE);
}

static void *work(void *arg)
{
    struct fetch *f = arg;
    log_set_repository(f->o.repository->name);
    yield_to_commits();
    pthread_mutex_lock(&f->lock);
    while (!f->quit) {
        const struct job *job = NULL;
        struct layer_task *t = next_task(f, &job);
        if (!t) {
            pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        size_t slot = free_slot(f);
        begin_task(f, t, job, slot);
        pthread_mutex_unlock(&f->lock);
        int result = layer_task_run(t, &t->error);
        pthread_mutex_lock(&f->lock);
        f->running[slot] = NULL;
        t->state = result < 0 ? TASK_FAILED : TASK_DONE;
        settle(f, t);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

struct fetch *fetch_start(const struct fetch_options *options, struct report *report)
{
    struct fetch *f = xcalloc(1, sizeof *f);
    f->o = *options;
    f->report = report;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    pthread_cond_init(&f->decided, NULL);
    f->running = xcalloc(options->threads, sizeof(struct layer_task *));
    f->threads = xcalloc(options->threads, sizeof *f->threads);
    while (f->thread_count < options->threads) {
        if (pthread_create(&f->threads[f->thread_count], NULL, work, f) != 0) {
            if (f->thread_count == 0)
                abort(); /* not one thread: nothing can be done */
            break;
        }
        f->thread_count++;
    }
    return f;
}

void fetch_set_budget(struct fetch *f, uint64_t budget_bytes)
{
    pthread_mutex_lock(&f->lock);
    f->o.budget_bytes = budget_bytes;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

/* ---- jobs ---- */

static int estimate(struct fetch *f, struct job *job, struct error *err)
{
    const struct image *image = &job->image;
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct layer_descriptor *d = image->layers[i].descriptor;
        if (d->foreign)
            continue;
        _cleanup_free_ char *folder = layout_layer(&d->blob.digest);
        mode_t type;
        if (repository_type(f->o.repository, folder, &type, err) < 0)
            return -1;
        bool fetched = type == 0 || job->order->policy.skip_layers;
        job->layers_new += fetched;
        job->layers_present += !fetched;
        job->estimated_bytes += fetched ? d->blob.size * (1 + EXPANSION) : 0;
        atomic_fetch_add(&job->tracked.bytes_to_fetch, fetched ? d->blob.size : 0);
    }
    return 0;
}

static void announce(struct fetch *f, struct job *job)
{
    char detail[128];
    report_track(f->report, &job->tracked);
    snprintf(detail, sizeof detail, "%llu layer%s to fetch (%s), %llu present",
             (unsigned long long)job->layers_new, job->layers_new == 1 ? "" : "s",
             size_text(atomic_load(&job->tracked.bytes_to_fetch)).s,
             (unsigned long long)job->layers_present);
    report_event(f->report, "fetching", job->tracked.name, detail);
}

static void note_registry(struct fetch *f, const char *registry)
{
    for (size_t i = 0; i < f->registry_count; i++)
        if (strcmp(f->registries[i], registry) == 0)
            return;
    ARRAY_GROW(f->registries, f->registry_count, f->registry_capacity);
    f->registries[f->registry_count++] = xstrdup(registry);
}

/* Behind those that precede it. */
static void insert(struct fetch *f, struct job *job)
{
    jobs_append(&f->jobs, job);
    for (size_t i = f->jobs.count - 1; i > 0 && job_precedes(job, f->jobs.items[i - 1]); i--) {
        f->jobs.items[i] = f->jobs.items[i - 1];
        f->jobs.items[i - 1] = job;
    }
}

void fetch_add(struct fetch *f, struct job *job)
{
    struct error err = ERROR_INIT;
    if (job->state == JOB_WAITING && estimate(f, job, &err) < 0)
        job_fail(job, &err);
    if (job->state == JOB_WAITING)
        announce(f, job);
    pthread_mutex_lock(&f->lock);
    if (job->state == JOB_WAITING)
        note_registry(f, registry_of(job));
    insert(f, job);
    pthread_cond_broadcast(&f->changed);
    pthread_cond_signal(&f->decided);
    pthread_mutex_unlock(&f->lock);
}

/* False after a while without one. With the lock held. */
static bool wait_for_a_decision(struct fetch *f)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_SECONDS;
    return pthread_cond_timedwait(&f->decided, &f->lock, &until) != ETIMEDOUT;
}

bool fetch_next_ready(struct fetch *f, bool wait, struct jobs *out)
{
    size_t before = out->count;
    pthread_mutex_lock(&f->lock);
    for (;;) {
        for (size_t i = 0; i < f->jobs.count; i++) {
            struct job *job = f->jobs.items[i];
            if (job->taken || job->state == JOB_WAITING)
                continue;
            job->taken = true;
            jobs_append(out, job);
        }
        if (out->count > before || !wait || f->quit || !wait_for_a_decision(f))
            break;
    }
    pthread_mutex_unlock(&f->lock);
    return out->count > before;
}

void fetch_done(struct fetch *f, struct job *job, bool keep)
{
    pthread_mutex_lock(&f->lock);
    let_go(f, job, keep);
    jobs_remove(&f->jobs, job);
    pthread_mutex_unlock(&f->lock);
}

/* What is being prepared is called HEX.tmp. */
static bool is_of(const char *name, const struct digest *blob)
{
    struct digest_text hex = digest_hex(blob);
    return strncmp(name, hex.s, strlen(hex.s)) == 0;
}

static bool is_wanted(void *arg, const char *name)
{
    struct fetch *f = arg;
    for (size_t i = 0; i < f->task_count; i++)
        if (is_of(name, &f->tasks[i]->blob.digest))
            return true;
    for (size_t i = 0; i < f->resumable_count; i++)
        if (is_of(name, &f->resumable[i]))
            return true;
    return false;
}

void fetch_sweep(struct fetch *f)
{
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->jobs.count; i++)
        if (f->jobs.items[i]->state == JOB_WAITING)
            join_tasks(f, f->jobs.items[i]);
    spool_sweep(f->o.spool, is_wanted, f);
    f->resumable_count = 0;
    pthread_mutex_unlock(&f->lock);
}

void fetch_quit(struct fetch *f)
{
    pthread_mutex_lock(&f->lock);
    f->quit = true;
    pthread_cond_broadcast(&f->changed);
    pthread_cond_broadcast(&f->decided);
    pthread_mutex_unlock(&f->lock);
}

bool fetch_is_quitting(struct fetch *f)
{
    pthread_mutex_lock(&f->lock);
    bool quit = f->quit;
    pthread_mutex_unlock(&f->lock);
    return quit;
}

void fetch_stop(struct fetch *f, struct jobs *out)
{
    fetch_quit(f);
    for (size_t i = 0; i < f->thread_count; i++)
        pthread_join(f->threads[i], NULL);
    for (size_t i = 0; i < f->jobs.count; i++) {
        struct job *job = f->jobs.items[i];
        let_go(f, job, true); /* what was fetched stays for the next run */
        jobs_append(out, job);
    }
    while (f->task_count > 0)
        remove_task(f, f->tasks[0]);
    for (size_t i = 0; i < f->registry_count; i++)
        free(f->registries[i]);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
    pthread_cond_destroy(&f->decided);
    free(f->jobs.items);
    free(f->tasks);
    free(f->running);
    free(f->registries);
    free(f->resumable);
    free(f->threads);
    free(f);
}

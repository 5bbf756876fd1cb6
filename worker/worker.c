#include "worker/worker.h"

#include "base/cancel.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/path.h"
#include "worker/batches.h"
#include "worker/claims.h"
#include "worker/committer.h"
#include "worker/fetch.h"
#include "worker/recorder.h"
#include "state/state.h"
#include "state/turn.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define RESOLVE_THREADS  16 /* for one batch */
#define RESOLVERS_MAX    16 /* batches at a time */
#define LAYER_THREADS    4  /* at least */
#define LOOK_NANOSECONDS (100 * 1000 * 1000L)
/* Two to three minutes of hashing on a small server: as long as others wait for their turn. */
#define REVISION_LIMIT ((uint64_t)10 * 1000 * 1000 * 1000)

struct worker {
    struct worker_options o;
    struct report *report;
    struct state state;
    struct repository *repository;
    struct recorder *recorder; /* NULL: a dry run */
    struct spool spool;
    struct fetch *fetch;
    struct claims *claims;
    struct creation_times *times;
    struct status_copy *status; /* NULL: none is published */
    struct committer committer;
    pthread_t committing;
    bool committing_started;
    pthread_rwlock_t podman_lock; /* guards these two; the committer plans with it */
    struct podman_lists podman;
    bool podman_read;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct batches batches;
    uint64_t sequence; /* of the last batch that was begun */
    size_t jobs;       /* with fetch or the committer */
    pthread_t resolvers[RESOLVERS_MAX];
    size_t resolver_count, resolvers_idle;
    bool sweep, settle; /* when no batch is left */
    bool stop;
    struct error unusable; /* the repository, as resolving saw; set once */
};

/* Why nothing more can be published; NULL: it can. With the lock held, or after the threads. */
static const struct error *broken_by(const struct worker *w)
{
    if (w->unusable.kind != ERROR_NONE)
        return &w->unusable;
    return w->committer.broken ? &w->committer.error : NULL;
}

/* ---- results ---- */

static void report_job(struct worker *w, struct job *job, enum outcome outcome)
{
    uint64_t revision = outcome == OUTCOME_PUBLISHED ? repository_revision(w->repository) : 0;
    recorder_decided(w->recorder, job, outcome);
    for (size_t i = 0; i < job->image.name_count; i++) {
        struct result result = {.name = image_label(&job->image, i),
                                .outcome = outcome,
                                .layers_new = job->layers_new,
                                .layers_present = job->layers_present,
                                .revision = revision};
        if (outcome == OUTCOME_FAILED)
            error_copy(&result.error, &job->error);
        report_result(w->report, &result);
    }
}

static void note_committed(void *arg, const struct committed *committed)
{
    struct worker *w = arg;
    recorder_committed(w->recorder, committed);
}

/* The committer has decided it. */
static void job_decided(void *arg, struct job *job, enum outcome outcome)
{
    struct worker *w = arg;
    fetch_done(w->fetch, job, outcome == OUTCOME_PLANNED);
    claims_leave(w->claims, job);
    report_untrack(w->report, &job->tracked);
    report_job(w, job, outcome);
    job_free(job);
    pthread_mutex_lock(&w->lock);
    w->jobs--;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static bool more_to_come(void *arg, size_t ready)
{
    struct worker *w = arg;
    pthread_mutex_lock(&w->lock);
    bool more = w->jobs > ready || batches_count(&w->batches) > 0;
    pthread_mutex_unlock(&w->lock);
    return more;
}

/* What a stop, or a repository that broke, left over. */
static void report_left(struct worker *w, struct job *job)
{
    struct error err = ERROR_INIT;
    const struct error *broken = broken_by(w);
    if (broken)
        error_copy(&err, broken);
    else
        error_set(&err, ERROR_CANCELLED, "stopped before it was published");
    if (job->state == JOB_DONE)
        error_release(&err); /* it has a reason of its own */
    else
        job_fail(job, &err);
    report_untrack(w->report, &job->tracked);
    report_job(w, job, OUTCOME_FAILED);
    job_free(job);
}

/* ---- resolving ---- */

/* The lists of the Podman store, which the committer keeps up to date, are read by the first who
 * needs them. */
static int read_podman(struct worker *w, const struct plan_target *target, struct error *err)
{
    int result = 0;
    if (target->policy->podman == PODMAN_NONE)
        return 0;
    pthread_rwlock_wrlock(&w->podman_lock);
    if (!w->podman_read)
        result = plan_read_podman(target, err);
    w->podman_read |= result == 0;
    pthread_rwlock_unlock(&w->podman_lock);
    return result;
}

/* New are images of names that have none yet. */
static bool is_new(const struct worker *w, const struct job *job)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    mode_t type = 0;
    _cleanup_free_ char *name = image_public_name(&job->image, 0);
    _cleanup_free_ char *metadata = layout_metadata(name);
    return repository_type(w->repository, metadata, &type, &ignored) == 0 && type == 0;
}

static void leave_for_later(struct worker *w, struct job *job)
{
    struct error err = ERROR_INIT;
    error_set(&err, ERROR_BUSY,
              "it failed before and has not changed since; its next try is not "
              "due yet: ducc why says when, and why it failed");
    job_fail(job, &err);
    report_waiting(w->report, job->tracked.name, &job->error);
    job_free(job);
}

static void take_job(struct worker *w, struct batch *batch, struct job *job)
{
    if (job->state == JOB_UNCHANGED || job->state == JOB_DONE) {
        report_job(w, job, job->state == JOB_DONE ? OUTCOME_FAILED : OUTCOME_UNCHANGED);
        job_free(job);
        return;
    }
    if (job->state == JOB_PAUSED) {
        leave_for_later(w, job);
        return;
    }
    if (claims_cover(w->claims, job, &batch->order->policy)) {
        job_free(job); /* it is on its way already */
        return;
    }
    job->order = order_ref(batch->order);
    job->sequence = batch->sequence;
    job->rank = job_rank(batch->order->urgency, is_new(w, job));
    recorder_seen(w->recorder, job);
    claims_enter(w->claims, job);
    pthread_mutex_lock(&w->lock);
    w->jobs++;
    pthread_mutex_unlock(&w->lock);
    fetch_add(w->fetch, job);
}

/* What is wrong with the repository is no fault of the images. Who is patient tries again. */
static void note_unusable(struct worker *w, const struct error *err)
{
    if (w->o.patient)
        return;
    pthread_mutex_lock(&w->lock);
    if (w->unusable.kind == ERROR_NONE)
        error_copy(&w->unusable, err);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void fail_batch(struct worker *w, struct batch *batch, struct error *err)
{
    for (size_t i = 0; i < batch->wanted.count; i++) {
        const char *prefix = batch->order->prefix;
        _cleanup_free_ char *name = reference_name(&batch->wanted.items[i].ref);
        struct result result = {.name = path_join(prefix ? prefix : "", name),
                                .outcome = OUTCOME_FAILED};
        error_copy(&result.error, err);
        report_result(w->report, &result);
    }
    error_release(err);
}

static void resolve_batch(struct worker *w, struct batch *batch)
{
    const struct order *order = batch->order;
    struct jobs jobs = {0};
    struct error err = ERROR_INIT;
    struct plan_target target = {w->repository, &order->policy, &w->podman, NULL};
    if (read_podman(w, &target, &err) < 0) {
        note_unusable(w, &err);
        fail_batch(w, batch, &err);
        return;
    }
    struct resolve_options options = {.recorder = w->recorder,
                                      .target = &target,
                                      .podman_lock = &w->podman_lock,
                                      .times = w->times,
                                      .threads = RESOLVE_THREADS};
    resolve_for_order(&options, order);
    resolve(&options, &batch->wanted, &jobs, w->report);
    for (size_t i = 0; i < jobs.count; i++)
        take_job(w, batch, jobs.items[i]);
    free(jobs.items);
}

/* What was asked for has its time. With the lock held, which is given up meanwhile. */
static void tidy(struct worker *w)
{
    bool settle = w->settle;
    if (w->sweep)
        fetch_sweep(w->fetch);
    w->sweep = w->settle = false;
    if (!settle)
        return;
    pthread_mutex_unlock(&w->lock);
    recorder_settle(w->recorder);
    pthread_mutex_lock(&w->lock);
}

/* With the lock held, which is given up meanwhile. */
static void run_batch(struct worker *w, struct batch *batch)
{
    batch->sequence = ++w->sequence;
    pthread_mutex_unlock(&w->lock);
    resolve_batch(w, batch);
    pthread_mutex_lock(&w->lock);
    batches_end(&w->batches, batch);
    pthread_mutex_unlock(&w->lock);
    batch_free(batch);
    pthread_mutex_lock(&w->lock);
    if (batches_count(&w->batches) == 0)
        tidy(w);
    pthread_cond_broadcast(&w->changed);
}

static void *resolver(void *arg)
{
    struct worker *w = arg;
    log_set_repository(w->o.repository);
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        struct batch *batch = batches_next(&w->batches, w->jobs >= WORKER_JOBS_MAX);
        if (batch) {
            run_batch(w, batch);
            continue;
        }
        w->resolvers_idle++;
        pthread_cond_wait(&w->changed, &w->lock);
        w->resolvers_idle--;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* With the lock held: as many as there are registries to be asked at a time. */
static void start_resolvers(struct worker *w)
{
    size_t wanted = batches_lanes(&w->batches);
    while (w->resolver_count < RESOLVERS_MAX && w->resolver_count < wanted) {
        if (pthread_create(&w->resolvers[w->resolver_count], NULL, resolver, w) != 0) {
            if (w->resolver_count == 0)
                abort(); /* not one thread: nothing can be done */
            break;
        }
        w->resolver_count++;
    }
}

void worker_submit(struct worker *w, struct order *order, struct wanted_list *wanted)
{
    order_begin_batch(order); /* until all are there */
    pthread_mutex_lock(&w->lock);
    batches_add(&w->batches, order, wanted);
    start_resolvers(w);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    order_end_batch(order);
}

void worker_sweep(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    bool overdue = w->sweep;
    w->sweep = true;
    if (overdue || batches_count(&w->batches) == 0)
        tidy(w);
    pthread_mutex_unlock(&w->lock);
}

void worker_settle(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->settle = true;
    if (batches_count(&w->batches) == 0)
        tidy(w);
    pthread_mutex_unlock(&w->lock);
}

/* ---- life ---- */

static uint64_t budget(const struct worker *w, uint64_t limit)
{
    struct error ignored = ERROR_INIT;
    uint64_t free_bytes = 0;
    if (limit)
        return limit;
    if (disk_free_bytes(w->spool.dir, &free_bytes, &ignored) < 0)
        error_release(&ignored); /* one image at a time, then */
    return free_bytes / 10 * 9;
}

/* Others may be at work in it: what they left counts as left only in our turn. */
static int begin_repository(struct worker *w, struct error *err)
{
    struct turn turn _cleanup_turn_ = TURN_INIT;
    if (committer_take_turn(&w->state, &turn, err) < 0)
        return -1;
    return committer_begin(w->repository, &w->state, err);
}

static int open_repository(struct worker *w, struct error *err)
{
    const struct worker_options *o = &w->o;
    if (repository_open(o->repository, &w->repository, err) < 0 ||
        state_open(o->state_dir, o->spool_base, o->repository, &w->state, err) < 0 ||
        begin_repository(w, err) < 0 || dir_make(w->state.spool_dir, 0700, err) < 0)
        return -1;
    return spool_open(&w->spool, w->state.spool_dir, o->spool_limit, err);
}

static int open_recorder(struct worker *w, struct error *err)
{
    struct recorder_options options = {.state_dir = w->o.state_dir,
                                       .repository = w->repository,
                                       .run = w->o.run,
                                       .history = w->o.history,
                                       .notifier = w->o.notifier};
    return w->o.dry_run ? 0 : recorder_open(&options, &w->recorder, err);
}

struct recorder *worker_recorder(struct worker *w)
{
    return w->recorder;
}

static void *commit_thread(void *arg)
{
    struct worker *w = arg;
    log_set_repository(w->o.repository);
    committer_run(&w->committer);
    pthread_mutex_lock(&w->lock);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void start_threads(struct worker *w)
{
    const struct worker_options *o = &w->o;
    size_t threads = processor_count() > LAYER_THREADS ? processor_count() : LAYER_THREADS;
    struct fetch_options options = {.repository = w->repository,
                                    .spool = &w->spool,
                                    .threads = o->jobs ? o->jobs : threads,
                                    .budget_bytes = budget(w, o->spool_limit)};
    w->fetch = fetch_start(&options, w->report);
    w->committer.o = (struct committer_options){.repository = w->repository,
                                                .state = &w->state,
                                                .spool = &w->spool,
                                                .fetch = w->fetch,
                                                .claims = w->claims,
                                                .report = w->report,
                                                .status = w->status,
                                                .podman_lock = &w->podman_lock,
                                                .podman = &w->podman,
                                                .dry_run = o->dry_run,
                                                .json = o->json,
                                                .patient = o->patient,
                                                .more_to_come = more_to_come,
                                                .decided = job_decided,
                                                .committed = note_committed,
                                                .arg = w};
    atomic_init(&w->committer.revision_limit,
                o->revision_limit ? o->revision_limit : REVISION_LIMIT);
    if (pthread_create(&w->committing, NULL, commit_thread, w) != 0)
        abort(); /* nothing can be published */
    w->committing_started = true;
}

/* Planning must not wait for ever behind those who look. */
static void init_podman_lock(struct worker *w)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&w->podman_lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

int worker_start(const struct worker_options *options, struct report *report, struct worker **out,
                 struct error *err)
{
    struct worker *w = xcalloc(1, sizeof *w);
    w->o = *options;
    w->report = report;
    w->state.lock_fd = -1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    init_podman_lock(w);
    w->claims = claims_new();
    w->times = creation_times_new();
    if (open_repository(w, err) < 0 || open_recorder(w, err) < 0) {
        worker_stop(w);
        return -1;
    }
    if (w->o.status_interval && w->recorder)
        w->status = status_copy_new(w->repository, w->recorder, (int64_t)w->o.status_interval);
    start_threads(w);
    *out = w;
    return 0;
}

static void wait_a_moment(struct worker *w)
{
    struct timespec until; /* a request to stop wakes nobody: look again soon */
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_NANOSECONDS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&w->changed, &w->lock, &until);
}

void worker_drain(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    while ((w->jobs > 0 || batches_count(&w->batches) > 0) && !cancel_requested() && !broken_by(w))
        wait_a_moment(w);
    pthread_mutex_unlock(&w->lock);
}

size_t worker_load(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    size_t load = w->jobs + batches_count(&w->batches);
    pthread_mutex_unlock(&w->lock);
    return load;
}

const struct error *worker_error(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    const struct error *broken = broken_by(w);
    pthread_mutex_unlock(&w->lock);
    return broken;
}

void worker_set_limits(struct worker *w, uint64_t spool_limit, uint64_t revision_limit)
{
    atomic_store(&w->spool.limit_bytes, spool_limit);
    atomic_store(&w->committer.revision_limit, revision_limit ? revision_limit : REVISION_LIMIT);
    fetch_set_budget(w->fetch, budget(w, spool_limit));
}

static void stop_threads(struct worker *w)
{
    struct jobs left = {0};
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    fetch_quit(w->fetch);
    for (size_t i = 0; i < w->resolver_count; i++)
        pthread_join(w->resolvers[i], NULL);
    if (w->committing_started)
        pthread_join(w->committing, NULL);
    fetch_stop(w->fetch, &left); /* those that the committer had taken are among them */
    for (size_t i = 0; i < left.count; i++)
        report_left(w, left.items[i]);
    free(left.items);
    free(w->committer.ready.items);
}

static void drop_batches(struct worker *w)
{
    for (struct batch *b; (b = batches_next(&w->batches, false)); batch_free(b)) {
        struct error stopped = ERROR_INIT;
        error_set(&stopped, ERROR_CANCELLED, "stopped before it was looked at");
        fail_batch(w, b, &stopped);
        batches_end(&w->batches, b);
    }
}

void worker_stop(struct worker *w)
{
    if (w->fetch)
        stop_threads(w);
    drop_batches(w);
    recorder_settle(w->recorder);
    if (w->fetch)
        committer_publish_status(&w->committer);
    status_copy_free(w->status);
    const struct error *broken = broken_by(w);
    recorder_close(w->recorder, broken ? broken->message : cancel_requested() ? "stopped" : "ok");
    error_release(&w->committer.error);
    error_release(&w->unusable);
    claims_free(w->claims);
    creation_times_free(w->times);
    podman_lists_release(&w->podman);
    spool_release(&w->spool);
    repository_free(w->repository);
    state_release(&w->state);
    pthread_rwlock_destroy(&w->podman_lock);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->changed);
    free(w);
}

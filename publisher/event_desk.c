#include "publisher/event_desk.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define JOBS_MAX      10000 /* that are taken and wait for their registry's turn */
#define TAKE_MAX      1000
#define RETRY_SECONDS 5 /* the database could not be used */
/* Registries tell of a push before it can be seen: docker-registry, before the tag is set. So it is
 * looked for a moment later, and once more where there are caches and replicas in between. */
#define FIRST_LOOK  0.25
#define SECOND_LOOK 3.0

/* An event job about a registry, whose turn has not come. */
struct waiting {
    int64_t job;
    struct heard heard;
    double due; /* clock_monotonic() */
    bool last;  /* no further look */
};

struct event_desk {
    struct event_desk_options o;
    struct database *db; /* the desk's thread's */
    struct waiting *waiting;
    size_t waiting_count, waiting_capacity;
    double due; /* when something that waits is due; 0: nothing is by itself */
    pthread_t thread;

    pthread_mutex_t lock; /* guards all below, and the counters of rounds */
    pthread_cond_t changed;
    struct event_round *rounds;
    bool woken, stop, stopped;
};

/* ---- rounds ---- */

static struct event_round *new_round(struct event_desk *d, const char *registry)
{
    struct event_round *round = xcalloc(1, sizeof *round);
    round->desk = d;
    round->registry = registry ? xstrdup(registry) : NULL;
    round->unresolved = round->under_way = 1; /* ourselves, until all is begun */
    pthread_mutex_lock(&d->lock);
    round->next = d->rounds;
    d->rounds = round;
    pthread_mutex_unlock(&d->lock);
    return round;
}

static void free_round(struct event_round *round)
{
    for (size_t i = 0; i < round->heard_count; i++)
        heard_release(&round->heard[i]);
    free(round->heard);
    free(round->jobs);
    free(round->registry);
    free(round);
}

static void add_job(struct event_round *round, int64_t job)
{
    ARRAY_GROW(round->jobs, round->job_count, round->job_capacity);
    round->jobs[round->job_count++] = job;
}

void event_round_begin(struct event_round *round)
{
    pthread_mutex_lock(&round->desk->lock);
    round->unresolved++;
    round->under_way++;
    round->concerned = true;
    pthread_mutex_unlock(&round->desk->lock);
}

static void wake(struct event_desk *d)
{
    d->woken = true;
    pthread_cond_signal(&d->changed);
}

void event_round_resolved(struct event_round *round)
{
    struct event_desk *d = round->desk;
    pthread_mutex_lock(&d->lock);
    if (--round->unresolved == 0)
        wake(d);
    pthread_mutex_unlock(&d->lock);
}

void event_round_end(struct event_round *round)
{
    struct event_desk *d = round->desk;
    pthread_mutex_lock(&d->lock);
    round->cut_off |= cancel_requested();
    if (--round->under_way == 0)
        wake(d);
    pthread_mutex_unlock(&d->lock);
}

static bool is_busy(struct event_desk *d, const char *registry)
{
    bool busy = false;
    pthread_mutex_lock(&d->lock);
    for (struct event_round *r = d->rounds; r; r = r->next)
        busy |= r->unresolved > 0 && r->registry && strcmp(r->registry, registry) == 0;
    pthread_mutex_unlock(&d->lock);
    return busy;
}

/* ---- what is done ---- */

/* Take out those at their end. */
static struct event_round *take_ended(struct event_desk *d)
{
    struct event_round *ended = NULL;
    pthread_mutex_lock(&d->lock);
    for (struct event_round **at = &d->rounds; *at;) {
        struct event_round *round = *at;
        if (round->under_way > 0) {
            at = &round->next;
            continue;
        }
        *at = round->next;
        round->next = ended;
        ended = round;
    }
    pthread_mutex_unlock(&d->lock);
    return ended;
}

static int write_ended(struct event_desk *d, const struct event_round *rounds, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    if (transaction_begin(d->db, &t, err) < 0)
        return -1;
    for (const struct event_round *r = rounds; r; r = r->next) {
        const char *outcome = r->concerned ? "looked at" : "no list asks for it";
        for (size_t i = 0; !r->cut_off && i < r->job_count; i++)
            if (events_done(d->db, r->jobs[i], outcome, clock_now(), err) < 0)
                return -1;
    }
    return transaction_commit(&t, err);
}

static void put_back(struct event_desk *d, struct event_round *rounds)
{
    pthread_mutex_lock(&d->lock);
    while (rounds) {
        struct event_round *next = rounds->next;
        rounds->next = d->rounds;
        d->rounds = rounds;
        rounds = next;
    }
    pthread_mutex_unlock(&d->lock);
}

static int finish_rounds(struct event_desk *d, struct error *err)
{
    struct event_round *ended = take_ended(d);
    if (!ended)
        return 0;
    if (write_ended(d, ended, err) < 0) {
        put_back(d, ended);
        return -1;
    }
    while (ended) {
        struct event_round *next = ended->next;
        free_round(ended);
        ended = next;
    }
    return 0;
}

/* ---- what begins ---- */

static void visit(struct event_desk *d, const struct event_job *job, bool everything)
{
    struct event_round *round = new_round(d, NULL);
    add_job(round, job->id);
    d->o.visit(d->o.arg, job->subject, everything, round);
    event_round_resolved(round);
    event_round_end(round);
}

/* To look at images, or at lists. What is neither was stored by another version of the program. */
static void begin_job(struct event_desk *d, const struct event_job *job)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    bool rumour = job->kind == EVENT_PUSHED || job->kind == EVENT_DELETED;
    struct waiting w = {
        .job = job->id, .due = clock_monotonic() + (rumour ? FIRST_LOOK : 0), .last = !rumour};
    if (job->kind == EVENT_LIST || (job->kind == EVENT_REFRESH && !*job->subject)) {
        visit(d, job, job->kind == EVENT_REFRESH);
        return;
    }
    if (heard_parse(job->kind, job->subject, &w.heard, &err) < 0) {
        log_warning("an event is about no image: %s", err.message);
        struct event_round *round = new_round(d, NULL);
        add_job(round, job->id);
        event_round_resolved(round);
        event_round_end(round);
        return;
    }
    ARRAY_GROW(d->waiting, d->waiting_count, d->waiting_capacity);
    d->waiting[d->waiting_count++] = w;
}

static int take_events(struct event_desk *d, struct error *err)
{
    struct event_jobs jobs = {0};
    do {
        event_jobs_release(&jobs);
        if (d->waiting_count >= JOBS_MAX)
            return 0;
        if (events_take(d->db, TAKE_MAX, &jobs, err) < 0)
            return -1;
        for (size_t i = 0; i < jobs.count; i++) {
            log_info("event: %s %s (%zu)", event_kind_word(jobs.items[i].kind),
                     jobs.items[i].subject, jobs.items[i].events);
            begin_job(d, &jobs.items[i]);
        }
    } while (jobs.count == TAKE_MAX);
    event_jobs_release(&jobs);
    return 0;
}

static void add_heard(struct event_round *round, const struct heard *heard)
{
    ARRAY_GROW(round->heard, round->heard_count, round->heard_capacity);
    round->heard[round->heard_count++] = *heard;
}

/* All that is due of one registry. */
static struct event_round *gather(struct event_desk *d, const char *registry, double now)
{
    struct event_round *round = new_round(d, registry);
    size_t left = 0;
    for (size_t i = 0; i < d->waiting_count; i++) {
        struct waiting w = d->waiting[i];
        bool taken = w.due <= now && strcmp(w.heard.registry, registry) == 0;
        if (taken && w.last) {
            add_job(round, w.job);
            add_heard(round, &w.heard);
            continue;
        }
        if (taken) {
            struct heard copy;
            heard_copy(&copy, &w.heard);
            add_heard(round, &copy);
            w.last = true;
            w.due = now + SECOND_LOOK;
        }
        d->waiting[left++] = w;
    }
    d->waiting_count = left;
    return round;
}

/* A registry that has something due and is not busy. Owned, or NULL; *out_next: when to look again,
 * 0 if nothing will be due by itself. */
static char *next_registry(struct event_desk *d, double now, double *out_next)
{
    *out_next = 0;
    for (size_t i = 0; i < d->waiting_count; i++) {
        const struct waiting *w = &d->waiting[i];
        if (w->due <= now && !is_busy(d, w->heard.registry))
            return xstrdup(w->heard.registry);
        if (w->due > now && (*out_next == 0 || w->due < *out_next))
            *out_next = w->due;
    }
    return NULL;
}

static void begin_rounds(struct event_desk *d)
{
    double now = clock_monotonic();
    char *registry;
    while ((registry = next_registry(d, now, &d->due))) {
        struct event_round *round = gather(d, registry, now);
        free(registry);
        d->o.hear(d->o.arg, round);
        event_round_resolved(round);
        event_round_end(round);
    }
}

/* ---- the thread ---- */

static int open_database(struct event_desk *d, struct error *err)
{
    size_t count = 0;
    if (d->db)
        return 0;
    if (database_open(d->o.state_dir, DATABASE_WRITE, &d->db, err) < 0 ||
        events_take_back(d->db, &count, err) < 0) {
        database_free(d->db);
        d->db = NULL;
        return -1;
    }
    if (count)
        log_info("%zu events that an earlier run had begun with are looked at again", count);
    return 0;
}

static int work(struct event_desk *d, struct error *err)
{
    if (open_database(d, err) < 0 || finish_rounds(d, err) < 0 || take_events(d, err) < 0)
        return -1;
    begin_rounds(d);
    return finish_rounds(d, err);
}

/* Until there is something to do; after a failure, for a while. */
static void wait_for_work(struct event_desk *d, bool failed)
{
    double seconds = failed ? RETRY_SECONDS : d->due > 0 ? d->due - clock_monotonic() : 0;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t nanoseconds = until.tv_nsec + (int64_t)((seconds > 0 ? seconds : 0) * 1e9);
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    if (failed)
        pthread_cond_timedwait(&d->changed, &d->lock, &until);
    int rc = 0;
    while (!failed && !d->woken && !d->stop && rc != ETIMEDOUT)
        rc = d->due > 0 ? pthread_cond_timedwait(&d->changed, &d->lock, &until)
                        : pthread_cond_wait(&d->changed, &d->lock);
    d->woken = false;
}

static void *run(void *arg)
{
    struct event_desk *d = arg;
    pthread_mutex_lock(&d->lock);
    while (!d->stop) {
        struct error err = ERROR_INIT;
        pthread_mutex_unlock(&d->lock);
        bool failed = work(d, &err) < 0;
        if (failed)
            log_warning("events: %s; trying again", err.message);
        error_release(&err);
        pthread_mutex_lock(&d->lock);
        wait_for_work(d, failed);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

struct event_desk *event_desk_start(const struct event_desk_options *options)
{
    struct event_desk *d = xcalloc(1, sizeof *d);
    d->o = *options;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->changed, NULL);
    if (pthread_create(&d->thread, NULL, run, d) != 0)
        abort(); /* events would wait for ever */
    return d;
}

void event_desk_wake(struct event_desk *d)
{
    pthread_mutex_lock(&d->lock);
    wake(d);
    pthread_mutex_unlock(&d->lock);
}

void event_desk_stop(struct event_desk *d)
{
    if (!d || d->stopped)
        return;
    pthread_mutex_lock(&d->lock);
    d->stop = true;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    d->stopped = true;
}

void event_desk_free(struct event_desk *d)
{
    if (!d)
        return;
    event_desk_stop(d);
    for (struct event_round *r = d->rounds, *next; r; r = next) {
        next = r->next;
        free_round(r);
    }
    for (size_t i = 0; i < d->waiting_count; i++)
        heard_release(&d->waiting[i].heard);
    free(d->waiting);
    database_free(d->db);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

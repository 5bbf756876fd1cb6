/*
 * The worker: one repository's pipeline from wishes to revisions. `ducc convert` hands it
 * everything at once and waits; a service hands it orders as they come, for years.
 *
 *      worker_submit()            a few threads             fetch.h           committer.h
 *     orders ──▶ batches ──▶ resolving, per registry ──▶ jobs ──▶ layers ──▶ one commit at a time
 *
 * An order is split into batches of one registry. Batches of one registry and urgency are resolved
 * one after the other, different registries at the same time: one that hangs delays its own wishes
 * and nobody else's. What a batch needs goes on to fetch at once. Queues are bounded: while
 * WORKER_JOBS_MAX jobs are at work, no batch but an event's is begun.
 *
 *     worker_start()    takes the repository's lock; the repository can be used
 *     worker_submit()   from any thread
 *     worker_drain()    until every wish is decided
 *     worker_stop()     what is not decided by then stays for the next run
 *
 * A stop of the program (base/cancel.h) makes everything that is under way return soon; whoever
 * asked for it calls worker_stop().
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "worker/job.h"
#include "config/notifier.h"
#include "worker/order.h"
#include "worker/report.h"
#include "worker/resolve.h"
#include "state/history.h"

#define WORKER_JOBS_MAX 1000

struct worker_options {
    const char *repository;
    const char *state_dir;         /* NULL: the default, see state/state.h */
    const char *spool_base;        /* NULL: inside the state directory */
    uint64_t spool_limit;          /* bytes; 0: nine tenths of what is free */
    size_t jobs;                   /* layers at a time; 0: by the number of processors */
    uint64_t revision_limit;       /* bytes of new content in one revision; 0: the default */
    bool dry_run;                  /* plan, print, record and publish nothing */
    struct notifier *notifier;     /* told of images; NULL: nobody. config/notifier.h */
    struct history_bounds history; /* of what is recorded: all zero is the default */
    uint64_t status_interval;      /* seconds: worker/status_copy.h; 0: no copy */
    const char *run;               /* the kind of run that its life is (state/runs.h); NULL: none */
    bool json;                     /* how plans are printed */
    /* Run on when somebody else has a transaction open, and try again when it has ended. */
    bool patient;
};

struct worker;
/* The options' strings and the report must live as long as the worker. ERROR_BUSY: another process
 * has the repository, which and since when; ERROR_NOT_FOUND, ERROR_IO: it cannot be used. */
MUST_CHECK int worker_start(const struct worker_options *options, struct report *report,
                            struct worker **out, struct error *err);

/* Takes over what *wanted holds; the order gets references. */
void worker_submit(struct worker *worker, struct order *order, struct wanted_list *wanted);
/* As soon as no batch is left: remove from the spool what no job needs. If that has not come since
 * the last call (a registry hangs), at once. */
void worker_sweep(struct worker *worker);
/* As soon as no batch is left: recorder_settle(). To be called when lists have changed. */
void worker_settle(struct worker *worker);
/* Until every wish is decided, a stop is asked for, or the repository cannot be used. */
void worker_drain(struct worker *worker);
/* Where it notes what it does; NULL in a dry run. worker/recorder.h */
struct recorder *worker_recorder(struct worker *worker);
/* How much is not decided: batches and jobs. */
size_t worker_load(struct worker *worker);
/* Why the repository cannot be used any more; NULL: it can. After worker_drain(). */
const struct error *worker_error(struct worker *worker);
/* As in the options; they take effect for what comes next. */
void worker_set_limits(struct worker *worker, uint64_t spool_limit, uint64_t revision_limit);
/* Ends the threads (waiting for what they are at, unless a stop was asked for), reports what is
 * left as failed, gives the repository back, frees everything. */
void worker_stop(struct worker *worker);

#endif

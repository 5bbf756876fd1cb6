/*
 * Fetching and preparing: bring the layers of waiting jobs into the spool, on a few threads.
 *
 * The unit of work is a layer (worker/layer_task.h); jobs that share one wait for the same task.
 * Jobs may be added at any time.
 *
 * Spool space. A job is admitted while the sum of the estimates fits the budget; one job is always
 * admitted, so that nothing waits for ever. A small job may pass a larger one that does not fit
 * yet, but only so often: then nobody does any more until the large one is in. A job that does not
 * fit after all fails with ERROR_LIMIT, and the others go on. Space is given back by fetch_done().
 *
 * Threads. The next layer is that of the job with the best rank (worker/job.h), among these of
 * the one that has the fewest threads. Large images together, and the layers of one registry if
 * there are several, leave a quarter of the threads to others: a registry that hangs, or an image
 * of 20 GB, does not hold up the rest. They yield the processors to a commit: they are nicer by 10
 * than the rest of the program and its children.
 *
 *     fetch_start()
 *     fetch_add() ...                                       from any thread
 *     while (fetch_next_ready(..., &group)) commit them, fetch_done() each      from one
 *     fetch_stop()
 */
#ifndef WORKER_FETCH_H
#define WORKER_FETCH_H

#include "worker/job.h"
#include "repository/repository.h"

struct layer_task;
struct fetch;

struct fetch_options {
    const struct repository *repository;
    struct spool *spool;
    size_t threads;
    uint64_t budget_bytes; /* of spool, for the estimates */
};

struct fetch *fetch_start(const struct fetch_options *options, struct report *report);
void fetch_set_budget(struct fetch *fetch, uint64_t budget_bytes);

/* A job that is WAITING, READY (it needs no layers), or DONE (it has failed): it comes out of
 * fetch_next_ready() some time, and is fetch's until then. */
void fetch_add(struct fetch *fetch, struct job *job);
/* Append to *out jobs that are decided: their layers lie in the spool, or they have failed. With
 * `wait`, until there is one, for some seconds; false: there is none. */
bool fetch_next_ready(struct fetch *fetch, bool wait, struct jobs *out);
/* A job that was given out is decided: its layers may leave the spool, unless `keep` (a dry run's
 * are left for the real one). */
void fetch_done(struct fetch *fetch, struct job *job, bool keep);
/* Remove from the spool what no job needs, and what was not left there to be resumed since the last
 * call. */
void fetch_sweep(struct fetch *fetch);
/* Begin no further layer, and let fetch_next_ready() return. */
void fetch_quit(struct fetch *fetch);
bool fetch_is_quitting(struct fetch *fetch);
/* Ends the threads, waiting for what they are at, and frees everything. Jobs that were not given
 * out are appended to *out. */
void fetch_stop(struct fetch *fetch, struct jobs *out);

#endif

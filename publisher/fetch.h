/*
 * Fetching and preparing: bring the layers of the waiting jobs into the spool, on a few threads.
 *
 * The unit of work is a layer; jobs that share one wait for the same task. A task looks in the
 * spool first (an earlier run may have left it there), then for the index that the repository keeps
 * beside a layer it holds (then nothing is fetched), then asks the registries.
 *
 * Spool space. Jobs are admitted in their order while the sum of their estimates fits the budget;
 * one job is always admitted, so that nothing waits for ever. A job that does not fit after all
 * fails with ERROR_LIMIT, and the others go on. Space is given back by fetch_done().
 *
 *     fetch_start() ... while (fetch_next_ready(..., &group)) commit them, fetch_done() each ...
 *     fetch_stop()
 */
#ifndef PUBLISHER_FETCH_H
#define PUBLISHER_FETCH_H

#include "publisher/job.h"
#include "repository/repository.h"
#include "registry/client.h"

struct layer_task;
struct fetch;

struct fetch_options {
    struct registry_client *client;
    const struct repository *repository;
    const struct policy *policy;
    struct spool *spool;
    size_t threads;
    uint64_t budget_bytes; /* of spool, for the estimates */
};

struct fetch *fetch_start(const struct fetch_options *options, struct jobs *jobs,
                          struct report *report);
/* Wait until jobs are ready (their layers lie in the spool) or have failed, and give all of them.
 * Returns how many; 0 when no job is left, or a stop was asked for. The array is the caller's to
 * free. */
size_t fetch_next_ready(struct fetch *fetch, struct job ***out);
/* A job is decided: its layers may leave the spool, unless `keep` (a dry run's are left for the
 * real one). */
void fetch_done(struct fetch *fetch, struct job *job, bool keep);
/* Ends the threads, waiting for what they are at; frees everything. */
void fetch_stop(struct fetch *fetch);

/* Whether the repository has the layer, but not all its files can be linked to: somebody else
 * published it, or CernVM-FS keeps some in chunks. */
bool layer_task_check_links(const struct layer_task *task);
const struct digest *layer_task_blob(const struct layer_task *task);

#endif

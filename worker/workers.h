/* The workers of a program: one for each repository, started when it is first asked for. */
#ifndef WORKER_WORKERS_H
#define WORKER_WORKERS_H

#include "worker/worker.h"

#include <pthread.h>

struct worker_entry {
    char *repository;
    struct worker *worker;
};

struct workers {
    struct worker_options options; /* of each, but for the repository */
    struct report *report;
    /* Of a program whose threads share them: the mutex that guards all this, held by whoever calls
     * something here. It is given up while a repository is opened, which may take minutes. NULL:
     * one thread has them. */
    pthread_mutex_t *lock;
    struct worker_entry *items; /* those that have started */
    size_t count, capacity;
    char **starting; /* borrowed names */
    size_t starting_count, starting_capacity;
};

/* The repository's; as worker_start() if there is none yet. */
MUST_CHECK int workers_get(struct workers *workers, const char *repository, struct worker **out,
                           struct error *err);
/* worker_drain() for all. The error of the first whose repository cannot be used, or NULL. */
const struct error *workers_drain(struct workers *workers);
/* Remove from the spools what nobody needs: worker_sweep(). */
void workers_sweep(struct workers *workers);
/* worker_settle(), worker_tick() for all. */
void workers_settle(struct workers *workers);
void workers_tick(struct workers *workers);
size_t workers_load(const struct workers *workers);
void workers_stop(struct workers *workers);

#endif

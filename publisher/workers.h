/* The workers of a program: one for each repository, started when it is first asked for. */
#ifndef PUBLISHER_WORKERS_H
#define PUBLISHER_WORKERS_H

#include "publisher/worker.h"

struct workers {
    struct worker_options options; /* of each, but for the repository */
    struct report *report;
    struct worker_entry {
        char *repository;
        struct worker *worker;
    } * items;
    size_t count, capacity;
};

/* The repository's; as worker_start() if there is none yet. Not thread-safe, as all here. */
MUST_CHECK int workers_get(struct workers *workers, const char *repository, struct worker **out,
                           struct error *err);
/* worker_drain() for all. The error of the first whose repository cannot be used, or NULL. */
const struct error *workers_drain(struct workers *workers);
/* Remove from the spools what nobody needs: worker_sweep(). */
void workers_sweep(struct workers *workers);
size_t workers_load(const struct workers *workers);
void workers_stop(struct workers *workers);

#endif

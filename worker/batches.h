/*
 * Batches: what a worker still has to resolve. A batch holds wishes of one order and one registry.
 *
 * Batches of one registry and one urgency are a lane: one of them is resolved at a time, in their
 * order. Not thread-safe: the worker's lock guards it.
 */
#ifndef WORKER_BATCHES_H
#define WORKER_BATCHES_H

#include "worker/order.h"
#include "worker/resolve.h"

#define BATCH_WISHES_MAX 256

struct batch {
    struct batch *next;
    struct order *order; /* it holds a reference */
    char *registry;
    struct wanted_list wanted;
    uint64_t sequence; /* the worker's */
    bool running;
};

struct batches {
    struct batch *first, *last; /* in the order in which they came */
};

/* Takes over what *wanted holds. Wishes of one repository stay together. */
void batches_add(struct batches *batches, struct order *order, struct wanted_list *wanted);
/* The next to be resolved, which is then running; NULL if there is none that could be now. Events
 * go first, and are all there is if `events_only`. */
struct batch *batches_next(struct batches *batches, bool events_only);
/* It has been resolved, and is the caller's to free, without the lock: its order may end. */
void batches_end(struct batches *batches, struct batch *batch);
void batch_free(struct batch *batch);
/* Waiting and running. */
size_t batches_count(const struct batches *batches);
/* How many of them can be at work at a time. */
size_t batches_lanes(const struct batches *batches);

#endif

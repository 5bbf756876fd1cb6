/*
 * An order: wishes that were handed to a worker together, and how their images are to be published:
 * one list's, one event's, or those of a command line.
 *
 * The worker splits an order into batches, those become jobs, and all of them hold on to it: when
 * the last lets go, every wish has been decided, and `ended` is called (once, from any thread).
 */
#ifndef WORKER_ORDER_H
#define WORKER_ORDER_H

#include "config/access.h"
#include "worker/name_set.h"
#include "registry/manifest.h"
#include "repository/policy.h"
#include "wishlist/recipe.h"

#include <stdatomic.h>
#include <stdbool.h>

enum urgency {
    URGENCY_EVENT, /* somebody waits for it */
    URGENCY_POLL,
};

struct order_options {
    struct access *access; /* of the registries; the order takes a reference of its own */
    const struct policy *policy;
    const struct platform *platforms; /* wanted of an index; at least one */
    size_t platform_count;
    /* What its list says: prefix, limits, keys. NULL: it is no list's. */
    const struct recipe_list *list;
    struct name_set *names; /* shared with the other orders of a round; NULL: of its own */
    enum urgency urgency;
    bool again; /* look at every image as if it had never been published */
    /* An image whose last try failed, and has not changed, is left alone until its next try is due
     * (state/retry.h). */
    bool heeds_pauses;
    /* Both may be NULL. `resolved`: every wish has been looked at, and what must be done for it is
     * under way; it comes before `ended`. */
    void (*resolved)(void *arg);
    void (*ended)(void *arg);
    void *arg;
};

struct order {
    atomic_size_t references;
    struct access *access;
    struct policy policy;
    struct platform *platforms;
    size_t platform_count;
    char *prefix;                      /* of public names; NULL: none */
    uint64_t image_size_max, tags_max; /* 0: no limit */
    struct site_rules signatures;      /* the list's own rule; none: the site's are all */
    struct name_set *names;
    enum urgency urgency;
    bool again, heeds_pauses;
    atomic_size_t unresolved; /* batches */
    void (*resolved)(void *arg);
    void (*ended)(void *arg);
    void *arg;
};

/* Copies what it is given. One reference is the caller's. */
struct order *order_new(const struct order_options *options);
struct order *order_ref(struct order *order);
void order_unref(struct order *order);
/* Batches: each that is begun is ended some time. */
void order_begin_batch(struct order *order);
void order_end_batch(struct order *order);

#endif

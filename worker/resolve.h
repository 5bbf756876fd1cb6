/*
 * Resolving: from wishes to jobs, asking the registries no more than is needed.
 *
 *   1. a wish with a selector becomes the tags it selects (worker/expand.h);
 *   2. one HEAD a name gives the digest it points to now (a registry that has no HEAD, or does not
 *      tell digests, is asked with a GET that names the digest we know); names with one digest
 *      become one job; if that is an index, one for each of its platforms that is wanted; a name
 *      that is not there may be gone for good (worker/gone.h), which is recorded;
 *   3. a digest that the repository has already (the documents lie in .metadata) costs nothing
 * more; for another, the manifest (for an index: and the platform's manifest) and the configuration
 *      are fetched, once a job;
 *   4. where the site or the list wants a signature, what is to be published must have one; and it
 *      must not be larger than the list allows.
 *
 * A wish or name that fails is reported with its reason and leaves the others alone.
 */
#ifndef WORKER_RESOLVE_H
#define WORKER_RESOLVE_H

#include "worker/creation.h"
#include "worker/job.h"
#include "worker/name_set.h"
#include "worker/report.h"
#include "repository/repository.h"
#include "registry/client.h"
#include "wishlist/selector.h"

#include <pthread.h>

/* One line of a wish list. */
struct wanted {
    struct reference ref;      /* with a selector, the tag is for messages only */
    struct selector *selector; /* NULL: just this one */
    char *origin;              /* "recipe.yaml:12:7", or NULL: the command line */
    char *list, *entry;        /* what records call them (state/lists.h); NULL: not recorded */
    bool partly;               /* just one of the names that the entry stands for */
};

struct wanted_list {
    struct wanted *items;
    size_t count, capacity;
};
/* Takes *ref over; the others are copied. */
void wanted_add(struct wanted_list *list, struct reference *ref, const struct selector *selector,
                const char *origin);
/* Of the wish that was added last. */
void wanted_set_entry(struct wanted_list *list, const char *url, const char *entry);
void wanted_copy(struct wanted_list *list, const struct wanted *from);
/* Keep the first `count`. */
void wanted_truncate(struct wanted_list *list, size_t count);
void wanted_release(struct wanted_list *list);

struct recorder;
struct resolve_options {
    struct recorder *recorder; /* worker/recorder.h; NULL: nothing is recorded */
    struct registry_client *client;
    /* With the Podman store's lists as published. Without a repository only expand() works, and
     * `again` must be set. */
    const struct plan_target *target;
    pthread_rwlock_t *podman_lock;    /* held for reading those lists */
    const struct platform *platforms; /* wanted of an index; at least one */
    size_t platform_count;
    const struct site *site; /* for its signature rules; or NULL */
    /* Of the order (worker/order.h): */
    const char *prefix;
    uint64_t image_size_max, tags_max;
    const struct site_rules *signatures; /* a rule that must hold beside the site's; or none */
    struct name_set *names;              /* those that are taken */
    struct creation_times *times;        /* worker/creation.h */
    size_t threads;
    bool again;        /* treat what is published as if it were not known */
    bool heeds_pauses; /* what failed and has not changed waits for its next try */
};

/* What the order says: all that stands behind "Of the order", the registries and the platforms.
 * Borrowed from it. */
void resolve_for_order(struct resolve_options *options, const struct order *order);

/* Jobs end up UNCHANGED, WAITING (their layers are needed), READY (only names and metadata are),
 * PAUSED (nothing but its digest was asked for), or DONE with an error. Wishes that gave no name
 * are reported as failed here. */
void resolve(const struct resolve_options *options, const struct wanted_list *wanted,
             struct jobs *out, struct report *report);

#endif

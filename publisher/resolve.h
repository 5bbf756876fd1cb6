/*
 * Resolving: from wishes to jobs, asking the registries no more than is needed.
 *
 *   1. a wish with a wildcard becomes the tags it matches (one tags/list a repository);
 *   2. one HEAD a name gives the digest it points to now (a registry that has no HEAD, or does not
 *      tell digests, is asked with a GET that names the digest we know); names with one digest
 *      become one job; if that is an index, one for each of its platforms that is wanted;
 *   3. a digest that the repository has already (the documents lie in .metadata) costs nothing
 * more; for another, the manifest (for an index: and the platform's manifest) and the configuration
 *      are fetched, once a job;
 *   4. where the site wants a signature, what is to be published must have one.
 *
 * A wish or name that fails is reported with its reason and leaves the others alone.
 */
#ifndef PUBLISHER_RESOLVE_H
#define PUBLISHER_RESOLVE_H

#include "publisher/job.h"
#include "publisher/report.h"
#include "repository/repository.h"
#include "registry/client.h"

#include <pthread.h>

/* One line of a wish list. */
struct wanted {
    struct reference ref; /* the tag may be a pattern */
    bool is_pattern;
    char *origin;       /* "recipe.yaml:12:7", or NULL: the command line */
    char *list, *entry; /* what records call them (state/lists.h); NULL: not recorded */
};

struct wanted_list {
    struct wanted *items;
    size_t count, capacity;
};
/* Takes *ref over; `origin` is copied. */
void wanted_add(struct wanted_list *list, struct reference *ref, bool is_pattern,
                const char *origin);
/* Of the wish that was added last. */
void wanted_set_entry(struct wanted_list *list, const char *url, const char *entry);
void wanted_release(struct wanted_list *list);

struct recorder;
struct resolve_options {
    struct recorder *recorder; /* publisher/recorder.h; NULL: nothing is recorded */
    struct registry_client *client;
    const struct plan_target *target; /* with the Podman store's lists as published, */
    pthread_rwlock_t *podman_lock;    /* which are read with this held for reading */
    const struct platform *platforms; /* wanted of an index; at least one */
    size_t platform_count;
    const struct site *site; /* for its signature rules; or NULL */
    size_t threads;
    bool again; /* treat what is published as if it were not known */
};

/* Jobs end up UNCHANGED, WAITING (their layers are needed), READY (only names and metadata are), or
 * DONE with an error. Wishes that gave no name are reported as failed here. */
void resolve(const struct resolve_options *options, const struct wanted_list *wanted,
             struct jobs *out, struct report *report);

#endif

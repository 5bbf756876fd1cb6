/*
 * The committer: takes jobs whose layers lie in the spool, and makes revisions of them.
 *
 * One commit at a time. All jobs that are ready when it begins share it (group commit). While a
 * revision begins and ends, nobody may read the repository (repository/repository.h), so the others
 * make no headway: after a commit they get as much time as it took, and what becomes ready then
 * shares the next one. If nobody else is at work it begins at once. A group is as large as that, as
 * far as
 *
 *   - they are published in the same way: a revision is planned with one policy;
 *   - their new content stays within the limit of a revision;
 *   - no two of them are different images for one name (worker/claims.h).
 *
 * An image that alone is over the limit goes in several revisions: its layers first, as many at a
 * time as the limit allows (at least one), then the rest with its names, so that nothing half-made
 * is ever public. Between two of its revisions, what else is ready goes.
 *
 * An image that is slow to commit (a fiftieth of a revision's limit) does not hold up quick ones
 * that are ready with it and as urgent: they go in a revision of their own, the slow ones in the
 * next one, with all that is ready by then.
 *
 * A group that fails is tried again in halves, until the image that breaks it stands alone.
 *
 * It changes the repository in turns (state/turn.h), since `ducc gc` and others do, too: what a job
 * found there when it was resolved is looked at again when it is published.
 *
 * committer_run() is a thread's work; it ends when fetch_quit() was called or the repository cannot
 * be used.
 */
#ifndef WORKER_COMMITTER_H
#define WORKER_COMMITTER_H

#include "worker/claims.h"
#include "worker/fetch.h"
#include "worker/job.h"
#include "worker/status_copy.h"
#include "state/state.h"
#include "state/turn.h"

#include <pthread.h>

struct committer_options {
    struct repository *repository;
    const struct state *state; /* the repository's: turns are taken there */
    struct spool *spool;
    struct fetch *fetch;
    struct claims *claims;
    struct report *report;
    pthread_rwlock_t *podman_lock; /* held for writing while a group is planned: it guards */
    struct podman_lists *podman;   /* the lists of the Podman store */
    uint64_t revision_limit;       /* bytes of new content; 0: none */
    struct status_copy *status;    /* worker/status_copy.h; NULL: none is published */
    bool dry_run;                  /* plan, print, and publish nothing */
    bool json;                     /* how plans are printed */
    /* If somebody else has a transaction open: wait and try again, rather than give up. */
    bool patient;
    /* Whether anything may still become ready, with so many that are. */
    bool (*more_to_come)(void *arg, size_t ready);
    /* The job is decided; it is the callee's to free. `outcome` is one of report.h's. */
    void (*decided)(void *arg, struct job *job, enum outcome outcome);
    void (*committed)(void *arg, const struct committed *committed);
    void *arg;
};

struct committer {
    struct committer_options o;
    _Atomic uint64_t revision_limit; /* bytes of new content */
    struct jobs ready;   /* taken from fetch, which still has them, and not yet decided */
    uint64_t group;      /* number of the one under way */
    bool part_is_next;   /* large images and the others take turns */
    bool slow_are_next;  /* and so do slow images and quick ones */
    double not_before;   /* clock_monotonic(): the repository was busy */
    double gather_until; /* clock_monotonic(): after a commit */
    bool broken;         /* the repository cannot be used (any more): `error` says why */
    struct error error;
};

/* Waits for ever, and says for whom. */
MUST_CHECK int committer_take_turn(const struct state *state, struct turn *out, struct error *err);

/* repository_begin(), in a turn, and what it found is said. */
MUST_CHECK int committer_begin(struct repository *repository, const struct state *state,
                               struct error *err);

void committer_run(struct committer *committer);
/* When it has run: what the copy of the status page lacks. */
void committer_publish_status(struct committer *committer);

#endif

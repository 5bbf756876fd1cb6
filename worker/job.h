/*
 * Jobs: images on their way through the worker, from wished names to what the committer takes.
 *
 * One job is one image manifest with all the wished names of a batch that point to it. Resolving
 * makes it, fetch has it until its layers lie in the spool, the committer has it last; it is in one
 * pair of hands at a time, and `state` says in whose.
 */
#ifndef WORKER_JOB_H
#define WORKER_JOB_H

#include "worker/order.h"
#include "worker/report.h"
#include "repository/image.h"
#include "repository/plan.h"

enum job_state {
    JOB_NEW,       /* names known, nothing else */
    JOB_UNCHANGED, /* the repository has all of it */
    JOB_WAITING,   /* layers are still to be fetched or prepared */
    JOB_READY,     /* to be committed */
    JOB_PAUSED,    /* it failed before, has not changed since, and its next try is not due */
    JOB_DONE,      /* published, or failed: then error is set */
};

struct job {
    struct image image;
    struct digest tag_digest; /* what the names point to: a manifest or an index. May be unset. */
    struct fetched_manifest polled; /* that document, if polling had to fetch it; else empty */
    enum job_state state;
    struct error error;
    struct image_needs needs;
    uint64_t layers_new, layers_present;
    double noticed; /* clock_monotonic() when its names were resolved */
    struct tracked_image tracked;

    /* From the worker, when it is resolved. */
    struct order *order; /* it holds a reference */
    uint64_t sequence;   /* of its batch: of two jobs for one name, the larger saw the tag later */
    unsigned rank;       /* lower ones first: job_rank() */

    /* Of worker/fetch.h. */
    struct layer_task **tasks; /* owned array of borrowed tasks; NULL: not joined yet */
    size_t task_count;
    uint64_t estimated_bytes; /* of spool */
    bool admitted;            /* may use the spool */
    bool taken;               /* the committer has it */
    unsigned passed;          /* how many jobs went into the spool before it that came later */
    size_t running;           /* tasks under way */

    /* Of worker/committer.h. */
    uint64_t content_bytes; /* new in the repository, at most */
    size_t levels_done;     /* of a large image: its lowest layers, published on their own */
};

struct jobs {
    struct job **items;
    size_t count, capacity;
};

/* A new job without names, owned by the list. */
struct job *jobs_add(struct jobs *jobs);
/* Takes over a job that is in no list. */
void jobs_append(struct jobs *jobs, struct job *job);
/* The order of the others stays. */
void jobs_remove(struct jobs *jobs, const struct job *job);
void jobs_release(struct jobs *jobs);
void job_free(struct job *job);

/* Takes *ref over. */
void job_add_name(struct job *job, struct reference *ref);
/* The job has failed; *err is taken over. */
void job_fail(struct job *job, struct error *err);
/* Give back what only putting the image together needs: layers, indexes. */
void job_release_work(struct job *job);
/* Events go before polling, then images of names that have none yet before new versions. */
unsigned job_rank(enum urgency urgency, bool is_new);
/* Whether `a` comes first: by rank, then as they came. */
bool job_precedes(const struct job *a, const struct job *b);

#endif

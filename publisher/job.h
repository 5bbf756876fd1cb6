/*
 * Jobs: the images of one pass, from wished names to what the committer takes.
 *
 * One job is one image manifest with all the wished names that point to it. The list belongs to the
 * pass (publisher/convert.h); resolving and fetching fill it in, each from several threads, a job
 * being in one pair of hands at a time.
 */
#ifndef PUBLISHER_JOB_H
#define PUBLISHER_JOB_H

#include "repository/image.h"
#include "repository/plan.h"
#include "publisher/report.h"

enum job_state {
    JOB_NEW,       /* names known, nothing else */
    JOB_UNCHANGED, /* the repository has all of it */
    JOB_WAITING,   /* layers are still to be fetched or prepared */
    JOB_READY,     /* to be committed */
    JOB_DONE,      /* published, or failed: then error is set */
};

struct job {
    struct image image;
    struct digest tag_digest; /* what the names point to: a manifest or an index. May be unset. */
    struct fetched_manifest polled; /* that document, if polling had to fetch it; else empty */
    enum job_state state;
    struct error error;
    struct image_needs needs;
    struct layer_task **tasks; /* owned array of borrowed tasks: publisher/fetch.h */
    size_t task_count;
    uint64_t estimated_bytes; /* of spool */
    bool admitted;            /* may use the spool */
    bool reported;            /* its results are in the report */
    uint64_t layers_new, layers_present;
    struct tracked_image tracked;
};

struct jobs {
    struct job **items; /* never moved once made: threads hold them */
    size_t count, capacity;
};

/* A new job without names, owned by the list. */
struct job *jobs_add(struct jobs *jobs);
void jobs_release(struct jobs *jobs);
/* Takes *ref over. */
void job_add_name(struct job *job, struct reference *ref);
/* The job has failed; *err is taken over. */
void job_fail(struct job *job, struct error *err);
/* Give back what only work in progress needs: documents' trees, layers, indexes. */
void job_release_work(struct job *job);

#endif

/*
 * A layer on its way into the spool: the unit of work of worker/fetch.h.
 *
 * A task looks in the spool first (an earlier run may have left it there), then for the index that
 * the repository keeps beside a layer it holds (then nothing is fetched), then asks the registries
 * of the jobs that want the layer, one after the other.
 *
 * Jobs join and leave while a thread works on the task; `users` has a lock of its own for that. The
 * other fields belong to fetch's lock, but for those that only the working thread uses.
 */
#ifndef WORKER_LAYER_TASK_H
#define WORKER_LAYER_TASK_H

#include "worker/job.h"
#include "repository/repository.h"

#include <pthread.h>

enum task_state {
    TASK_PENDING,
    TASK_RUNNING,
    TASK_DONE,
    TASK_FAILED,
};

/* What a job needs of a layer that the repository holds, beyond its index. */
enum layer_needs {
    LAYER_CONTENTS = 1,   /* all of it: layers are not published, or not linked to */
    LAYER_UNREADABLE = 2, /* files that the flat image shows with other attributes */
};

struct layer_task {
    struct descriptor blob;
    enum digest_algorithm diff_algorithm;
    enum task_state state;
    struct error error;
    uint64_t content_bytes; /* of files in the spool; 0 if only the index was needed */
    bool keep;              /* in the spool when no job wants it any more */
    char *registry;         /* that the working thread may be waiting for */
    bool large;             /* it works for a large image */

    pthread_mutex_t users_lock;
    struct job **users;
    size_t user_count, user_capacity;

    /* Of the working thread, from start to end. */
    const struct repository *repository;
    struct spool *spool;
    unsigned needs;   /* enum layer_needs, of all jobs that joined before the start */
    uint64_t charged; /* spool bytes of the blob under way */
    bool check_links; /* the repository has the layer, but not all its files can be linked to:
                         somebody else published it, or CernVM-FS keeps some in chunks */
};

struct layer_task *layer_task_new(const struct descriptor *blob,
                                  enum digest_algorithm diff_algorithm);
void layer_task_free(struct layer_task *task);

void layer_task_join(struct layer_task *task, struct job *job);
/* Returns how many are left. */
size_t layer_task_leave(struct layer_task *task, const struct job *job);

/* Bring the layer into the spool. */
MUST_CHECK int layer_task_run(struct layer_task *task, struct error *err);

#endif

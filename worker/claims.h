/*
 * Claims: which jobs at work are for which public names, so that an older view of a tag never goes
 * over a newer one.
 *
 * A tag that moves while its image is on its way brings a second job for the same name. Whichever
 * is ready first is published first; but once the newer one is, the older one loses the name, and
 * one revision never carries both. Thread-safe. Holds only names of jobs that are at work.
 */
#ifndef WORKER_CLAIMS_H
#define WORKER_CLAIMS_H

#include "worker/job.h"

struct claims;
struct claims *claims_new(void);
void claims_free(struct claims *claims);

/* The job's names, from now until claims_leave(), in which the names are those it has then. */
void claims_enter(struct claims *claims, const struct job *job);
void claims_leave(struct claims *claims, const struct job *job);

/* Whether a job that is at work does for each of the names just what this one, which has not been
 * entered, would do: the same image, published in the same way. */
bool claims_cover(struct claims *claims, const struct job *job, const struct policy *policy);

/* Take from the job the names that a newer one has been published under. */
void claims_drop_outdated(struct claims *claims, struct job *job);
/* Whether the job may go into the group with this number: no job of another batch with one of its
 * names is in it. If so, it is in it now. Numbers only grow. */
bool claims_join_group(struct claims *claims, const struct job *job, uint64_t group);
/* The job's names lead to its image now. */
void claims_published(struct claims *claims, const struct job *job);

#endif

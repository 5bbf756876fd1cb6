/*
 * One group of jobs on its way into one revision (internal to worker/committer.h): putting the
 * images together, planning, committing, and what comes of a failure.
 */
#ifndef WORKER_GROUP_H
#define WORKER_GROUP_H

#include "worker/committer.h"

struct group {
    struct job **jobs;
    size_t count;
};

/* Every job of the group is decided afterwards, unless the repository was busy and the committer is
 * patient: those stay in committer->ready. */
void group_publish(struct committer *c, struct group group);
/* The next layers of a job that is over the revision's limit. */
void group_publish_part(struct committer *c, struct job *job);

#endif

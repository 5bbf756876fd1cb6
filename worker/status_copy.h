/*
 * The static copy of the status page in the repository: .metadata/status/index.html and
 * images.json, so that users see how things stand where the images are.
 *
 * It goes into a revision that is made anyway, and then shows how things stand with that revision;
 * a revision of its own is made only where nothing else was published for `interval` and something
 * has changed. More often than once in `interval` there is no new one. What counts as a change is
 * which names there are, their states, digests and reasons, and the lists; not when somebody
 * looked.
 *
 * It belongs to the committer's thread.
 */
#ifndef WORKER_STATUS_COPY_H
#define WORKER_STATUS_COPY_H

#include "worker/recorder.h"
#include "repository/changeset.h"

#define STATUS_COPY_FOLDER ".metadata/status"

struct status_copy;
/* `interval` in seconds, counted from what is published already. Both must live as long as it. */
struct status_copy *status_copy_new(const struct repository *repository, struct recorder *recorder,
                                    int64_t interval);
void status_copy_free(struct status_copy *copy); /* NULL is fine, as for all below */

/* Whether to look if there is something for a revision of its own. */
bool status_copy_wants_revision(const struct status_copy *copy);
/* How things will stand when the jobs are published; nothing is added if it is not due, or nothing
 * has changed. */
MUST_CHECK int status_copy_add(struct status_copy *copy, struct job *const *jobs, size_t count,
                               struct changeset *cs, struct error *err);
/* What was added is public; or it is not, and no further try is made for a while. */
void status_copy_published(struct status_copy *copy);
void status_copy_failed(struct status_copy *copy);

#endif

/*
 * A repository for a command that reads it while others may publish to it: what is read and the
 * moments in which their revisions begin and end exclude each other (repository/readers.h), as far
 * as they keep their state in the same place.
 */
#ifndef WORKER_BESIDE_H
#define WORKER_BESIDE_H

#include "repository/repository.h"

/* As repository_open(). `state_dir` NULL: the default; where there is none, or nothing in it, that
 * does not matter. */
MUST_CHECK int open_beside(const char *name, const char *state_dir, struct repository **out,
                           struct error *err);

#endif

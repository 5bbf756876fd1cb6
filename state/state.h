/*
 * Where ducc keeps what it needs between runs: the state directory.
 *
 *     DIR/REPOSITORY/lock       held by the process that writes to the repository; names it
 *     DIR/REPOSITORY/commit     the journal of the commit under way (repository/repository.h)
 *     DIR/REPOSITORY/spool/     layers/spool.h, unless another place is given for it
 *
 * REPOSITORY is the repository's name; a directory's path with every '/' written as %2F.
 */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "base/error.h"

struct state {
    char *dir; /* DIR/REPOSITORY */
    char *journal;
    char *spool_dir;
    int lock_fd;
};

/* `dir` NULL: /var/lib/ducc for root, $XDG_STATE_HOME/ducc or ~/.local/state/ducc for others.
 * `spool_base` NULL: inside `dir`. ERROR_BUSY if another process holds the lock: which one, and
 * since when. */
MUST_CHECK int state_open(const char *dir, const char *spool_base, const char *repository,
                          struct state *out, struct error *err);
void state_release(struct state *state);

#endif

/*
 * Where ducc keeps what it needs between runs: the state directory.
 *
 *     DIR/state.db              what is known of all repositories: state/database.h
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
/* The same without a spool, for one commit's time: waits its turn for so many seconds. Whoever
 * finds the lock held by such a one waits in turn, instead of giving up. */
MUST_CHECK int state_open_briefly(const char *dir, const char *repository, double patience_seconds,
                                  struct state *out, struct error *err);
void state_release(struct state *state);

/* DIR, if `dir` or the default. Owned; NULL and ERROR_NOT_FOUND if there is no home directory. */
char *state_base_dir(const char *dir, struct error *err);
/* How the database calls a repository: its name, or a directory's real path (as it stands while
 * the directory is not there). Owned. */
char *repository_key(const char *repository);

#endif

/*
 * Where ducc keeps what it needs between runs: the state directory.
 *
 *     DIR/state.db              what is known of all repositories: state/database.h
 *     DIR/REPOSITORY/lock       held by the process that publishes to the repository; names it
 *     DIR/REPOSITORY/turn       held for one commit by whoever changes it: state/turn.h
 *     DIR/REPOSITORY/commit*    the journal of the change under way, how many there were
 *                               (repository/repository.h), and locks (repository/readers.h)
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
/* The same without the lock, next to somebody who has it: for changes in turns (state/turn.h). */
MUST_CHECK int state_open_beside(const char *dir, const char *repository, struct state *out,
                                 struct error *err);
void state_release(struct state *state);
/* Where state.journal of a repository is, for who only reads: nothing is made. Owned; NULL and
 * ERROR_NOT_FOUND if there is no home directory. */
char *state_journal(const char *dir, const char *repository, struct error *err);

/* DIR, if `dir` or the default. Owned; NULL and ERROR_NOT_FOUND if there is no home directory. */
char *state_base_dir(const char *dir, struct error *err);
/* How the database calls a repository: its name, or a directory's real path (as it stands while
 * the directory is not there). Owned. */
char *repository_key(const char *repository);

#endif

/*
 * Turns: who changes a repository right now.
 *
 * The lock (state/state.h) belongs to the process that publishes, for as long as it lives, which
 * with a service is for ever. What it does to the repository it does in turns of one commit, and in
 * between others that change it (gc, remove, restore, repair) take theirs.
 *
 *     DIR/REPOSITORY/turn   held by whoever changes the repository, for one commit
 *     DIR/REPOSITORY/next   held by the one that comes next, who waits for the turn
 *
 * Whoever gives its turn back and wants another one finds somebody else next, if there is anybody:
 * so nobody waits for longer than one turn of each of the others. Both are locks of the kernel's: a
 * process that dies gives them back, and whoever comes next looks after what it left
 * (repository_begin()).
 */
#ifndef STATE_TURN_H
#define STATE_TURN_H

#include "base/error.h"

struct turn {
    int fd; /* -1: not ours */
};

#define TURN_INIT                                                                                  \
    {                                                                                              \
        -1                                                                                         \
    }

/* `dir` is state.dir. Waits for so many seconds (0: for ever) or until a stop is asked for.
 * ERROR_BUSY: who has it, and since when; ERROR_CANCELLED; ERROR_IO. */
MUST_CHECK int turn_take(const char *dir, double patience_seconds, struct turn *out,
                         struct error *err);
void turn_end(struct turn *turn);
#define _cleanup_turn_ __attribute__((cleanup(turn_end)))

#endif

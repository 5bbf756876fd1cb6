/*
 * A watch for a program that hangs: cvmfs_server waits for ever where a process keeps the old
 * revision mounted, and nobody would know why nothing is published any more. (internal to
 * repository/)
 *
 *     stall_begin(&stall, options);          a thread looks from now on
 *     atomic_store(&stall.bytes, ...);       anything else than before: it goes on
 *     stall_end(&stall);
 */
#ifndef REPOSITORY_STALL_H
#define REPOSITORY_STALL_H

#include "repository/repository.h"

#include <pthread.h>
#include <stdatomic.h>

#define STALL_SECONDS 600 /* without a byte; $DUCC_STALL_SECONDS for tests */

struct stall {
    _Atomic uint64_t bytes;
    const struct commit_options *options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool runs, ended;
};

/* options->stalled is called at most once; NULL: nobody wants to know. *stall must not move. */
void stall_begin(struct stall *stall, const struct commit_options *options);
void stall_end(struct stall *stall);

#endif

/*
 * Those who read a repository, and the moments in which nothing below it may be open: while
 * CernVM-FS begins and ends a revision. They exclude each other, among the threads of a process by
 * a lock in memory, among the processes that share a state directory by two locks of the kernel's:
 *
 *     JOURNAL.readers   shared: somebody reads; exclusive: a revision begins or ends
 *     JOURNAL.gate      passed by whoever begins to read, and kept by who wants the first one
 *
 * Such locks know no order, so that readers who come and go would keep a writer waiting for ever.
 * Hence the gate. A reader takes it (shared), then the lock, and gives the gate back at once. A
 * writer takes the gate (exclusive) and keeps it for as long as it has the lock: nobody begins to
 * read from then on, and it waits for what is being read now, which is why nobody may read for
 * long at a time: a directory, a file.
 *
 * Who is stopped while it reads (a debugger, ^Z) does not stop the publishing: a writer waits for
 * READERS_PATIENCE_SECONDS and goes on, and cvmfs_server finds for itself what is open. A reader
 * waits until the revision is there, or until a stop is asked for (base/cancel.h).
 *
 * A process of which the state directory is not known, or that may not read these files, goes on
 * without them; so does one whose repository nobody has changed yet from there.
 */
#ifndef REPOSITORY_READERS_H
#define REPOSITORY_READERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define READERS_PATIENCE_SECONDS 60

struct readers {
    pthread_rwlock_t threads;
    pthread_mutex_t door; /* one thread at a time begins to read */
    pthread_mutex_t count_lock;
    size_t count;         /* of this process's threads that read: the first and the last one take
                             and give the lock of the process */
    int gate_fd, lock_fd; /* -1: only threads exclude each other */
};

void readers_init(struct readers *readers);
void readers_release(struct readers *readers);
/* Exclude other processes, too, from now on; no thread reads yet. `create`: make the files where
 * they are missing; else it goes on without them. Once they are open nothing more happens. */
void readers_join(struct readers *readers, const char *journal, bool create);

/* One slice of reading; not to be nested. */
void readers_begin(struct readers *readers);
void readers_end(struct readers *readers);
void readers_exclude(struct readers *readers);
void readers_admit(struct readers *readers);

#endif

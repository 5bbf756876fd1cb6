#include "repository/readers.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define LOOK_SECONDS 0.005

void readers_init(struct readers *r)
{
    pthread_rwlockattr_t attributes;
    *r = (struct readers){.gate_fd = -1, .lock_fd = -1};
    /* A commit must not wait for ever behind those who read. */
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&r->threads, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    pthread_mutex_init(&r->door, NULL);
    pthread_mutex_init(&r->count_lock, NULL);
}

void readers_release(struct readers *r)
{
    if (r->gate_fd >= 0)
        close(r->gate_fd);
    if (r->lock_fd >= 0)
        close(r->lock_fd);
    pthread_mutex_destroy(&r->count_lock);
    pthread_mutex_destroy(&r->door);
    pthread_rwlock_destroy(&r->threads);
}

/* Either kind of lock can be had on a file that is open for reading: whoever may read the state
 * directory takes part. */
static int open_lock(const char *journal, const char *name, bool create)
{
    _cleanup_free_ char *path = xasprintf("%s.%s", journal, name);
    return open(path, O_RDONLY | O_CLOEXEC | (create ? O_CREAT : 0), 0644);
}

void readers_join(struct readers *r, const char *journal, bool create)
{
    if (r->gate_fd >= 0)
        return;
    _cleanup_close_ int gate = open_lock(journal, "gate", create);
    _cleanup_close_ int lock = open_lock(journal, "readers", create);
    if (gate < 0 || lock < 0) {
        log_debug("%s.gate, %s.readers: not there, or not readable: readers and commits of other "
                  "processes may meet",
                  journal, journal);
        return;
    }
    r->gate_fd = TAKE_FD(gate);
    r->lock_fd = TAKE_FD(lock);
}

/* ---- readers ---- */

static void pass_gate(const struct readers *r)
{
    while (flock(r->gate_fd, LOCK_SH | LOCK_NB) < 0 && !cancel_requested())
        clock_sleep(LOOK_SECONDS);
}

void readers_begin(struct readers *r)
{
    pthread_rwlock_rdlock(&r->threads);
    if (r->gate_fd < 0)
        return;
    pthread_mutex_lock(&r->door);
    pass_gate(r);
    pthread_mutex_lock(&r->count_lock);
    /* Behind the gate no writer has it. One that has stopped waiting at the gate does not, either;
     * and who did not pass, being asked to stop, reads no more than what it was about to. */
    if (r->count++ == 0)
        (void)!flock(r->lock_fd, LOCK_SH | LOCK_NB);
    pthread_mutex_unlock(&r->count_lock);
    flock(r->gate_fd, LOCK_UN);
    pthread_mutex_unlock(&r->door);
}

void readers_end(struct readers *r)
{
    if (r->gate_fd >= 0) {
        pthread_mutex_lock(&r->count_lock);
        if (--r->count == 0)
            flock(r->lock_fd, LOCK_UN);
        pthread_mutex_unlock(&r->count_lock);
    }
    pthread_rwlock_unlock(&r->threads);
}

/* ---- writers ---- */

static bool wait_for(int fd, double until)
{
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (clock_monotonic() >= until)
            return false;
        clock_sleep(LOOK_SECONDS);
    }
    return true;
}

void readers_exclude(struct readers *r)
{
    pthread_rwlock_wrlock(&r->threads);
    double until = clock_monotonic() + READERS_PATIENCE_SECONDS;
    if (r->gate_fd >= 0 && !(wait_for(r->gate_fd, until) && wait_for(r->lock_fd, until)))
        log_debug("somebody has been reading the repository for %d seconds; it goes on",
                  READERS_PATIENCE_SECONDS);
}

void readers_admit(struct readers *r)
{
    if (r->gate_fd >= 0) {
        flock(r->lock_fd, LOCK_UN);
        flock(r->gate_fd, LOCK_UN);
    }
    pthread_rwlock_unlock(&r->threads);
}

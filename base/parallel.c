#include "base/parallel.h"

#include "base/memory.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct job {
    _Atomic size_t next;
    size_t count;
    void (*work)(void *arg, size_t i);
    void *arg;
};

static void *run(void *arg)
{
    struct job *job = arg;
    for (size_t i; (i = atomic_fetch_add(&job->next, 1)) < job->count;)
        job->work(job->arg, i);
    return NULL;
}

void parallel_for(size_t count, size_t threads, void (*work)(void *arg, size_t i), void *arg)
{
    struct job job = {.count = count, .work = work, .arg = arg};
    if (threads > count)
        threads = count;
    /* This thread is one of them; a thread that cannot be made is done without. */
    pthread_t *others = xcalloc(threads, sizeof *others);
    size_t started = 0;
    while (started + 1 < threads && pthread_create(&others[started], NULL, run, &job) == 0)
        started++;
    run(&job);
    for (size_t i = 0; i < started; i++)
        pthread_join(others[i], NULL);
    free(others);
}

size_t processor_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? (size_t)n : 1;
}

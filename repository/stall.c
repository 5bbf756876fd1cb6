#include "repository/stall.h"

#include <stdlib.h>
#include <time.h>

static long patience_seconds(void)
{
    const char *text = getenv("DUCC_STALL_SECONDS"); /* for tests */
    long seconds = text ? strtol(text, NULL, 10) : 0;
    return seconds > 0 ? seconds : STALL_SECONDS;
}

/* True if it ended within that time. Called with the lock. */
static bool wait_for_end(struct stall *s, long seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    while (!s->ended)
        if (pthread_cond_timedwait(&s->changed, &s->lock, &until) != 0)
            break;
    return s->ended;
}

/* It is late by up to as much again: what has moved in one such time may stand since its start. */
static void *watch(void *arg)
{
    struct stall *s = arg;
    long seconds = patience_seconds();
    uint64_t before = atomic_load(&s->bytes);
    pthread_mutex_lock(&s->lock);
    while (!wait_for_end(s, seconds)) {
        uint64_t now = atomic_load(&s->bytes);
        if (now == before) {
            s->options->stalled(s->options->arg, seconds, now);
            break;
        }
        before = now;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void stall_begin(struct stall *s, const struct commit_options *options)
{
    pthread_condattr_t attributes;
    *s = (struct stall){.options = options};
    if (!options->stalled)
        return;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&s->lock, NULL);
    s->runs = pthread_create(&s->thread, NULL, watch, s) == 0;
}

void stall_end(struct stall *s)
{
    if (!s->options->stalled)
        return;
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (s->runs)
        pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
}

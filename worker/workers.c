#include "worker/workers.h"

#include "base/clock.h"
#include "base/memory.h"
#include "worker/recorder.h"

#include <string.h>

#define LOOK_SECONDS 0.05 /* how often to look whether another thread has opened a repository */

static struct worker *find(const struct workers *w, const char *repository)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->items[i].repository, repository) == 0)
            return w->items[i].worker;
    return NULL;
}

static bool is_starting(const struct workers *w, const char *repository)
{
    for (size_t i = 0; i < w->starting_count; i++)
        if (strcmp(w->starting[i], repository) == 0)
            return true;
    return false;
}

static void give_up_lock(struct workers *w)
{
    if (w->lock)
        pthread_mutex_unlock(w->lock);
}

static void take_lock(struct workers *w)
{
    if (w->lock)
        pthread_mutex_lock(w->lock);
}

static int start(struct workers *w, const char *repository, struct worker **out, struct error *err)
{
    struct worker_options options = w->options;
    char *name = xstrdup(repository);
    options.repository = name;
    ARRAY_GROW(w->starting, w->starting_count, w->starting_capacity);
    w->starting[w->starting_count++] = name;
    give_up_lock(w);
    int result = worker_start(&options, w->report, out, err);
    take_lock(w);
    for (size_t i = 0; i < w->starting_count; i++)
        if (w->starting[i] == name)
            w->starting[i--] = w->starting[--w->starting_count];
    if (result < 0) {
        free(name);
        return -1;
    }
    ARRAY_GROW(w->items, w->count, w->capacity);
    w->items[w->count++] = (struct worker_entry){name, *out};
    return 0;
}

int workers_get(struct workers *w, const char *repository, struct worker **out, struct error *err)
{
    while (is_starting(w, repository)) {
        give_up_lock(w);
        clock_sleep(LOOK_SECONDS);
        take_lock(w);
    }
    struct worker *found = find(w, repository);
    if (!found)
        return start(w, repository, out, err);
    *out = found;
    return 0;
}

const struct error *workers_drain(struct workers *w)
{
    const struct error *broken = NULL;
    for (size_t i = 0; i < w->count; i++) {
        worker_drain(w->items[i].worker);
        if (!broken)
            broken = worker_error(w->items[i].worker);
    }
    return broken;
}

void workers_sweep(struct workers *w)
{
    for (size_t i = 0; i < w->count; i++)
        worker_sweep(w->items[i].worker);
}

void workers_settle(struct workers *w)
{
    for (size_t i = 0; i < w->count; i++)
        worker_settle(w->items[i].worker);
}

void workers_tick(struct workers *w)
{
    for (size_t i = 0; i < w->count; i++)
        recorder_tick(worker_recorder(w->items[i].worker));
}

size_t workers_load(const struct workers *w)
{
    size_t load = 0;
    for (size_t i = 0; i < w->count; i++)
        load += worker_load(w->items[i].worker);
    return load;
}

void workers_stop(struct workers *w)
{
    for (size_t i = 0; i < w->count; i++) {
        worker_stop(w->items[i].worker);
        free(w->items[i].repository);
    }
    free(w->items);
    free(w->starting);
    w->items = NULL;
    w->starting = NULL;
    w->count = w->capacity = w->starting_capacity = 0;
}

#include "publisher/workers.h"

#include "base/memory.h"

#include <string.h>

int workers_get(struct workers *w, const char *repository, struct worker **out, struct error *err)
{
    for (size_t i = 0; i < w->count; i++) {
        if (strcmp(w->items[i].repository, repository) == 0) {
            *out = w->items[i].worker;
            return 0;
        }
    }
    struct worker_options options = w->options;
    char *name = xstrdup(repository);
    options.repository = name;
    if (worker_start(&options, w->report, out, err) < 0) {
        free(name);
        return -1;
    }
    ARRAY_GROW(w->items, w->count, w->capacity);
    w->items[w->count++] = (struct worker_entry){name, *out};
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
    w->items = NULL;
    w->count = w->capacity = 0;
}

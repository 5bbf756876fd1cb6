#include "worker/name_set.h"

#include "base/memory.h"

#include <pthread.h>
#include <search.h>
#include <stdatomic.h>
#include <string.h>

struct name_set {
    atomic_size_t references;
    pthread_mutex_t lock;
    void *names; /* tsearch() */
};

struct name_set *name_set_new(void)
{
    struct name_set *set = xcalloc(1, sizeof *set);
    set->references = 1;
    pthread_mutex_init(&set->lock, NULL);
    return set;
}

struct name_set *name_set_ref(struct name_set *set)
{
    atomic_fetch_add(&set->references, 1);
    return set;
}

void name_set_unref(struct name_set *set)
{
    if (!set || atomic_fetch_sub(&set->references, 1) > 1)
        return;
    tdestroy(set->names, free);
    pthread_mutex_destroy(&set->lock);
    free(set);
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

bool name_set_add(struct name_set *set, const char *name)
{
    char *copy = xstrdup(name);
    pthread_mutex_lock(&set->lock);
    char **found = tsearch(copy, &set->names, compare);
    pthread_mutex_unlock(&set->lock);
    if (!found)
        abort(); /* out of memory, as everywhere */
    if (*found == copy)
        return true;
    free(copy);
    return false;
}

#include "worker/claims.h"

#include "base/memory.h"

#include <pthread.h>
#include <search.h>
#include <string.h>

struct claim {
    char *name;
    const struct job **jobs; /* at work */
    size_t count, capacity;
    uint64_t published; /* the sequence of the newest job published under the name */
    uint64_t group;     /* the last that a job of the name went into, */
    uint64_t sequence;  /* and that job's */
};

struct claims {
    pthread_mutex_t lock;
    void *by_name; /* tsearch() */
};

static int compare(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static void free_claim(void *claim)
{
    free(((struct claim *)claim)->name);
    free(((struct claim *)claim)->jobs);
    free(claim);
}

struct claims *claims_new(void)
{
    struct claims *c = xcalloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void claims_free(struct claims *c)
{
    if (!c)
        return;
    tdestroy(c->by_name, free_claim);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct claim *find(const struct claims *c, const struct job *job, size_t i)
{
    _cleanup_free_ char *name = image_public_name(&job->image, i);
    struct claim key = {.name = name};
    struct claim **found = tfind(&key, &c->by_name, compare);
    return found ? *found : NULL;
}

void claims_enter(struct claims *c, const struct job *job)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < job->image.name_count; i++) {
        struct claim *claim = find(c, job, i);
        if (!claim) {
            claim = xcalloc(1, sizeof *claim);
            claim->name = image_public_name(&job->image, i);
            if (!tsearch(claim, &c->by_name, compare))
                abort();
        }
        ARRAY_GROW(claim->jobs, claim->count, claim->capacity);
        claim->jobs[claim->count++] = job;
    }
    pthread_mutex_unlock(&c->lock);
}

static void leave(struct claims *c, const struct job *job, size_t i)
{
    struct claim *claim = find(c, job, i);
    for (size_t k = 0; claim && k < claim->count; k++)
        if (claim->jobs[k] == job)
            claim->jobs[k--] = claim->jobs[--claim->count];
    if (claim && claim->count == 0) {
        tdelete(claim, &c->by_name, compare);
        free_claim(claim);
    }
}

void claims_leave(struct claims *c, const struct job *job)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < job->image.name_count; i++)
        leave(c, job, i);
    pthread_mutex_unlock(&c->lock);
}

static bool is_same(const struct job *at_work, const struct job *job, const struct policy *policy)
{
    return digest_equal(&at_work->image.manifest_digest, &job->image.manifest_digest) &&
           digest_equal(&at_work->tag_digest, &job->tag_digest) &&
           memcmp(&at_work->order->policy, policy, sizeof *policy) == 0;
}

bool claims_cover(struct claims *c, const struct job *job, const struct policy *policy)
{
    bool all = true;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; all && i < job->image.name_count; i++) {
        const struct claim *claim = find(c, job, i);
        bool covered = false;
        for (size_t k = 0; claim && k < claim->count; k++)
            covered |= is_same(claim->jobs[k], job, policy);
        all = covered;
    }
    pthread_mutex_unlock(&c->lock);
    return all;
}

void claims_drop_outdated(struct claims *c, struct job *job)
{
    struct image *image = &job->image;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < image->name_count;) {
        const struct claim *claim = find(c, job, i);
        if (!claim || claim->published <= job->sequence) {
            i++;
            continue;
        }
        leave(c, job, i);
        reference_release(&image->names[i]);
        memmove(&image->names[i], &image->names[i + 1],
                (--image->name_count - i) * sizeof image->names[0]);
    }
    pthread_mutex_unlock(&c->lock);
}

bool claims_join_group(struct claims *c, const struct job *job, uint64_t group)
{
    bool free_to = true;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < job->image.name_count; i++) {
        const struct claim *claim = find(c, job, i);
        free_to &= !claim || claim->group != group || claim->sequence == job->sequence;
    }
    for (size_t i = 0; free_to && i < job->image.name_count; i++) {
        struct claim *claim = find(c, job, i);
        if (claim) {
            claim->group = group;
            claim->sequence = job->sequence;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return free_to;
}

void claims_published(struct claims *c, const struct job *job)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < job->image.name_count; i++) {
        struct claim *claim = find(c, job, i);
        if (claim && claim->published < job->sequence)
            claim->published = job->sequence;
    }
    pthread_mutex_unlock(&c->lock);
}

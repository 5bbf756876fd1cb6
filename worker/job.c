#include "worker/job.h"

#include "base/clock.h"
#include "base/memory.h"

#include <string.h>

struct job *jobs_add(struct jobs *jobs)
{
    struct job *job = xcalloc(1, sizeof *job);
    job->noticed = clock_monotonic();
    job->image.index = job->image.manifest = job->image.config = job->image.nested =
        job->polled.bytes = (struct buf)BUF_INIT;
    jobs_append(jobs, job);
    return job;
}

void jobs_append(struct jobs *jobs, struct job *job)
{
    ARRAY_GROW(jobs->items, jobs->count, jobs->capacity);
    jobs->items[jobs->count++] = job;
}

void jobs_remove(struct jobs *jobs, const struct job *job)
{
    for (size_t i = 0; i < jobs->count; i++) {
        if (jobs->items[i] != job)
            continue;
        memmove(&jobs->items[i], &jobs->items[i + 1], (jobs->count - i - 1) * sizeof(struct job *));
        jobs->count--;
        return;
    }
}

void job_free(struct job *job)
{
    image_release(&job->image);
    error_release(&job->error);
    fetched_manifest_release(&job->polled);
    free(job->tasks);
    free(job->tracked.name);
    order_unref(job->order);
    free(job);
}

void jobs_release(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++)
        job_free(jobs->items[i]);
    free(jobs->items);
    *jobs = (struct jobs){0};
}

void job_add_name(struct job *job, struct reference *ref)
{
    struct image *image = &job->image;
    ARRAY_GROW(image->names, image->name_count, image->name_capacity);
    image->names[image->name_count++] = *ref;
    *ref = (struct reference){0};
}

void job_fail(struct job *job, struct error *err)
{
    error_move(&job->error, err);
    job->state = JOB_DONE;
    atomic_store(&job->tracked.stage, STAGE_DONE);
}

void job_release_work(struct job *job)
{
    struct image *image = &job->image;
    stack_release(&image->stack);
    if (image->apptainer.index.header)
        layer_release(&image->apptainer);
    image->apptainer = (struct layer){0};
    free(TAKE_PTR(image->stack_layers));
    for (size_t i = 0; i < image->layer_count; i++) {
        if (image->layers[i].open)
            layer_release(&image->layers[i].layer);
        image->layers[i].open = false;
    }
}

unsigned job_rank(enum urgency urgency, bool is_new)
{
    return 2 * (unsigned)urgency + !is_new;
}

bool job_precedes(const struct job *a, const struct job *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->sequence < b->sequence;
}

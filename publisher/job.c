#include "publisher/job.h"

#include "base/memory.h"

struct job *jobs_add(struct jobs *jobs)
{
    ARRAY_GROW(jobs->items, jobs->count, jobs->capacity);
    struct job *job = xcalloc(1, sizeof *job);
    job->image.index = job->image.manifest = job->image.config = job->image.nested =
        job->polled.bytes = (struct buf)BUF_INIT;
    jobs->items[jobs->count++] = job;
    return job;
}

void jobs_release(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        struct job *job = jobs->items[i];
        image_release(&job->image);
        error_release(&job->error);
        fetched_manifest_release(&job->polled);
        free(job->tasks);
        free(job->tracked.name);
        free(job);
    }
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
    for (size_t i = 0; i < image->layer_count; i++) {
        if (image->layers[i].open)
            layer_release(&image->layers[i].layer);
        image->layers[i].open = false;
    }
}

#include "worker/group.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "worker/layer_task.h"

#include <string.h>
#include <sys/stat.h>

#define BUSY_PAUSE_SECONDS 15
#define GATHER_SECONDS_MAX 5.0 /* the content of a long commit flowed while others read */

static void fail_job(struct committer *c, struct job *job, struct error *err)
{
    job_release_work(job);
    job_fail(job, err);
    c->o.decided(c->o.arg, job, OUTCOME_FAILED);
}

static void finish_job(struct committer *c, struct job *job, enum outcome outcome)
{
    job_release_work(job);
    job->state = JOB_DONE;
    atomic_store(&job->tracked.stage, STAGE_DONE);
    c->o.decided(c->o.arg, job, outcome);
}

static void remove_from_group(struct group *g, size_t i)
{
    memmove(&g->jobs[i], &g->jobs[i + 1], (g->count - i - 1) * sizeof(struct job *));
    g->count--;
}

/* ---- putting together ---- */

static int check_links(struct committer *c, struct job *job, struct error *err)
{
    for (size_t t = 0; t < job->task_count; t++) {
        if (!job->tasks[t]->check_links)
            continue;
        for (size_t i = 0; i < job->image.layer_count; i++) {
            struct image_layer *l = &job->image.layers[i];
            if (l->open && digest_equal(&l->layer.blob, &job->tasks[t]->blob.digest) &&
                plan_check_links(c->o.repository, l, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* A layer that was there when the job came in, so that it was not fetched. */
static int check_layers(struct committer *c, const struct job *job, struct error *err)
{
    for (size_t i = 0; i < job->image.layer_count; i++) {
        const struct image_layer *l = &job->image.layers[i];
        _cleanup_free_ char *folder = layout_layer(&l->descriptor->blob.digest);
        mode_t type = 0;
        if (!l->open || l->layer.data_fd >= 0)
            continue;
        if (repository_type(c->o.repository, folder, &type, err) < 0)
            return -1;
        if (type == 0)
            return error_set(err, ERROR_BUSY,
                             "%s has been taken away meanwhile, and is to be "
                             "fetched again",
                             folder);
    }
    return 0;
}

/* Of a job that needs nothing but names: what they lead to. */
static int check_content(struct committer *c, const struct job *job, struct error *err)
{
    struct plan_target target = {c->o.repository, &job->order->policy, c->o.podman, NULL};
    struct image_needs needs;
    pthread_rwlock_rdlock(c->o.podman_lock);
    int result = plan_needs(&target, &job->image, &needs, err);
    pthread_rwlock_unlock(c->o.podman_lock);
    if (result == 0 && needs.content)
        return error_set(err, ERROR_BUSY,
                         "its content has been taken away meanwhile, and is to be published again");
    return result;
}

/* Others may have changed the repository since the job was resolved. */
static int check_still_there(struct committer *c, const struct job *job, struct error *err)
{
    return job->needs.content ? check_layers(c, job, err) : check_content(c, job, err);
}

static int assemble(struct committer *c, struct job *job, struct error *err)
{
    if (job->needs.content &&
        (image_assemble(&job->image, c->o.spool, err) < 0 || check_links(c, job, err) < 0))
        return -1;
    return c->o.dry_run ? 0 : check_still_there(c, job, err);
}

/* What of an image is left out on purpose. Layers that were published before have been spoken of
 * then. */
static void report_omissions(struct committer *c, const struct job *job)
{
    for (size_t i = 0; i < job->image.layer_count; i++) {
        const struct image_layer *l = &job->image.layers[i];
        struct digest_text digest = digest_text(&l->descriptor->blob.digest);
        _cleanup_free_ char *text = NULL;
        if (l->descriptor->foreign)
            text = xasprintf("layer %s is non-distributable (foreign) and was skipped", digest.s);
        else if (l->open && l->layer.data_fd >= 0 && l->layer.index.header->dropped_count > 0)
            text = xasprintf("layer %s: %u of its entries named .cvmfscatalog or .cvmfsgraft-* "
                             "left out: they are instructions to CernVM-FS",
                             digest.s, l->layer.index.header->dropped_count);
        if (text)
            report_warning(c->o.report, job->tracked.name, text);
    }
}

/* Images that cannot be put together leave the group. */
static void assemble_group(struct committer *c, struct group *g)
{
    for (size_t i = 0; i < g->count;) {
        struct error err = ERROR_INIT;
        if (assemble(c, g->jobs[i], &err) == 0) {
            report_omissions(c, g->jobs[i++]);
            continue;
        }
        fail_job(c, g->jobs[i], &err);
        remove_from_group(g, i);
    }
}

/* ---- planning ---- */

/* A changeset for the group; images that cannot be planned leave it. NULL: nobody is left. */
static struct changeset *plan(struct committer *c, struct group *g, struct plan_summary *summary)
{
    while (g->count > 0) {
        struct error err = ERROR_INIT;
        size_t bad;
        struct changeset *cs = changeset_new();
        struct image **images = xcalloc(g->count, sizeof(struct image *));
        for (size_t i = 0; i < g->count; i++)
            images[i] = &g->jobs[i]->image;
        struct plan_target target = {c->o.repository, &g->jobs[0]->order->policy, c->o.podman,
                                     c->o.spool->dir};
        pthread_rwlock_wrlock(c->o.podman_lock);
        int result = plan_group(&target, images, g->count, cs, summary, &bad, &err);
        pthread_rwlock_unlock(c->o.podman_lock);
        free(images);
        if (result == 0)
            return cs;
        changeset_free(cs);
        if (bad >= g->count)
            bad = 0;
        fail_job(c, g->jobs[bad], &err);
        remove_from_group(g, bad);
    }
    return NULL;
}

static uint64_t entry_count(const struct changeset_counts *n)
{
    return n->directories + n->files + n->links + n->symlinks + n->devices;
}

static void report_committed(struct committer *c, size_t images, const struct plan_summary *s,
                             const struct commit_report *done)
{
    struct committed committed = {.images = images,
                                  .revisions = done->revisions,
                                  .content_bytes = s->counts.content_bytes,
                                  .entries = entry_count(&s->counts),
                                  .known_files = s->known.files,
                                  .known_bytes = s->known.bytes,
                                  .differing_files = s->known.files_differing,
                                  .differing_bytes = s->known.bytes_differing,
                                  .seconds = done->seconds,
                                  .revision = repository_revision(c->o.repository)};
    report_commit(c->o.report, &committed);
    c->o.committed(c->o.arg, &committed);
}

static void print_plan(struct committer *c, const struct group *g, const struct plan_summary *s)
{
    _cleanup_buf_ struct buf names = BUF_INIT;
    for (size_t i = 0; i < g->count; i++)
        buf_addf(&names, "%s%s", i ? ", " : "", g->jobs[i]->tracked.name);
    if (c->o.json) {
        json_t *o = json_pack(
            "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
            "event", "plan", "images", names.data, "layers_new", (json_int_t)s->layers_new,
            "layers_present", (json_int_t)s->layers_present, "chains_new",
            (json_int_t)s->chains_new, "flat_new", (json_int_t)s->flat_new, "names_new",
            (json_int_t)s->names_new, "content_bytes", (json_int_t)s->counts.content_bytes,
            "directories", (json_int_t)s->counts.directories, "files", (json_int_t)s->counts.files,
            "links", (json_int_t)s->counts.links, "symlinks", (json_int_t)s->counts.symlinks,
            "devices", (json_int_t)s->counts.devices, "known_files", (json_int_t)s->known.files,
            "known_bytes", (json_int_t)s->known.bytes, "differing_files",
            (json_int_t)s->known.files_differing, "differing_bytes",
            (json_int_t)s->known.bytes_differing);
        report_json(o);
        return;
    }
    printf("plan for %s\n", names.data);
    printf("  layers: %zu new, %zu present; chains: %zu new; flat images: %zu new; names: %zu new "
           "or moved\n",
           s->layers_new, s->layers_present, s->chains_new, s->flat_new, s->names_new);
    printf("  %s of new content in %llu files; %llu links, %llu directories, %llu symlinks, %llu "
           "devices\n",
           size_text(s->counts.content_bytes).s, (unsigned long long)s->counts.files,
           (unsigned long long)s->counts.links, (unsigned long long)s->counts.directories,
           (unsigned long long)s->counts.symlinks, (unsigned long long)s->counts.devices);
    printf("  of the new layers' files %llu (%s) are known and become links; %llu more (%s) differ "
           "from known ones in attributes only\n",
           (unsigned long long)s->known.files, size_text(s->known.bytes).s,
           (unsigned long long)s->known.files_differing, size_text(s->known.bytes_differing).s);
}

/* ---- committing ---- */

/* What the repository's back end could not keep is said, not hidden. */
static void report_losses(struct committer *c, const struct commit_report *done)
{
    if (done->extras_failed) {
        _cleanup_free_ char *text = xasprintf("the images are published, but not their extended "
                                              "attributes and chunks: %s",
                                              done->extras_failed);
        report_warning(c->o.report, c->o.repository->name, text);
    }
    if (done->xattrs_left_out) {
        _cleanup_free_ char *text =
            xasprintf("%llu entries have extended attributes (file capabilities, ACLs) that were "
                      "not published: --xattrs keep does it on CernVM-FS, where the repository "
                      "has CVMFS_INCLUDE_XATTRS=true",
                      (unsigned long long)done->xattrs_left_out);
        report_warning(c->o.report, c->o.repository->name, text);
    }
    if (done->owners_left_out)
        report_warning(c->o.report, c->o.repository->name,
                       "not running as root: owners (and devices) of the images' files could not "
                       "be kept");
}

static void finish_group(struct committer *c, struct group *g, enum outcome outcome)
{
    for (size_t i = 0; i < g->count; i++) {
        if (outcome != OUTCOME_PLANNED)
            claims_published(c->o.claims, g->jobs[i]);
        finish_job(c, g->jobs[i], outcome);
    }
}

static void fail_group(struct committer *c, struct group *g, struct error *err)
{
    for (size_t i = 0; i < g->count; i++) {
        struct error copy = ERROR_INIT;
        error_copy(&copy, err);
        fail_job(c, g->jobs[i], &copy);
    }
    error_release(err);
}

/* Somebody else is at work in the repository: the jobs wait for the end of it. */
static void put_back(struct committer *c, struct group *g, struct error *err)
{
    for (size_t i = 0; i < g->count; i++) {
        job_release_work(g->jobs[i]);
        atomic_store(&g->jobs[i]->tracked.stage, STAGE_READY);
        jobs_append(&c->ready, g->jobs[i]);
    }
    if (c->not_before == 0)
        log_warning("%s; %zu images wait for the end of it", err->message, c->ready.count);
    c->slow_are_next = false; /* nobody has had his turn */
    c->not_before = clock_monotonic() + BUSY_PAUSE_SECONDS;
    error_release(err);
}

static void commit_group(struct committer *c, struct group g);

/* A commit that failed because of one image must not take the others with it. */
static void after_failure(struct committer *c, struct group *g, struct error *err)
{
    if (err->kind == ERROR_BUSY && c->o.patient) {
        put_back(c, g, err);
        return;
    }
    if (err->kind == ERROR_BUSY || err->kind == ERROR_NOT_FOUND || err->kind == ERROR_CANCELLED) {
        c->broken = err->kind != ERROR_CANCELLED && !c->o.patient;
        if (c->broken)
            error_copy(&c->error, err);
        fail_group(c, g, err);
        return;
    }
    if (g->count == 1) {
        fail_group(c, g, err);
        return;
    }
    log_warning("%s; trying again with half of the %zu images at a time", err->message, g->count);
    error_release(err);
    size_t half = g->count / 2;
    struct group first = {g->jobs, half}, second = {g->jobs + half, g->count - half};
    commit_group(c, first);
    if (c->broken) {
        struct error again = ERROR_INIT;
        error_copy(&again, &c->error);
        fail_group(c, &second, &again);
        return;
    }
    commit_group(c, second);
}

static void warn_of_stall(void *arg, long seconds, uint64_t bytes)
{
    const struct repository *r = arg;
    log_warning("%s: cvmfs_server ingest has taken nothing for %ld seconds, after %llu bytes; look "
                "at what it waits for (ps), and for processes that keep the repository mounted or "
                "open: grep -l %s /proc/[0-9]*/mountinfo; fuser -vm %s",
                r->name, seconds, (unsigned long long)bytes, r->name, r->view);
}

static int commit(struct committer *c, const struct group *g, const struct changeset *cs,
                  struct commit_report *out, struct error *err)
{
    const struct policy *policy = &g->jobs[0]->order->policy;
    const char *first = g->jobs[0]->tracked.name;
    _cleanup_free_ char *what =
        g->count < 2 ? xasprintf("publishing %s", first)
                     : xasprintf("publishing %s and %zu others", first, g->count - 1);
    struct commit_options extras = {.keep_xattrs = policy->keep_xattrs,
                                    .chunk_above_bytes = policy->chunk_above_bytes,
                                    .what = what,
                                    .stalled = warn_of_stall,
                                    .arg = c->o.repository};
    *out = (struct commit_report){0};
    if (repository_commit(c->o.repository, cs, &extras, out, err) < 0)
        return -1;
    c->not_before = 0;
    c->gather_until =
        clock_monotonic() + (out->seconds < GATHER_SECONDS_MAX ? out->seconds : GATHER_SECONDS_MAX);
    return 0;
}

static void commit_group(struct committer *c, struct group g)
{
    struct plan_summary summary;
    struct commit_report committed = {0};
    struct error err = ERROR_INIT;
    struct changeset *cs = plan(c, &g, &summary);
    if (!cs)
        return;
    for (size_t i = 0; i < g.count; i++)
        atomic_store(&g.jobs[i]->tracked.stage, STAGE_COMMITTING);
    bool empty = changeset_is_empty(cs);
    int result = 0;
    if (!c->o.dry_run && !empty)
        result = status_copy_add(c->o.status, g.jobs, g.count, cs, &err);
    if (!c->o.dry_run && !empty && result == 0)
        result = commit(c, &g, cs, &committed, &err);
    changeset_free(cs); /* it borrows what finishing the jobs releases */
    if (result < 0) {
        after_failure(c, &g, &err);
    } else if (c->o.dry_run) {
        print_plan(c, &g, &summary);
        finish_group(c, &g, OUTCOME_PLANNED);
    } else if (empty) {
        finish_group(c, &g, OUTCOME_UNCHANGED); /* another image brought it all */
    } else {
        report_committed(c, g.count, &summary, &committed);
        report_losses(c, &committed);
        free(committed.extras_failed);
        status_copy_published(c->o.status);
        finish_group(c, &g, OUTCOME_PUBLISHED);
    }
}

void group_publish(struct committer *c, struct group g)
{
    assemble_group(c, &g);
    if (g.count > 0)
        commit_group(c, g);
}

/* ---- a part of a large image ---- */

static uint64_t level_bytes(const struct image *image, size_t level)
{
    struct stat st;
    const struct layer *l = &image->layers[image->stack_layers[level]].layer;
    return l->data_fd >= 0 && fstat(l->data_fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* How many of its layers go next, and how much content those above them have. */
static size_t next_levels(const struct committer *c, const struct job *job, uint64_t *out_left)
{
    size_t count = 0, first = job->levels_done;
    uint64_t bytes = 0;
    while (first + count < job->image.stack_count &&
           (count == 0 || bytes + level_bytes(&job->image, first + count) <= c->revision_limit))
        bytes += level_bytes(&job->image, first + count++);
    *out_left = 0;
    for (size_t i = first + count; i < job->image.stack_count; i++)
        *out_left += level_bytes(&job->image, i);
    return count;
}

static int commit_part(struct committer *c, struct job *job, struct error *err)
{
    uint64_t left;
    struct plan_summary summary;
    struct commit_report committed = {0};
    const struct policy *policy = &job->order->policy;
    if (assemble(c, job, err) < 0)
        return -1;
    size_t count = next_levels(c, job, &left);
    struct changeset *cs = changeset_new();
    struct plan_target target = {c->o.repository, policy, c->o.podman, c->o.spool->dir};
    int result = plan_levels(&target, &job->image, job->levels_done, count, cs, &summary, err);
    bool empty = changeset_is_empty(cs);
    atomic_store(&job->tracked.stage, STAGE_COMMITTING);
    if (result == 0 && !empty)
        result = commit(c, &(struct group){&job, 1}, cs, &committed, err);
    changeset_free(cs);
    if (result < 0)
        return -1;
    job->levels_done += count;
    job->content_bytes = left;
    if (!empty) {
        report_part(c->o.report, job->tracked.name, job->levels_done, job->image.stack_count);
        report_committed(c, 0, &summary, &committed);
        free(committed.extras_failed); /* they are seen to with the names */
    }
    return 0;
}

void group_publish_part(struct committer *c, struct job *job)
{
    struct error err = ERROR_INIT;
    struct group g = {&job, 1};
    if (commit_part(c, job, &err) < 0) {
        after_failure(c, &g, &err);
        return;
    }
    job_release_work(job);
    atomic_store(&job->tracked.stage, STAGE_READY);
    jobs_append(&c->ready, job);
}

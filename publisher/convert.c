#include "publisher/convert.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "publisher/fetch.h"
#include "state/state.h"
#include "registry/client.h"

#include <string.h>

#define RESOLVE_THREADS 16
#define JOBS_MIN        4

struct pass {
    const struct convert_options *o;
    struct state state;
    struct repository *repository;
    struct registry_client *client;
    struct podman_lists podman;
    struct plan_target target;
    struct spool spool;
    struct report *report;
    struct jobs jobs;
    struct fetch *fetch;
    bool broken; /* the repository cannot be used (any more): `error` says why */
    struct error error;
};

/* ---- results ---- */

static void report_job(struct pass *p, struct job *job, enum outcome outcome)
{
    job->reported = true;
    for (size_t i = 0; i < job->image.name_count; i++) {
        struct result result = {.name = image_label(&job->image, i),
                                .outcome = outcome,
                                .layers_new = job->layers_new,
                                .layers_present = job->layers_present};
        if (outcome == OUTCOME_FAILED)
            error_copy(&result.error, &job->error);
        report_result(p->report, &result);
    }
}

static void finish_job(struct pass *p, struct job *job, enum outcome outcome)
{
    job_release_work(job);
    if (job->state != JOB_DONE) {
        job->state = JOB_DONE;
        atomic_store(&job->tracked.stage, STAGE_DONE);
    }
    fetch_done(p->fetch, job, outcome == OUTCOME_PLANNED);
    report_job(p, job, outcome);
}

static void fail_job(struct pass *p, struct job *job, struct error *err)
{
    job_fail(job, err);
    finish_job(p, job, OUTCOME_FAILED);
}

/* ---- a group ---- */

struct group {
    struct job **jobs;
    size_t count;
};

static void remove_from_group(struct group *g, size_t i)
{
    memmove(&g->jobs[i], &g->jobs[i + 1], (g->count - i - 1) * sizeof(struct job *));
    g->count--;
}

static int check_links(struct pass *p, struct job *job, struct error *err)
{
    for (size_t t = 0; t < job->task_count; t++) {
        if (!layer_task_check_links(job->tasks[t]))
            continue;
        for (size_t i = 0; i < job->image.layer_count; i++) {
            struct image_layer *l = &job->image.layers[i];
            if (l->open && digest_equal(&l->layer.blob, layer_task_blob(job->tasks[t])) &&
                plan_check_links(p->repository, l, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* What of an image is left out on purpose. Layers that were published before have been spoken of
 * then. */
static void report_omissions(struct pass *p, const struct job *job)
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
            report_warning(p->report, job->tracked.name, text);
    }
}

/* Images that could not be fetched, or cannot be put together, leave the group. */
static void assemble_group(struct pass *p, struct group *g)
{
    for (size_t i = 0; i < g->count;) {
        struct job *job = g->jobs[i];
        struct error err = ERROR_INIT;
        if (job->state == JOB_DONE) {
            finish_job(p, job, OUTCOME_FAILED);
            remove_from_group(g, i);
            continue;
        }
        if (job->needs.content &&
            (image_assemble(&job->image, &p->spool, &err) < 0 || check_links(p, job, &err) < 0)) {
            fail_job(p, job, &err);
            remove_from_group(g, i);
            continue;
        }
        report_omissions(p, job);
        i++;
    }
}

/* A changeset for the group; images that cannot be planned leave it. NULL: nobody is left. */
static struct changeset *plan(struct pass *p, struct group *g, struct plan_summary *summary)
{
    while (g->count > 0) {
        struct error err = ERROR_INIT;
        size_t bad;
        struct changeset *cs = changeset_new();
        struct image **images = xcalloc(g->count, sizeof(struct image *));
        for (size_t i = 0; i < g->count; i++)
            images[i] = &g->jobs[i]->image;
        int result = plan_group(&p->target, images, g->count, cs, summary, &bad, &err);
        free(images);
        if (result == 0)
            return cs;
        changeset_free(cs);
        if (bad >= g->count)
            bad = 0;
        fail_job(p, g->jobs[bad], &err);
        remove_from_group(g, bad);
    }
    return NULL;
}

static uint64_t entry_count(const struct changeset_counts *c)
{
    return c->directories + c->files + c->links + c->symlinks + c->devices;
}

static void print_plan(struct pass *p, const struct group *g, const struct plan_summary *s)
{
    _cleanup_buf_ struct buf names = BUF_INIT;
    for (size_t i = 0; i < g->count; i++)
        buf_addf(&names, "%s%s", i ? ", " : "", g->jobs[i]->tracked.name);
    if (p->o->form == REPORT_JSON) {
        json_t *o = json_pack(
            "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "event", "plan",
            "images", names.data, "layers_new", (json_int_t)s->layers_new, "layers_present",
            (json_int_t)s->layers_present, "chains_new", (json_int_t)s->chains_new, "flat_new",
            (json_int_t)s->flat_new, "names_new", (json_int_t)s->names_new, "content_bytes",
            (json_int_t)s->counts.content_bytes, "directories", (json_int_t)s->counts.directories,
            "files", (json_int_t)s->counts.files, "links", (json_int_t)s->counts.links, "symlinks",
            (json_int_t)s->counts.symlinks, "devices", (json_int_t)s->counts.devices);
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
}

/* What the repository's back end could not keep is said, not hidden. */
static void report_losses(struct pass *p, const struct commit_report *c)
{
    if (c->extras_failed) {
        _cleanup_free_ char *text = xasprintf("the images are published, but not their extended "
                                              "attributes and chunks: %s",
                                              c->extras_failed);
        report_warning(p->report, p->repository->name, text);
    }
    if (c->xattrs_left_out) {
        _cleanup_free_ char *text =
            xasprintf("%llu entries have extended attributes (file capabilities, ACLs) that were "
                      "not published: --xattrs keep does it on CernVM-FS, where the repository "
                      "has CVMFS_INCLUDE_XATTRS=true",
                      (unsigned long long)c->xattrs_left_out);
        report_warning(p->report, p->repository->name, text);
    }
    if (c->owners_left_out)
        report_warning(p->report, p->repository->name,
                       "not running as root: owners (and devices) of the images' files could not "
                       "be kept");
}

static void finish_group(struct pass *p, struct group *g, enum outcome outcome)
{
    for (size_t i = 0; i < g->count; i++)
        finish_job(p, g->jobs[i], outcome);
}

static void fail_group(struct pass *p, struct group *g, struct error *err)
{
    for (size_t i = 0; i < g->count; i++) {
        struct error copy = ERROR_INIT;
        error_copy(&copy, err);
        fail_job(p, g->jobs[i], &copy);
    }
    error_release(err);
}

static void commit_group(struct pass *p, struct group g);

/* A commit that failed because of one image must not take the others with it. */
static void after_failure(struct pass *p, struct group *g, struct error *err)
{
    if (err->kind == ERROR_BUSY || err->kind == ERROR_NOT_FOUND || err->kind == ERROR_CANCELLED) {
        p->broken = err->kind != ERROR_CANCELLED;
        if (p->broken)
            error_copy(&p->error, err);
        fail_group(p, g, err);
        return;
    }
    if (g->count == 1) {
        fail_group(p, g, err);
        return;
    }
    log_warning("%s; trying again with half of the %zu images at a time", err->message, g->count);
    error_release(err);
    size_t half = g->count / 2;
    commit_group(p, (struct group){g->jobs, half});
    if (p->broken) {
        struct error again = ERROR_INIT;
        error_copy(&again, &p->error);
        fail_group(p, &(struct group){g->jobs + half, g->count - half}, &again);
        return;
    }
    commit_group(p, (struct group){g->jobs + half, g->count - half});
}

static void commit_group(struct pass *p, struct group g)
{
    struct plan_summary summary;
    struct commit_report committed = {0};
    struct commit_options extras = {p->o->policy.keep_xattrs, p->o->policy.chunk_above_bytes};
    struct error err = ERROR_INIT;
    struct changeset *cs = plan(p, &g, &summary);
    if (!cs)
        return;
    for (size_t i = 0; i < g.count; i++)
        atomic_store(&g.jobs[i]->tracked.stage, STAGE_COMMITTING);
    bool empty = changeset_is_empty(cs);
    int result = 0;
    if (!p->o->dry_run && !empty)
        result = repository_commit(p->repository, cs, &extras, &committed, &err);
    changeset_free(cs); /* it borrows what finishing the jobs releases */
    if (result < 0) {
        after_failure(p, &g, &err);
    } else if (p->o->dry_run) {
        print_plan(p, &g, &summary);
        finish_group(p, &g, OUTCOME_PLANNED);
    } else if (empty) {
        finish_group(p, &g, OUTCOME_UNCHANGED); /* another image of this pass brought it all */
    } else {
        report_commit(p->report, g.count, committed.revisions, summary.counts.content_bytes,
                      entry_count(&summary.counts), committed.seconds);
        report_losses(p, &committed);
        free(committed.extras_failed);
        finish_group(p, &g, OUTCOME_PUBLISHED);
    }
}

/* ---- the pass ---- */

static int open_pass(struct pass *p, struct error *err)
{
    const struct convert_options *o = p->o;
    if (repository_open(o->repository, &p->repository, err) < 0 ||
        state_open(o->state_dir, o->spool_base, o->repository, &p->state, err) < 0 ||
        repository_begin(p->repository, p->state.journal, err) < 0)
        return -1;
    p->target = (struct plan_target){p->repository, &o->policy, &p->podman};
    if (plan_read_podman(&p->target, err) < 0 || dir_make(p->state.spool_dir, 0700, err) < 0 ||
        spool_open(&p->spool, p->state.spool_dir, o->spool_limit, err) < 0)
        return -1;
    p->client = registry_client_new(&o->registry, err);
    return p->client ? 0 : -1;
}

static uint64_t budget(const struct pass *p)
{
    struct error ignored = ERROR_INIT;
    uint64_t free_bytes = 0;
    if (p->o->spool_limit)
        return p->o->spool_limit;
    if (disk_free_bytes(p->spool.dir, &free_bytes, &ignored) < 0)
        error_release(&ignored); /* one image at a time, then */
    return free_bytes / 10 * 9;
}

static void resolve_wishes(struct pass *p, const struct wanted_list *wanted)
{
    struct resolve_options options = {.client = p->client,
                                      .target = &p->target,
                                      .platforms = p->o->platforms,
                                      .platform_count = p->o->platform_count,
                                      .site = p->o->registry.site,
                                      .threads = RESOLVE_THREADS,
                                      .again = p->o->again};
    resolve(&options, wanted, &p->jobs, p->report);
    for (size_t i = 0; i < p->jobs.count; i++) {
        struct job *job = p->jobs.items[i];
        if (job->state == JOB_UNCHANGED)
            report_job(p, job, OUTCOME_UNCHANGED);
        else if (job->state == JOB_DONE)
            report_job(p, job, OUTCOME_FAILED);
    }
}

/* What a stop, or a repository that broke, left over. */
static void fail_the_rest(struct pass *p)
{
    for (size_t i = 0; i < p->jobs.count; i++) {
        struct job *job = p->jobs.items[i];
        struct error err = ERROR_INIT;
        if (job->reported)
            continue;
        if (p->broken)
            error_copy(&err, &p->error);
        else
            error_set(&err, ERROR_CANCELLED, "stopped before it was published");
        if (job->state == JOB_DONE)
            error_release(&err); /* it has a reason of its own */
        else
            job_fail(job, &err);
        job_release_work(job);
        report_job(p, job, OUTCOME_FAILED);
    }
}

static void publish(struct pass *p)
{
    struct fetch_options options = {.client = p->client,
                                    .repository = p->repository,
                                    .policy = &p->o->policy,
                                    .spool = &p->spool,
                                    .threads = p->o->jobs,
                                    .budget_bytes = budget(p)};
    if (options.threads == 0)
        options.threads = processor_count() > JOBS_MIN ? processor_count() : JOBS_MIN;
    p->fetch = fetch_start(&options, &p->jobs, p->report);
    struct job **ready;
    for (size_t n; !p->broken && (n = fetch_next_ready(p->fetch, &ready)) > 0; free(ready)) {
        struct group g = {ready, n};
        assemble_group(p, &g);
        if (g.count > 0)
            commit_group(p, g);
    }
    if (p->broken)
        cancel_request(); /* what is still being fetched cannot be published */
    fetch_stop(p->fetch);
    fail_the_rest(p);
}

static void close_pass(struct pass *p)
{
    jobs_release(&p->jobs);
    registry_client_free(p->client);
    spool_release(&p->spool);
    podman_lists_release(&p->podman);
    repository_free(p->repository);
    state_release(&p->state);
    report_free(p->report);
}

enum exit_status convert(const struct convert_options *options, const struct wanted_list *wanted,
                         struct result *failed, size_t failed_count, struct error *err)
{
    double start = clock_monotonic();
    struct pass p = {.o = options, .state.lock_fd = -1};
    if (open_pass(&p, err) < 0) {
        close_pass(&p);
        for (size_t i = 0; i < failed_count; i++) {
            free(failed[i].name);
            error_release(&failed[i].error);
        }
        return EXIT_REPOSITORY;
    }
    p.report = report_new(options->form);
    for (size_t i = 0; i < failed_count; i++)
        report_result(p.report, &failed[i]);
    resolve_wishes(&p, wanted);
    publish(&p);
    report_finish(p.report, clock_monotonic() - start);
    enum exit_status status = report_count(p.report, OUTCOME_FAILED) ? EXIT_SOME_FAILED : EXIT_OK;
    if (p.broken) {
        error_move(err, &p.error);
        status = EXIT_REPOSITORY;
    }
    close_pass(&p);
    return status;
}

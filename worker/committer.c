#include "worker/committer.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "worker/group.h"

#include <string.h>
#include <unistd.h>

#define SILENT_SECONDS      10.0
#define LOOK_SECONDS        0.2 /* how often to look whether waiting has come to an end */
#define GATHER_LOOK_SECONDS 0.02

/* An image with more than this part of a revision's content is slow to commit: by the default limit
 * 200 MB, some seconds on a small server. */
#define SLOW_SHARE 50

/* Content of layers can go ahead; without layers there is nothing to put first. */
static bool is_large(const struct committer *c, const struct job *job)
{
    return !c->o.dry_run && job->needs.content && job->content_bytes > c->revision_limit &&
           !job->order->policy.skip_layers;
}

static bool same_policy(const struct job *a, const struct job *b)
{
    struct policy x, y;
    memcpy(&x, &a->order->policy, sizeof x);
    memcpy(&y, &b->order->policy, sizeof y);
    x.given = y.given = 0;
    return memcmp(&x, &y, sizeof x) == 0;
}

static bool fits(const struct committer *c, const struct group *g, const struct job *job,
                 uint64_t bytes)
{
    if (g->count == 0)
        return true;
    return same_policy(g->jobs[0], job) && bytes + job->content_bytes <= c->revision_limit;
}

static bool is_slow(const struct committer *c, const struct job *job)
{
    return !c->o.dry_run && job->content_bytes > c->revision_limit / SLOW_SHARE;
}

/* Whether quick images go without the slow ones: there are some that are as urgent, and it is not
 * the turn of the slow ones. The jobs are sorted. */
static bool quick_go_first(const struct committer *c)
{
    if (c->slow_are_next)
        return false;
    for (size_t i = 0; i < c->ready.count; i++)
        if (!is_slow(c, c->ready.items[i]))
            return c->ready.items[i]->rank == c->ready.items[0]->rank;
    return false;
}

/* Those of the jobs at hand that go next, together; what is over a revision's limit is not among
 * them. The array is the caller's to free. */
static struct group choose(struct committer *c)
{
    struct group g = {xcalloc(c->ready.count, sizeof(struct job *)), 0};
    uint64_t bytes = 0;
    bool quick_only = quick_go_first(c);
    c->slow_are_next = false;
    c->group++;
    for (size_t i = 0; i < c->ready.count; i++) {
        struct job *job = c->ready.items[i];
        if (is_large(c, job))
            continue;
        if (quick_only && is_slow(c, job)) {
            c->slow_are_next = true;
            continue;
        }
        if (!fits(c, &g, job, bytes) || !claims_join_group(c->o.claims, job, c->group))
            continue;
        g.jobs[g.count++] = job;
        bytes += job->content_bytes;
    }
    for (size_t i = 0; i < g.count; i++)
        jobs_remove(&c->ready, g.jobs[i]);
    return g;
}

static struct job *take_large(struct committer *c)
{
    for (size_t i = 0; i < c->ready.count; i++) {
        struct job *job = c->ready.items[i];
        if (is_large(c, job)) {
            jobs_remove(&c->ready, job);
            return job;
        }
    }
    return NULL;
}

/* Those that have failed before they came here, and those that have lost all their names. */
static void dismiss(struct committer *c)
{
    for (size_t i = 0; i < c->ready.count;) {
        struct job *job = c->ready.items[i];
        claims_drop_outdated(c->o.claims, job);
        if (job->state != JOB_DONE && job->image.name_count > 0) {
            i++;
            continue;
        }
        jobs_remove(&c->ready, job);
        c->o.decided(c->o.arg, job, job->state == JOB_DONE ? OUTCOME_FAILED : OUTCOME_UNCHANGED);
    }
}

static int compare_jobs(const void *a, const void *b)
{
    const struct job *x = *(struct job *const *)a, *y = *(struct job *const *)b;
    return job_precedes(x, y) ? -1 : job_precedes(y, x);
}

static void publish_next(struct committer *c)
{
    qsort(c->ready.items, c->ready.count, sizeof *c->ready.items, compare_jobs);
    struct job *large = c->part_is_next ? take_large(c) : NULL;
    c->part_is_next = false;
    if (large) {
        group_publish_part(c, large);
        return;
    }
    struct group g = choose(c);
    if (g.count > 0) {
        c->part_is_next = true;
        group_publish(c, g);
    } else if ((large = take_large(c))) {
        group_publish_part(c, large);
    }
    free(g.jobs);
}

int committer_take_turn(const struct state *state, struct turn *out, struct error *err)
{
    if (turn_take(state->dir, SILENT_SECONDS, out, err) == 0)
        return 0;
    if (err->kind != ERROR_BUSY)
        return -1;
    log_info("waiting for the end of a change to the repository: %s", err->message);
    error_release(err);
    return turn_take(state->dir, 0, out, err);
}

int committer_begin(struct repository *repository, const struct state *state, struct error *err)
{
    if (repository_begin(repository, state->journal, err) < 0)
        return -1;
    if (repository->cut_off)
        log_warning("%s: %s", repository->name, repository->cut_off);
    return 0;
}

/* One that died in its turn may have left a transaction open. */
static int begin_turn(struct committer *c, struct turn *out, struct error *err)
{
    if (committer_take_turn(c->o.state, out, err) < 0)
        return -1;
    if (access(c->o.repository->note, F_OK) < 0)
        return 0;
    return committer_begin(c->o.repository, c->o.state, err);
}

static void publish_some(struct committer *c)
{
    struct turn turn _cleanup_turn_ = TURN_INIT;
    struct error err = ERROR_INIT;
    if (c->ready.count == 0)
        return;
    if (!c->o.dry_run && begin_turn(c, &turn, &err) < 0) {
        c->broken = err.kind != ERROR_CANCELLED;
        if (c->broken)
            error_move(&c->error, &err);
        error_release(&err);
        return;
    }
    publish_next(c);
}

static bool must_pause(const struct committer *c)
{
    return c->not_before > 0 && clock_monotonic() < c->not_before;
}

/* Whether to wait for what shares the next commit. */
static bool must_gather(const struct committer *c)
{
    return clock_monotonic() < c->gather_until && c->o.more_to_come(c->o.arg, c->ready.count);
}

static int publish_status(struct committer *c, struct error *err)
{
    struct turn turn _cleanup_turn_ = TURN_INIT;
    struct commit_options options = {.what = "publishing the status page"};
    struct commit_report done = {0};
    struct changeset *cs = changeset_new();
    int result = begin_turn(c, &turn, err);
    if (result == 0)
        result = status_copy_add(c->o.status, NULL, 0, cs, err);
    if (result == 0 && !changeset_is_empty(cs))
        result = repository_commit(c->o.repository, cs, &options, &done, err);
    changeset_free(cs);
    return result;
}

void committer_publish_status(struct committer *c)
{
    struct error err = ERROR_INIT;
    if (c->broken || must_pause(c) || cancel_requested() ||
        !status_copy_wants_revision(c->o.status))
        return;
    if (publish_status(c, &err) == 0) {
        status_copy_published(c->o.status);
        return;
    }
    log_warning("%s: the copy of the status page stays as it is for now: %s", c->o.repository->name,
                err.message);
    error_release(&err);
    status_copy_failed(c->o.status);
}

void committer_run(struct committer *c)
{
    while (!c->broken && !cancel_requested() && !fetch_is_quitting(c->o.fetch)) {
        bool wait = c->ready.count == 0;
        if (!fetch_next_ready(c->o.fetch, wait, &c->ready) && wait) {
            if (!fetch_is_quitting(c->o.fetch))
                committer_publish_status(c);
            continue;
        }
        dismiss(c);
        if (must_pause(c))
            clock_sleep(LOOK_SECONDS);
        else if (must_gather(c))
            clock_sleep(GATHER_LOOK_SECONDS);
        else if (!cancel_requested())
            publish_some(c);
    }
}

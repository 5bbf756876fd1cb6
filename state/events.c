#include "state/events.h"

#include "base/memory.h"
#include "state/statement.h"

static const char *const words[EVENT_KIND_COUNT] = {
    [EVENT_PUSHED] = "pushed",
    [EVENT_DELETED] = "deleted",
    [EVENT_LIST] = "list",
    [EVENT_REFRESH] = "refresh",
};

const char *event_kind_word(enum event_kind kind)
{
    return words[kind];
}

int event_add(struct database *db, const struct event *event, int64_t now, bool *out_is_new,
              struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db,
                          "INSERT INTO events (source, delivery, kind, subject, received_at) "
                          "VALUES (?, ?, ?, ?, ?) ON CONFLICT (source, delivery) DO NOTHING",
                          &st, err) < 0)
        return -1;
    bind_text(&st, event->source);
    bind_text(&st, event->delivery);
    bind_text(&st, words[event->kind]);
    bind_text(&st, event->subject);
    bind_int(&st, now);
    if (statement_run(&st, err) < 0)
        return -1;
    *out_is_new = sqlite3_changes(db->handle) > 0;
    return 0;
}

void event_jobs_release(struct event_jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++)
        free(jobs->items[i].subject);
    free(jobs->items);
    *jobs = (struct event_jobs){0};
}

static int find_jobs(struct database *db, size_t max, struct event_jobs *out, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    int row;
    if (statement_prepare(db,
                          "SELECT min(id), kind, subject, min(received_at), count(*) FROM events "
                          "WHERE job IS NULL GROUP BY kind, subject ORDER BY min(id) LIMIT ?",
                          &st, err) < 0)
        return -1;
    bind_size(&st, max);
    while ((row = statement_step(&st, err)) > 0) {
        ARRAY_GROW(out->items, out->count, out->capacity);
        struct event_job *job = &out->items[out->count++];
        job->id = column_int(&st);
        job->kind = (enum event_kind)column_word(&st, words, EVENT_KIND_COUNT, EVENT_REFRESH);
        job->subject = column_text(&st);
        job->received_at = column_int(&st);
        job->events = column_size(&st);
    }
    return row;
}

static int take_jobs(struct database *db, const struct event_jobs *jobs, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(
            db, "UPDATE events SET job = ? WHERE job IS NULL AND kind = ? AND subject = ?", &st,
            err) < 0)
        return -1;
    for (size_t i = 0; i < jobs->count; i++) {
        bind_int(&st, jobs->items[i].id);
        bind_text(&st, words[jobs->items[i].kind]);
        bind_text(&st, jobs->items[i].subject);
        if (statement_run(&st, err) < 0)
            return -1;
    }
    return 0;
}

int events_take(struct database *db, size_t max, struct event_jobs *out, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct event_jobs jobs = {0};
    if (transaction_begin(db, &t, err) < 0)
        return -1;
    if (find_jobs(db, max, &jobs, err) < 0 || take_jobs(db, &jobs, err) < 0 ||
        transaction_commit(&t, err) < 0) {
        event_jobs_release(&jobs);
        return -1;
    }
    *out = jobs;
    return 0;
}

int events_done(struct database *db, int64_t job, const char *outcome, int64_t now,
                struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(
            db, "UPDATE events SET done_at = ?, outcome = ? WHERE job = ? AND done_at = 0", &st,
            err) < 0)
        return -1;
    bind_int(&st, now > 0 ? now : 1);
    bind_text(&st, outcome);
    bind_int(&st, job);
    return statement_run(&st, err);
}

int events_take_back(struct database *db, size_t *out_count, struct error *err)
{
    if (database_run(db, "UPDATE events SET job = NULL WHERE job IS NOT NULL AND done_at = 0",
                     err) < 0)
        return -1;
    *out_count = (size_t)sqlite3_changes(db->handle);
    return 0;
}

int events_count(struct database *db, struct event_counts *out, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db,
                          "SELECT (SELECT count(*) FROM events WHERE job IS NULL),"
                          " (SELECT count(*) FROM events WHERE job IS NOT NULL AND done_at = 0),"
                          " (SELECT count(*) FROM events WHERE done_at <> 0),"
                          " (SELECT coalesce(min(received_at), 0) FROM events WHERE job IS NULL)",
                          &st, err) < 0)
        return -1;
    int row = statement_step(&st, err);
    if (row < 0)
        return -1;
    out->waiting = column_size(&st);
    out->taken = column_size(&st);
    out->done = column_size(&st);
    out->oldest_waiting_at = column_int(&st);
    return 0;
}

#include "state/runs.h"

#include "base/memory.h"
#include "state/statement.h"

#include <unistd.h>

void runs_release(struct runs *runs)
{
    for (size_t i = 0; i < runs->count; i++) {
        free(runs->items[i].kind);
        free(runs->items[i].repository);
        free(runs->items[i].outcome);
    }
    free(runs->items);
    *runs = (struct runs){0};
}

int run_start(struct database *db, const char *kind, const char *repository, int64_t now,
              int64_t *out_id, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(
            db, "INSERT INTO runs (kind, repository, started_at, pid) VALUES (?, ?, ?, ?)", &st,
            err) < 0)
        return -1;
    bind_text(&st, kind);
    bind_text(&st, repository);
    bind_int(&st, now);
    bind_int(&st, getpid());
    if (statement_run(&st, err) < 0)
        return -1;
    *out_id = sqlite3_last_insert_rowid(db->handle);
    return 0;
}

int run_end(struct database *db, int64_t id, const struct run_counts *counts, const char *outcome,
            int64_t now, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db,
                          "UPDATE runs SET ended_at = ?, outcome = ?, published = ?, unchanged = "
                          "?, failed = ?, removed = ?, revisions = ?, bytes = ? WHERE id = ?",
                          &st, err) < 0)
        return -1;
    bind_int(&st, now);
    bind_text(&st, outcome);
    bind_size(&st, counts->published);
    bind_size(&st, counts->unchanged);
    bind_size(&st, counts->failed);
    bind_size(&st, counts->removed);
    bind_size(&st, counts->revisions);
    bind_size(&st, counts->bytes);
    bind_int(&st, id);
    return statement_run(&st, err);
}

static void read_run(struct statement *st, struct run *run)
{
    *run = (struct run){0};
    run->id = column_int(st);
    run->kind = column_text(st);
    run->repository = column_text(st);
    run->started_at = column_int(st);
    run->ended_at = column_int(st);
    run->pid = column_int(st);
    run->counts.published = column_size(st);
    run->counts.unchanged = column_size(st);
    run->counts.failed = column_size(st);
    run->counts.removed = column_size(st);
    run->counts.revisions = column_size(st);
    run->counts.bytes = column_size(st);
    run->outcome = column_text(st);
}

int runs_list(struct database *db, const char *repository, size_t max, struct runs *out,
              struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    struct runs found = {0};
    int row;
    if (statement_prepare(db,
                          "SELECT id, kind, repository, started_at, ended_at, pid, published, "
                          "unchanged, failed, removed, revisions, bytes, outcome FROM runs "
                          "WHERE ?1 IS NULL OR repository = ?1 ORDER BY id DESC LIMIT ?2",
                          &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    bind_size(&st, max);
    while ((row = statement_step(&st, err)) > 0) {
        ARRAY_GROW(found.items, found.count, found.capacity);
        read_run(&st, &found.items[found.count++]);
    }
    if (row < 0)
        runs_release(&found);
    else
        *out = found;
    return row;
}

int repository_is_known(struct database *db, const char *repository, bool *out, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, "SELECT 1 FROM repositories WHERE repository = ?", &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    int row = statement_step(&st, err);
    if (row < 0)
        return -1;
    *out = row > 0;
    return 0;
}

int repository_set_known(struct database *db, const char *repository, int64_t now,
                         struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(
            db, "INSERT OR IGNORE INTO repositories (repository, known_since) VALUES (?, ?)", &st,
            err) < 0)
        return -1;
    bind_text(&st, repository);
    bind_int(&st, now);
    return statement_run(&st, err);
}

#include "state/history.h"

#include "base/memory.h"
#include "state/statement.h"

#define RUNS_SECONDS      ((int64_t)90 * 86400)
#define TRIMMED_AT_A_TIME "20000"

static const char *const words[HISTORY_WHAT_COUNT] = {
    [HISTORY_PUBLISHED] = "published", [HISTORY_FAILED] = "failed", [HISTORY_UNWANTED] = "unwanted",
    [HISTORY_WANTED] = "wanted",       [HISTORY_GONE] = "gone",     [HISTORY_REMOVED] = "removed",
    [HISTORY_RESTORED] = "restored",
};

const char *history_word(enum history_what what)
{
    return words[what];
}

void history_item_release(struct history_item *item)
{
    free(item->repository);
    free(item->name);
    free(item->platform);
    free(item->text);
    free(item->asked_by);
    *item = (struct history_item){0};
}

void history_release(struct history *history)
{
    for (size_t i = 0; i < history->count; i++)
        history_item_release(&history->items[i]);
    free(history->items);
    *history = (struct history){0};
}

int history_add(struct database *db, const struct history_item *item, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db,
                          "INSERT INTO history (repository, name, at, what, digest, image_id, "
                          "platform, revision, seconds, bytes, bytes_new, kind, text, "
                          "asked_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                          &st, err) < 0)
        return -1;
    bind_text(&st, item->repository);
    bind_text(&st, item->name);
    bind_int(&st, item->at);
    bind_text(&st, words[item->what]);
    bind_digest(&st, &item->digest);
    bind_digest(&st, &item->image_id);
    bind_text(&st, item->platform);
    bind_size(&st, item->revision);
    bind_real(&st, item->seconds);
    bind_size(&st, item->bytes);
    bind_size(&st, item->bytes_new);
    bind_kind(&st, item->kind);
    bind_text(&st, item->text);
    bind_text(&st, item->asked_by);
    return statement_run(&st, err);
}

#define SELECT_ITEM                                                                                \
    "SELECT repository, name, at, what, digest, image_id, platform, revision, seconds, bytes, "    \
    "bytes_new, kind, text, asked_by FROM history "
#define NEWEST "AND at >= ?3 ORDER BY at DESC, id DESC LIMIT ?4"

static void read_item(struct statement *st, struct history_item *item)
{
    *item = (struct history_item){0};
    item->repository = column_text(st);
    item->name = column_text(st);
    item->at = column_int(st);
    item->what = (enum history_what)column_word(st, words, HISTORY_WHAT_COUNT, HISTORY_FAILED);
    item->digest = column_digest(st);
    item->image_id = column_digest(st);
    item->platform = column_text(st);
    item->revision = column_size(st);
    item->seconds = column_real(st);
    item->bytes = column_size(st);
    item->bytes_new = column_size(st);
    item->kind = column_kind(st);
    item->text = column_text(st);
    item->asked_by = column_text(st);
}

int history_list(struct database *db, const char *repository, const char *name, int64_t since,
                 size_t max, struct history *out, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    struct history found = {0};
    const char *sql = name ? SELECT_ITEM "WHERE repository = ?1 AND name = ?2 " NEWEST
                           : SELECT_ITEM
                          "WHERE (?1 IS NULL OR repository = ?1) AND ?2 IS NULL " NEWEST;
    int row;
    if (statement_prepare(db, sql, &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    bind_text(&st, name);
    bind_int(&st, since);
    bind_size(&st, max);
    while ((row = statement_step(&st, err)) > 0) {
        ARRAY_GROW(found.items, found.count, found.capacity);
        read_item(&st, &found.items[found.count++]);
    }
    if (row < 0)
        history_release(&found);
    else
        *out = found;
    return row;
}

/* ---- trimming ---- */

static int trim(struct database *db, const char *sql, int64_t before, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, sql, &st, err) < 0)
        return -1;
    bind_int(&st, before);
    return statement_run(&st, err);
}

int history_trim(struct database *db, const struct history_bounds *bounds, int64_t now,
                 struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    int64_t history =
        bounds->history_seconds > 0 ? bounds->history_seconds : HISTORY_SECONDS_DEFAULT;
    int64_t events = bounds->events_seconds > 0 ? bounds->events_seconds : EVENTS_SECONDS_DEFAULT;
    if (transaction_begin(db, &t, err) < 0 ||
        trim(db,
             "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE at < ? ORDER BY at "
             "LIMIT " TRIMMED_AT_A_TIME ")",
             now - history, err) < 0 ||
        trim(db,
             "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE done_at <> 0 AND done_at "
             "< ? LIMIT " TRIMMED_AT_A_TIME ")",
             now - events, err) < 0 ||
        trim(db,
             "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE started_at < ? "
             "LIMIT " TRIMMED_AT_A_TIME ")",
             now - RUNS_SECONDS, err) < 0)
        return -1;
    return transaction_commit(&t, err);
}

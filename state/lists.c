#include "state/lists.h"

#include "base/memory.h"
#include "state/statement.h"

#include <string.h>

void list_records_release(struct list_records *lists)
{
    for (size_t i = 0; i < lists->count; i++) {
        struct list_record *l = &lists->items[i];
        for (size_t k = 0; k < l->entry_count; k++) {
            free(l->entries[k].text);
            free(l->entries[k].error);
        }
        free(l->entries);
        free(l->repository);
        free(l->url);
        free(l->revision);
        free(l->contact);
        free(l->error);
    }
    free(lists->items);
    *lists = (struct list_records){0};
}

void wants_release(struct wants *wants)
{
    for (size_t i = 0; i < wants->count; i++) {
        struct want *w = &wants->items[i];
        free(w->repository);
        free(w->name);
        free(w->url);
        free(w->revision);
        free(w->contact);
        free(w->text);
        free(w->left_out);
    }
    free(wants->items);
    *wants = (struct wants){0};
}

/* ---- a list is read ---- */

int lists_find(struct database *db, const char *repository, const char *url, int64_t *out,
               struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, "SELECT id FROM lists WHERE repository = ? AND url = ?", &st, err) <
        0)
        return -1;
    bind_text(&st, repository);
    bind_text(&st, url);
    int row = statement_step(&st, err);
    if (row > 0)
        *out = column_int(&st);
    if (row == 0)
        return error_set(err, ERROR_NOT_FOUND, "no list %s is known of %s", url, repository);
    return row < 0 ? -1 : 0;
}

/* It is made if it is not known. */
static int find_or_make(struct database *db, const char *repository, const char *url, int64_t *out,
                        struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(
            db, "INSERT INTO lists (repository, url) VALUES (?, ?) ON CONFLICT DO NOTHING", &st,
            err) < 0)
        return -1;
    bind_text(&st, repository);
    bind_text(&st, url);
    if (statement_run(&st, err) < 0)
        return -1;
    return lists_find(db, repository, url, out, err);
}

static int set_list(struct database *db, int64_t id, const struct list_record *list, int64_t now,
                    struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db,
                          "UPDATE lists SET revision = ?, contact = ?, fetched_at = ?, good_at = "
                          "?, error = NULL WHERE id = ?",
                          &st, err) < 0)
        return -1;
    bind_text(&st, list->revision);
    bind_text(&st, list->contact);
    bind_int(&st, now);
    bind_int(&st, now);
    bind_int(&st, id);
    return statement_run(&st, err);
}

/* An entry that is there already keeps what it stands for. */
static int set_entry(struct statement *st, int64_t list, const struct list_entry *e, int64_t now,
                     struct error *err)
{
    bind_int(st, list);
    bind_int(st, e->line);
    bind_int(st, e->column);
    bind_text(st, e->text);
    bind_int(st, e->suspended);
    bind_text(st, e->error);
    bind_int(st, e->error ? now : 0);
    return statement_run(st, err);
}

#define SET_ENTRY                                                                                  \
    "INSERT INTO entries (list, line, col, text, suspended, error, failed_at) "                    \
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (list, text) DO UPDATE SET line = excluded.line, "   \
    "col = excluded.col, suspended = excluded.suspended, stays = 1, "                              \
    "error = coalesce(excluded.error, error), "                                                    \
    "failed_at = iif(excluded.failed_at, excluded.failed_at, failed_at)"

static int set_entries(struct database *db, int64_t id, const struct list_record *list, int64_t now,
                       struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, SET_ENTRY, &st, err) < 0)
        return -1;
    for (size_t i = 0; i < list->entry_count; i++)
        if (set_entry(&st, id, &list->entries[i], now, err) < 0)
            return -1;
    return 0;
}

int lists_read(struct database *db, const struct list_record *list, int64_t now, int64_t *out_id,
               struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    int64_t id = 0;
    if (transaction_begin(db, &t, err) < 0 ||
        find_or_make(db, list->repository, list->url, &id, err) < 0 ||
        set_list(db, id, list, now, err) < 0 ||
        database_run_with_id(db, "UPDATE entries SET stays = 0 WHERE list = ?", id, err) < 0 ||
        set_entries(db, id, list, now, err) < 0 ||
        database_run_with_id(db, "DELETE FROM entries WHERE list = ? AND stays = 0", id, err) < 0 ||
        transaction_commit(&t, err) < 0)
        return -1;
    if (out_id)
        *out_id = id;
    return 0;
}

int lists_failed(struct database *db, const char *repository, const char *url,
                 const struct error *why, int64_t now, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    int64_t id = 0;
    if (transaction_begin(db, &t, err) < 0 || find_or_make(db, repository, url, &id, err) < 0 ||
        statement_prepare(db, "UPDATE lists SET fetched_at = ?, error = ? WHERE id = ?", &st, err) <
            0)
        return -1;
    bind_int(&st, now);
    bind_text(&st, why->message);
    bind_int(&st, id);
    if (statement_run(&st, err) < 0)
        return -1;
    return transaction_commit(&t, err);
}

int lists_unchanged(struct database *db, const char *repository, const char *url, int64_t now,
                    struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db,
                          "UPDATE lists SET fetched_at = ?3, good_at = ?3, error = NULL WHERE "
                          "repository = ?1 AND url = ?2",
                          &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    bind_text(&st, url);
    bind_int(&st, now);
    return statement_run(&st, err);
}

int lists_ask(struct database *db, const struct list_record *list, int64_t now, int64_t *out_id,
              struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    int64_t id = 0;
    if (transaction_begin(db, &t, err) < 0 ||
        find_or_make(db, list->repository, LIST_COMMAND_LINE, &id, err) < 0 ||
        set_list(db, id, list, now, err) < 0 || set_entries(db, id, list, now, err) < 0 ||
        transaction_commit(&t, err) < 0)
        return -1;
    if (out_id)
        *out_id = id;
    return 0;
}

int lists_withdraw(struct database *db, const char *repository, const char *name, struct error *err)
{
    /* What stands for nothing any more goes with it. */
    static const char *const steps[] = {
        "DELETE FROM wants WHERE name = ?2 AND entry IN (SELECT e.id FROM entries e JOIN lists l "
        "ON l.id = e.list WHERE l.repository = ?1 AND l.url = '" LIST_COMMAND_LINE "')",
        "DELETE FROM entries WHERE list = (SELECT id FROM lists WHERE repository = ?1 AND url = "
        "'" LIST_COMMAND_LINE "') AND NOT EXISTS (SELECT 1 FROM wants WHERE "
        "entry = entries.id)",
    };
    return database_run_steps(db, steps, sizeof steps / sizeof *steps,
                              (const char *const[]){repository, name}, 2, err);
}

/* ---- an entry is expanded ---- */

static int find_entry(struct database *db, int64_t list, const char *text, int64_t *out,
                      struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, "SELECT id FROM entries WHERE list = ? AND text = ?", &st, err) < 0)
        return -1;
    bind_int(&st, list);
    bind_text(&st, text);
    int row = statement_step(&st, err);
    if (row > 0)
        *out = column_int(&st);
    if (row == 0)
        return error_set(err, ERROR_NOT_FOUND, "the list has no entry %s", text);
    return row < 0 ? -1 : 0;
}

static int set_error(struct database *db, int64_t entry, const char *message, int64_t now,
                     struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, "UPDATE entries SET error = ?, failed_at = ? WHERE id = ?", &st,
                          err) < 0)
        return -1;
    bind_text(&st, message);
    bind_int(&st, message ? now : 0);
    bind_int(&st, entry);
    return statement_run(&st, err);
}

static int add_names(struct database *db, int64_t entry, const struct list_name *names,
                     size_t count, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db,
                          "INSERT INTO wants (entry, name, left_out) VALUES (?, ?, ?) ON CONFLICT "
                          "(entry, name) DO UPDATE SET left_out = excluded.left_out WHERE "
                          "excluded.left_out IS NULL",
                          &st, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        bind_int(&st, entry);
        bind_text(&st, names[i].name);
        bind_text(&st, names[i].left_out);
        if (statement_run(&st, err) < 0)
            return -1;
    }
    return 0;
}

int lists_expanded(struct database *db, int64_t list, const char *entry_text,
                   const struct list_name *names, size_t count, int64_t now, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    int64_t entry = 0;
    if (transaction_begin(db, &t, err) < 0 || find_entry(db, list, entry_text, &entry, err) < 0 ||
        database_run_with_id(db, "DELETE FROM wants WHERE entry = ?", entry, err) < 0 ||
        add_names(db, entry, names, count, err) < 0 || set_error(db, entry, NULL, now, err) < 0)
        return -1;
    return transaction_commit(&t, err);
}

int lists_also_wanted(struct database *db, int64_t list, const char *entry_text, const char *name,
                      struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct list_name wanted = {name, NULL};
    int64_t entry = 0;
    if (transaction_begin(db, &t, err) < 0 || find_entry(db, list, entry_text, &entry, err) < 0 ||
        add_names(db, entry, &wanted, 1, err) < 0)
        return -1;
    return transaction_commit(&t, err);
}

int lists_not_expanded(struct database *db, int64_t list, const char *entry_text,
                       const struct error *why, int64_t now, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    int64_t entry = 0;
    if (transaction_begin(db, &t, err) < 0 || find_entry(db, list, entry_text, &entry, err) < 0 ||
        set_error(db, entry, why->message, now, err) < 0)
        return -1;
    return transaction_commit(&t, err);
}

/* ---- reading back ---- */

static void read_list(struct statement *st, struct list_record *l)
{
    *l = (struct list_record){0};
    l->id = column_int(st);
    l->repository = column_text(st);
    l->url = column_text(st);
    l->revision = column_text(st);
    l->contact = column_text(st);
    l->fetched_at = column_int(st);
    l->good_at = column_int(st);
    l->error = column_text(st);
}

static int read_entries(struct database *db, struct list_record *l, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    size_t capacity = 0;
    int row;
    if (statement_prepare(db,
                          "SELECT line, col, text, suspended, error, failed_at, (SELECT count(*) "
                          "FROM wants WHERE entry = entries.id AND left_out IS NULL) FROM entries "
                          "WHERE list = ? ORDER BY line, col, id",
                          &st, err) < 0)
        return -1;
    bind_int(&st, l->id);
    while ((row = statement_step(&st, err)) > 0) {
        ARRAY_GROW(l->entries, l->entry_count, capacity);
        struct list_entry *e = &l->entries[l->entry_count++];
        e->line = (int)column_int(&st);
        e->column = (int)column_int(&st);
        e->text = column_text(&st);
        e->suspended = column_int(&st) != 0;
        e->error = column_text(&st);
        e->failed_at = column_int(&st);
        e->names = column_size(&st);
        l->names += e->names;
    }
    return row;
}

static int read_lists(struct database *db, const char *repository, struct list_records *out,
                      struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    int row;
    if (statement_prepare(db,
                          "SELECT id, repository, url, revision, contact, fetched_at, good_at, "
                          "error FROM lists WHERE ?1 IS NULL OR repository = ?1 ORDER BY "
                          "repository, url",
                          &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    while ((row = statement_step(&st, err)) > 0) {
        ARRAY_GROW(out->items, out->count, out->capacity);
        read_list(&st, &out->items[out->count++]);
    }
    return row;
}

int lists_list(struct database *db, const char *repository, struct list_records *out,
               struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct list_records found = {0};
    if (transaction_begin_read(db, &t, err) < 0)
        return -1;
    int result = read_lists(db, repository, &found, err);
    for (size_t i = 0; result == 0 && i < found.count; i++)
        result = read_entries(db, &found.items[i], err);
    if (result < 0)
        list_records_release(&found);
    else
        *out = found;
    return result;
}

#define SELECT_WANT                                                                                \
    "SELECT l.repository, w.name, l.url, l.revision, l.contact, e.line, e.col, e.text, "           \
    "w.left_out, e.suspended FROM wants w JOIN entries e ON e.id = w.entry JOIN lists l ON l.id "  \
    "= e.list "
#define ORDERED "(?1 IS NULL OR l.repository = ?1) ORDER BY l.repository, w.name, l.id, e.line"

int lists_wants(struct database *db, const char *repository, const char *name, struct wants *out,
                struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    struct wants found = {0};
    const char *sql = name ? SELECT_WANT "WHERE w.name = ?2 AND " ORDERED
                           : SELECT_WANT "WHERE ?2 IS NULL AND " ORDERED;
    int row;
    if (statement_prepare(db, sql, &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    bind_text(&st, name);
    while ((row = statement_step(&st, err)) > 0) {
        ARRAY_GROW(found.items, found.count, found.capacity);
        struct want *w = &found.items[found.count++];
        w->repository = column_text(&st);
        w->name = column_text(&st);
        w->url = column_text(&st);
        w->revision = column_text(&st);
        w->contact = column_text(&st);
        w->line = (int)column_int(&st);
        w->column = (int)column_int(&st);
        w->text = column_text(&st);
        w->left_out = column_text(&st);
        w->suspended = column_int(&st) != 0;
    }
    if (row < 0)
        wants_release(&found);
    else
        *out = found;
    return row;
}

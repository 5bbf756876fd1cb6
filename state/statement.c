#include "state/statement.h"

#include "base/memory.h"

#include <string.h>

int statement_prepare(struct database *db, const char *sql, struct statement *out,
                      struct error *err)
{
    statement_end(out);
    int code = sqlite3_prepare_v2(db->handle, sql, -1, &out->handle, NULL);
    out->db = db;
    return code == SQLITE_OK ? 0 : database_error(db, code, err);
}

int statement_step(struct statement *st, struct error *err)
{
    int code = sqlite3_step(st->handle);
    st->column = 0;
    if (code == SQLITE_ROW)
        return 1;
    st->bound = 0;
    if (code == SQLITE_DONE) {
        sqlite3_reset(st->handle);
        return 0;
    }
    database_error(st->db, code, err);
    sqlite3_reset(st->handle); /* after the message is read */
    return -1;
}

int statement_run(struct statement *st, struct error *err)
{
    return statement_step(st, err) < 0 ? -1 : 0;
}

void statement_end(struct statement *st)
{
    sqlite3_finalize(st->handle);
    *st = (struct statement)STATEMENT_INIT;
}

/* ---- parameters. Binding fails only when memory ends, or when there is no such parameter. ---- */

static void bound(int code)
{
    if (code != SQLITE_OK)
        abort();
}

void bind_text(struct statement *st, const char *text)
{
    bound(sqlite3_bind_text(st->handle, ++st->bound, text, -1, SQLITE_TRANSIENT));
}

void bind_int(struct statement *st, int64_t value)
{
    bound(sqlite3_bind_int64(st->handle, ++st->bound, value));
}

void bind_size(struct statement *st, uint64_t value)
{
    bind_int(st, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

void bind_real(struct statement *st, double value)
{
    bound(sqlite3_bind_double(st->handle, ++st->bound, value));
}

void bind_digest(struct statement *st, const struct digest *digest)
{
    bind_text(st, digest_is_set(digest) ? digest_text(digest).s : NULL);
}

void bind_kind(struct statement *st, enum error_kind kind)
{
    bind_text(st, kind == ERROR_NONE ? NULL : error_kind_name(kind));
}

/* ---- columns. Other programs may have written the file: what is no value of ours is none. ---- */

static const char *peek_text(struct statement *st)
{
    return (const char *)sqlite3_column_text(st->handle, st->column++);
}

char *column_text(struct statement *st)
{
    const char *text = peek_text(st);
    return text ? xstrdup(text) : NULL;
}

int64_t column_int(struct statement *st)
{
    return sqlite3_column_int64(st->handle, st->column++);
}

uint64_t column_size(struct statement *st)
{
    int64_t value = column_int(st);
    return value < 0 ? 0 : (uint64_t)value;
}

double column_real(struct statement *st)
{
    return sqlite3_column_double(st->handle, st->column++);
}

struct digest column_digest(struct statement *st)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    struct digest digest = {0};
    const char *text = peek_text(st);
    if (text && digest_parse(text, &digest, &ignored) < 0)
        digest = (struct digest){0};
    return digest;
}

enum error_kind column_kind(struct statement *st)
{
    const char *text = peek_text(st);
    for (int kind = ERROR_NONE + 1; text && kind <= ERROR_BUG; kind++)
        if (strcmp(text, error_kind_name((enum error_kind)kind)) == 0)
            return (enum error_kind)kind;
    return text ? ERROR_BUG : ERROR_NONE;
}

int column_word(struct statement *st, const char *const *words, size_t count, int otherwise)
{
    const char *text = peek_text(st);
    for (size_t i = 0; text && i < count; i++)
        if (strcmp(text, words[i]) == 0)
            return (int)i;
    return otherwise;
}

/* ---- whole statements ---- */

int database_run(struct database *db, const char *sql, struct error *err)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : database_error(db, code, err);
}

int database_run_with_id(struct database *db, const char *sql, int64_t id, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, sql, &st, err) < 0)
        return -1;
    bind_int(&st, id);
    return statement_run(&st, err);
}

static int run_step(struct database *db, const char *sql, const char *const *texts, size_t count,
                    struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, sql, &st, err) < 0)
        return -1;
    size_t wanted = (size_t)sqlite3_bind_parameter_count(st.handle);
    for (size_t i = 0; i < count && i < wanted; i++)
        bind_text(&st, texts[i]);
    return statement_run(&st, err);
}

int database_run_steps(struct database *db, const char *const *steps, size_t step_count,
                       const char *const *texts, size_t text_count, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    if (transaction_begin(db, &t, err) < 0)
        return -1;
    for (size_t i = 0; i < step_count; i++)
        if (run_step(db, steps[i], texts, text_count, err) < 0)
            return -1;
    return transaction_commit(&t, err);
}

int database_ask(struct database *db, const char *sql, int64_t *out, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, sql, &st, err) < 0)
        return -1;
    int row = statement_step(&st, err);
    if (row < 0)
        return -1;
    *out = row ? column_int(&st) : 0;
    return 0;
}

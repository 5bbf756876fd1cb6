/*
 * SQL statements, for the files of this room: prepared, bound in order, stepped, read in order, and
 * finalized by the guard.
 *
 *     struct statement st _cleanup_statement_ = STATEMENT_INIT;
 *     if (statement_prepare(db, "SELECT id, text FROM entries WHERE list = ?", &st, err) < 0)
 *         return -1;
 *     bind_int(&st, list);
 *     while ((row = statement_step(&st, err)) > 0) {
 *         id = column_int(&st);
 *         text = column_text(&st);
 *     }
 *     if (row < 0)
 *         return -1;
 *
 * What is bound is copied by SQLite.
 */
#ifndef STATE_STATEMENT_H
#define STATE_STATEMENT_H

#include "base/digest.h"
#include "state/database.h"

#include <sqlite3.h>

struct database {
    sqlite3 *handle;
    char *path;
    int lock_fd; /* shared, of a writer: see database_put_aside() */
    bool in_transaction;
    bool may_write;
};

/* What SQLite's code means to whoever runs the program. Returns -1. */
int database_error(struct database *db, int code, struct error *err);

struct statement {
    sqlite3_stmt *handle;
    struct database *db;
    int bound, column;
};
#define STATEMENT_INIT                                                                             \
    {                                                                                              \
        0                                                                                          \
    }
MUST_CHECK int statement_prepare(struct database *db, const char *sql, struct statement *out,
                                 struct error *err);
/* 1: a row; 0: the end, and the statement can be bound again; -1: an error. */
MUST_CHECK int statement_step(struct statement *st, struct error *err);
/* For what gives no rows. */
MUST_CHECK int statement_run(struct statement *st, struct error *err);
void statement_end(struct statement *st);
#define _cleanup_statement_ __attribute__((cleanup(statement_end)))

void bind_text(struct statement *st, const char *text); /* NULL is NULL */
void bind_int(struct statement *st, int64_t value);
void bind_size(struct statement *st, uint64_t value); /* at most 2^63 - 1 is kept */
void bind_real(struct statement *st, double value);
void bind_digest(struct statement *st, const struct digest *digest); /* not set: NULL */
/* An error's kind by its name; ERROR_NONE is NULL. */
void bind_kind(struct statement *st, enum error_kind kind);

char *column_text(struct statement *st); /* owned; NULL is NULL */
int64_t column_int(struct statement *st);
uint64_t column_size(struct statement *st);
double column_real(struct statement *st);
struct digest column_digest(struct statement *st);
enum error_kind column_kind(struct statement *st);
/* The index of the column's text in a table of words; `otherwise` if it is none of them. */
int column_word(struct statement *st, const char *const *words, size_t count, int otherwise);

/* One statement without parameters and rows. */
MUST_CHECK int database_run(struct database *db, const char *sql, struct error *err);
/* One without rows, whose parameter is the number of a row. */
MUST_CHECK int database_run_with_id(struct database *db, const char *sql, int64_t id,
                                    struct error *err);
/* Several without rows, in one transaction: ?1 is the first of the texts in each of them. A
 * statement need not name the last ones. */
MUST_CHECK int database_run_steps(struct database *db, const char *const *steps, size_t step_count,
                                  const char *const *texts, size_t text_count, struct error *err);
/* The first column of the first row; 0 if there is none. */
MUST_CHECK int database_ask(struct database *db, const char *sql, int64_t *out, struct error *err);

#endif

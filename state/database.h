/*
 * The state database: DIR/state.db, one SQLite file for all repositories of a state directory.
 *
 * It is a cache with a history. What is published stands in the repository; what the database adds
 * is when, how long, why not, who asked, and what was heard and not yet acted on. If it is lost, it
 * is made again from the repository (worker/rebuild.h), without the history.
 *
 *     struct database *db;
 *     if (database_open(dir, DATABASE_WRITE, &db, err) < 0)
 *         return -1;
 *     struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
 *     if (transaction_begin(db, &t, err) < 0 || names_published(db, …, err) < 0 ||
 *         transaction_commit(&t, err) < 0)
 *         return -1;                                   ... rolled back by the guard ...
 *     database_free(db);
 *
 * A connection belongs to one thread at a time and has no lock of its own: each thread that needs
 * the database opens it for itself (a millisecond). Writers of any thread or process queue up for
 * at most BUSY_SECONDS; a transaction should hold nothing but SQL. Readers see the last committed
 * state as it was when their own transaction began; they wait for nobody and nobody waits for them
 * (write-ahead log).
 *
 * Every function of names.h, lists.h, history.h, events.h and runs.h is one transaction by itself,
 * or a part of the one that is open. What is committed is synced to the disk (synchronous=FULL):
 * an event that was answered, a retry that was counted, are there after a power cut too.
 *
 * Reading needs read permission on the directory, state.db, state.db-wal and state.db-shm, nothing
 * more: the two files beside the database stay when the last writer closes it. Where they are not
 * there (a copy of state.db alone) and cannot be made, the file is read as it is.
 *
 * Errors, with what to do in the message: ERROR_NOT_FOUND (no database, for readers), ERROR_CORRUPT
 * (damaged: ducc rebuild-state), ERROR_UNSUPPORTED (made by a newer ducc), ERROR_IO (may not be
 * written), ERROR_LIMIT (disk full), ERROR_BUSY (somebody writes for too long; retryable).
 */
#ifndef STATE_DATABASE_H
#define STATE_DATABASE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUSY_SECONDS 30

struct database;

enum database_access {
    DATABASE_READ,
    DATABASE_WRITE, /* makes the directory and the file, and brings the schema up to date */
};

/* `state_dir` as for state_open(): NULL is the default one. */
MUST_CHECK int database_open(const char *state_dir, enum database_access access,
                             struct database **out, struct error *err);
void database_free(struct database *db);
static inline void cleanup_database(struct database **db)
{
    database_free(*db);
}
#define _cleanup_database_ __attribute__((cleanup(cleanup_database)))

/* All or nothing. A transaction takes its turn as a writer when it begins. Where one is open
 * already, transaction_begin() joins it: only the outermost one commits, and it must not after an
 * error of what has joined. Nothing may be written in one that was begun for reading. */
struct transaction {
    struct database *db;
    bool outermost;
};
#define TRANSACTION_INIT                                                                           \
    {                                                                                              \
        0                                                                                          \
    }
MUST_CHECK int transaction_begin(struct database *db, struct transaction *out, struct error *err);
/* The same for reading: what is read until the end is one state. */
MUST_CHECK int transaction_begin_read(struct database *db, struct transaction *out,
                                      struct error *err);
MUST_CHECK int transaction_commit(struct transaction *t, struct error *err);
/* Rolls back what has not been committed. */
void transaction_end(struct transaction *t);
#define _cleanup_transaction_ __attribute__((cleanup(transaction_end)))

/* Every page is looked at: ERROR_CORRUPT with what SQLite found. */
MUST_CHECK int database_check(struct database *db, struct error *err);
/* Put a damaged or foreign database aside, as state.db.TIME, so that the next open makes a new one.
 * ERROR_BUSY while another process has it open for writing. *out_aside (owned) is NULL if there
 * was none. */
MUST_CHECK int database_put_aside(const char *state_dir, char **out_aside, struct error *err);

#endif

#include "state/database.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"
#include "state/schema.h"
#include "state/state.h"
#include "state/statement.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- errors ---- */

/* What to make of SQLite's primary result codes; those not listed are our own mistakes. */
static const struct meaning {
    int code;
    enum error_kind kind;
    bool retryable;
    const char *advice;
} meanings[] = {
    {SQLITE_FULL, ERROR_LIMIT, true, "make room on its disk"},
    {SQLITE_CORRUPT, ERROR_CORRUPT, false,
     "ducc rebuild-state puts it aside and makes it anew from the repositories"},
    {SQLITE_NOTADB, ERROR_CORRUPT, false,
     "ducc rebuild-state puts it aside and makes it anew from the repositories"},
    {SQLITE_READONLY, ERROR_IO, false,
     "this process may not write there: who owns the directory, and is it mounted read-only?"},
    {SQLITE_CANTOPEN, ERROR_IO, false, "who may read and write the directory it lies in?"},
    {SQLITE_PERM, ERROR_IO, false, "who may read and write it?"},
    {SQLITE_BUSY, ERROR_BUSY, true, "another process has been writing for too long; try again"},
    {SQLITE_LOCKED, ERROR_BUSY, true, "another process has been writing for too long; try again"},
    {SQLITE_IOERR, ERROR_IO, true, "its disk cannot be read or written"},
};

static const struct meaning *meaning_of(int code)
{
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (meanings[i].code == (code & 0xff))
            return &meanings[i];
    return NULL;
}

int database_error(struct database *db, int code, struct error *err)
{
    const char *text = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code);
    int number = db->handle ? sqlite3_system_errno(db->handle) : 0;
    if ((code & 0xff) == SQLITE_IOERR && (number == ENOSPC || number == EDQUOT))
        code = SQLITE_FULL;
    const struct meaning *m = meaning_of(code);
    if (!m)
        return error_set(err, ERROR_BUG, "state database %s: %s", db->path, text);
    error_set(err, m->kind, "state database %s: %s: %s", db->path, text, m->advice);
    return m->retryable ? error_retryable(err) : -1;
}

/* ---- transactions ---- */

static int begin(struct database *db, const char *sql, struct transaction *out, struct error *err)
{
    bool outermost = !db->in_transaction;
    if (outermost && database_run(db, sql, err) < 0)
        return -1;
    db->in_transaction = true;
    *out = (struct transaction){db, outermost};
    return 0;
}

int transaction_begin(struct database *db, struct transaction *out, struct error *err)
{
    return begin(db, "BEGIN IMMEDIATE", out, err);
}

int transaction_begin_read(struct database *db, struct transaction *out, struct error *err)
{
    return begin(db, "BEGIN", out, err);
}

int transaction_commit(struct transaction *t, struct error *err)
{
    if (t->outermost && database_run(t->db, "COMMIT", err) < 0)
        return -1;
    if (t->outermost)
        t->db->in_transaction = false;
    t->db = NULL;
    return 0;
}

void transaction_end(struct transaction *t)
{
    if (!t->db || !t->outermost)
        return;
    /* A full disk has ended it already. */
    if (!sqlite3_get_autocommit(t->db->handle))
        sqlite3_exec(t->db->handle, "ROLLBACK", NULL, NULL, NULL);
    t->db->in_transaction = false;
    t->db = NULL;
}

/* ---- the schema ---- */

static int step_up(struct database *db, int64_t version, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    int64_t now;
    if (transaction_begin(db, &t, err) < 0 ||
        database_ask(db, "PRAGMA user_version", &now, err) < 0)
        return -1;
    if (now != version)
        return 0; /* another process was faster */
    _cleanup_free_ char *set = xasprintf("PRAGMA user_version = %lld", (long long)version + 1);
    if (database_run(db, schema_steps[version], err) < 0 || database_run(db, set, err) < 0)
        return error_wrap(err, "step %lld of its schema", (long long)version + 1);
    return transaction_commit(&t, err);
}

static int check_version(const struct database *db, int64_t version, struct error *err)
{
    if (version > schema_version)
        return error_set(err, ERROR_UNSUPPORTED,
                         "state database %s: made by a newer ducc (its schema is %lld, this one "
                         "knows %d): use that one, or let ducc rebuild-state put it aside and make "
                         "it anew",
                         db->path, (long long)version, schema_version);
    if (version < schema_version && !db->may_write)
        return error_set(err, ERROR_UNSUPPORTED,
                         "state database %s: made by an older ducc (its schema is %lld, this one's "
                         "%d): the next pass (ducc convert) brings it up to date",
                         db->path, (long long)version, schema_version);
    return 0;
}

static int bring_up_to_date(struct database *db, struct error *err)
{
    for (;;) {
        int64_t version;
        if (database_ask(db, "PRAGMA user_version", &version, err) < 0 ||
            check_version(db, version, err) < 0)
            return -1;
        if (version == schema_version)
            return 0;
        if (step_up(db, version, err) < 0)
            return -1;
    }
}

/* ---- opening ---- */

static int open_handle(struct database *db, const char *name, int flags, struct error *err)
{
    sqlite3_close(db->handle);
    db->handle = NULL;
    int code = sqlite3_open_v2(name, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK)
        return database_error(db, code, err);
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_SECONDS * 1000);
    return 0;
}

/* Held as long as the file is open for writing, so that nobody puts it aside meanwhile. */
static int lock_shared(struct database *db, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("%s.lock", db->path);
    db->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (db->lock_fd < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s", path);
    if (flock(db->lock_fd, LOCK_SH | LOCK_NB) < 0)
        return error_set(err, ERROR_BUSY, "state database %s: it is being put aside", db->path);
    return 0;
}

static int open_for_writing(struct database *db, struct error *err)
{
    int keep = 1;
    if (lock_shared(db, err) < 0 ||
        open_handle(db, db->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err) < 0)
        return -1;
    if (sqlite3_db_readonly(db->handle, "main"))
        return database_error(db, SQLITE_READONLY, err);
    /* The log and its index stay for readers who may not make them. */
    sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
    if (database_run(db,
                     "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = "
                     "ON; PRAGMA journal_size_limit = 16000000",
                     err) < 0)
        return -1;
    return bring_up_to_date(db, err);
}

/* The file as it is, without the log beside it: nobody has it open who could write a log, or there
 * is none that we could read. */
static int open_immutable(struct database *db, struct error *err)
{
    struct buf uri = BUF_INIT;
    buf_adds(&uri, "file:");
    for (const char *c = db->path; *c; c++) {
        if (strchr("%?#", *c))
            buf_addf(&uri, "%%%02X", (unsigned)*c);
        else
            buf_addc(&uri, *c);
    }
    buf_adds(&uri, "?immutable=1");
    int result = open_handle(db, uri.data, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, err);
    buf_release(&uri);
    return result;
}

static int read_version(struct database *db, int64_t *out, struct error *err)
{
    return database_ask(db, "PRAGMA user_version", out, err);
}

static int open_for_reading(struct database *db, struct error *err)
{
    int64_t version;
    struct stat st;
    if (stat(db->path, &st) < 0 && errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND,
                         "there is no state database %s: nothing was recorded yet. The next pass "
                         "(ducc convert) makes it, or ducc rebuild-state; another place is given "
                         "with --state-dir",
                         db->path);
    if (open_handle(db, db->path, SQLITE_OPEN_READONLY, err) < 0)
        return -1;
    if (read_version(db, &version, err) < 0) {
        _cleanup_free_ char *log = xasprintf("%s-wal", db->path);
        bool has_log = stat(log, &st) == 0 && st.st_size > 0;
        if (err->kind != ERROR_IO || has_log)
            return -1;
        error_release(err);
        if (open_immutable(db, err) < 0 || read_version(db, &version, err) < 0)
            return -1;
    }
    return check_version(db, version, err);
}

int database_open(const char *state_dir, enum database_access access, struct database **out,
                  struct error *err)
{
    _cleanup_free_ char *dir = state_base_dir(state_dir, err);
    if (!dir || (access == DATABASE_WRITE && dir_make(dir, 0755, err) < 0))
        return -1;
    struct database *db = xcalloc(1, sizeof *db);
    *db = (struct database){
        .path = path_join(dir, "state.db"), .lock_fd = -1, .may_write = access == DATABASE_WRITE};
    int result = db->may_write ? open_for_writing(db, err) : open_for_reading(db, err);
    if (result < 0) {
        database_free(db);
        return -1;
    }
    *out = db;
    return 0;
}

void database_free(struct database *db)
{
    if (!db)
        return;
    sqlite3_close(db->handle);
    if (db->lock_fd >= 0)
        close(db->lock_fd);
    free(db->path);
    free(db);
}

/* ---- what is damaged ---- */

int database_check(struct database *db, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, "PRAGMA integrity_check(1)", &st, err) < 0)
        return -1;
    int row = statement_step(&st, err);
    if (row < 0)
        return -1;
    _cleanup_free_ char *found = row ? column_text(&st) : NULL;
    if (found && strcmp(found, "ok") == 0)
        return 0;
    _cleanup_free_ char *what = quoted(found ? found : "no answer");
    return error_set(err, ERROR_CORRUPT,
                     "state database %s: damaged: %s: ducc rebuild-state puts it aside and makes "
                     "it anew from the repositories",
                     db->path, what);
}

static int move(const char *path, const char *ending, const char *aside, struct error *err)
{
    _cleanup_free_ char *from = xasprintf("%s%s", path, ending);
    _cleanup_free_ char *to = xasprintf("%s%s", aside, ending);
    if (rename(from, to) < 0 && errno != ENOENT)
        return error_set_errno(err, ERROR_IO, errno, "cannot rename %s to %s", from, to);
    return 0;
}

/* With the lock held. The log goes first: without it the file is an older state, and with a log
 * that is not its own it would be none. */
static int move_all(const char *path, char **out_aside, struct error *err)
{
    struct stat st;
    *out_aside = NULL;
    if (stat(path, &st) < 0 && errno == ENOENT)
        return 0;
    _cleanup_free_ char *aside = xasprintf("%s.%s", path, clock_text(clock_now()).s);
    if (move(path, "-shm", aside, err) < 0 || move(path, "-wal", aside, err) < 0 ||
        move(path, "", aside, err) < 0)
        return -1;
    *out_aside = TAKE_PTR(aside);
    return 0;
}

int database_put_aside(const char *state_dir, char **out_aside, struct error *err)
{
    _cleanup_free_ char *dir = state_base_dir(state_dir, err);
    if (!dir)
        return -1;
    _cleanup_free_ char *path = path_join(dir, "state.db");
    _cleanup_free_ char *lock_path = xasprintf("%s.lock", path);
    _cleanup_close_ int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s", lock_path);
    if (flock(lock, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, ERROR_BUSY,
                         "state database %s: another process writes to it: stop the service first",
                         path);
    return move_all(path, out_aside, err);
}

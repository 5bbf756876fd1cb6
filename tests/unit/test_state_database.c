/* state/database.h: what a file survives, and what is said when it cannot be used. */
#include "check.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "state/events.h"
#include "state/names.h"
#include "state/schema.h"
#include "state/snapshot.h"
#include "state/statement.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define REPO       "images.example.org"
#define NOBODY     65534
#define KILL_LOOPS 25

static struct database *open_ok(const char *dir, enum database_access access)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct database *db = NULL;
    assert_ok(database_open(dir, access, &db, &err), &err);
    return db;
}

static void assert_open_fails(const char *what, const char *dir, enum database_access access,
                              enum error_kind kind, const char *says)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct database *db = NULL;
    int rc = database_open(dir, access, &db, &err);
    assert_fails(what, rc, &err, kind, says);
}

static int64_t ask(struct database *db, const char *sql)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    int64_t value = -1;
    assert_ok(database_ask(db, sql, &value, &err), &err);
    return value;
}

static void run_sql(struct database *db, const char *sql)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(database_run(db, sql, &err), &err);
}

/* One name and its history, in one transaction: what must never be half there. */
static int publish(struct database *db, const char *name, struct error *err)
{
    struct name_publication p = {.digest = digest_of(DIGEST_SHA256, name, strlen(name))};
    return names_published(db, REPO, name, &p, clock_now(), err);
}

static void publish_ok(struct database *db, const char *name)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(publish(db, name, &err), &err);
}

/* ---- schema ---- */

static void test_database__is_made_and_opened_again(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = in_scratch("new/below");
    _cleanup_database_ struct database *db = open_ok(dir, DATABASE_WRITE);
    assert_int_equal(ask(db, "PRAGMA user_version"), schema_version);
    assert_int_equal(ask(db, "PRAGMA foreign_keys"), 1);
    assert_int_equal(ask(db, "PRAGMA synchronous"), 2);
    publish_ok(db, "a");
    database_free(TAKE_PTR(db));
    db = open_ok(dir, DATABASE_WRITE);
    assert_int_equal(ask(db, "SELECT count(*) FROM names"), 1);
}

/* A database as that version made it: tests/data/state. */
static void make_old(const char *dir, int version)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf sql = BUF_INIT;
    _cleanup_free_ char *path = path_join(dir, "state.db");
    _cleanup_free_ char *dump =
        xasprintf("%s/tests/data/state/version-%d.sql", getenv("DUCC_SOURCE_DIR"), version);
    sqlite3 *raw = NULL;
    assert_ok(file_read(dump, 1 << 20, &sql, &err), &err);
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, sql.data, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(raw);
}

static void assert_tables_alike(struct database *old, const char *dir)
{
    _cleanup_free_ char *fresh = path_join(dir, "fresh");
    _cleanup_database_ struct database *new = open_ok(fresh, DATABASE_WRITE);
    _cleanup_free_ char *attach = xasprintf("ATTACH '%s/state.db' AS fresh", fresh);
    database_free(TAKE_PTR(new));
    run_sql(old, attach);
    assert_int_equal(ask(old, "SELECT count(*) FROM (SELECT name, sql FROM main.sqlite_master "
                              "EXCEPT SELECT name, sql FROM fresh.sqlite_master)"),
                     0);
    assert_int_equal(ask(old, "SELECT count(*) FROM (SELECT name, sql FROM fresh.sqlite_master "
                              "EXCEPT SELECT name, sql FROM main.sqlite_master)"),
                     0);
}

/* What all of those files hold. */
static void assert_old_facts(struct database *db)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct snapshot s _cleanup_snapshot_ = {0};
    assert_ok(snapshot_take(db, &(struct snapshot_filter){0}, &s, &err), &err);
    assert_int_equal(s.image_count, 3);
    const struct name_record *published = &s.images[0].record, *failed = &s.images[1].record;
    assert_int_equal(s.images[0].state, NAME_PUBLISHED);
    assert_string_equal(published->asked_by, "https://lists.example.org/a.yaml:3@r1");
    assert_string_equal(published->platforms, "linux/amd64");
    assert_int_equal(published->bytes_new, 100000);
    assert_int_equal(published->revision, 7);
    assert_int_equal(s.images[0].want_count, 1);
    assert_int_equal(s.images[1].state, NAME_FAILED);
    assert_string_equal(failed->failure, "connection refused");
    assert_int_equal(failed->attempts, 3);
    assert_int_equal(failed->next_try_at, 1760000840);
    assert_int_equal(s.images[2].state, NAME_UNWANTED);
    assert_int_equal(s.lists.count, 1);
    assert_int_equal(s.runs.items[0].pid, 42);
    assert_int_equal(s.events.waiting, 1);
    assert_int_equal(ask(db, "SELECT count(*) FROM history"), 2);
}

static void test_database__each_older_file_is_brought_up_to_date(void **state)
{
    (void)state;
    for (int version = 1; version <= schema_version; version++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        _cleanup_free_ char *name = xasprintf("old-%d", version);
        _cleanup_free_ char *dir = new_folder(name);
        make_old(dir, version);
        if (version < schema_version)
            assert_open_fails("an old file", dir, DATABASE_READ, ERROR_UNSUPPORTED, "older ducc");
        _cleanup_database_ struct database *db = open_ok(dir, DATABASE_WRITE);
        assert_ok(database_check(db, &err), &err);
        assert_int_equal(ask(db, "PRAGMA user_version"), schema_version);
        assert_tables_alike(db, dir);
        assert_old_facts(db);
        publish_ok(db, "a");
    }
}

/* Killed before the first step. */
static void test_database__an_empty_file_is_made_one(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = new_folder("empty");
    _cleanup_free_ char *path = path_join(dir, "state.db");
    write_file(path, "", 0);
    _cleanup_database_ struct database *db = open_ok(dir, DATABASE_WRITE);
    publish_ok(db, "a");
}

static void test_database__a_newer_schema_is_left_alone(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = new_folder("newer");
    struct database *db = open_ok(dir, DATABASE_WRITE);
    run_sql(db, "PRAGMA user_version = 1000");
    database_free(db);
    assert_open_fails("writing", dir, DATABASE_WRITE, ERROR_UNSUPPORTED,
                      "newer ducc (its schema is 1000");
    assert_open_fails("reading", dir, DATABASE_READ, ERROR_UNSUPPORTED, "ducc rebuild-state");
}

static void *open_in_thread(void *arg)
{
    return open_ok(arg, DATABASE_WRITE);
}

static void test_database__many_make_it_at_once(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = new_folder("at-once");
    pthread_t threads[8];
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_in_thread, dir), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        void *db = NULL;
        pthread_join(threads[i], &db);
        assert_int_equal(ask(db, "PRAGMA user_version"), schema_version);
        database_free(db);
    }
}

/* ---- transactions ---- */

static void test_transaction__is_undone_unless_committed(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *dir = new_folder("undone");
    _cleanup_database_ struct database *db = open_ok(dir, DATABASE_WRITE);
    {
        struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
        assert_ok(transaction_begin(db, &t, &err), &err);
        publish_ok(db, "a"); /* joins it */
    }
    assert_int_equal(ask(db, "SELECT count(*) FROM names"), 0);
    {
        struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
        assert_ok(transaction_begin(db, &t, &err), &err);
        publish_ok(db, "a");
        publish_ok(db, "b");
        assert_ok(transaction_commit(&t, &err), &err);
    }
    assert_int_equal(ask(db, "SELECT count(*) FROM names"), 2);
}

static void test_transaction__a_reader_sees_one_state_and_does_not_wait(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *dir = new_folder("reader");
    _cleanup_database_ struct database *writer = open_ok(dir, DATABASE_WRITE);
    _cleanup_database_ struct database *reader = open_ok(dir, DATABASE_READ);
    struct transaction writing _cleanup_transaction_ = TRANSACTION_INIT;
    struct transaction reading _cleanup_transaction_ = TRANSACTION_INIT;
    publish_ok(writer, "a");
    assert_ok(transaction_begin(writer, &writing, &err), &err);
    publish_ok(writer, "b");
    double start = clock_monotonic();
    assert_ok(transaction_begin_read(reader, &reading, &err), &err);
    assert_int_equal(ask(reader, "SELECT count(*) FROM names"), 1);
    assert_ok(transaction_commit(&writing, &err), &err);
    publish_ok(writer, "c");
    assert_int_equal(ask(reader, "SELECT count(*) FROM names"), 1);
    assert_int_equal(ask(reader, "SELECT count(*) FROM history"), 1);
    transaction_end(&reading);
    assert_int_equal(ask(reader, "SELECT count(*) FROM names"), 3);
    assert_true(clock_monotonic() - start < BUSY_SECONDS / 2);
    assert_fails("a reader", publish(reader, "d", &err), &err, ERROR_IO, "may not write");
}

static void test_transaction__who_cannot_have_its_turn_is_told(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *dir = new_folder("busy");
    _cleanup_database_ struct database *first = open_ok(dir, DATABASE_WRITE);
    _cleanup_database_ struct database *second = open_ok(dir, DATABASE_WRITE);
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    assert_ok(transaction_begin(first, &t, &err), &err);
    sqlite3_busy_timeout(second->handle, 50);
    assert_fails("second", publish(second, "a", &err), &err, ERROR_BUSY, "another process");
    assert_true(err.retryable);
    transaction_end(&t);
    publish_ok(second, "a");
}

/* ---- kill -9 ---- */

/* Publishes and takes events until it is killed; says on the pipe what was committed. */
static void busy_child(const char *dir, int say)
{
    struct error err = ERROR_INIT;
    struct database *db;
    bool is_new;
    if (database_open(dir, DATABASE_WRITE, &db, &err) < 0)
        _exit(2);
    for (int64_t i = ask(db, "SELECT count(*) FROM events");; i++) {
        _cleanup_free_ char *name = xasprintf("registry.example.org/image:%lld", (long long)i);
        struct event e = {"test", name, EVENT_PUSHED, name};
        if (event_add(db, &e, i + 1, &is_new, &err) < 0 || write(say, &i, sizeof i) != sizeof i ||
            publish(db, name, &err) < 0)
            _exit(2);
    }
}

/* After so long; or, if it is to be `at_work`, so long after its first event. The last event that
 * was said to be stored; -1 if none was. */
static int64_t kill_busy_child(const char *dir, useconds_t after, bool at_work)
{
    int pipes[2];
    int64_t last = -1, said;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0)
        busy_child(dir, pipes[1]);
    close(pipes[1]);
    if (at_work) /* a busy machine may not have come to it otherwise */
        assert_int_equal(read(pipes[0], &last, sizeof last), sizeof last);
    usleep(after);
    kill(pid, SIGKILL);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    while (read(pipes[0], &said, sizeof said) == sizeof said)
        last = said;
    close(pipes[0]);
    return last;
}

static void test_database__survives_kill_9(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *dir = new_folder("killed");
    int64_t stored = -1;
    random_state = 7;
    for (int i = 0; i < KILL_LOOPS; i++) {
        int64_t last = kill_busy_child(dir, (useconds_t)(random_u64() % 60000), i % 2);
        stored = last > stored ? last : stored;
        _cleanup_database_ struct database *db = open_ok(dir, DATABASE_WRITE);
        assert_ok(database_check(db, &err), &err);
        assert_int_equal(ask(db, "PRAGMA user_version"), schema_version);
        /* Nothing that was answered is lost; a publication is whole or not there. */
        assert_true(ask(db, "SELECT count(*) FROM events") >= stored + 1);
        assert_int_equal(ask(db, "SELECT count(*) FROM names"),
                         ask(db, "SELECT count(*) FROM history"));
        assert_int_equal(ask(db, "SELECT count(*) FROM names"),
                         ask(db, "SELECT count(*) FROM images"));
    }
    assert_true(stored + 1 >= KILL_LOOPS / 2);
}

/* ---- files that cannot be used ---- */

static void overwrite(const char *path, off_t at, const void *bytes, size_t len)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(file_pwrite_all(fd, bytes, len, at), 0);
}

/* A closed database of some pages, everything in the file itself. */
static char *make_full(const char *name)
{
    char *dir = new_folder(name);
    struct database *db = open_ok(dir, DATABASE_WRITE);
    for (int i = 0; i < 200; i++) {
        _cleanup_free_ char *image = xasprintf("registry.example.org/image:%d", i);
        publish_ok(db, image);
    }
    run_sql(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    database_free(db);
    return dir;
}

static void test_database__no_database_at_all(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = new_folder("foreign"), *path = path_join(dir, "state.db");
    write_file(path, "this is a text, and as long as a page of a database is not it is nothing",
               70);
    assert_open_fails("a text", dir, DATABASE_WRITE, ERROR_CORRUPT, "ducc rebuild-state");
    assert_open_fails("a text", dir, DATABASE_READ, ERROR_CORRUPT, path);
}

static void test_database__damaged_pages_are_found(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *dir = make_full("damaged"), *path = path_join(dir, "state.db");
    _cleanup_free_ char *rubbish = xmalloc(20 * 4096);
    memset(rubbish, 0xa5, 20 * 4096);
    overwrite(path, 2 * 4096, rubbish, 20 * 4096);
    _cleanup_database_ struct database *db = open_ok(dir, DATABASE_READ);
    struct name_records records = {0};
    assert_fails("check", database_check(db, &err), &err, ERROR_CORRUPT, "ducc rebuild-state");
    assert_fails("list", names_list(db, NULL, &records, &err), &err, ERROR_CORRUPT, path);
}

static void test_database__a_file_cut_short_is_found(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *dir = make_full("cut"), *path = path_join(dir, "state.db");
    assert_int_equal(truncate(path, 5 * 4096), 0);
    struct database *db = NULL;
    if (database_open(dir, DATABASE_WRITE, &db, &err) == 0)
        assert_fails("check", database_check(db, &err), &err, ERROR_CORRUPT, "ducc rebuild-state");
    else
        assert_int_equal(err.kind, ERROR_CORRUPT);
    database_free(db);
}

static void test_database__is_put_aside_and_made_anew(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *dir = make_full("aside"), *aside = NULL;
    struct database *db = open_ok(dir, DATABASE_WRITE);
    assert_fails("open", database_put_aside(dir, &aside, &err), &err, ERROR_BUSY,
                 "stop the service");
    database_free(db);
    assert_ok(database_put_aside(dir, &aside, &err), &err);
    assert_non_null(aside);
    assert_int_equal(access(aside, F_OK), 0);
    free(TAKE_PTR(aside));
    assert_open_fails("reading", dir, DATABASE_READ, ERROR_NOT_FOUND, "ducc convert");
    assert_ok(database_put_aside(dir, &aside, &err), &err);
    assert_null(aside);
    db = open_ok(dir, DATABASE_WRITE);
    assert_int_equal(ask(db, "SELECT count(*) FROM names"), 0);
    database_free(db);
}

static void test_database__a_full_disk_changes_nothing(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *dir = make_full("full");
    _cleanup_database_ struct database *db = open_ok(dir, DATABASE_WRITE);
    int rc = 0;
    run_sql(db, "PRAGMA max_page_count = 1"); /* the least that it can be: what it has */
    for (int i = 0; rc == 0 && i < 10000; i++) {
        _cleanup_free_ char *name = xasprintf("more:%d", i);
        rc = publish(db, name, &err);
    }
    assert_fails("full", rc, &err, ERROR_LIMIT, "make room");
    run_sql(db, "PRAGMA max_page_count = 100000");
    assert_int_equal(ask(db, "SELECT count(*) FROM names"),
                     ask(db, "SELECT count(*) FROM history"));
    error_release(&err);
    publish_ok(db, "after");
}

/* ---- rights. As root, who may do everything, in children who are nobody. ---- */

static void in_child(void (*work)(const char *dir), const char *dir)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
            _exit(3);
        work(dir);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void read_200(const char *dir)
{
    struct error err = ERROR_INIT;
    struct database *db = NULL;
    int64_t count = 0;
    if (database_open(dir, DATABASE_READ, &db, &err) < 0 ||
        database_ask(db, "SELECT count(*) FROM names", &count, &err) < 0)
        fprintf(stderr, "%s\n", err.message);
    _exit(count == 200 ? 0 : 1);
}

static void read_201(const char *dir)
{
    struct error err = ERROR_INIT;
    struct database *db = NULL;
    int64_t count = 0;
    if (database_open(dir, DATABASE_READ, &db, &err) < 0 ||
        database_ask(db, "SELECT count(*) FROM names", &count, &err) < 0)
        fprintf(stderr, "%s\n", err.message);
    _exit(count == 201 ? 0 : 1);
}

static void write_is_refused(const char *dir)
{
    struct error err = ERROR_INIT;
    struct database *db = NULL;
    bool refused = database_open(dir, DATABASE_WRITE, &db, &err) < 0 && err.kind == ERROR_IO &&
                   strstr(err.message, "state.db");
    if (!refused)
        fprintf(stderr, "%s\n", err.message ? err.message : "was written");
    _exit(refused ? 0 : 1);
}

static void remove_beside(const char *dir, const char *name)
{
    _cleanup_free_ char *path = path_join(dir, name);
    if (unlink(path) < 0)
        assert_int_equal(errno, ENOENT);
}

static void test_database__reading_needs_no_right_to_write(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = make_full("read-only");
    assert_int_equal(chmod(scratch, 0755), 0);
    assert_int_equal(chmod(dir, 0555), 0);
    in_child(read_200, dir);
    in_child(write_is_refused, dir);
    /* While it is written to, and what is new stands in the log only. */
    struct database *db = open_ok(dir, DATABASE_WRITE);
    publish_ok(db, "one more");
    in_child(read_201, dir);
    run_sql(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    database_free(db);
    /* A copy of the file alone. */
    remove_beside(dir, "state.db-wal");
    remove_beside(dir, "state.db-shm");
    in_child(read_201, dir);
    assert_int_equal(chmod(dir, 0755), 0);
}

static void test_database__a_killed_writers_log_is_read(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = make_full("killed-log");
    pid_t pid = fork();
    if (pid == 0) {
        struct error err = ERROR_INIT;
        struct database *db = NULL;
        if (database_open(dir, DATABASE_WRITE, &db, &err) == 0 &&
            publish(db, "one more", &err) == 0)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(chmod(scratch, 0755), 0);
    assert_int_equal(chmod(dir, 0555), 0);
    in_child(read_201, dir);
    assert_int_equal(chmod(dir, 0755), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_database__is_made_and_opened_again),
        cmocka_unit_test(test_database__each_older_file_is_brought_up_to_date),
        cmocka_unit_test(test_database__an_empty_file_is_made_one),
        cmocka_unit_test(test_database__a_newer_schema_is_left_alone),
        cmocka_unit_test(test_database__many_make_it_at_once),
        cmocka_unit_test(test_transaction__is_undone_unless_committed),
        cmocka_unit_test(test_transaction__a_reader_sees_one_state_and_does_not_wait),
        cmocka_unit_test(test_transaction__who_cannot_have_its_turn_is_told),
        cmocka_unit_test(test_database__survives_kill_9),
        cmocka_unit_test(test_database__no_database_at_all),
        cmocka_unit_test(test_database__damaged_pages_are_found),
        cmocka_unit_test(test_database__a_file_cut_short_is_found),
        cmocka_unit_test(test_database__is_put_aside_and_made_anew),
        cmocka_unit_test(test_database__a_full_disk_changes_nothing),
        cmocka_unit_test(test_database__reading_needs_no_right_to_write),
        cmocka_unit_test(test_database__a_killed_writers_log_is_read),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

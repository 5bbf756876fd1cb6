/* base/process.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static int run_sh(const char *script, struct buf *output, struct buf *messages)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct process_options o = {.argv = argv, .keep_stdout = output != NULL};
    _cleanup_error_ struct error err = ERROR_INIT;
    int status = -1;
    if (process_run(&o, &status, output, messages, &err) < 0)
        fail_msg("%s", err.message);
    return status;
}

static void test_process__exit_status(void **state)
{
    (void)state;
    assert_int_equal(run_sh("exit 0", NULL, NULL), 0);
    assert_int_equal(run_sh("exit 7", NULL, NULL), 7);
    assert_int_equal(run_sh("kill -KILL $$", NULL, NULL), 128 + SIGKILL);
    assert_int_equal(run_sh("kill -TERM $$", NULL, NULL), 128 + SIGTERM);
}

static void test_process__captures_both_outputs(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf output = BUF_INIT, messages = BUF_INIT;
    assert_int_equal(run_sh("echo out; echo err >&2", &output, &messages), 0);
    assert_string_equal(output.data, "out\n");
    assert_string_equal(messages.data, "err\n");
    buf_truncate(&messages, 0);
    assert_int_equal(run_sh("echo out; echo err >&2", NULL, &messages), 0);
    assert_string_equal(messages.data, "out\nerr\n");
}

/* More than a pipe holds: the child must not block, and what it said last stays. */
static void test_process__keeps_the_end_of_long_messages(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf messages = BUF_INIT;
    assert_int_equal(
        run_sh("i=0; while [ $i -lt 20000 ]; do echo line $i is said here; i=$((i+1)); done >&2;"
               " echo why >&2; exit 1",
               NULL, &messages),
        1);
    assert_true(messages.len >= 64 * 1024 && messages.len <= 128 * 1024);
    _cleanup_free_ char *summary = process_summary(&messages);
    assert_string_equal(
        summary, "line 19997 is said here; line 19998 is said here; line 19999 is said here; why");
}

static void test_process__summary(void **state)
{
    (void)state;
    static const struct {
        const char *messages, *summary;
    } table[] = {
        {"", "(it said nothing)"},        {"one", "one"},
        {"one\ntwo\n", "one; two"},       {"1\n2\n3\n4\n5\n", "2; 3; 4; 5"},
        {"\x1b[31mred\x07\n", "[31mred"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_buf_ struct buf b = BUF_INIT;
        buf_adds(&b, table[i].messages);
        _cleanup_free_ char *summary = process_summary(&b);
        assert_string_equal(summary, table[i].summary);
    }
}

static void test_process__missing_program(void **state)
{
    (void)state;
    const char *const argv[] = {"ducc-no-such-program", NULL};
    _cleanup_error_ struct error err = ERROR_INIT;
    int status = 0;
    assert_int_equal(
        process_run(&(struct process_options){.argv = argv}, &status, NULL, NULL, &err), -1);
    assert_int_equal(err.kind, ERROR_CHILD);
    assert_true(starts_with(err.message, "cannot run ducc-no-such-program: "));
}

static void test_process__environment_and_empty_input(void **state)
{
    (void)state;
    const char *const argv[] = {"sh", "-c", "echo \"$DUCC_A,$DUCC_AB\"; cat", NULL};
    const char *const set_env[] = {"DUCC_A=new value", NULL};
    setenv("DUCC_A", "old", 1);
    setenv("DUCC_AB", "kept", 1);
    struct process_options o = {.argv = argv, .set_env = set_env, .keep_stdout = true};
    _cleanup_buf_ struct buf output = BUF_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    int status = -1;
    assert_int_equal(process_run(&o, &status, &output, NULL, &err), 0);
    assert_int_equal(status, 0);
    assert_string_equal(output.data, "new value,kept\n");
}

/* What we open is close-on-exec, and the pipes to one child are not another's. */
static void test_process__a_child_gets_only_its_own_pipes(void **state)
{
    (void)state;
    const char *const argv[] = {"cat", NULL};
    struct process p;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct process_options o = {.argv = argv, .pipe_stdin = true, .keep_stdout = true};
    assert_int_equal(process_start(&o, &p, &err), 0);
    _cleanup_free_ char *script =
        xasprintf("for fd in %d %d %d; do [ -e /proc/$$/fd/$fd ] && exit 1; "
                  "done; exit 0",
                  p.stdin_fd, p.out_fd, p.err_fd);
    assert_int_equal(run_sh(script, NULL, NULL), 0);
    assert_int_equal(process_wait(&p), 0);
    process_release(&p);
}

static void test_process__stdin_is_streamed(void **state)
{
    (void)state;
    const char *const argv[] = {"wc", "-c", NULL};
    struct process p;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct process_options o = {.argv = argv, .pipe_stdin = true, .keep_stdout = true};
    assert_int_equal(process_start(&o, &p, &err), 0);
    char bytes[100000] = {0};
    for (int i = 0; i < 10; i++)
        assert_int_equal(file_write_all(p.stdin_fd, bytes, sizeof bytes), 0);
    assert_int_equal(process_wait(&p), 0);
    assert_int_equal(atoi(p.output.data), 1000000);
    process_release(&p);
}

static void test_process__epipe_when_the_child_stops_reading(void **state)
{
    (void)state;
    const char *const argv[] = {"sh", "-c", "echo cannot go on >&2; exit 3", NULL};
    struct process p;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_int_equal(
        process_start(&(struct process_options){.argv = argv, .pipe_stdin = true}, &p, &err), 0);
    char bytes[4096] = {0};
    int result = 0;
    while (result == 0)
        result = file_write_all(p.stdin_fd, bytes, sizeof bytes);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(process_wait(&p), 3);
    assert_string_equal(p.messages.data, "cannot go on\n");
    process_release(&p);
}

/* A child of the child holds the pipes too: both must end. */
static void test_process__kill_reaches_the_group(void **state)
{
    (void)state;
    const char *const argv[] = {"sh", "-c", "sleep 300 & echo started; wait", NULL};
    struct process p;
    _cleanup_error_ struct error err = ERROR_INIT;
    double start = clock_monotonic();
    struct process_options o = {.argv = argv, .keep_stdout = true};
    assert_int_equal(process_start(&o, &p, &err), 0);
    usleep(200000);
    process_kill(&p, SIGTERM);
    assert_int_equal(process_wait(&p), 128 + SIGTERM);
    process_release(&p);
    assert_true(clock_monotonic() - start < 60);
}

static void count_line(void *arg, const char *line)
{
    buf_addf(arg, "[%s]", line);
}

/* `script` under a watch; the lines that it gave are in *lines. */
static enum process_end watch_sh(const char *script, double silence, double limit,
                                 struct buf *lines)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct process_watch w = {
        .silence_seconds = silence, .limit_seconds = limit, .line = count_line, .arg = lines};
    struct process_options o = {.argv = argv, .keep_stdout = true, .watch = &w};
    _cleanup_error_ struct error err = ERROR_INIT;
    struct process p;
    if (process_start(&o, &p, &err) < 0)
        fail_msg("%s", err.message);
    double start = clock_monotonic();
    process_wait(&p);
    assert_true(clock_monotonic() - start < 10);
    enum process_end why = p.why;
    process_release(&p);
    return why;
}

static void test_process__watch(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        double silence, limit;
        enum process_end why;
        const char *lines;
    } table[] = {
        {"echo a; echo b; printf c", 5, 5, PROCESS_ENDED, "[a][b]"},
        {"printf a; sleep 0.3; echo b", 5, 5, PROCESS_ENDED, "[ab]"},
        {"echo a; sleep 60", 0.5, 60, PROCESS_SILENT, "[a]"},
        {"echo a; sleep 60 & wait", 0.5, 60, PROCESS_SILENT, "[a]"},
        {"echo a; trap '' TERM; while :; do sleep 0.1; echo >&2; done", 0.5, 60, PROCESS_SILENT,
         "[a]"},
        {"for i in 1 2 3; do echo $i; sleep 0.3; done", 0.8, 60, PROCESS_ENDED, "[1][2][3]"},
        {"echo a; while :; do sleep 0.1; echo; done", 60, 0.05, PROCESS_TOO_LONG, NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_buf_ struct buf lines = BUF_INIT;
        enum process_end why = watch_sh(table[i].script, table[i].silence, table[i].limit, &lines);
        if (why != table[i].why || (table[i].lines && strcmp(lines.data, table[i].lines) != 0))
            fail_msg("%s: ended with %d, said %s", table[i].script, (int)why, lines.data);
    }
}

static void test_process__watch_stops_when_we_do(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf lines = BUF_INIT;
    cancel_request();
    assert_int_equal(watch_sh("sleep 60", 60, 60, &lines), PROCESS_CANCELLED);
    cancel_reset();
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process__exit_status),
        cmocka_unit_test(test_process__watch),
        cmocka_unit_test(test_process__watch_stops_when_we_do),
        cmocka_unit_test(test_process__captures_both_outputs),
        cmocka_unit_test(test_process__keeps_the_end_of_long_messages),
        cmocka_unit_test(test_process__summary),
        cmocka_unit_test(test_process__missing_program),
        cmocka_unit_test(test_process__environment_and_empty_input),
        cmocka_unit_test(test_process__a_child_gets_only_its_own_pipes),
        cmocka_unit_test(test_process__stdin_is_streamed),
        cmocka_unit_test(test_process__epipe_when_the_child_stops_reading),
        cmocka_unit_test(test_process__kill_reaches_the_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Turns: one at a time, one after the other, and given back by whoever dies. */
#include "check.h"

#include "base/clock.h"
#include "base/memory.h"
#include "state/turn.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *make_folder(void)
{
    char *dir = xstrdup("/tmp/ducc-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static void remove_folder(char *dir)
{
    _cleanup_free_ char *turn = xasprintf("%s/turn", dir), *next = xasprintf("%s/next", dir);
    unlink(turn);
    unlink(next);
    rmdir(dir);
    free(dir);
}

/* A process that takes `turns` turns in a row and writes its letter in each. */
static pid_t start(const char *dir, int fd, char letter, int turns, double seconds)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct error err = ERROR_INIT;
    for (int i = 0; i < turns; i++) {
        struct turn turn;
        if (turn_take(dir, 30, &turn, &err) < 0 || write(fd, &letter, 1) != 1)
            _exit(1);
        clock_sleep(seconds);
        turn_end(&turn);
    }
    _exit(0);
}

/* Both want ten turns at once: from the second on they alternate. */
static void test_turn__goes_round(void **state)
{
    (void)state;
    char *dir = make_folder(), text[21] = "";
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    pid_t a = start(dir, fds[1], 'a', 10, 0.03), b = start(dir, fds[1], 'b', 10, 0.03);
    assert_int_equal(waitpid(a, &status, 0), a);
    assert_int_equal(status, 0);
    assert_int_equal(waitpid(b, &status, 0), b);
    assert_int_equal(status, 0);
    assert_int_equal(read(fds[0], text, 20), 20);
    size_t alike = 0;
    for (size_t i = 3; i + 3 < 20; i++)
        alike += text[i] == text[i - 1];
    if (alike > 2) /* one may be put to sleep for long enough by the machine */
        fail_msg("they do not take turns: %s", text);
    close(fds[0]);
    close(fds[1]);
    remove_folder(dir);
}

static void test_turn__who_has_it(void **state)
{
    (void)state;
    char *dir = make_folder(), letter;
    struct error err = ERROR_INIT;
    struct turn turn;
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    pid_t other = start(dir, fds[1], 'x', 1, 60);
    assert_int_equal(read(fds[0], &letter, 1), 1);
    _cleanup_free_ char *says = xasprintf("turn: held by process %d since 20", (int)other);
    assert_fails("held", turn_take(dir, 0.05, &turn, &err), &err, ERROR_BUSY, says);
    error_release(&err);
    kill(other, SIGKILL);
    waitpid(other, &status, 0);
    assert_ok(turn_take(dir, 5, &turn, &err), &err);
    turn_end(&turn);
    close(fds[0]);
    close(fds[1]);
    remove_folder(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turn__goes_round),
        cmocka_unit_test(test_turn__who_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

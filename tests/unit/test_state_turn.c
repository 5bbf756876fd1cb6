/* Turns: one at a time, one after the other, and given back by whoever dies. */
#include "check.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "state/turn.h"

#include <fcntl.h>
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

/* A process that waits for a byte, takes a turn, writes a letter and keeps the turn for a while. It
 * must be started before we have a turn: it would have our lock, too. */
static pid_t start(const char *dir, const int go[2], int fd, double seconds)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct error err = ERROR_INIT;
    struct turn turn;
    char ignored;
    alarm(60);
    if (read(go[0], &ignored, 1) != 1 || turn_take(dir, 60, &turn, &err) < 0 ||
        write(fd, "x", 1) != 1)
        _exit(1);
    clock_sleep(seconds);
    turn_end(&turn);
    _exit(0);
}

static bool somebody_is_next(const char *dir)
{
    _cleanup_free_ char *path = xasprintf("%s/next", dir);
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_close_ int fd = -1;
    return lock_take(path, "", &fd, &err) < 0;
}

/* Who gives a turn back and wants another one comes after who waits. */
static void test_turn__goes_round(void **state)
{
    (void)state;
    char *dir = make_folder(), letter;
    struct error err = ERROR_INIT;
    struct turn turn;
    int fds[2], go[2], status;
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < 5; i++) {
        pid_t other = start(dir, go, fds[1], 0.01);
        assert_ok(turn_take(dir, 60, &turn, &err), &err);
        assert_int_equal(write(go[1], "g", 1), 1);
        while (!somebody_is_next(dir))
            clock_sleep(0.002);
        assert_int_equal(read(fds[0], &letter, 1), -1);
        turn_end(&turn);
        assert_ok(turn_take(dir, 60, &turn, &err), &err);
        assert_int_equal(read(fds[0], &letter, 1), 1);
        turn_end(&turn);
        assert_int_equal(waitpid(other, &status, 0), other);
        assert_int_equal(status, 0);
    }
    close(fds[0]);
    close(fds[1]);
    close(go[0]);
    close(go[1]);
    remove_folder(dir);
}

static void test_turn__who_has_it(void **state)
{
    (void)state;
    char *dir = make_folder(), letter;
    struct error err = ERROR_INIT;
    struct turn turn;
    int fds[2], go[2], status;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(pipe(go), 0);
    pid_t other = start(dir, go, fds[1], 60);
    assert_int_equal(write(go[1], "g", 1), 1);
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
    close(go[0]);
    close(go[1]);
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

/* Readers and commits in different processes: they exclude each other, and neither starves. */
#include "check.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/memory.h"
#include "repository/readers.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLICE_SECONDS 0.05

struct fixture {
    char *dir, *journal;
    struct readers readers;
};

static struct fixture begin(bool create)
{
    struct fixture f = {.dir = xstrdup("/tmp/ducc-test-XXXXXX")};
    assert_non_null(mkdtemp(f.dir));
    f.journal = xasprintf("%s/commit", f.dir);
    readers_init(&f.readers);
    readers_join(&f.readers, f.journal, create);
    return f;
}

static void end(struct fixture *f)
{
    static const char *const names[] = {"gate", "readers"};
    readers_release(&f->readers);
    for (size_t i = 0; i < 2; i++) {
        _cleanup_free_ char *path = xasprintf("%s.%s", f->journal, names[i]);
        unlink(path);
    }
    assert_int_equal(0, rmdir(f->dir));
    free(f->journal);
    free(f->dir);
}

/* Another process that reads slice after slice, without a pause, and says when it has begun. */
static pid_t start_reader(const struct fixture *f, int fd)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct readers mine;
    alarm(60);
    readers_init(&mine);
    readers_join(&mine, f->journal, false);
    for (bool said = false;; said = true) {
        readers_begin(&mine);
        if (!said && write(fd, "x", 1) != 1)
            _exit(1);
        clock_sleep(SLICE_SECONDS);
        readers_end(&mine);
    }
}

static void stop(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static bool is_read(const struct fixture *f)
{
    _cleanup_free_ char *path = xasprintf("%s.readers", f->journal);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return flock(fd, LOCK_EX | LOCK_NB) < 0;
}

static void test_readers__a_commit_does_not_starve(void **state)
{
    (void)state;
    struct fixture f = begin(true);
    int pipe_fds[2];
    char letter;
    assert_int_equal(0, pipe(pipe_fds));
    pid_t readers[3];
    for (size_t i = 0; i < 3; i++)
        readers[i] = start_reader(&f, pipe_fds[1]);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(1, read(pipe_fds[0], &letter, 1));
    for (int round = 0; round < 5; round++) {
        double start = clock_monotonic();
        readers_exclude(&f.readers);
        assert_true(clock_monotonic() - start < 5);
        readers_admit(&f.readers);
        double until = clock_monotonic() + 5; /* and they go on */
        while (!is_read(&f) && clock_monotonic() < until)
            clock_sleep(0.001);
        assert_true(clock_monotonic() < until);
    }
    for (size_t i = 0; i < 3; i++)
        stop(readers[i]);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    end(&f);
}

static void test_readers__nobody_reads_while_a_revision_begins(void **state)
{
    (void)state;
    struct fixture f = begin(true);
    int pipe_fds[2];
    char letter;
    assert_int_equal(0, pipe2(pipe_fds, O_NONBLOCK));
    readers_exclude(&f.readers);
    pid_t reader = start_reader(&f, pipe_fds[1]);
    clock_sleep(0.3);
    assert_int_equal(-1, read(pipe_fds[0], &letter, 1));
    readers_admit(&f.readers);
    double until = clock_monotonic() + 5;
    while (read(pipe_fds[0], &letter, 1) != 1 && clock_monotonic() < until)
        clock_sleep(0.01);
    assert_true(clock_monotonic() < until);
    stop(reader);
    readers_exclude(&f.readers); /* who died gave it back */
    readers_admit(&f.readers);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    end(&f);
}

static void *read_a_slice(void *arg)
{
    struct readers *r = arg;
    readers_begin(r);
    clock_sleep(SLICE_SECONDS);
    readers_end(r);
    return NULL;
}

/* The threads of a process have one lock: the first takes it, the last gives it back. */
static void test_readers__threads_share_the_lock(void **state)
{
    (void)state;
    struct fixture f = begin(true);
    pthread_t thread;
    readers_begin(&f.readers);
    assert_int_equal(0, pthread_create(&thread, NULL, read_a_slice, &f.readers));
    pthread_join(thread, NULL);
    assert_true(is_read(&f));
    readers_end(&f.readers);
    assert_false(is_read(&f));
    end(&f);
}

static void test_readers__nothing_is_made_by_who_only_reads(void **state)
{
    (void)state;
    struct fixture f = begin(false);
    readers_begin(&f.readers);
    readers_end(&f.readers);
    readers_exclude(&f.readers);
    readers_admit(&f.readers);
    assert_int_equal(0, rmdir(f.dir));
    assert_int_equal(0, mkdir(f.dir, 0700));
    end(&f);
}

static void test_readers__a_stop_ends_the_wait(void **state)
{
    (void)state;
    struct fixture f = begin(true);
    struct readers other;
    readers_init(&other);
    readers_join(&other, f.journal, false);
    readers_exclude(&other);
    cancel_request();
    readers_begin(&f.readers);
    readers_end(&f.readers);
    cancel_reset();
    readers_admit(&other);
    readers_release(&other);
    assert_false(is_read(&f));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers__a_commit_does_not_starve),
        cmocka_unit_test(test_readers__nobody_reads_while_a_revision_begins),
        cmocka_unit_test(test_readers__threads_share_the_lock),
        cmocka_unit_test(test_readers__nothing_is_made_by_who_only_reads),
        cmocka_unit_test(test_readers__a_stop_ends_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What unit tests share: checks of errors, a scratch folder, running another program. */
#ifndef TEST_CHECK_H
#define TEST_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"
#include "base/process.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MAYBE_UNUSED __attribute__((unused))

MAYBE_UNUSED static void assert_ok(int rc, const struct error *err)
{
    if (rc < 0)
        fail_msg("%s", err->message);
}

/* `what` names the case in a table. */
MAYBE_UNUSED static void assert_fails(const char *what, int rc, const struct error *err,
                                      enum error_kind kind, const char *says)
{
    if (rc != -1)
        fail_msg("%s: accepted, expected %s: \"%s\"", what, error_kind_name(kind), says);
    if (err->kind != kind || !strstr(err->message, says))
        fail_msg("%s: %s: \"%s\", expected %s: \"%s\"", what, error_kind_name(err->kind),
                 err->message, error_kind_name(kind), says);
}

/* Texts of many lines: the first line that differs is shown. */
MAYBE_UNUSED static void assert_same_text(const char *what, const char *got, const char *expected)
{
    size_t i = 0, line = 0;
    for (; got[i] && got[i] == expected[i]; i++)
        line = got[i] == '\n' ? i + 1 : line;
    if (got[i] != expected[i])
        fail_msg("%s: got \"%.*s\", expected \"%.*s\" in\n%s", what, (int)strcspn(got + line, "\n"),
                 got + line, (int)strcspn(expected + line, "\n"), expected + line, got);
}

/* ---- a folder for the whole program: group set-up and tear-down ---- */

static char scratch[] = "/tmp/ducc-test-XXXXXX";

MAYBE_UNUSED static int scratch_make(void **state)
{
    (void)state;
    return mkdtemp(scratch) ? 0 : -1;
}

MAYBE_UNUSED static int scratch_remove(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    return tree_remove(scratch, &err);
}

/* Owned. */
MAYBE_UNUSED static char *in_scratch(const char *name)
{
    return path_join(scratch, name);
}

/* A new folder of that name. Owned. */
MAYBE_UNUSED static char *new_folder(const char *name)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    char *path = in_scratch(name);
    assert_ok(tree_remove(path, &err), &err);
    assert_ok(dir_make(path, 0755, &err), &err);
    return path;
}

MAYBE_UNUSED static void write_file(const char *path, const void *bytes, size_t len)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(file_write(path, bytes, len, 0644, &err), &err);
}

/* A descriptor of a file in memory that holds the bytes, at its start. */
MAYBE_UNUSED static int fd_of(const void *bytes, size_t len)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, bytes, len), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* ---- programs ---- */

/* A program that must succeed; what it printed is added to *output, which may be NULL. */
MAYBE_UNUSED static void run_program(const char *const *argv, struct buf *output)
{
    static const char *const plain[] = {"LC_ALL=C", "TZ=UTC", NULL};
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf messages = BUF_INIT;
    struct process_options options = {
        .argv = argv, .set_env = plain, .keep_stdout = output != NULL};
    int status = -1;
    assert_ok(process_run(&options, &status, output, &messages, &err), &err);
    if (status != 0)
        fail_msg("%s ended with %d: %s", argv[0], status, messages.data);
}

#define RUN(...) run_program((const char *const[]){__VA_ARGS__, NULL}, NULL)

/* ---- numbers that look random and are the same each time (splitmix64) ---- */

static uint64_t random_state;

MAYBE_UNUSED static uint64_t random_u64(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

MAYBE_UNUSED static size_t random_below(size_t n)
{
    return n ? (size_t)(random_u64() % n) : 0;
}

#endif

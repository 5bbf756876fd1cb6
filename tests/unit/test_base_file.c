/* base/file.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "/tmp/ducc-file-XXXXXX";

static char *below(const char *name)
{
    return path_join(root, name);
}

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    size_t n = 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

static void test_file__write_then_read(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *dir = below("w"), *path = below("w/f");
    assert_int_equal(dir_make(dir, 0755, &err), 0);
    assert_int_equal(file_write(path, "old", 3, 0644, &err), 0);
    assert_int_equal(file_write(path, "a\0b", 3, 0600, &err), 0);
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_adds(&b, "in front:");
    assert_int_equal(file_read(path, 3, &b, &err), 0);
    assert_int_equal(b.len, 12);
    assert_memory_equal(b.data, "in front:a\0b", 13);
    assert_int_equal(count_entries(dir), 1); /* no temporary file is left */
}

struct writers {
    const char *path;
    atomic_int failed;
};

static void write_it(void *arg, size_t i)
{
    struct writers *w = arg;
    _cleanup_error_ struct error err = ERROR_INIT;
    (void)i;
    if (file_write(w->path, "same", 4, 0600, &err) < 0)
        atomic_fetch_add(&w->failed, 1);
}

static void test_file__threads_may_write_the_same(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *dir = below("threads"), *path = below("threads/f");
    struct writers w = {.path = path};
    assert_int_equal(dir_make(dir, 0755, &err), 0);
    parallel_for(64, 8, write_it, &w);
    assert_int_equal(w.failed, 0);
    assert_int_equal(count_entries(dir), 1);
}

/* A reader that opened the old file keeps it: the new one took its name, not its bytes. */
static void test_file__write_replaces_the_name(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *path = below("replaced");
    assert_int_equal(file_write(path, "old", 3, 0644, &err), 0);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(file_write(path, "newer", 5, 0644, &err), 0);
    char bytes[3];
    assert_int_equal(file_pread_all(fd, bytes, 3, 0), 0);
    assert_memory_equal(bytes, "old", 3);
    assert_int_equal(file_pread_all(fd, bytes, 3, 1), -1);
    assert_int_equal(errno, EIO);
}

static void test_file__failed_write_leaves_the_old(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *dir = below("target"), *inside = below("target/f");
    assert_int_equal(dir_make(dir, 0755, &err), 0);
    assert_int_equal(file_write(inside, "", 0, 0644, &err), 0);
    size_t before = count_entries(root);
    assert_int_equal(file_write(dir, "x", 1, 0644, &err), -1); /* a directory has the name */
    assert_int_equal(err.kind, ERROR_IO);
    assert_true(starts_with(err.message, dir));
    assert_true(is_there(inside));
    assert_int_equal(count_entries(root), before);
}

static void test_file__read_errors(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf b = BUF_INIT;
    _cleanup_free_ char *path = below("large"), *under = below("large/x");
    assert_int_equal(file_write(path, "12345", 5, 0644, &err), 0);
    assert_int_equal(file_read(path, 4, &b, &err), -1);
    assert_int_equal(err.kind, ERROR_LIMIT);
    assert_int_equal(file_read(under, 4, &b, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_int_equal(file_read(root, 4, &b, &err), -1);
    assert_int_equal(err.kind, ERROR_IO);
}

static void test_dir__make(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *deep = below("m/a/b/"), *file = below("m/f"), *under = below("m/f/x");
    assert_int_equal(dir_make(deep, 0755, &err), 0);
    assert_int_equal(dir_make(deep, 0755, &err), 0);
    assert_int_equal(file_write(file, "", 0, 0644, &err), 0);
    assert_int_equal(dir_make(file, 0755, &err), -1);
    assert_int_equal(dir_make(under, 0755, &err), -1);
    assert_int_equal(dir_make("", 0755, &err), -1);
    assert_int_equal(err.kind, ERROR_IO);
}

/* Directories that forbid what is done below them, and a symlink that leads out. */
static void make_hard_tree(const char *tree, const char *outside)
{
    static const struct {
        const char *path;
        mode_t mode;
    } dirs[] = {{"none/in", 0700}, {"read-only/in", 0555}, {"no-search", 0700}};
    _cleanup_error_ struct error err = ERROR_INIT;
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        _cleanup_free_ char *dir = path_join(tree, dirs[i].path);
        _cleanup_free_ char *file = path_join(dir, "file");
        assert_int_equal(dir_make(dir, 0755, &err), 0);
        assert_int_equal(file_write(file, "x", 1, 0400, &err), 0);
        chmod(dir, dirs[i].mode);
    }
    static const struct {
        const char *path;
        mode_t mode;
    } modes[] = {{"none", 0}, {"read-only", 0555}, {"no-search", 0444}};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        _cleanup_free_ char *dir = path_join(tree, modes[i].path);
        chmod(dir, modes[i].mode);
    }
    _cleanup_free_ char *link = path_join(tree, "link");
    assert_int_equal(symlink(outside, link), 0);
}

static void check_tree_remove(void)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *tree = below("tree"), *outside = below("outside");
    _cleanup_free_ char *kept = path_join(outside, "kept");
    assert_int_equal(dir_make(outside, 0755, &err), 0);
    assert_int_equal(file_write(kept, "x", 1, 0644, &err), 0);
    make_hard_tree(tree, outside);
    if (tree_remove(tree, &err) < 0)
        fail_msg("%s", err.message);
    assert_false(is_there(tree));
    assert_true(is_there(kept));
    assert_int_equal(tree_remove(tree, &err), 0); /* what is not there is fine */
    assert_int_equal(tree_remove(outside, &err), 0);
}

static void test_tree__remove(void **state)
{
    (void)state;
    check_tree_remove();
}

/* The same as an ordinary user, whom modes stop. */
static void test_tree__remove_without_privileges(void **state)
{
    (void)state;
    if (geteuid() != 0)
        return; /* then test_tree__remove was it */
    assert_int_equal(chmod(root, 0777), 0);
    assert_int_equal(seteuid(65534), 0);
    check_tree_remove();
    assert_int_equal(seteuid(0), 0);
}

static void test_tree__remove_takes_a_file_too(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *path = below("single");
    assert_int_equal(file_write(path, "x", 1, 0644, &err), 0);
    assert_int_equal(tree_remove(path, &err), 0);
    assert_false(is_there(path));
}

static void test_lock__busy_names_the_holder(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *path = below("lock");
    int first = -1, second = -1;
    assert_int_equal(lock_take(path, "a very long earlier holder\n", &first, &err), 0);
    close(first);
    assert_int_equal(lock_take(path, "pid 12, ducc convert\n", &first, &err), 0);
    assert_int_equal(lock_take(path, "me", &second, &err), -1);
    assert_int_equal(err.kind, ERROR_BUSY);
    assert_int_equal(second, -1);
    _cleanup_free_ char *expected = xasprintf("%s: held by pid 12, ducc convert", path);
    assert_string_equal(err.message, expected);
    close(first);
    assert_int_equal(lock_take(path, "me", &second, &err), 0);
    close(second);
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    return tree_remove(root, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file__write_then_read),
        cmocka_unit_test(test_file__threads_may_write_the_same),
        cmocka_unit_test(test_file__write_replaces_the_name),
        cmocka_unit_test(test_file__failed_write_leaves_the_old),
        cmocka_unit_test(test_file__read_errors),
        cmocka_unit_test(test_dir__make),
        cmocka_unit_test(test_tree__remove),
        cmocka_unit_test(test_tree__remove_without_privileges),
        cmocka_unit_test(test_tree__remove_takes_a_file_too),
        cmocka_unit_test(test_lock__busy_names_the_holder),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}

/* base/path.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/memory.h"
#include "base/path.h"

#include <string.h>

static void test_path__join_parent_name(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *joined, *parent, *name;
    } table[] = {
        {"a", "b", "a/b", "a", "b"}, {"a/", "b", "a/b", "a", "b"},
        {"", "b", "b", "", "b"},     {"a", "", "a", "", "a"},
        {"/", "b", "/b", "", "b"},   {"a/b", "c/d", "a/b/c/d", "a/b/c", "d"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_free_ char *joined = path_join(table[i].a, table[i].b);
        assert_string_equal(joined, table[i].joined);
        _cleanup_free_ char *parent = path_parent(joined);
        assert_string_equal(parent, table[i].parent);
        assert_string_equal(path_name(joined), table[i].name);
    }
}

static void test_path__clean(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a/b", "...", "a/..b", ".a", "a.", " ", "a\\b"};
    static const char *const bad[] = {"",   "/",   "/a",   "a/",   "a//b",  ".",
                                      "..", "./a", "a/..", "../a", "a/./b", "a/../b"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(path_is_clean(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(path_is_clean(bad[i]));
}

/* Strictly ascending: a directory, all below it, then the next sibling. */
static void test_path__compare_orders_trees(void **state)
{
    (void)state;
    static const char *const sorted[] = {
        "",
        "a",
        "a/\x01",
        "a/b",
        "a/b/c",
        "a/b-c",
        "a/b.c",
        "a\x01",
        "a b",
        "a-b",
        "a-b/c",
        "a.b",
        "aa",
        "long/enough/for/words/a",
        "long/enough/for/words/b",
        "long/enough/for/words-a",
        "z",
        "\xc3\xa9",
    };
    size_t n = sizeof sorted / sizeof sorted[0];
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            int c = path_compare(sorted[i], strlen(sorted[i]), sorted[k], strlen(sorted[k]));
            if ((c > 0) - (c < 0) != (i > k) - (i < k))
                fail_msg("path_compare(\"%s\", \"%s\") = %d", sorted[i], sorted[k], c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path__join_parent_name),
        cmocka_unit_test(test_path__clean),
        cmocka_unit_test(test_path__compare_orders_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

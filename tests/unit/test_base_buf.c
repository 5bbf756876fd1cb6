/* base/buf.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/memory.h"

#include <string.h>

static void test_buf__empty_is_an_empty_string(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    assert_string_equal(b.data, "");
    buf_add(&b, NULL, 0);
    buf_truncate(&b, 0);
    _cleanup_free_ char *s = buf_take(&b);
    assert_string_equal(s, "");
    buf_release(&b);
    buf_release(&b);
}

static void test_buf__grows_and_holds_nul(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT;
    for (int i = 0; i < 10000; i++)
        buf_add(&b, "a\0", 2);
    assert_int_equal(b.len, 20000);
    assert_int_equal(b.data[20000], '\0');
    buf_truncate(&b, 3);
    assert_memory_equal(b.data, "a\0a", 4);
    buf_addf(&b, "%d-%s", 7, "x");
    assert_memory_equal(b.data, "a\0a7-x", 7);
}

static void test_buf__quoted(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } table[] = {
        {"", "\"\""},
        {"a b", "\"a b\""},
        {"a\"\\", "\"a\\x22\\x5c\""},
        {"\x1b[31m\n", "\"\\x1b[31m\\x0a\""}, /* nothing that a terminal obeys */
        {"\xc3\xa9\x7f", "\"\\xc3\\xa9\\x7f\""},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_free_ char *q = quoted(table[i].in);
        assert_string_equal(q, table[i].out);
    }
    char long_text[1000];
    memset(long_text, 'a', sizeof long_text);
    _cleanup_free_ char *q = quoted_bytes(long_text, sizeof long_text);
    assert_int_equal(strlen(q), 205);
    assert_true(ends_with(q, "a...\""));
}

static void test_buf__shell_word(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } table[] = {{"", "''"}, {"a b", "'a b'"}, {"it's", "'it'\\''s'"}, {"$x\n`", "'$x\n`'"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_buf_ struct buf b = BUF_INIT;
        buf_add_shell_word(&b, table[i].in);
        assert_string_equal(b.data, table[i].out);
    }
}

static void test_buf__starts_and_ends(void **state)
{
    (void)state;
    assert_true(starts_with("abc", "ab"));
    assert_true(starts_with("abc", ""));
    assert_false(starts_with("a", "ab"));
    assert_true(ends_with("abc", "bc"));
    assert_true(ends_with("abc", ""));
    assert_false(ends_with("c", "bc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf__empty_is_an_empty_string),
        cmocka_unit_test(test_buf__grows_and_holds_nul),
        cmocka_unit_test(test_buf__quoted),
        cmocka_unit_test(test_buf__shell_word),
        cmocka_unit_test(test_buf__starts_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

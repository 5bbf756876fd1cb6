/* base/error.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"

#include <errno.h>
#include <string.h>

static void test_error__wrap_puts_context_in_front(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_int_equal(error_set(&err, ERROR_PARSE, "entry %s: bad", "x"), -1);
    assert_int_equal(error_wrap(&err, "layer %d", 2), -1);
    assert_int_equal(error_wrap(&err, "image %s", "a"), -1);
    assert_string_equal(err.message, "image a: layer 2: entry x: bad");
    assert_int_equal(err.kind, ERROR_PARSE);
}

static void test_error__set_replaces_and_may_use_the_old_message(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    error_set(&err, ERROR_NET, "first");
    error_retryable(&err);
    error_set(&err, ERROR_IO, "second, after %s", err.message);
    assert_string_equal(err.message, "second, after first");
    assert_int_equal(err.kind, ERROR_IO);
    assert_false(err.retryable);
}

static void test_error__full_disk_is_a_limit(void **state)
{
    (void)state;
    static const struct {
        int errnum;
        enum error_kind kind;
    } table[] = {{ENOSPC, ERROR_LIMIT}, {EDQUOT, ERROR_LIMIT}, {EACCES, ERROR_IO}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        error_set_errno(&err, ERROR_IO, table[i].errnum, "f");
        assert_int_equal(err.kind, table[i].kind);
        assert_true(strncmp(err.message, "f: ", 3) == 0 && strlen(err.message) > 3);
    }
}

static void test_error__move_and_copy(void **state)
{
    (void)state;
    _cleanup_error_ struct error a = ERROR_INIT, b = ERROR_INIT;
    error_set(&a, ERROR_NET, "gone");
    error_retryable(&a);
    error_set(&b, ERROR_IO, "old");
    error_copy(&b, &a);
    assert_string_equal(b.message, "gone");
    assert_true(b.retryable);
    error_move(&b, &a);
    assert_int_equal(a.kind, ERROR_NONE);
    assert_null(a.message);
    assert_int_equal(b.kind, ERROR_NET);
}

static void test_error__wrap_of_nothing_is_a_bug(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    error_wrap(&err, "x");
    assert_int_equal(err.kind, ERROR_BUG);
}

static void test_error__each_kind_has_a_name(void **state)
{
    (void)state;
    for (int kind = ERROR_NONE; kind <= ERROR_BUG; kind++)
        assert_non_null(error_kind_name((enum error_kind)kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error__wrap_puts_context_in_front),
        cmocka_unit_test(test_error__set_replaces_and_may_use_the_old_message),
        cmocka_unit_test(test_error__full_disk_is_a_limit),
        cmocka_unit_test(test_error__move_and_copy),
        cmocka_unit_test(test_error__wrap_of_nothing_is_a_bug),
        cmocka_unit_test(test_error__each_kind_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

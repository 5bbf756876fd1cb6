/* base/digest.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/digest.h"

#include <string.h>

#define HEX_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HEX64     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_digest__good(void **state)
{
    (void)state;
    static const char *const table[] = {"sha256:" HEX64, "sha512:" HEX64 HEX64};
    for (size_t i = 0; i < 2; i++) {
        struct digest d;
        _cleanup_error_ struct error err = ERROR_INIT;
        assert_int_equal(digest_parse(table[i], &d, &err), 0);
        assert_true(digest_is_set(&d));
        assert_string_equal(digest_text(&d).s, table[i]);
        assert_string_equal(digest_hex(&d).s, table[i] + 7);
    }
}

static void test_digest__bad(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum error_kind kind;
        const char *message;
    } table[] = {
        {"", ERROR_PARSE, "expected ALGORITHM:HEX"},
        {HEX64, ERROR_PARSE, "expected ALGORITHM:HEX"},
        {"sha256:", ERROR_PARSE, "expected 64 lower-case hex digits"},
        {"sha256:" HEX64 "0", ERROR_PARSE, "expected 64 lower-case hex digits"},
        {"sha256:" HEX64 HEX64, ERROR_PARSE, "expected 64 lower-case hex digits"},
        {"sha512:" HEX64, ERROR_PARSE, "expected 128 lower-case hex digits"},
        {"sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", ERROR_PARSE,
         "lower-case"},
        {"sha256:g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", ERROR_PARSE,
         "lower-case"},
        {"sha256:../../../../../etc/passwd", ERROR_PARSE, "lower-case"},
        {" sha256:" HEX64, ERROR_UNSUPPORTED, "sha256 or sha512"},
        {"SHA256:" HEX64, ERROR_UNSUPPORTED, "sha256 or sha512"},
        {"md5:0123456789abcdef0123456789abcdef", ERROR_UNSUPPORTED, "sha256 or sha512"},
        {"sha256+b64:" HEX64, ERROR_UNSUPPORTED, "sha256 or sha512"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct digest d = {0};
        _cleanup_error_ struct error err = ERROR_INIT;
        assert_int_equal(digest_parse(table[i].text, &d, &err), -1);
        assert_string_equal(error_kind_name(err.kind), error_kind_name(table[i].kind));
        if (!strstr(err.message, table[i].message))
            fail_msg("\"%s\": %s", table[i].text, err.message);
        assert_false(digest_is_set(&d));
    }
}

static void test_digest__equal(void **state)
{
    (void)state;
    struct digest a = digest_of(DIGEST_SHA256, "a", 1), b = a, none = {0};
    assert_true(digest_equal(&a, &b));
    b.bytes[31] ^= 1;
    assert_false(digest_equal(&a, &b));
    assert_false(digest_equal(&a, &none));
    assert_true(digest_equal(&none, &none));
    struct digest other = digest_of(DIGEST_SHA512, "a", 1);
    assert_false(digest_equal(&a, &other));
}

static void test_digest__hasher_starts_again(void **state)
{
    (void)state;
    _cleanup_hasher_ struct hasher *h = hasher_new(DIGEST_SHA256);
    hasher_update(h, "ab", 2);
    hasher_update(h, "c", 1);
    struct digest parts = hasher_finish(h), whole = digest_of(DIGEST_SHA256, "abc", 3);
    assert_true(digest_equal(&parts, &whole));
    struct digest nothing = hasher_finish(h);
    assert_string_equal(digest_hex(&nothing).s, HEX_EMPTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest__good),
        cmocka_unit_test(test_digest__bad),
        cmocka_unit_test(test_digest__equal),
        cmocka_unit_test(test_digest__hasher_starts_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* base/json.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/memory.h"

#include <string.h>

#define LIMIT 65536

static void expect_bad(const char *text, size_t len, enum error_kind kind, const char *message)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_null(json_parse("thing", text, len, LIMIT, &err));
    assert_string_equal(error_kind_name(err.kind), error_kind_name(kind));
    if (!starts_with(err.message, message))
        fail_msg("expected %s\n     got %s", message, err.message);
}

static void test_json__bad(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } table[] = {
        {"", "thing: line 1, column 0: not valid JSON"},
        {"{", "thing: line 1, column 1: not valid JSON"},
        {"{\"a\": 1} x", "thing: line 1, column 10: not valid JSON"},
        {"{\"a\": 1,\n \"a\": 2}", "thing: line 2, column 4: not valid JSON: \"duplicate"},
        {"{\"a\": \"\\u0000\"}", "thing: line 1, column 14: not valid JSON: \"\\x5cu0000"},
        {"\"text\"", "thing: line 1, column 6: not valid JSON"},
        {"{\"a\": 99999999999999999999}", "thing: line 1, column 26: not valid JSON: \"too big"},
        {"{\"a\": \"\xff\"}", "thing: line 1, column"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        expect_bad(table[i].text, strlen(table[i].text), ERROR_PARSE, table[i].message);
}

static void test_json__limits(void **state)
{
    (void)state;
    char text[LIMIT + 1];
    memset(text, '[', sizeof text);
    expect_bad(text, LIMIT, ERROR_PARSE, "thing: line 1, column 2049: not valid JSON: \"maximum");
    expect_bad(text, LIMIT + 1, ERROR_LIMIT, "thing: 65537 bytes, more than the 65536");
}

static json_t *parse(const char *text)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    json_t *value = json_parse("thing", text, strlen(text), LIMIT, &err);
    if (!value)
        fail_msg("%s", err.message);
    return value;
}

static void test_json__getters(void **state)
{
    (void)state;
    _cleanup_json_ json_t *o =
        parse("{\"s\": \"x\", \"n\": 5, \"null\": null, \"a\": [], \"o\": {},"
              " \"minus\": -1, \"real\": 1.5, \"big\": 9223372036854775807}");
    _cleanup_error_ struct error err = ERROR_INIT;
    const char *s = "old";
    json_t *v = NULL;
    uint64_t n = 0;
    assert_int_equal(json_get_string(o, "thing", "s", &s, &err), 0);
    assert_string_equal(s, "x");
    assert_int_equal(json_get_size(o, "thing", "n", &n, &err), 0);
    assert_int_equal(n, 5);
    assert_int_equal(json_get_optional_string(o, "thing", "null", &s, &err), 0);
    assert_null(s);
    assert_int_equal(json_get_optional_string(o, "thing", "missing", &s, &err), 0);
    assert_null(s);
    assert_int_equal(json_get_optional_array(o, "thing", "a", &v, &err), 0);
    assert_true(json_is_array(v));
    assert_int_equal(json_get_optional_object(o, "thing", "o", &v, &err), 0);
    assert_true(json_is_object(v));

    assert_int_equal(json_get_string(o, "thing", "missing", &s, &err), -1);
    assert_string_equal(err.message,
                        "thing: field \"missing\": expected a string, but it is missing");
    assert_int_equal(json_get_string(o, "thing", "n", &s, &err), -1);
    assert_string_equal(err.message, "thing: field \"n\": expected a string");
    assert_int_equal(json_get_optional_array(o, "thing", "o", &v, &err), -1);
    assert_string_equal(err.message, "thing: field \"o\": expected an array");
    assert_int_equal(json_get_optional_object(o, "thing", "s", &v, &err), -1);
    assert_string_equal(err.message, "thing: field \"s\": expected an object");
    static const char *const no_sizes[] = {"minus", "real", "big", "s", "null", "missing"};
    for (size_t i = 0; i < sizeof no_sizes / sizeof no_sizes[0]; i++) {
        assert_int_equal(json_get_size(o, "thing", no_sizes[i], &n, &err), -1);
        assert_int_equal(err.kind, ERROR_PARSE);
    }
    assert_int_equal(n, 5); /* outputs are written on success only */
}

static void test_json__text(void **state)
{
    (void)state;
    _cleanup_json_ json_t *o = parse("{\"b\": 1,\n \"a\": [true]}");
    _cleanup_free_ char *text = json_text(o);
    assert_string_equal(text, "{\"b\":1,\"a\":[true]}");
}

static void test_json__array_has(void **state)
{
    (void)state;
    _cleanup_json_ json_t *array = json_pack("[i, s, {s:i}]", 1, "a", "b", 2);
    _cleanup_json_ json_t *equal = json_pack("{s:i}", "b", 2), *other = json_pack("{s:i}", "b", 3);
    assert_true(json_array_has(array, equal));
    assert_false(json_array_has(array, other));
    assert_false(json_array_has(NULL, equal));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json__bad),       cmocka_unit_test(test_json__limits),
        cmocka_unit_test(test_json__getters),   cmocka_unit_test(test_json__text),
        cmocka_unit_test(test_json__array_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

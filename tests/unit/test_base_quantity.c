/* base/quantity.h */
#include "check.h"

#include "base/quantity.h"

static void test_quantity__sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: refused */
    } table[] = {
        {"1", 1},
        {"500", 500},
        {"20K", 20000},
        {"50M", 50000000},
        {"20G", 20000000000},
        {"3T", 3000000000000},
        {"", 0},
        {"0", 0},
        {"-1", 0},
        {" 1", 0},
        {"1 ", 0},
        {"1k", 0},
        {"1KB", 0},
        {"1.5G", 0},
        {"G", 0},
        {"0x10", 0},
        {"99999999999999999999", 0},
        {"99999999999T", 0},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        uint64_t bytes = 7;
        int rc = size_parse(table[i].text, &bytes, &err);
        if (table[i].bytes == 0)
            assert_fails(table[i].text, rc, &err, ERROR_PARSE, "is not a size such as");
        else
            assert_ok(rc, &err);
        assert_int_equal(bytes, table[i].bytes ? table[i].bytes : 7);
    }
}

static void test_quantity__durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t seconds;  /* 0: refused */
        const char *again; /* how duration_text() writes it */
    } table[] = {
        {"90d", 90 * 86400, "90d"},
        {"12h", 43200, "12h"},
        {"1h30m", 5400, "1h30m"},
        {"2w", 14 * 86400, "14d"},
        {"1w2d3h4m5s", 7 * 86400 + 2 * 86400 + 3 * 3600 + 4 * 60 + 5, "9d3h4m5s"},
        {"90m", 5400, "1h30m"},
        {"3660d", (uint64_t)3660 * 86400, "3660d"},
        {"3661d", 0, NULL},
        {"9999999999w", 0, NULL},
        {"99999999999999999999d", 0, NULL},
        {"", 0, NULL},
        {"0d", 0, NULL},
        {"90", 0, NULL},
        {"d", 0, NULL},
        {"30m1h", 0, NULL}, /* the larger unit comes first */
        {"1h1h", 0, NULL},
        {"1 d", 0, NULL},
        {"-1d", 0, NULL},
        {"1y", 0, NULL},
        {"1D", 0, NULL},
        {"1.5h", 0, NULL},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        uint64_t seconds = 7;
        int rc = duration_parse(table[i].text, &seconds, &err);
        if (table[i].seconds == 0) {
            assert_fails(table[i].text, rc, &err, ERROR_PARSE, "is not a time such as 90d");
            assert_int_equal(seconds, 7);
            continue;
        }
        assert_ok(rc, &err);
        assert_int_equal(seconds, table[i].seconds);
        assert_string_equal(duration_text(seconds).s, table[i].again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantity__sizes),
        cmocka_unit_test(test_quantity__durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

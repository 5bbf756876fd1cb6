/* wishlist/semver.h. What ranges mean stands in node-semver's README and in semver.org's item 11.
 */
#include "check.h"

#include "wishlist/semver.h"

static void test_version__parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int written; /* 0: no version */
        uint64_t numbers[3];
        const char *prerelease;
    } table[] = {
        {"1.2.3", 3, {1, 2, 3}, ""},
        {"v1.2.3", 3, {1, 2, 3}, ""},
        {"24.04", 2, {24, 4, 0}, ""},
        {"12", 1, {12, 0, 0}, ""},
        {"12-slim", 1, {12, 0, 0}, "slim"},
        {"1.2.3-rc.1", 3, {1, 2, 3}, "rc.1"},
        {"1.2.3-rc.1+b.7", 3, {1, 2, 3}, "rc.1"},
        {"1.2.3--", 3, {1, 2, 3}, "-"},
        {"999999999999999999.0.0", 3, {999999999999999999, 0, 0}, ""},
        {"9999999999999999999.0.0", 0, {0}, NULL},
        {"", 0, {0}, NULL},
        {"v", 0, {0}, NULL},
        {"vv1", 0, {0}, NULL},
        {"latest", 0, {0}, NULL},
        {"1.2.3.4", 0, {0}, NULL},
        {"1.", 0, {0}, NULL},
        {".1", 0, {0}, NULL},
        {"1..2", 0, {0}, NULL},
        {"1.2.3-", 0, {0}, NULL},
        {"1.2.3-a..b", 0, {0}, NULL},
        {"1.2.3-a_b", 0, {0}, NULL},
        {"1.2.3+", 0, {0}, NULL},
        {"8.9_v4", 0, {0}, NULL},
        {"1.x", 0, {0}, NULL},
        {" 1", 0, {0}, NULL},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct version v = {0};
        bool is_version = version_parse(table[i].text, strlen(table[i].text), &v);
        if (is_version != (table[i].written > 0))
            fail_msg("%s", table[i].text);
        if (!is_version)
            continue;
        assert_int_equal(v.written, table[i].written);
        assert_memory_equal(v.numbers, table[i].numbers, sizeof v.numbers);
        assert_int_equal(v.prerelease_len, strlen(table[i].prerelease));
        assert_memory_equal(v.prerelease, table[i].prerelease, v.prerelease_len);
    }
}

/* Each is below the next; the middle is the example of semver.org. */
static void test_version__order(void **state)
{
    (void)state;
    static const char *const order[] = {"0.0.1",
                                        "0.9.10",
                                        "1.0.0-0",
                                        "1.0.0-alpha",
                                        "1.0.0-alpha.1",
                                        "1.0.0-alpha.beta",
                                        "1.0.0-beta",
                                        "1.0.0-beta.2",
                                        "1.0.0-beta.11",
                                        "1.0.0-rc.1",
                                        "1.0.0",
                                        "1.0.1",
                                        "1.2.0-slim",
                                        "1.2",
                                        "1.10",
                                        "2",
                                        "10"};
    for (size_t i = 0; i < COUNT(order); i++)
        for (size_t k = 0; k < COUNT(order); k++) {
            struct version a, b;
            assert_true(version_parse(order[i], strlen(order[i]), &a));
            assert_true(version_parse(order[k], strlen(order[k]), &b));
            int c = version_compare(&a, &b);
            if ((c > 0) - (c < 0) != (i > k) - (i < k))
                fail_msg("%s and %s: %d", order[i], order[k], c);
        }
    struct version a, b;
    assert_true(version_parse("1.2", 3, &a) && version_parse("v1.2.0+x", 8, &b));
    assert_int_equal(version_compare(&a, &b), 0);
    assert_true(version_parse("1-01", 4, &a) && version_parse("1-1", 3, &b));
    assert_int_equal(version_compare(&a, &b), 0);
}

static void test_range__table(void **state)
{
    (void)state;
    static const struct {
        const char *range, *in, *out; /* versions, blank between them */
    } table[] = {
        {"1.2.3", "1.2.3 v1.2.3", "1.2.4 1.2.2 1.2.3-rc"},
        {"=1.2.3", "1.2.3", "1.2.4"},
        {">1.2.3", "1.2.4 2", "1.2.3 1.2.4-rc"},
        {">=1.2.3 <2", "1.2.3 1.99", "2 2.0.0-rc 1.2.2 1.3.0-rc"},
        {">=1.2.3, <2", "1.2.3 1.99", "2"},
        {">= 1.2.3 < 2", "1.2.3 1.99", "2"},
        {"<=1.2", "1.2.9 1.2 0", "1.3 1.3.0-rc"},
        {">1.2", "1.3 2", "1.2.9 1.2"},
        {"<1.2", "1.1.9", "1.2.0 1.2.0-rc"},
        {"<2.0.0-rc.2", "2.0.0-rc.1 1.9", "2.0.0-rc.2 2.0.0 1.9.0-rc.1"},
        {"1.x", "1 1.9.9", "2 0.9"},
        {"1.2.x", "1.2 1.2.9", "1.3"},
        {"1.X.X", "1.9", "2"},
        {"1.*", "1.9", "2"},
        {"1.2", "1.2 1.2.9", "1.3 1.2.0-rc"},
        {"*", "0 1.2.3 99", "1.2.3-rc"},
        {">=0.0.0-0", "0.0.0-0 0.0.0-rc 1", "1.0.0-rc"},
        {"^1.2.3", "1.2.3 1.99", "1.2.2 2 2.0.0-rc"},
        {"^0.2.3", "0.2.3 0.2.9", "0.3 1"},
        {"^0.0.3", "0.0.3", "0.0.4 0.1"},
        {"^1.2", "1.2 1.9", "1.1 2"},
        {"^0.0", "0.0.1", "0.1"},
        {"^0", "0.9", "1"},
        {"^0.0.x", "0.0.9", "0.1"},
        {"^1.x", "1.9", "2"},
        {"^1.2.3-beta.2", "1.2.3-beta.2 1.2.3-beta.4 1.2.3 1.3", "1.2.3-beta.1 1.2.4-beta.3 2"},
        {"~1.2.3", "1.2.3 1.2.9", "1.3 1.2.2"},
        {"~1.2", "1.2 1.2.9", "1.3"},
        {"~1", "1 1.9", "2"},
        {"~0.2.3", "0.2.9", "0.3"},
        {"1.2.3 - 2.3.4", "1.2.3 2.3.4 2.0", "1.2.2 2.3.5"},
        {"1.2 - 2.3", "1.2 2.3.9", "2.4 1.1"},
        {"1 - 2", "1 2.9", "3 0"},
        {"^1.2 || ^3", "1.2 3.1", "2 1.1 4"},
        {"1.2.3||1.2.5", "1.2.3 1.2.5", "1.2.4"},
        {"<1 || >=2 <3", "0.9 2.5", "1 3"},
        {">=22.04", "22.04 24.04 24.10", "20.04 jammy"},
        {"1.2.3-0", "1.2.3-0", "1.2.3 1.2.3-rc"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        struct version_range *range = version_range_parse(table[i].range, &err);
        assert_ok(range ? 0 : -1, &err);
        for (int in = 0; in < 2; in++) {
            _cleanup_free_ char *words = xstrdup(in ? table[i].in : table[i].out);
            char *rest = words;
            for (char *word; (word = strsep(&rest, " "));) {
                struct version v;
                bool has = version_parse(word, strlen(word), &v) && version_range_has(range, &v);
                if (has != (bool)in)
                    fail_msg("%s is %sin %s", word, has ? "" : "not ", table[i].range);
            }
        }
        version_range_free(range);
    }
}

static void test_range__bad(void **state)
{
    (void)state;
    static const struct {
        const char *range, *says;
    } table[] = {
        {"", "a version is missing; write one, as in \">=1.2 <2\""},
        {"  ", "a version is missing"},
        {">=", "a version is missing"},
        {"latest", "\"latest\": expected a version"},
        {"1.2.3.4", "\"1.2.3.4\": a version is three numbers at most"},
        {"1.x.3", "\"1.x.3\": a version is three numbers at most, x behind them"},
        {"1.2 ||", "a version is missing"},
        {"|| 1.2", "a version is missing"},
        {"1.2 | 1.3", "a version is missing"},
        {"1.2,", "a version is missing"},
        {",1.2", "a version is missing"},
        {"1.2-rc", "\"1.2-rc\": a prerelease needs all three numbers before it"},
        {">>1", "\">1\": expected a version"},
        {"=>1", "\">1\": expected a version"},
        {"~>1", "\">1\": expected a version"},
        {"1.2 -", "expected a version"},
        {"1.2.", "\"1.2.\": expected a version"},
        {"99999999999999999999", "expected a version"},
        {"1.2; rm", "\"1.2;\": expected a version"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        struct version_range *range = version_range_parse(table[i].range, &err);
        assert_fails(table[i].range, range ? 0 : -1, &err, ERROR_PARSE, table[i].says);
    }
    _cleanup_error_ struct error err = ERROR_INIT;
    char many[256] = "";
    for (size_t i = 0; i < 240; i += 3)
        memcpy(many + i, "<9 ", 3);
    assert_fails("many", version_range_parse(many, &err) ? 0 : -1, &err, ERROR_LIMIT,
                 "64 conditions");
    char longest[400];
    memset(longest, '1', sizeof longest - 1);
    longest[399] = '\0';
    assert_fails("long", version_range_parse(longest, &err) ? 0 : -1, &err, ERROR_LIMIT,
                 "256 char");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version__parse),
        cmocka_unit_test(test_version__order),
        cmocka_unit_test(test_range__table),
        cmocka_unit_test(test_range__bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

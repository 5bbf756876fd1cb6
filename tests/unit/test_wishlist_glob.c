/* wishlist/glob.h */
#include "check.h"

#include "base/clock.h"
#include "base/memory.h"
#include "wishlist/glob.h"

#include <string.h>

static void test_glob__table(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *tag;
        bool matches;
    } table[] = {
        {"latest", "latest", true},
        {"latest", "latest2", false},
        {"latest", "Latest", false},
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "anything-1.2_3", true},
        {"**", "a", true},
        {"1.*", "1.2", true},
        {"1.*", "1.", true},
        {"1.*", "1", false},
        {"1.*", "102", false}, /* a dot is a dot */
        {"*-slim", "3.11-slim", true},
        {"*-slim", "-slim", true},
        {"*-slim", "3.11-slim2", false}, /* anchored at the end */
        {"v*-slim", "3-v1-slim", false}, /* and at the beginning */
        {"ab*ba", "aba", false},         /* the two ends may not overlap */
        {"ab*ba", "abba", true},
        {"*a*b*", "xxaxxbxx", true},
        {"*a*b*", "xxbxxaxx", false},
        {"*ab*ab", "abab", true},
        {"*ab*ab", "ab", false},
        {"a*bc*c", "abcbc", true},
        {"?", "a", true},
        {"?", "", false},
        {"?", "ab", false},
        {"*?", "", false},
        {"*?x", "abx", true},
        {"[ab]", "b", true},
        {"[ab]", "[ab]", false},
        {"[ab]", "c", false},
        {"[!ab]", "c", true},
        {"[!ab]", "a", false},
        {"[!ab]", "!", true},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[!a-c]x", "dx", true},
        {"[-a]", "-", true}, /* a '-' at an end is one of the set */
        {"[a-]", "-", true},
        {"[a-]", "b", false},
        {"[]a]", "]", true}, /* a ']' at the beginning is one of the set */
        {"[]a]", "a", true},
        {"[a!]", "!", true},
        {"*[0-9]", "v1a2", true},
        {"*[0-9]", "v1a", false},
        {"[0-9]*[0-9]", "7", false},
        {"[ab", "[ab", false}, /* no glob */
        {"a+", "aa", false},
        {"\\*", "*", false},
        {"\\*", "\\x", true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (glob_match(table[i].pattern, table[i].tag) != table[i].matches)
            fail_msg("glob_match(\"%s\", \"%s\") is %s", table[i].pattern, table[i].tag,
                     table[i].matches ? "false" : "true");
}

static void test_glob__check(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        enum error_kind kind;
        const char *says;
    } table[] = {
        {"1.*", ERROR_NONE, NULL},
        {"latest", ERROR_NONE, NULL},
        {"[!a-c0-9_.-]?", ERROR_NONE, NULL},
        {"", ERROR_PARSE, "an empty glob"},
        {"[ab", ERROR_PARSE, "\"[ab\": a '[' has no ']' behind it"},
        {"[", ERROR_PARSE, "no ']'"},
        {"[!", ERROR_PARSE, "no ']'"},
        {"[]", ERROR_PARSE, "no ']'"},
        {"[!]", ERROR_PARSE, "no ']'"},
        {"[z-a]", ERROR_PARSE, "from the higher to the lower"},
        {"[^a]", ERROR_PARSE, "a set is negated with '!'"},
        {"[a/b]", ERROR_PARSE, "what no tag can"},
        {"a]", ERROR_PARSE, "no tag can match this"},
        {"a b", ERROR_PARSE, "no tag can match this"},
        {"{a,b}", ERROR_PARSE, "the signs are *, ? and [...]"},
        {"\\*", ERROR_PARSE, "no tag can match this"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        int rc = glob_check(table[i].pattern, &err);
        if (table[i].says)
            assert_fails(table[i].pattern, rc, &err, table[i].kind, table[i].says);
        else
            assert_ok(rc, &err);
    }
    char longest[300];
    memset(longest, '*', sizeof longest - 1);
    longest[299] = '\0';
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_fails("long", glob_check(longest, &err), &err, ERROR_LIMIT, "256 characters at most");
}

/* Takes years where each star is tried at every place. */
static void test_glob__hostile_pattern_is_fast(void **state)
{
    (void)state;
    char pattern[2001] = "", tag[4001] = "";
    for (size_t i = 0; i < 2000; i += 2)
        memcpy(pattern + i, "a*", 2);
    pattern[1999] = 'b';
    memset(tag, 'a', 4000);
    double start = clock_monotonic();
    for (int i = 0; i < 100; i++)
        assert_false(glob_match(pattern, tag));
    assert_true(clock_monotonic() - start < 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_glob__table),
        cmocka_unit_test(test_glob__check),
        cmocka_unit_test(test_glob__hostile_pattern_is_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

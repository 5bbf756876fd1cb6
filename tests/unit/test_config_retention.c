/* Which names may go: a table of what is known, and what must follow. */
#include "check.h"

#include "config/retention.h"

#define DAY ((int64_t)86400)
#define NOW (1000 * DAY)

static char *protected_names[] = {(char *)"*/keep/*", (char *)"reg.example/a/b:v1.?", NULL};

static const struct {
    const char *what;
    struct name_record record;
    struct retention policy;
    size_t newer;
    enum retention_verdict verdict;
} table[] = {
    {"somebody asks for it", {.unwanted_since = 0}, {.is_limited = true}, 9, RETAIN_WANTED},
    {"forever is the default", {.unwanted_since = 1}, {0}, 9, RETAIN_FOREVER},
    {"unwanted, no grace", {.unwanted_since = NOW}, {.is_limited = true}, 9, RETAIN_NOT},
    {"a day too early",
     {.unwanted_since = NOW - 29 * DAY},
     {.is_limited = true, .seconds = 30 * DAY},
     9,
     RETAIN_GRACE},
    {"a second too early",
     {.unwanted_since = NOW - 30 * DAY + 1},
     {.is_limited = true, .seconds = 30 * DAY},
     9,
     RETAIN_GRACE},
    {"over, but no known list ever asked for it",
     {.name = (char *)"unclaimed", .unwanted_since = 1},
     {.is_limited = true},
     9,
     RETAIN_UNCLAIMED},
    {"over",
     {.unwanted_since = NOW - 30 * DAY},
     {.is_limited = true, .seconds = 30 * DAY},
     9,
     RETAIN_NOT},
    {"a clock that jumped back: unwanted since tomorrow",
     {.unwanted_since = NOW + DAY},
     {.is_limited = true},
     9,
     RETAIN_WANTED},
    {"the last three, and this is the third",
     {.unwanted_since = 1},
     {.is_limited = true, .keep_last = 3},
     2,
     RETAIN_LATEST},
    {"the last three, and this is the fourth",
     {.unwanted_since = 1},
     {.is_limited = true, .keep_last = 3},
     3,
     RETAIN_NOT},
    {"protected by a glob",
     {.name = (char *)"reg.example/keep/x:1", .unwanted_since = 1},
     {.is_limited = true, .protect = protected_names},
     9,
     RETAIN_PROTECTED},
    {"protected by another",
     {.name = (char *)"reg.example/a/b:v1.2", .unwanted_since = 1},
     {.is_limited = true, .protect = protected_names},
     9,
     RETAIN_PROTECTED},
    {"not protected",
     {.name = (char *)"reg.example/a/b:v1.22", .unwanted_since = 1},
     {.is_limited = true, .protect = protected_names},
     9,
     RETAIN_NOT},
    {"suspended by all who ask for it",
     {.suspended = true, .gone_count = 5, .gone_first_at = 1, .gone_last_at = NOW},
     {.is_limited = true},
     9,
     RETAIN_SUSPENDED},
    {"gone: one answer",
     {.gone_count = 1, .gone_first_at = 1, .gone_last_at = 1},
     {.is_limited = true},
     9,
     RETAIN_WANTED},
    {"gone: two answers in one minute",
     {.gone_count = 2, .gone_first_at = NOW - 60, .gone_last_at = NOW},
     {.is_limited = true},
     9,
     RETAIN_WANTED},
    {"gone: many answers, less than a day between first and last",
     {.gone_count = 99, .gone_first_at = NOW - DAY + 1, .gone_last_at = NOW},
     {.is_limited = true},
     9,
     RETAIN_WANTED},
    {"gone: two answers, a day apart",
     {.gone_count = 2, .gone_first_at = NOW - DAY, .gone_last_at = NOW},
     {.is_limited = true},
     9,
     RETAIN_NOT},
    {"gone: the pause is configured",
     {.gone_count = 2, .gone_first_at = NOW - 60, .gone_last_at = NOW},
     {.is_limited = true, .gone_pause_seconds = 60},
     9,
     RETAIN_NOT},
    {"gone: the last answer is of tomorrow",
     {.gone_count = 2, .gone_first_at = NOW - DAY, .gone_last_at = NOW + 1},
     {.is_limited = true},
     9,
     RETAIN_WANTED},
    {"gone: the grace period counts from the first answer",
     {.gone_count = 3, .gone_first_at = NOW - 5 * DAY, .gone_last_at = NOW},
     {.is_limited = true, .seconds = 6 * DAY},
     9,
     RETAIN_GRACE},
    {"gone for long, and unwanted since just now",
     {.unwanted_since = NOW, .gone_count = 3, .gone_first_at = NOW - 9 * DAY, .gone_last_at = NOW},
     {.is_limited = true, .seconds = 6 * DAY},
     9,
     RETAIN_NOT},
    {"failures, timeouts, 401 and 403 are no answers",
     {.failure_kind = ERROR_AUTH, .attempts = 999, .failed_at = NOW},
     {.is_limited = true},
     9,
     RETAIN_WANTED},
};

static void test_retention__table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct name_record record = table[i].record;
        if (!record.name || strcmp(record.name, "unclaimed") != 0)
            record.asked_by = (char *)"a.yaml:1";
        if (!record.name)
            record.name = (char *)"reg.example/a/b:1";
        enum retention_verdict got =
            retention_judge(&record, &table[i].policy, table[i].newer, NOW);
        if (got != table[i].verdict)
            fail_msg("%s: %s, expected %s", table[i].what, retention_word(got),
                     retention_word(table[i].verdict));
    }
}

/* Of each image the last two stay, wanted or not; what was removed does not count, nor do names
 * that only begin alike. */
static void test_retention__keep_last(void **state)
{
    (void)state;
    struct name_record items[] = {
        {.name = (char *)"r.x/a:3", .published_at = 30, .unwanted_since = 1},
        {.name = (char *)"r.x/a:1", .published_at = 10, .unwanted_since = 1},
        {.name = (char *)"r.x/a:4", .published_at = 40},
        {.name = (char *)"r.x/a:2", .published_at = 20, .unwanted_since = 1},
        {.name = (char *)"r.x/a:5", .published_at = 50, .unwanted_since = 1, .removed_at = 2},
        {.name = (char *)"r.x/ab:1", .published_at = 1, .unwanted_since = 1},
        {.name = (char *)"r.x/a/b:1", .published_at = 1, .unwanted_since = 1},
    };
    static const enum retention_verdict expected[] = {RETAIN_LATEST, RETAIN_NOT,    RETAIN_WANTED,
                                                      RETAIN_NOT,    RETAIN_LATEST, RETAIN_LATEST,
                                                      RETAIN_LATEST};
    for (size_t i = 0; i < COUNT(items); i++)
        items[i].asked_by = (char *)"a.yaml:1";
    struct name_records records = {.items = items, .count = COUNT(items)};
    struct retention_rules policy = {.usual = {.is_limited = true, .keep_last = 2}};
    enum retention_verdict verdicts[COUNT(items)];
    retention_judge_all(&records, &policy, NOW, verdicts);
    for (size_t i = 0; i < COUNT(items); i++)
        if (verdicts[i] != expected[i])
            fail_msg("%s: %s, expected %s", items[i].name, retention_word(verdicts[i]),
                     retention_word(expected[i]));
}

static void test_retention__reasons(void **state)
{
    (void)state;
    struct retention policy = {0};
    struct name_record unwanted = {.asked_by = (char *)"a.yaml:1", .unwanted_since = DAY};
    struct name_record gone = {.gone_count = 2, .gone_first_at = DAY, .gone_last_at = 3 * DAY};
    _cleanup_free_ char *one = retention_reason(&unwanted, &policy, NOW);
    _cleanup_free_ char *two = retention_reason(&gone, &policy, NOW);
    assert_string_equal(one, "no list asks for it since 1970-01-02T00:00:00Z");
    assert_string_equal(two, "gone from its registry since 1970-01-02T00:00:00Z (2 answers, the "
                             "last at 1970-01-04T00:00:00Z)");
}

/* Which list asked decides; a list is named by its whole URL or the end of it. */
static void test_retention__of_lists(void **state)
{
    (void)state;
    struct list_retention lists[] = {{.list = (char *)"atlas.yaml"},
                                     {.list = (char *)"https://x.example/all/lhcb.yaml"}};
    struct retention_rules rules = {.lists = lists, .count = COUNT(lists)};
    static const struct {
        const char *asked_by;
        int list; /* -1: the usual */
    } cases[] = {{"/srv/atlas.yaml:12", 0},
                 {"atlas.yaml:12", 0},
                 {"git+https://h.example/r//atlas.yaml@main:3@0123abc", 0},
                 {"/srv/my-atlas.yaml:12", -1},
                 {"/srv/atlas.yaml.old:12", -1},
                 {"https://x.example/all/lhcb.yaml:1@\"etag\"", 1},
                 {"https://x.example/all/lhcb:1", -1},
                 {NULL, -1}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct name_record record = {.asked_by = (char *)cases[i].asked_by};
        const struct retention *expected =
            cases[i].list < 0 ? &rules.usual : &lists[cases[i].list].retention;
        if (retention_of(&rules, &record) != expected)
            fail_msg("%s", cases[i].asked_by ? cases[i].asked_by : "(nobody)");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retention__table),
        cmocka_unit_test(test_retention__keep_last),
        cmocka_unit_test(test_retention__reasons),
        cmocka_unit_test(test_retention__of_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* wishlist/selector.h. What each selector does stands in docs/recipe.md, whose tables are read
 * here; over large sets of tags fnmatch(), regexec() and sort -V are what it is compared with. */
#include "check.h"

#include "base/clock.h"
#include "wishlist/recipe.h"
#include "wishlist/selector.h"

#include <fnmatch.h>
#include <regex.h>

/* ---- entries of recipes ---- */

/* The one wish of an entry like "newest: 2, by: name". */
static struct selector *selector_of(const char *keys, struct recipe *recipe)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *text =
        xasprintf("version: 2\nrepository: a.b\nimages: [{image: quay.io/a/b, %s}]\n", keys);
    *recipe = (struct recipe)RECIPE_INIT;
    assert_ok(recipe_parse("t.yaml", text, strlen(text), recipe, &err), &err);
    if (recipe->wish_count != 1)
        fail_msg("%s: %s", keys, recipe->problems[0].message);
    return recipe->wishes[0].selector;
}

/* What is selected, blanks between; owned. */
static char *run(const char *keys, const char *const *tags, size_t count)
{
    _cleanup_recipe_ struct recipe recipe;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct selector *selector = selector_of(keys, &recipe);
    struct selector_input input = {.tags = tags, .count = count};
    struct buf out = BUF_INIT;
    const char **picked;
    size_t n;
    assert_ok(selector_run(selector, &input, &picked, &n, &err), &err);
    for (size_t i = 0; i < n; i++)
        buf_addf(&out, "%s%s", i ? " " : "", picked[i]);
    free(picked);
    return buf_take(&out);
}

struct words {
    char *text;
    const char *items[64];
    size_t count;
};

static void split_words(struct words *w, const char *text)
{
    *w = (struct words){.text = xstrdup(text)};
    char *rest = w->text;
    for (char *word; (word = strsep(&rest, " "));)
        if (*word)
            w->items[w->count++] = word;
}

static void expect(const char *keys, const char *tags, const char *expected)
{
    struct words w;
    split_words(&w, tags);
    _cleanup_free_ char *got = run(keys, w.items, w.count);
    if (strcmp(got, expected) != 0)
        fail_msg("{%s} of \"%s\": \"%s\", expected \"%s\"", keys, tags, got, expected);
    free(w.text);
}

/* ---- the tables of the documentation ---- */

struct row {
    char *cells[3]; /* what stands between `…`, blanks between; a bar is written \| there */
};

/* One cell of a table's row, up to the next bar that is none of its own. */
static const char *read_cell(const char *p, char **out)
{
    struct buf cell = BUF_INIT;
    bool code = false;
    for (; *p && *p != '\n' && *p != '|'; p++) {
        if (*p == '`') {
            code = !code;
            if (code && cell.len)
                buf_addc(&cell, ' ');
        } else if (code) {
            p += p[0] == '\\' && p[1] == '|';
            buf_addc(&cell, *p);
        }
    }
    *out = buf_take(&cell);
    return *p == '|' ? p + 1 : p;
}

static size_t read_table(const char *name, void (*check)(const struct row *row))
{
    const char *source = getenv("DUCC_SOURCE_DIR");
    _cleanup_free_ char *path = path_join(source ? source : ".", "docs/recipe.md");
    _cleanup_free_ char *mark = xasprintf("<!-- table: %s -->\n\n| ", name);
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    size_t rows = 0;
    assert_ok(file_read(path, 1 << 20, &text, &err), &err);
    const char *p = strstr(text.data, mark);
    assert_non_null(p);
    p = strstr(p, "|---");
    while ((p = strchr(p, '\n') + 1) && *p == '|') {
        struct row row;
        const char *cell = p + 1;
        for (size_t i = 0; i < 3; i++)
            cell = read_cell(cell, &row.cells[i]);
        check(&row);
        for (size_t i = 0; i < 3; i++)
            free(row.cells[i]);
        rows++;
    }
    return rows;
}

/* A row "selector | selected | not selected". */
static void check_row(const char *key, const struct row *row)
{
    _cleanup_free_ char *keys = xasprintf("%s: '%s'", key, row->cells[0]);
    for (int in = 0; in < 2; in++) {
        struct words tags;
        split_words(&tags, row->cells[in ? 1 : 2]);
        for (size_t i = 0; i < tags.count; i++)
            expect(keys, tags.items[i], in ? tags.items[i] : "");
        free(tags.text);
    }
}

static void check_glob_row(const struct row *row)
{
    check_row("glob", row);
    /* What is excluded is what would be selected. */
    _cleanup_free_ char *keys = xasprintf("exclude: '%s'", row->cells[0]);
    expect(keys, row->cells[1], "");
}

static void check_regex_row(const struct row *row)
{
    check_row("regex", row);
}

static void check_semver_row(const struct row *row)
{
    check_row("semver", row);
}

static void check_exclude_row(const struct row *row)
{
    bool list = row->cells[0][0] == '[';
    _cleanup_free_ char *keys =
        list ? xasprintf("exclude: %s", row->cells[0]) : xasprintf("exclude: '%s'", row->cells[0]);
    for (int in = 0; in < 2; in++) {
        struct words tags;
        split_words(&tags, row->cells[in ? 1 : 2]);
        for (size_t i = 0; i < tags.count; i++)
            expect(keys, tags.items[i], in ? tags.items[i] : "");
        free(tags.text);
    }
}

static void check_newest_row(const struct row *row)
{
    expect(row->cells[0], row->cells[1], row->cells[2]);
}

static void test_selector__tables_of_the_documentation(void **state)
{
    (void)state;
    assert_true(read_table("glob", check_glob_row) >= 8);
    assert_true(read_table("exclude", check_exclude_row) >= 4);
    assert_true(read_table("regex", check_regex_row) >= 5);
    assert_true(read_table("semver", check_semver_row) >= 10);
    assert_true(read_table("newest", check_newest_row) >= 8);
}

/* ---- together ---- */

static void test_selector__all_must_pass(void **state)
{
    (void)state;
    static const char tags[] = "1.0 1.1 1.1-rc1 1.2 1.2-slim 2.0 latest v1.3";
    expect("glob: ['1.*', 'v*']", tags, "1.0 1.1 1.1-rc1 1.2 1.2-slim v1.3");
    expect("glob: ['1.*', 'v*'], exclude: ['*-*']", tags, "1.0 1.1 1.2 v1.3");
    expect("glob: '1.*', semver: '>=1.1'", tags, "1.1 1.2");
    expect("regex: '([0-9.]+)-slim', semver: '>=1.1'", tags, "1.2-slim");
    expect("semver: '>=1.1', newest: 2", tags, "2.0 v1.3");
    expect("exclude: '*'", tags, "");
    expect("newest: 100", tags, "2.0 v1.3 1.2 1.2-slim 1.1 1.1-rc1 1.0");
    expect("newest: 1", "latest edge", "");
    expect("glob: '*'", "a a b a", "a b"); /* a list may repeat itself */
    expect("newest: 2, by: name", "a a", "a");
    expect("newest: 3, by: name", "v2 v10 V3 v02 v1", "v10 v2 v02");
}

/* ---- time ---- */

struct clock_of_tags {
    size_t calls, asked;
    bool fails;
};

/* The image of "dN" was made N days before now (10,000 days); "gone" is gone; others do not say. */
static int created(void *arg, struct tag_time *tags, size_t count, struct error *err)
{
    struct clock_of_tags *c = arg;
    c->calls++;
    c->asked += count;
    for (size_t i = 0; i < count; i++) {
        const char *day = strrchr(tags[i].tag, 'd');
        if (strcmp(tags[i].tag, "gone") == 0)
            tags[i].gone = true;
        else if (day && day[1])
            tags[i].created = (int64_t)(10000 - atoi(day + 1)) * 86400;
    }
    return c->fails ? error_set(err, ERROR_NET, "registry is away") : 0;
}

static void expect_by_time(const char *keys, const char *tags, const char *expected, size_t asked)
{
    _cleanup_recipe_ struct recipe recipe;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct clock_of_tags clock = {0};
    struct words w;
    _cleanup_buf_ struct buf got = BUF_INIT;
    const char **picked;
    size_t n;
    split_words(&w, tags);
    struct selector *s = selector_of(keys, &recipe);
    assert_true(selector_needs_created(s));
    struct selector_input input = {w.items, w.count, (int64_t)10000 * 86400, created, &clock};
    assert_ok(selector_run(s, &input, &picked, &n, &err), &err);
    for (size_t i = 0; i < n; i++)
        buf_addf(&got, "%s%s", i ? " " : "", picked[i]);
    if (strcmp(got.data, expected) != 0 || clock.asked != asked)
        fail_msg("{%s}: \"%s\" with %zu asked, expected \"%s\" with %zu", keys, got.data,
                 clock.asked, expected, asked);
    free(picked);
    free(w.text);
}

/* "3d-build" was made three days before now, "unknown" does not say. */
static int created_by_age(void *arg, struct tag_time *tags, size_t count, struct error *err)
{
    (void)arg;
    (void)err;
    for (size_t i = 0; i < count; i++)
        if (strcmp(tags[i].tag, "unknown") != 0)
            tags[i].created = (int64_t)(10000 - atoi(tags[i].tag)) * 86400;
    return 0;
}

static void check_time_row(const struct row *row)
{
    _cleanup_recipe_ struct recipe recipe;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf got = BUF_INIT;
    struct words tags;
    const char **picked;
    size_t n;
    split_words(&tags, row->cells[1]);
    struct selector *s = selector_of(row->cells[0], &recipe);
    struct selector_input input = {tags.items, tags.count, (int64_t)10000 * 86400, created_by_age,
                                   NULL};
    assert_ok(selector_run(s, &input, &picked, &n, &err), &err);
    for (size_t i = 0; i < n; i++)
        buf_addf(&got, "%s%s", i ? " " : "", picked[i]);
    if (strcmp(got.data, row->cells[2]) != 0)
        fail_msg("{%s} of \"%s\": \"%s\", expected \"%s\"", row->cells[0], row->cells[1], got.data,
                 row->cells[2]);
    free(picked);
    free(tags.text);
}

static void test_selector__table_of_times(void **state)
{
    (void)state;
    assert_true(read_table("time", check_time_row) >= 7);
}

static void test_selector__time(void **state)
{
    (void)state;
    static const char tags[] = "d5 d90 d91 d1 gone unknown d89";
    expect_by_time("newer_than: 90d", tags, "d1 d5 d89 d90", 7);
    expect_by_time("newest: 2, by: created", tags, "d1 d5", 7);
    expect_by_time("newest: 9, by: created", tags, "d1 d5 d89 d90 d91 unknown", 7);
    expect_by_time("newest: 9, by: created, newer_than: 1w", tags, "d1 d5", 7);
    expect_by_time("newest: 2, by: created, glob: 'd?'", tags, "d1 d5", 2);
    /* By version: as few are asked for as will do. */
    static const char versions[] = "5-d9 4-d1 3-d2 2-d1 1-d1";
    expect_by_time("newest: 2, newer_than: 3d", versions, "4-d1 3-d2", 3);
    expect_by_time("newest: 1, newer_than: 3d", versions, "4-d1", 2);
    expect_by_time("newest: 9, newer_than: 3d", versions, "4-d1 3-d2 2-d1 1-d1", 5);
}

static void test_selector__time_that_cannot_be_found_out(void **state)
{
    (void)state;
    static const char *const tags[] = {"d1", "d2"};
    _cleanup_recipe_ struct recipe recipe;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct clock_of_tags clock = {.fails = true};
    const char **picked;
    size_t n;
    struct selector *s = selector_of("newest: 1, by: created", &recipe);
    struct selector_input input = {tags, 2, 0, created, &clock};
    assert_fails("created", selector_run(s, &input, &picked, &n, &err), &err, ERROR_NET, "is away");
}

/* ---- strangers ---- */

static void test_selector__hostile_regex(void **state)
{
    (void)state;
    static const char *const patterns[] = {"(a+)+",
                                           "(a|a)*b",
                                           "(a|aa)+b",
                                           "(.*)*b",
                                           "(a*)*(a*)*b",
                                           "(?:(?:a+)+)+b",
                                           "((((((a*)*)*)*)*)*)*b"};
    char tag[129];
    memset(tag, 'a', 127);
    tag[127] = '_';
    tag[128] = '\0';
    const char *tags[] = {tag};
    double start = clock_monotonic();
    for (size_t i = 0; i < COUNT(patterns); i++) {
        struct selector s = {.regex = (char *)patterns[i]};
        struct selector_input input = {tags, 1, 0, NULL, NULL};
        const char **picked = NULL;
        size_t n = 0;
        _cleanup_error_ struct error err = ERROR_INIT;
        if (selector_run(&s, &input, &picked, &n, &err) == 0)
            assert_int_equal(n, 0); /* PCRE2 sees for itself that none can match */
        else
            assert_fails(patterns[i], -1, &err, ERROR_LIMIT,
                         "key \"regex\": takes too many steps on the tag \"aaa");
        free(picked);
    }
    assert_true(clock_monotonic() - start < 2);
    struct selector s = {.regex = (char *)"(a+)+"};
    struct selector_input input = {tags, 1, 0, NULL, NULL};
    const char **picked;
    size_t n;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_int_equal(selector_run(&s, &input, &picked, &n, &err), -1);
    assert_int_equal(err.kind, ERROR_LIMIT);
}

static void test_selector__check(void **state)
{
    (void)state;
    char *bad_glob = (char *)"[b", *bad_exclude = (char *)"a b";
    const struct {
        struct selector selector;
        enum error_kind kind;
        const char *says;
    } table[] = {
        {{.regex = (char *)"("},
         ERROR_PARSE,
         "key \"regex\": \"(\": not a regular expression at character 2: missing closing"},
        {{.regex = (char *)"a\\C"}, ERROR_PARSE, "not a regular expression at character"},
        {{.regex = (char *)"(a{1,60000}){60000}"}, ERROR_PARSE, "too large"},
        {{.regex =
              (char *)"(((((((((((((((((((((((((((((((((((a)))))))))))))))))))))))))))))))))))"},
         ERROR_PARSE,
         "too deeply nested"},
        {{.regex = (char *)"(*UTF)a"}, ERROR_PARSE, "not a regular expression"},
        {{.semver = (char *)"1.2.3.4"}, ERROR_PARSE, "key \"semver\": \"1.2.3.4\""},
        {{.globs = {&bad_glob, 1}}, ERROR_PARSE, "key \"glob\": \"[b\""},
        {{.exclude = {&bad_exclude, 1}}, ERROR_PARSE, "key \"exclude\": \"a b\""},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        assert_fails(table[i].says, selector_check(&table[i].selector, &err), &err, table[i].kind,
                     table[i].says);
    }
}

/* ---- sets as registries have them ---- */

struct tags {
    char **items;
    size_t count, capacity;
};

static void add_tag(struct tags *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add_tag(struct tags *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ARRAY_GROW(t->items, t->count, t->capacity);
    t->items[t->count++] = xvasprintf(fmt, ap);
    va_end(ap);
}

static void release_tags(struct tags *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->items[i]);
    free(t->items);
}

/* Like docker.io/library/debian's: releases by name and number, dated snapshots, slim ones. */
static void add_debian(struct tags *t)
{
    static const char *const names[] = {"buster", "bullseye", "bookworm", "trixie",      "sid",
                                        "stable", "testing",  "unstable", "experimental"};
    for (size_t n = 0; n < COUNT(names); n++) {
        add_tag(t, "%s", names[n]);
        add_tag(t, "%s-slim", names[n]);
        add_tag(t, "%s-backports", names[n]);
        for (int day = 0; day < 200; day++) {
            add_tag(t, "%s-%d%02d%02d", names[n], 2018 + day / 24, 1 + day / 2 % 12,
                    1 + day * 13 % 28);
            add_tag(t, "%s-%d%02d%02d-slim", names[n], 2018 + day / 24, 1 + day / 2 % 12,
                    1 + day * 13 % 28);
        }
    }
    for (int release = 9; release <= 12; release++)
        for (int point = 0; point < 14; point++) {
            add_tag(t, "%d.%d", release, point);
            add_tag(t, "%d.%d-slim", release, point);
        }
}

/* Like the nightly and release images of an experiment. */
static void add_experiment(struct tags *t)
{
    for (int series = 21; series <= 25; series++)
        for (int patch = 0; patch < 120; patch++) {
            add_tag(t, "%d.0.%d", series, patch);
            add_tag(t, "%d.0.%d_100.0.%d", series, patch, patch % 5);
            add_tag(t, "v%d.0.%d-rc.%d", series, patch, patch % 12);
        }
    for (int night = 0; night < 700; night++)
        add_tag(t, "main_2024-%02d-%02dT%02d%02d", 1 + night / 60, 1 + night % 28, night % 24,
                night % 60);
    for (int build = 0; build < 1200; build++)
        add_tag(t, "build-%d", build * 7);
}

static struct tags real_tags(void)
{
    struct tags t = {0};
    add_debian(&t);
    add_experiment(&t);
    return t;
}

static bool contains(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *p = words; (p = strstr(p, word)); p += len)
        if ((p == words || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
            return true;
    return false;
}

static void test_selector__globs_are_those_of_fnmatch(void **state)
{
    (void)state;
    static const char *const globs[] = {
        "*",           "*-slim",        "bookworm*",     "*[!0-9]",
        "1[12].*",     "*-20[12]?????", "v*-rc.[0-5]",   "main_2024-?[0-9]-*T0*",
        "build-*[05]", "*.0.1?_*",      "[a-m]*-*-slim", "?",
        "??.?",        "*_*_*",         "[!a-z]*"};
    struct tags tags = real_tags();
    assert_true(tags.count > 6000);
    for (size_t i = 0; i < COUNT(globs); i++) {
        _cleanup_free_ char *keys = xasprintf("glob: '%s'", globs[i]);
        _cleanup_free_ char *got = run(keys, (const char *const *)tags.items, tags.count);
        size_t words = *got ? 1 : 0, matching = 0;
        for (const char *p = got; (p = strchr(p, ' ')); p++)
            words++;
        struct tags once = {0};
        for (size_t k = 0; k < tags.count; k++) {
            if (fnmatch(globs[i], tags.items[k], FNM_NOESCAPE) != 0)
                continue;
            bool again = false;
            for (size_t j = 0; j < once.count && !again; j++)
                again = strcmp(once.items[j], tags.items[k]) == 0;
            if (again)
                continue;
            add_tag(&once, "%s", tags.items[k]);
            matching++;
        }
        if (words != matching)
            fail_msg("%s: %zu tags, fnmatch says %zu", globs[i], words, matching);
        for (size_t k = 0; k < once.count; k += 37)
            assert_true(contains(got, once.items[k]));
        release_tags(&once);
    }
    release_tags(&tags);
}

static void test_selector__regexes_are_those_of_regexec(void **state)
{
    (void)state;
    static const char *const patterns[] = {"[0-9]+\\.[0-9]+",
                                           "(bullseye|bookworm)-[0-9]{8}(-slim)?",
                                           "v2[135]\\.0\\.[0-9]+-rc\\.1[01]?",
                                           "main_2024-(0[1-9]|1[0-2])-[0-9]{2}T.*",
                                           "build-[0-9]*4",
                                           ".*",
                                           "[^-]*"};
    struct tags tags = real_tags();
    for (size_t i = 0; i < COUNT(patterns); i++) {
        regex_t regex;
        _cleanup_free_ char *anchored = xasprintf("^(%s)$", patterns[i]);
        struct selector s = {.regex = (char *)patterns[i]};
        assert_int_equal(regcomp(&regex, anchored, REG_EXTENDED | REG_NOSUB), 0);
        for (size_t k = 0; k < tags.count; k += 3) {
            struct selector_input input = {(const char *const *)&tags.items[k], 1, 0, NULL, NULL};
            _cleanup_error_ struct error err = ERROR_INIT;
            const char **picked;
            size_t n;
            assert_ok(selector_run(&s, &input, &picked, &n, &err), &err);
            free(picked);
            if ((n == 1) != (regexec(&regex, tags.items[k], 0, NULL, 0) == 0))
                fail_msg("%s, %s", patterns[i], tags.items[k]);
        }
        regfree(&regex);
    }
    release_tags(&tags);
}

/* sort -V knows the same order of names that hold numbers (where signs do not decide). */
static void test_selector__by_name_is_the_order_of_sort(void **state)
{
    (void)state;
    static const char *const groups[] = {"build-*", "main_*", "bookworm-20*[0-9]"};
    struct tags tags = real_tags();
    for (size_t i = 0; i < COUNT(groups); i++) {
        _cleanup_free_ char *keys = xasprintf("glob: '%s', newest: 100000, by: name", groups[i]);
        _cleanup_free_ char *got = run(keys, (const char *const *)tags.items, tags.count);
        _cleanup_free_ char *path = in_scratch("names");
        _cleanup_buf_ struct buf sorted = BUF_INIT;
        for (char *p = got; *p; p++)
            *p = *p == ' ' ? '\n' : *p;
        write_file(path, got, strlen(got));
        run_program((const char *const[]){"sort", "-rV", path, NULL}, &sorted);
        buf_truncate(&sorted, sorted.len - 1);
        assert_same_text(groups[i], got, sorted.data);
    }
    release_tags(&tags);
}

static void test_selector__versions_of_real_sets(void **state)
{
    (void)state;
    struct tags tags = real_tags();
    static const struct {
        const char *keys, *expected;
    } table[] = {
        {"newest: 3, glob: '[0-9]*.[0-9]*'", "25.0.119 25.0.118 25.0.117"},
        {"newest: 2, semver: '<13'", "12.13 12.12"},
        {"newest: 2, semver: '^11 || ^9'", "11.13 11.12"},
        {"newest: 2, regex: '([0-9.]+)-slim'", "12.13-slim 12.12-slim"},
        {"newest: 2, glob: 'v23.*'", "v23.0.119-rc.11 v23.0.118-rc.10"},
        {"newest: 1, regex: 'bookworm-([0-9]{8})-slim', by: name", "bookworm-20260427-slim"},
        {"semver: '~12.1 || 9.x <9.2'", "12.1 9.0 9.1"},
        {"newest: 2, regex: 'build-([0-9]+)'", "build-8393 build-8386"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_free_ char *got = run(table[i].keys, (const char *const *)tags.items, tags.count);
        if (strcmp(got, table[i].expected) != 0)
            fail_msg("{%s}: \"%.200s\", expected \"%s\"", table[i].keys, got, table[i].expected);
    }
    release_tags(&tags);
}

/* As many tags as are accepted, with selectors of the largest size. */
static void test_selector__a_hundred_thousand_tags(void **state)
{
    (void)state;
    struct tags tags = {0};
    for (int i = 0; i < 100000; i++)
        add_tag(&tags, "%d.%d.%d-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                i % 7, i % 100, i);
    double start = clock_monotonic();
    _cleanup_free_ char *got =
        run("glob: ['*a*a*a*a*b', '*1*a*a*a'], exclude: '*b*a*a*a*a*', regex: '([0-9.]+)-a*', "
            "semver: '>=3 <6.50 || 1.99', newest: 2",
            (const char *const *)tags.items, tags.count);
    assert_true(clock_monotonic() - start < 20);
    assert_true(starts_with(got, "5.99.") || starts_with(got, "6.49."));
    release_tags(&tags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selector__tables_of_the_documentation),
        cmocka_unit_test(test_selector__all_must_pass),
        cmocka_unit_test(test_selector__table_of_times),
        cmocka_unit_test(test_selector__time),
        cmocka_unit_test(test_selector__time_that_cannot_be_found_out),
        cmocka_unit_test(test_selector__hostile_regex),
        cmocka_unit_test(test_selector__check),
        cmocka_unit_test(test_selector__globs_are_those_of_fnmatch),
        cmocka_unit_test(test_selector__regexes_are_those_of_regexec),
        cmocka_unit_test(test_selector__by_name_is_the_order_of_sort),
        cmocka_unit_test(test_selector__versions_of_real_sets),
        cmocka_unit_test(test_selector__a_hundred_thousand_tags),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

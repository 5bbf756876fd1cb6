/* wishlist/recipe.h, document.h, repository.h. Whole files stand in tests/data/recipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "wishlist/recipe.h"
#include "wishlist/repository.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#define HEAD "version: 1\ncvmfs_repo: a.cern.ch\ninput:\n"

static const char *source_dir(void)
{
    const char *dir = getenv("DUCC_SOURCE_DIR");
    return dir ? dir : ".";
}

/* The rest of the line that begins with `mark`, owned; NULL if there is none. */
static char *marked_line(const struct buf *text, const char *mark)
{
    const char *p = text->data;
    while (p && !starts_with(p, mark))
        p = (p = strchr(p, '\n')) ? p + 1 : NULL;
    return p ? xstrndup(p + strlen(mark), strcspn(p + strlen(mark), "\r\n")) : NULL;
}

static void check_bad(const char *path, const struct buf *text)
{
    _cleanup_free_ char *expect = marked_line(text, "# expect: ");
    _cleanup_free_ char *kind = marked_line(text, "# kind: ");
    _cleanup_error_ struct error err = ERROR_INIT;
    struct recipe recipe = RECIPE_INIT;
    if (!expect)
        fail_msg("%s: no \"# expect: \" line", path);
    if (recipe_read(path, &recipe, &err) == 0)
        fail_msg("%s: accepted", path);
    /* Of another file: @FILE:LINE:COLUMN. */
    _cleanup_free_ char *folder = path_parent(path);
    _cleanup_free_ char *full =
        expect[0] == '@' ? path_join(folder, expect + 1) : xasprintf("%s:%s", path, expect);
    if (!starts_with(err.message, full))
        fail_msg("expected: %s\n     got: %s", full, err.message);
    assert_string_equal(error_kind_name(err.kind), kind ? kind : "parse");
    assert_int_equal(recipe.file_count, 0); /* written on success only */
}

static void check_good(const char *path, const struct buf *text)
{
    _cleanup_free_ char *count = marked_line(text, "# count: ");
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_recipe_ struct recipe recipe = RECIPE_INIT;
    if (recipe_read(path, &recipe, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(recipe_error_count(&recipe), 0);
    assert_int_equal(recipe.wish_count, count ? atoi(count) : -1);
}

/* One wrong entry beside a good one. */
static void check_entry(const char *path, const struct buf *text)
{
    _cleanup_free_ char *expect = marked_line(text, "# entry: ");
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_recipe_ struct recipe recipe = RECIPE_INIT;
    assert_non_null(expect);
    if (recipe_read(path, &recipe, &err) < 0)
        fail_msg("%s", err.message);
    if (recipe.problem_count != 1 || recipe.wish_count != 1)
        fail_msg("%s: %zu problems, %zu wishes", path, recipe.problem_count, recipe.wish_count);
    assert_string_equal(recipe.wishes[0].text, "quay.io/a/good:1");
    assert_int_equal(recipe_error_count(&recipe), 1);
    _cleanup_free_ char *full = xasprintf("%s:%s", path, expect);
    _cleanup_free_ char *got = recipe_problem_text(&recipe, &recipe.problems[0]);
    if (!starts_with(got, full))
        fail_msg("expected: %s\n     got: %s", full, got);
}

static size_t check_files(const char *prefix, void (*check)(const char *, const struct buf *))
{
    _cleanup_free_ char *dir = path_join(source_dir(), "tests/data/recipe");
    DIR *d = opendir(dir);
    assert_non_null(d);
    size_t seen = 0;
    struct dirent *e;
    while ((e = readdir(d))) {
        if (!starts_with(e->d_name, prefix) || !ends_with(e->d_name, ".yaml"))
            continue;
        _cleanup_free_ char *path = path_join(dir, e->d_name);
        _cleanup_buf_ struct buf text = BUF_INIT;
        _cleanup_error_ struct error err = ERROR_INIT;
        assert_int_equal(file_read(path, 1 << 20, &text, &err), 0);
        check(path, &text);
        seen++;
    }
    closedir(d);
    return seen;
}

static void test_recipe__bad_files_name_place_and_reason(void **state)
{
    (void)state;
    assert_true(check_files("bad-", check_bad) >= 70);
}

static void test_recipe__bad_entries_name_place_and_reason(void **state)
{
    (void)state;
    assert_true(check_files("entry-", check_entry) >= 25);
}

static void test_recipe__good_files(void **state)
{
    (void)state;
    assert_true(check_files("good-", check_good) >= 9);
}

static struct recipe parse(const char *text)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct recipe recipe = RECIPE_INIT;
    if (recipe_parse("r.yaml", text, strlen(text), &recipe, &err) < 0)
        fail_msg("%s", err.message);
    return recipe;
}

static void test_recipe__fields(void **state)
{
    (void)state;
    _cleanup_recipe_ struct recipe r =
        parse("output_format: x\nuser: me\n" HEAD "  - https://quay.io/a/b:1\n"
              "  -   'http://localhost:5000/c/d:v*'\n");
    assert_string_equal(r.files[0].path, "r.yaml");
    assert_string_equal(r.lists[0].user, "me");
    assert_string_equal(r.lists[0].output_format, "x");
    assert_string_equal(r.lists[0].repository, "a.cern.ch");
    assert_int_equal(r.wish_count, 2);
    assert_int_equal(r.problem_count, 0);
    assert_string_equal(r.wishes[0].text, "https://quay.io/a/b:1");
    assert_string_equal(r.wishes[0].ref.registry, "quay.io");
    assert_null(r.wishes[0].selector);
    assert_false(r.wishes[0].ref.plain_http);
    assert_non_null(r.wishes[1].selector);
    assert_string_equal(r.wishes[1].selector->globs.items[0], "v*");
    assert_true(r.wishes[1].ref.plain_http);
    assert_string_equal(r.wishes[1].ref.tag, "v*");
    assert_int_equal(r.wishes[1].line, 7);
    assert_int_equal(r.wishes[1].column, 7);
}

static void test_recipe__missing_scheme_means_https(void **state)
{
    (void)state;
    _cleanup_recipe_ struct recipe r = parse(HEAD "  - quay.io/a/b:1\n");
    assert_int_equal(r.wish_count, 1);
    assert_false(r.wishes[0].ref.plain_http);
}

/* One bad entry between two good ones: exactly one problem, exactly two wishes. */
static void test_recipe__bad_entry_keeps_the_others(void **state)
{
    (void)state;
    static const struct {
        const char *entry, *message;
    } table[] = {
        {"ubuntu", "ubuntu"},
        {"'quay.io/a b:1'", "a b"},
        {"quay.io/a/*:1", "quay.io/a/*:1"},
        {"", "an entry is empty; write REGISTRY/REPOSITORY:TAG or remove it"},
        {"''", "an entry is empty"},
        {"[quay.io/a/b:1]", "an entry must be a text, REGISTRY/REPOSITORY:TAG, not a list"},
        {"image: quay.io/a/b", "an entry must be a text, REGISTRY/REPOSITORY:TAG, not a mapping "
                               "(entries with selectors need version: 2)"},
        {"quay.io/a/b@sha256:12", "12"},
        {"17", "17"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_free_ char *text = xasprintf(
            HEAD "  - quay.io/good/one:1\n  - %s\n  - quay.io/good/two:1\n", table[i].entry);
        _cleanup_recipe_ struct recipe r = parse(text);
        assert_int_equal(r.wish_count, 2);
        assert_string_equal(r.wishes[1].ref.repository, "good/two");
        assert_int_equal(r.problem_count, 1);
        assert_int_equal(r.problems[0].severity, PROBLEM_ERROR);
        assert_int_equal(r.problems[0].line, 5);
        assert_int_equal(recipe_error_count(&r), 1);
        if (!strstr(r.problems[0].message, table[i].message))
            fail_msg("expected: %s\n     got: %s", table[i].message, r.problems[0].message);
        _cleanup_free_ char *full = recipe_problem_text(&r, &r.problems[0]);
        assert_true(starts_with(full, "r.yaml:5:"));
    }
}

static void test_recipe__duplicate_entry_is_a_warning(void **state)
{
    (void)state;
    _cleanup_recipe_ struct recipe r = parse(HEAD "  - https://quay.io/a/b:1\n"
                                                  "  - https://quay.io/a/b:2\n"
                                                  "  - https://quay.io/a/b:1\n"
                                                  "  - quay.io/a/b:2\n");
    assert_int_equal(r.wish_count, 2);
    assert_int_equal(r.problem_count, 2);
    assert_int_equal(recipe_error_count(&r), 0);
    assert_int_equal(r.problems[0].severity, PROBLEM_WARNING);
    assert_int_equal(r.problems[0].line, 6);
    assert_string_equal(r.problems[0].message,
                        "quay.io/a/b:1 is wished for a second time; line 4 has it already");
    assert_string_equal(
        r.problems[1].message,
        "quay.io/a/b:2 is wished for a second time; line 5 has it already in another spelling");
}

/* What no text file can hold, or what is too large for one. */
static void expect_error(const char *bytes, size_t len, enum error_kind kind, const char *message)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct recipe recipe = RECIPE_INIT;
    assert_int_equal(recipe_parse("r", bytes, len, &recipe, &err), -1);
    assert_string_equal(error_kind_name(err.kind), error_kind_name(kind));
    if (!starts_with(err.message, message))
        fail_msg("expected: %s\n     got: %s", message, err.message);
}

static void test_recipe__strange_bytes(void **state)
{
    (void)state;
    expect_error("", 0, ERROR_PARSE, "r:1:1: the file is empty");
    expect_error("\xff\xfeV\0", 4, ERROR_PARSE, "r:1:1: not valid UTF-8 text");
    expect_error("version: 1\0\n", 12, ERROR_PARSE, "r:1:11: not valid UTF-8 text");
    expect_error("a:\n\"", 4, ERROR_PARSE, "r:2:2: not valid YAML: found unexpected end");
}

static void test_recipe__limits(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT;
    while (b.len <= LIMIT_RECIPE_BYTES)
        buf_adds(&b, "# nothing but comments\n");
    expect_error(b.data, b.len, ERROR_LIMIT, "r:1:1: larger than the 4194304 bytes");

    buf_truncate(&b, 0);
    buf_adds(&b, HEAD);
    for (size_t i = 0; i <= LIMIT_RECIPE_ENTRIES; i++)
        buf_addf(&b, "- l:1/r:%zu\n", i);
    expect_error(b.data, b.len, ERROR_LIMIT, "r:4:1: key \"input\": 100001 entries, more than");

    buf_truncate(&b, 0);
    for (size_t i = 0; i < 300; i++)
        buf_addf(&b, "k%zu: v\n", i);
    expect_error(b.data, b.len, ERROR_LIMIT, "r:257:1: too many keys in one mapping");

    buf_truncate(&b, 0);
    buf_adds(&b, "[");
    for (size_t i = 0; i < 900000; i++)
        buf_adds(&b, "1, ");
    expect_error(b.data, b.len, ERROR_LIMIT, "r:1:2399999: too many values in one file");
}

/* Nothing in the reader or in libyaml may take longer than in proportion to the size. */
static void test_recipe__hostile_nesting_is_fast(void **state)
{
    (void)state;
    static const char *const parts[] = {"[", "{", "- ", "? ", "{a: ", "a: &b ", "'", "\n "};
    double start = clock_monotonic();
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        _cleanup_buf_ struct buf b = BUF_INIT;
        while (b.len < 1 << 20)
            buf_adds(&b, parts[i]);
        expect_error(b.data, b.len, i < 5 ? ERROR_LIMIT : ERROR_PARSE, "r:");
    }
    assert_true(clock_monotonic() - start < 20);
}

static void test_recipe__missing_file(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct recipe recipe = RECIPE_INIT;
    assert_int_equal(recipe_read("/nonexistent/recipe.yaml", &recipe, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

/* The public list of CERN, where a copy lies beside the source. */
static void test_recipe__real_list(void **state)
{
    (void)state;
    const char *shared = getenv("DUCC_SHARED");
    _cleanup_free_ char *beside = path_join(source_dir(), "../shared");
    _cleanup_free_ char *path = path_join(shared ? shared : beside, "recipe-images-unpacked.yaml");
    if (access(path, R_OK) < 0) {
        print_message("%s is not there: not checked\n", path);
        return;
    }
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_recipe_ struct recipe r = RECIPE_INIT;
    if (recipe_read(path, &r, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(r.lists[0].user, "cvmfsunpacker");
    assert_string_equal(r.lists[0].repository, "unpacked.cern.ch");
    assert_int_equal(r.wish_count, 46);
    size_t patterns = 0;
    for (size_t i = 0; i < r.wish_count; i++)
        patterns += r.wishes[i].selector != NULL;
    assert_int_equal(patterns, 1);
    assert_int_equal(r.problem_count, 1);
    assert_int_equal(r.problems[0].severity, PROBLEM_WARNING);
    assert_int_equal(r.problems[0].line, 22);
}

static void test_repository__table(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid, directory;
    } table[] = {
        {"unpacked.cern.ch", true, false},
        {"test", true, false},
        {"/srv/x", true, true},
        {"./out", true, true},
        {"..", true, true},
        {"", false, false},
        {"a/b", false, false},
        {"-x", false, false},
        {"a b", false, false},
        {"a\nb", false, false},
        {"a;b", false, false},
        {"/cvmfs/a.b", false, true},
        {"$(x)", false, false},
        {"a:b", false, false},
        {"a\xc3\xb6", false, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        int result = repository_check(table[i].text, &err);
        if ((result == 0) != table[i].valid)
            fail_msg("\"%s\": %s", table[i].text, err.message ? err.message : "accepted");
        assert_int_equal(err.kind, table[i].valid ? ERROR_NONE : ERROR_PARSE);
        assert_int_equal(repository_is_directory(table[i].text), table[i].directory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipe__bad_files_name_place_and_reason),
        cmocka_unit_test(test_recipe__bad_entries_name_place_and_reason),
        cmocka_unit_test(test_recipe__good_files),
        cmocka_unit_test(test_recipe__fields),
        cmocka_unit_test(test_recipe__missing_scheme_means_https),
        cmocka_unit_test(test_recipe__bad_entry_keeps_the_others),
        cmocka_unit_test(test_recipe__duplicate_entry_is_a_warning),
        cmocka_unit_test(test_recipe__strange_bytes),
        cmocka_unit_test(test_recipe__limits),
        cmocka_unit_test(test_recipe__hostile_nesting_is_fast),
        cmocka_unit_test(test_recipe__missing_file),
        cmocka_unit_test(test_recipe__real_list),
        cmocka_unit_test(test_repository__table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* wishlist/lint.h */
#include "check.h"

#include "wishlist/glob.h"
#include "wishlist/lint.h"

#define V1 "version: 1\ncvmfs_repo: r.example.org\ninput:\n"
#define V2 "version: 2\nrepository: r.example.org\nimages:\n"

static void parse(const char *text, struct recipe *out)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(recipe_parse("r.yaml", text, strlen(text), out, &err), &err);
}

/* "LINE:RULE …" of all findings. Owned. */
static char *found(const char *text, const char *before_text, const struct site *site)
{
    _cleanup_recipe_ struct recipe recipe = RECIPE_INIT, before = RECIPE_INIT;
    _cleanup_lint_ struct lint lint = {0};
    struct lint_fresh fresh;
    struct buf out = BUF_INIT;
    parse(text, &recipe);
    if (before_text)
        parse(before_text, &before);
    lint_compare(&recipe, before_text ? &before : NULL, &fresh);
    lint_recipe(&recipe, &fresh, site, &lint);
    lint_sort(&lint);
    for (size_t i = 0; i < lint.count; i++)
        buf_addf(&out, "%s%d:%s", i ? " " : "", lint.items[i].line, lint.items[i].rule);
    lint_fresh_release(&fresh);
    return buf_take(&out);
}

static void test_lint__rules(void **state)
{
    (void)state;
    static const struct {
        const char *text, *finds;
    } table[] = {
        {V1 "- a.example/x:1\n- http://b.example:5000/y:2\n- c.example:81/z@sha256:"
            "0123456789012345678901234567890123456789012345678901234567890123\n",
         ""},
        {V1 "- a.example/x:1\n- a.example/x:1\n", "5:duplicate"},
        {V1 "- a.example/x\n- https://a.example/x:latest\n", "5:duplicate"},
        {V1 "- ubuntu\n- a.example/x:1\n- a.example/X:1\n", "4:syntax 6:syntax"},
        {"version: 1\ncvmfs_repo: r.example\ninput: []\n", "3:syntax"},
        {V1 "- a.example/x:*\n", "4:unbounded"},
        {V1 "- a.example/x:v*\n", "4:unbounded"},
        {V1 "- a.example/x:1.*\n- a.example/x:*-slim\n- a.example/y:*-full\n", "5:overlap"},
        {V1 "- a.example/x:1.*\n- a.example/x:1.2\n- a.example/x:2\n- b.example/x:1.2\n",
         "5:overlap"},
        {V1 "- a.example/x:1.2\n- a.example/x:1.*\n", "5:overlap"},
        {V1 "- docker.io/library/x:1\n- docker.io/library/y:1\n"
            "- registry.hub.docker.com/library/z:1\n- index.docker.io/library/u:1\n",
         "6:docker-hub 7:docker-hub"},
        {V1 "- docker.io/library/x:1\n- docker.io/library/y:1\n"
            "- registry.hub.docker.com/library/x:1\n",
         "6:docker-hub 6:duplicate"},
        {V2 "- {image: a.example/x, glob: '*'}\n", "4:unbounded"},
        {V2 "- {image: a.example/x, glob: '*', newest: 3}\n", ""},
        {V2 "- {image: a.example/x, glob: '*', newer_than: 30d}\n", ""},
        {V2 "- {image: a.example/x, semver: '>=1'}\n", ""},
        {V2 "- {image: a.example/x, semver: '>=1'}\n- a.example/x:1.2.3\n- a.example/x:0.1.0\n",
         "5:overlap"},
        {V2 "- {image: a.example/x, glob: '1.*', exclude: '1.2'}\n- a.example/x:1.2\n", ""},
        {V2 "- {image: a.example/x, glob: '1.[0-4]*'}\n- {image: a.example/x, glob: '1.[5-9]*'}\n",
         ""},
        {"version: 2\nlists:\n- {repository: one.example, images: [a.example/x:1]}\n"
         "- {repository: two.example, images: [a.example/x:1, 'a.example/x:1*']}\n",
         "4:overlap"},
        {"version: 2\nrepository: r.example\nlimits: {tags: 5}\nimages: ['a.example/x:*']\n", ""},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_free_ char *got = found(table[i].text, NULL, NULL);
        assert_same_text(table[i].text, got, table[i].finds);
    }
}

/* What was there already is not looked at, however wrong, and wherever it stands now. */
static void test_lint__only_what_changed(void **state)
{
    (void)state;
#define OLD                                                                                        \
    V1 "- ubuntu\n- a.example/x:1\n- a.example/x:1\n- a.example/y:*\n- a.example/y:2\n"            \
       "- docker.io/library/z:1\n- docker.io/library/z:2\n- index.docker.io/library/q:1\n"
    static const struct {
        const char *text, *finds;
    } table[] = {
        {OLD, ""},
        {OLD "- debian\n", "12:syntax"},
        {OLD "- b.example/x:1\n- b.example/y:1\n- docker.io/x:1\n", "12:registry"},
        {OLD "- ubuntu\n", "12:syntax"}, /* once more */
        {OLD "- a.example/x:1\n", "12:duplicate"},
        {OLD "- a.example/new:1\n", ""},
        {OLD "- a.example/new:*\n", "12:unbounded"},
        {OLD "- a.example/y:3\n", "12:overlap"},
        {OLD "- index.docker.io/library/q:2\n", "12:docker-hub"},
        {V1 "- a.example/y:3\n- a.example/y:*\n- a.example/y:2\n", "4:overlap"}, /* in front */
        {V1 "# moved\n- a.example/y:2\n\n- a.example/x:1\n- ubuntu\n- a.example/y:*\n"
            "- a.example/x:1\n",
         ""},
        {V1 "- a.example/x:1\n- 'https://a.example/x:1'\n", "5:duplicate"}, /* written anew */
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_free_ char *got = found(table[i].text, OLD, NULL);
        assert_same_text(table[i].text, got, table[i].finds);
    }
}

static void test_lint__what_the_site_refuses(void **state)
{
    (void)state;
    struct site site = {0};
    site_add_rule(&site.allow, NULL, "good.example", "ducc.yaml:1:1");
    _cleanup_free_ char *got =
        found(V1 "- good.example/x:1\n- other.example/x:1\n- good.example:5000/x:1\n", NULL, &site);
    assert_string_equal(got, "5:registry 6:registry");
    site_release(&site);
}

static void test_lint__file_errors_have_their_place(void **state)
{
    (void)state;
    static const char text[] = "version: 1\ncvmfs_repo: x.example\ninput: [\n";
    _cleanup_recipe_ struct recipe recipe = RECIPE_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_lint_ struct lint lint = {0};
    assert_int_equal(recipe_parse("a/r.yaml", text, strlen(text), &recipe, &err), -1);
    lint_add_file_error(&lint, "a/r.yaml", &err);
    assert_int_equal(lint.items[0].line, 4);
    assert_string_equal(lint.items[0].rule, "syntax");
    assert_null(strstr(lint.items[0].message, "r.yaml"));
    error_release(&err);
    error_set(&err, ERROR_PARSE, "something else");
    lint_add_file_error(&lint, "a/r.yaml", &err);
    assert_int_equal(lint.items[1].line, 1);
    assert_string_equal(lint.items[1].message, "something else");
}

/* ---- globs ---- */

static void test_glob_overlap__table(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool overlap;
    } table[] = {
        {"a", "a", true},           {"a", "b", false},
        {"*", "*", true},           {"*", "abc", true},
        {"a*", "*b", true},         {"a*", "b*", false},
        {"*a", "*b", false},        {"1.?", "1.2", true},
        {"1.?", "1.22", false},     {"[0-4]*", "[5-9]*", false},
        {"[0-5]*", "[5-9]*", true}, {"[!a]x", "ax", false},
        {"[!a]x", "[a-c]x", true},  {"*a*b*", "*b*a*", true},
        {"a*c", "ab", false},       {"v1.*-slim", "*-slim", true},
        {"?", "*?*?*", false},      {"**a", "a**", true},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        if (glob_overlap(table[i].a, table[i].b) != table[i].overlap ||
            glob_overlap(table[i].b, table[i].a) != table[i].overlap)
            fail_msg("%s and %s", table[i].a, table[i].b);
    }
}

/* Against all short texts of a small alphabet. */
static void test_glob_overlap__agrees_with_matching(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a", "b", "*", "?", "[ab]", "[!a]"};
    for (int round = 0; round < 2000; round++) {
        _cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT;
        for (size_t n = random_below(4) + 1; n > 0; n--)
            buf_adds(&a, pieces[random_below(COUNT(pieces))]);
        for (size_t n = random_below(4) + 1; n > 0; n--)
            buf_adds(&b, pieces[random_below(COUNT(pieces))]);
        bool both = false;
        for (size_t len = 0; len <= 8 && !both; len++) {
            for (unsigned bits = 0; bits < 1u << len && !both; bits++) {
                char text[9] = {0};
                for (size_t k = 0; k < len; k++)
                    text[k] = bits >> k & 1 ? 'b' : 'a';
                both = glob_match(a.data, text) && glob_match(b.data, text);
            }
        }
        if (glob_overlap(a.data, b.data) != both)
            fail_msg("%s and %s: %d", a.data, b.data, both);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lint__rules),
        cmocka_unit_test(test_lint__only_what_changed),
        cmocka_unit_test(test_lint__what_the_site_refuses),
        cmocka_unit_test(test_lint__file_errors_have_their_place),
        cmocka_unit_test(test_glob_overlap__table),
        cmocka_unit_test(test_glob_overlap__agrees_with_matching),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Several lists in a recipe, and several files: wishlist/recipe.h. */
#include "check.h"

#include "base/limits.h"
#include "wishlist/recipe.h"

/* ---- files in memory ---- */

struct files {
    const char *items[12][2]; /* path, text; NULL-ended */
    const char *generated;    /* the text of any other path, or NULL */
    size_t reads;
};

static int read_file(void *arg, const char *path, size_t max_bytes, struct buf *out,
                     struct error *err)
{
    struct files *f = arg;
    const char *text = f->generated;
    f->reads++;
    assert_true(path_is_clean(path));
    for (size_t i = 0; f->items[i][0]; i++)
        if (strcmp(f->items[i][0], path) == 0)
            text = f->items[i][1];
    if (!text)
        return error_set(err, ERROR_NOT_FOUND, "%s: no such file", path);
    assert_true(strlen(text) <= max_bytes);
    buf_adds(out, text);
    return 0;
}

static int load(struct files *files, const char *path, struct recipe *out, struct error *err)
{
    struct recipe_loader loader = {"mem://", NULL, "abc123", read_file, files};
    *out = (struct recipe)RECIPE_INIT;
    return recipe_load(&loader, path, out, err);
}

/* Loads "a.yaml". */
static struct recipe load_good(struct files *files)
{
    struct recipe recipe;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(load(files, "a.yaml", &recipe, &err), &err);
    return recipe;
}

/* ---- what lists inherit ---- */

static void test_lists__defaults_and_their_own(void **state)
{
    (void)state;
    struct files files = {.items = {{"a.yaml", "version: 2\n"
                                               "repository: one.cern.ch\n"
                                               "limits: {image_size: 5G, tags: 10}\n"
                                               "chains: all\n"
                                               "interval: 2h\n"
                                               "lists:\n"
                                               "  - prefix: p/q\n"
                                               "    chains: none\n"
                                               "    limits: {tags: 50}\n"
                                               "    platforms: [linux/arm64]\n"
                                               "    images: [quay.io/a/b:1]\n"
                                               "  - repository: two.cern.ch\n"
                                               "    name: second\n"
                                               "    flat: off\n"
                                               "    images: [quay.io/a/b:1]\n"
                                               "images: [quay.io/a/b:1]\n"}}};
    _cleanup_recipe_ struct recipe r = load_good(&files);
    assert_int_equal(r.list_count, 3);
    assert_int_equal(r.wish_count, 3); /* in three places: nothing is there twice */
    assert_int_equal(r.problem_count, 0);
    const struct recipe_list *first = &r.lists[0], *second = &r.lists[1], *own = &r.lists[2];
    assert_string_equal(first->repository, "one.cern.ch");
    assert_string_equal(first->prefix, "p/q");
    assert_string_equal(first->policies[RECIPE_CHAINS], "none");
    assert_int_equal(first->image_size_max, 5000000000);
    assert_int_equal(first->tags_max, 50);
    assert_int_equal(first->interval, 7200);
    assert_int_equal(first->platforms.count, 1);
    assert_string_equal(first->platforms.items[0].architecture, "arm64");
    assert_int_equal(first->line, 7);
    assert_int_equal(first->column, 5);
    assert_string_equal(second->repository, "two.cern.ch");
    assert_string_equal(second->name, "second");
    assert_null(second->prefix);
    assert_string_equal(second->policies[RECIPE_CHAINS], "all");
    assert_string_equal(second->policies[RECIPE_FLAT], "no");
    assert_int_equal(second->tags_max, 10);
    assert_int_equal(second->platforms.count, 0);
    assert_string_equal(own->repository, "one.cern.ch");
    assert_null(own->policies[RECIPE_FLAT]);
    assert_int_equal(own->line, 1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(r.wishes[i].list, i);
    assert_string_equal(r.files[0].path, "mem://a.yaml");
    assert_string_equal(r.files[0].revision, "abc123");
    _cleanup_free_ char *place = recipe_wish_place(&r, &r.wishes[0]);
    assert_string_equal(place, "mem://a.yaml:11");
}

/* Policies are the words of repository/policy.h, which is told their names. */
static void test_lists__names_of_policies(void **state)
{
    (void)state;
    static const char *const names[] = {"chains", "podman",  "flat",      "layers",
                                        "xattrs", "devices", "fix-perms", "chunk-above"};
    assert_int_equal(COUNT(names), RECIPE_POLICIES);
    for (int i = 0; i < RECIPE_POLICIES; i++)
        assert_string_equal(recipe_policy_name((enum recipe_policy)i), names[i]);
}

/* ---- what is included ---- */

/* What the includer says is a default, but for limits, prefix and keys. */
static void test_lists__what_binds_an_included_list(void **state)
{
    (void)state;
    struct files files = {
        .items = {{"a.yaml", "version: 2\n"
                             "repository: one.cern.ch\n"
                             "prefix: top\n"
                             "limits: {image_size: 5G, tags: 10}\n"
                             "podman: none\n"
                             "include: [vo/b.yaml, vo/c.yaml]\n"},
                  {"vo/b.yaml", "version: 2\n"
                                "repository: other.cern.ch\n"
                                "prefix: vo\n"
                                "limits: {image_size: 9G, tags: 3}\n"
                                "podman: merged\n"
                                "images: [quay.io/a/b:1]\n"
                                "lists:\n"
                                "  - {prefix: deep, limits: {tags: 99}, images: [quay.io/a/b:1]}\n"
                                "  - {images: [quay.io/a/c:1]}\n"},
                  {"vo/c.yaml", "version: 2\nimages: [quay.io/a/d:1]\n"}}};
    _cleanup_recipe_ struct recipe r = load_good(&files);
    static const struct {
        const char *repository, *prefix, *podman;
        uint64_t size, tags;
        size_t file;
    } table[] = {
        {"other.cern.ch", "top/vo", "merged", 5000000000, 3, 1},
        {"other.cern.ch", "top/deep", "merged", 5000000000, 10, 1},
        {"other.cern.ch", "top/vo", "merged", 5000000000, 3, 1},
        {"one.cern.ch", "top", "none", 5000000000, 10, 2},
    };
    assert_int_equal(r.list_count, COUNT(table));
    for (size_t i = 0; i < COUNT(table); i++) {
        const struct recipe_list *l = &r.lists[i];
        assert_string_equal(l->repository, table[i].repository);
        assert_string_equal(l->prefix, table[i].prefix);
        assert_string_equal(l->policies[RECIPE_PODMAN], table[i].podman);
        assert_int_equal(l->image_size_max, table[i].size);
        assert_int_equal(l->tags_max, table[i].tags);
        assert_int_equal(l->file, table[i].file);
        assert_int_equal(r.wishes[i].file, table[i].file);
    }
    assert_string_equal(r.files[2].path, "mem://vo/c.yaml");
    assert_int_equal(r.problem_count, 0);
}

static void test_lists__an_image_that_two_files_wish_for(void **state)
{
    (void)state;
    struct files files = {.items = {{"a.yaml", "version: 2\n"
                                               "repository: one.cern.ch\n"
                                               "images:\n"
                                               "  - quay.io/a/b:1\n"
                                               "  - {image: quay.io/a/b, glob: '1.*'}\n"
                                               "include: b.yaml\n"},
                                    {"b.yaml", "version: 2\n"
                                               "images:\n"
                                               "  - https://quay.io/a/b:1\n"
                                               "  - quay.io/a/b:1.*\n"}}};
    _cleanup_recipe_ struct recipe r = load_good(&files);
    assert_int_equal(r.wish_count, 2);
    assert_int_equal(r.problem_count, 2);
    assert_int_equal(recipe_error_count(&r), 0);
    _cleanup_free_ char *one = recipe_problem_text(&r, &r.problems[0]);
    _cleanup_free_ char *two = recipe_problem_text(&r, &r.problems[1]);
    assert_string_equal(one, "mem://b.yaml:3:5: quay.io/a/b:1 is wished for a second time; "
                             "mem://a.yaml, line 4 has it already in another spelling");
    assert_string_equal(two, "mem://b.yaml:4:5: quay.io/a/b:1.* is wished for a second time; "
                             "mem://a.yaml, line 5 has it already in another spelling");
}

static void test_lists__includes_have_limits(void **state)
{
    (void)state;
    static const struct {
        const char *text, *generated;
        enum error_kind kind;
        const char *says;
    } table[] = {
        /* Each file includes the next: x, x/x, ... */
        {"version: 2\nrepository: a.b\ninclude: x/y\n", "version: 2\ninclude: x/y\n", ERROR_LIMIT,
         "mem://x/x/x/x/x/x/x/y:2:10: key \"include\": more than 8 files inside each other"},
        /* Each includes two others: without a limit 2^8 files. */
        {"version: 2\nrepository: a.b\ninclude: [x/y, z/y]\n",
         "version: 2\nimages: []\ninclude: [x/y, z/y]\n", ERROR_LIMIT, "8 files inside each other"},
        {"version: 2\nrepository: a.b\ninclude: [l/0, l/1, l/2, l/3, l/4, l/5, l/6, l/7]\n",
         "version: 2\nimages: [quay.io/a/b:1]\n", ERROR_NONE, NULL},
        {"version: 2\nrepository: a.b\nlists:\n"
         "  - include: &x [l/0]\n",
         NULL, ERROR_NOT_FOUND, "mem://a.yaml:4:18: key \"include\": l/0: no such file"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct files files = {.items = {{"a.yaml", table[i].text}},
                              .generated = table[i].generated};
        _cleanup_error_ struct error err = ERROR_INIT;
        _cleanup_recipe_ struct recipe r;
        int rc = load(&files, "a.yaml", &r, &err);
        if (table[i].says)
            assert_fails(table[i].text, rc, &err, table[i].kind, table[i].says);
        else
            assert_ok(rc, &err);
        assert_true(files.reads <= LIMIT_RECIPE_FILES + 1);
    }
}

/* 64 files, however they are named. */
static void test_lists__as_many_files_as_there_may_be(void **state)
{
    (void)state;
    for (size_t n = LIMIT_RECIPE_FILES - 1; n <= LIMIT_RECIPE_FILES; n++) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        _cleanup_error_ struct error err = ERROR_INIT;
        _cleanup_recipe_ struct recipe r;
        buf_adds(&text, "version: 2\nrepository: a.b\nlists:\n");
        for (size_t i = 0; i < n; i++)
            buf_addf(&text, "- include: f%zu\n", i);
        struct files files = {.items = {{"a.yaml", text.data}},
                              .generated = "version: 2\nimages: [quay.io/a/b:1]\n"};
        int rc = load(&files, "a.yaml", &r, &err);
        if (n < LIMIT_RECIPE_FILES)
            assert_ok(rc, &err);
        else
            assert_fails("files", rc, &err, ERROR_LIMIT, "a recipe has 64 files at most");
    }
}

/* Together, not each. */
static void test_lists__entries_are_counted_together(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_recipe_ struct recipe r;
    buf_adds(&text, "version: 2\nimages:\n");
    for (size_t i = 0; i < LIMIT_RECIPE_ENTRIES / 2 + 1; i++)
        buf_adds(&text, "- l:1/r\n");
    struct files files = {.items = {{"a.yaml", "version: 2\nrepository: a.b\ninclude: [b, c]\n"},
                                    {"b", text.data},
                                    {"c", text.data}}};
    assert_fails("entries", load(&files, "a.yaml", &r, &err), &err, ERROR_LIMIT,
                 "mem://c:3:1: key \"images\": 100002 entries, more than the 100000 that are "
                 "accepted of all lists together");
}

/* ---- on disk ---- */

static void test_lists__a_symlink_does_not_lead_out(void **state)
{
    (void)state;
    _cleanup_free_ char *folder = new_folder("lists");
    _cleanup_free_ char *outside = in_scratch("outside.yaml");
    _cleanup_free_ char *recipe = path_join(folder, "a.yaml");
    _cleanup_free_ char *link = path_join(folder, "b.yaml");
    _cleanup_free_ char *linked = in_scratch("linked.yaml");
    static const char text[] = "version: 2\nrepository: a.b\ninclude: b.yaml\n";
    static const char below[] = "version: 2\nimages: [quay.io/a/b:1]\n";
    write_file(recipe, text, sizeof text - 1);
    write_file(outside, below, sizeof below - 1);
    assert_int_equal(symlink("../outside.yaml", link), 0);
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_recipe_ struct recipe r = RECIPE_INIT;
    assert_fails("symlink", recipe_read(recipe, &r, &err), &err, ERROR_PARSE,
                 "a.yaml:3:10: key \"include\": ");
    assert_non_null(strstr(err.message, "a symlink leads out of the recipe's folder"));
    /* The recipe itself may be one: its includes count from where it is. */
    assert_int_equal(unlink(link), 0);
    write_file(link, below, sizeof below - 1);
    assert_int_equal(symlink("lists/a.yaml", linked), 0);
    assert_ok(recipe_read(recipe, &r, &err), &err);
    assert_int_equal(r.wish_count, 1);
    recipe_release(&r);
    assert_int_equal(recipe_read(linked, &r, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

/* ---- keys ---- */

static void test_lists__signatures(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf pem = BUF_INIT;
    run_program((const char *const[]){"sh", "-c",
                                      "openssl ecparam -genkey -name prime256v1 -noout "
                                      "2>/dev/null | openssl ec -pubout 2>/dev/null",
                                      NULL},
                &pem);
    struct files files = {.items = {{"a.yaml", "version: 2\n"
                                               "repository: one.cern.ch\n"
                                               "signature: keys/one.pem\n"
                                               "images: [quay.io/a/b:1]\n"
                                               "include: vo/b.yaml\n"},
                                    {"vo/b.yaml", "version: 2\n"
                                                  "signature: [mine.pem, ../keys/one.pem]\n"
                                                  "images: [quay.io/a/c:1]\n"},
                                    {"keys/one.pem", pem.data},
                                    {"vo/mine.pem", pem.data}}};
    _cleanup_recipe_ struct recipe r = load_good(&files);
    assert_int_equal(r.list_count, 2);
    for (size_t i = 0; i < 2; i++) { /* the includer's key holds for what it includes */
        assert_int_equal(r.lists[i].key_count, 1);
        assert_string_equal(r.lists[i].keys[0].path, "mem://keys/one.pem");
        assert_string_equal(r.lists[i].keys[0].pem, pem.data);
    }
}

/* ---- what is the same wish ---- */

static void test_lists__keys_of_wishes(void **state)
{
    (void)state;
    struct files files = {
        .items = {{"a.yaml", "version: 2\n"
                             "repository: one.cern.ch\n"
                             "images:\n"
                             "  - https://quay.io/a/b\n"
                             "  - {image: quay.io/a/c, interval: 2h, platforms: [linux/arm64]}\n"
                             "  - {image: quay.io/a/d, newest: 3, glob: ['1.*', '2.*']}\n"
                             "  - {image: 'quay.io/a/e:1.*', newer_than: 2w}\n"
                             "  - {image: quay.io/a/f, glob: '1.*'}\n"}}};
    static const char *const keys[] = {"quay.io/a/b:latest", "quay.io/a/c:latest",
                                       "quay.io/a/d glob=1.* glob=2.* newest=3 by=semver",
                                       "quay.io/a/e glob=1.* newer_than=1209600s",
                                       "quay.io/a/f:1.*"};
    _cleanup_recipe_ struct recipe r = load_good(&files);
    assert_int_equal(r.wish_count, COUNT(keys));
    for (size_t i = 0; i < COUNT(keys); i++) {
        _cleanup_free_ char *key = wish_key(&r.wishes[i]);
        assert_string_equal(key, keys[i]);
    }
    assert_string_equal(r.wishes[2].text, "quay.io/a/d glob=1.* glob=2.* newest=3 by=semver");
    assert_string_equal(r.wishes[2].ref.tag, "*");
    assert_string_equal(r.wishes[4].ref.tag, "1.*");
    assert_int_equal(r.wishes[1].interval, 7200);
    assert_int_equal(r.wishes[1].platforms.count, 1);
    assert_null(r.wishes[1].selector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists__defaults_and_their_own),
        cmocka_unit_test(test_lists__names_of_policies),
        cmocka_unit_test(test_lists__what_binds_an_included_list),
        cmocka_unit_test(test_lists__an_image_that_two_files_wish_for),
        cmocka_unit_test(test_lists__includes_have_limits),
        cmocka_unit_test(test_lists__as_many_files_as_there_may_be),
        cmocka_unit_test(test_lists__entries_are_counted_together),
        cmocka_unit_test(test_lists__a_symlink_does_not_lead_out),
        cmocka_unit_test(test_lists__signatures),
        cmocka_unit_test(test_lists__keys_of_wishes),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

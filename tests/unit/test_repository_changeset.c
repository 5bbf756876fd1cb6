/* repository/changeset.h */
#include "changeset_maker.h"
#include "layer_maker.h"

static void expect_listing(const struct changeset *cs, const char *expected)
{
    _cleanup_buf_ struct buf listing = BUF_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(list_changeset(cs, &listing, &err), &err);
    assert_same_text("changeset", listing.data, expected);
}

static void test_changeset__order_and_units(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct changeset *cs = changeset_new();
    assert_true(changeset_is_empty(cs));
    assert_ok(changeset_add_directory(cs, "z", &err), &err);
    changeset_begin_unit(cs, "z/u");
    assert_ok(changeset_add_directory(cs, "z/u", &err), &err);
    assert_ok(changeset_add_file(cs, "z/u/f", "text", 4, &err), &err);
    changeset_end_unit(cs);
    assert_ok(changeset_add_symlink(cs, "a", "z/u", &err), &err);
    assert_ok(changeset_add_catalog(cs, "z", &err), &err);
    assert_ok(changeset_add_mapped_file(cs, "m", "mapped", 6, &err), &err);
    expect_listing(cs, "d z\n{ z/u\nd z/u\nf z/u/f =text\n} z/u\ns a -> z/u\n"
                       "f z/.cvmfscatalog =\nf m =mapped\n");
    assert_true(changeset_has(cs, "z/u/f"));
    assert_false(changeset_has(cs, "z/u/g"));
    assert_false(changeset_is_empty(cs));
    changeset_free(cs);
}

static void test_changeset__what_is_given_is_copied(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    char path[] = "path", bytes[] = "bytes", target[] = "target", link[] = "link";
    struct changeset *cs = changeset_new();
    assert_ok(changeset_add_file(cs, path, bytes, 5, &err), &err);
    assert_ok(changeset_add_symlink(cs, link, target, &err), &err);
    path[0] = bytes[0] = target[0] = link[0] = '?';
    expect_listing(cs, "f path =bytes\ns link -> target\n");
    changeset_free(cs);
}

static void test_changeset__bad_paths_are_bugs(void **state)
{
    (void)state;
    static const struct {
        const char *path, *says;
    } rows[] = {
        {"", "is not clean"},       {"/a", "is not clean"},     {"a/", "is not clean"},
        {"a//b", "is not clean"},   {"a/../b", "is not clean"}, {"..", "is not clean"},
        {"./a", "is not clean"},    {"there", "occurs twice"},  {"there/tree", "occurs twice"},
        {"u/file", "occurs twice"},
    };
    _cleanup_error_ struct error err = ERROR_INIT;
    struct changeset *cs = changeset_new();
    assert_ok(changeset_add_directory(cs, "there", &err), &err);
    assert_ok(changeset_add_symlink(cs, "there/tree", "x", &err), &err);
    changeset_begin_unit(cs, "u");
    assert_ok(changeset_add_file(cs, "u/file", "", 0, &err), &err);
    changeset_end_unit(cs);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_fails(rows[i].path, changeset_add_directory(cs, rows[i].path, &err), &err, ERROR_BUG,
                     rows[i].says);
        assert_fails(rows[i].path, changeset_add_file(cs, rows[i].path, "", 0, &err), &err,
                     ERROR_BUG, rows[i].says);
        assert_fails(rows[i].path, changeset_add_symlink(cs, rows[i].path, "t", &err), &err,
                     ERROR_BUG, rows[i].says);
    }
    expect_listing(cs, "d there\ns there/tree -> x\n{ u\nf u/file =\n} u\n");
    changeset_free(cs);
}

static void test_changeset__a_unit_holds_what_is_below_it(void **state)
{
    (void)state;
    static const char *const outside[] = {"b", "units", "uni", "un/it", "unit2/x", "x/unit"};
    _cleanup_error_ struct error err = ERROR_INIT;
    struct changeset *cs = changeset_new();
    changeset_begin_unit(cs, "unit");
    for (size_t i = 0; i < COUNT(outside); i++)
        assert_fails(outside[i], changeset_add_directory(cs, outside[i], &err), &err, ERROR_BUG,
                     "is outside its unit");
    assert_ok(changeset_add_directory(cs, "unit", &err), &err);
    assert_ok(changeset_add_directory(cs, "unit/x", &err), &err);
    changeset_end_unit(cs);
    assert_ok(changeset_add_directory(cs, "units", &err), &err);
    changeset_free(cs);
}

/* ---- trees ---- */

struct two_layers {
    struct layer layers[2];
    struct stack stack;
};

static void two_layers_make(struct two_layers *t, const char *low, const char *high)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    t->layers[0] = make_layer(low, 1);
    t->layers[1] = make_layer(high, 2);
    const struct layer_index *indexes[] = {&t->layers[0].index, &t->layers[1].index};
    size_t bad;
    assert_ok(stack_init(&t->stack, indexes, 2, &bad, &err), &err);
}

static void two_layers_free(struct two_layers *t)
{
    stack_release(&t->stack);
    layer_release(&t->layers[0]);
    layer_release(&t->layers[1]);
}

static struct layer_source *sources_of(const struct two_layers *t, bool homes)
{
    struct layer_source *sources = xcalloc(2, sizeof *sources);
    for (size_t i = 0; i < 2; i++) {
        sources[i].layer = &t->layers[i];
        sources[i].home = homes ? xasprintf("L%zu", i + 1) : NULL;
    }
    return sources;
}

static void test_changeset__trees_link_to_the_layers(void **state)
{
    (void)state;
    struct two_layers t;
    two_layers_make(&t, "d d 0700 1:2;f d/f one;l d/g d/f;s s x;p p",
                    "l z d/f;f n new 4755;w s;c c 1,3");
    _cleanup_error_ struct error err = ERROR_INIT;
    struct tree tree;
    struct changeset *cs = changeset_new();
    stack_merge(&t.stack, 2, &tree);
    struct tree_change merged = {
        .root = "M", .stack = &t.stack, .tree = tree, .layers = sources_of(&t, true)};
    assert_ok(changeset_add_tree(cs, &merged, &err), &err);
    expect_listing(cs, "d M\nf M/.cvmfscatalog =\nc M/c 1,3\nd M/d 700 1:2\n"
                       "l M/d/f -> L1/d/f\nl M/d/g -> L1/d/f\nl M/n -> L2/n\np M/p\n"
                       "l M/z -> L1/d/f\n");
    changeset_free(cs);
    two_layers_free(&t);
}

static void test_changeset__a_layer_brings_its_content_once(void **state)
{
    (void)state;
    struct two_layers t;
    two_layers_make(&t, "f a one;d d;f d/x y", "f b two;l c b;l e a;w d");
    _cleanup_error_ struct error err = ERROR_INIT;
    struct tree tree;
    struct changeset *cs = changeset_new();
    stack_layer_tree(&t.stack, 1, &tree);
    struct tree_change layer = {
        .root = "L2", .stack = &t.stack, .tree = tree, .layers = sources_of(&t, true)};
    assert_ok(changeset_add_tree(cs, &layer, &err), &err);
    expect_listing(cs, "d L2\nf L2/.cvmfscatalog =\nf L2/b =two\nl L2/c -> L2/b\n"
                       "c L2/d 0 0,0\nl L2/e -> L1/a\n");
    struct changeset_counts n;
    assert_ok(changeset_count(cs, &n, &err), &err);
    assert_int_equal(n.directories, 1);
    assert_int_equal(n.files, 2);
    assert_int_equal(n.links, 2);
    assert_int_equal(n.devices, 1);
    assert_int_equal(n.content_bytes, 3);
    changeset_free(cs);
    two_layers_free(&t);
}

static void test_changeset__what_cannot_be_linked_is_carried(void **state)
{
    (void)state;
    struct two_layers t;
    two_layers_make(&t, "f a one;l b a;f c two", "f d three");
    _cleanup_error_ struct error err = ERROR_INIT;
    struct tree tree;
    struct changeset *cs = changeset_new();
    stack_merge(&t.stack, 2, &tree);
    struct tree_change merged = {
        .root = "M", .stack = &t.stack, .tree = tree, .layers = sources_of(&t, true)};
    merged.layers[0].not_linkable = xcalloc(1, 1);
    merged.layers[0].not_linkable[0] = 1 << 1; /* a, the first behind the root; b shares it */
    assert_ok(changeset_add_tree(cs, &merged, &err), &err);
    expect_listing(cs, "d M\nf M/.cvmfscatalog =\nf M/a =one\nf M/b =one\nl M/c -> L1/c\n"
                       "l M/d -> L2/d\n");
    changeset_free(cs);
    two_layers_free(&t);
}

static void test_changeset__mirrors_and_layers_without_a_home(void **state)
{
    (void)state;
    struct two_layers t;
    two_layers_make(&t, "f a one;l b a", "f c two");
    t.layers[1].blob = (struct digest){0}; /* made by us: in no mirror */
    _cleanup_error_ struct error err = ERROR_INIT;
    for (int mirrored = 0; mirrored < 2; mirrored++) {
        struct tree tree;
        struct changeset *cs = changeset_new();
        stack_merge(&t.stack, 2, &tree);
        struct tree_change merged = {.root = "M",
                                     .stack = &t.stack,
                                     .tree = tree,
                                     .layers = sources_of(&t, false),
                                     .mirror = mirrored ? xstrdup("C") : NULL};
        assert_ok(changeset_add_tree(cs, &merged, &err), &err);
        expect_listing(cs, mirrored ? "d M\nf M/.cvmfscatalog =\nl M/a -> C/a\nl M/b -> C/b\n"
                                      "f M/c =two\n"
                                    : "d M\nf M/.cvmfscatalog =\nf M/a =one\nf M/b =one\n"
                                      "f M/c =two\n");
        changeset_free(cs);
    }
    two_layers_free(&t);
}

static void test_changeset__a_content_that_is_not_there_is_a_bug(void **state)
{
    (void)state;
    struct two_layers t;
    two_layers_make(&t, "f a one", "f c two");
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf listing = BUF_INIT;
    struct tree tree;
    struct changeset *cs = changeset_new();
    close(t.layers[0].data_fd);
    t.layers[0].data_fd = -1;
    stack_merge(&t.stack, 2, &tree);
    struct tree_change merged = {
        .root = "M", .stack = &t.stack, .tree = tree, .layers = sources_of(&t, false)};
    assert_ok(changeset_add_tree(cs, &merged, &err), &err);
    assert_fails("content", list_changeset(cs, &listing, &err), &err, ERROR_BUG,
                 "is not in the spool");
    changeset_free(cs);
    two_layers_free(&t);
}

/* The tree is taken over on failure, too: the leak check sees it if not. */
static void test_changeset__a_refused_tree_is_released(void **state)
{
    (void)state;
    struct two_layers t;
    two_layers_make(&t, "f a one", "f c two");
    _cleanup_error_ struct error err = ERROR_INIT;
    static const char *const bad[] = {"../M", "there"};
    struct changeset *cs = changeset_new();
    assert_ok(changeset_add_directory(cs, "there", &err), &err);
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct tree tree;
        stack_merge(&t.stack, 2, &tree);
        struct tree_change merged = {.root = bad[i],
                                     .stack = &t.stack,
                                     .tree = tree,
                                     .layers = sources_of(&t, true),
                                     .mirror = xstrdup("C")};
        assert_fails(bad[i], changeset_add_tree(cs, &merged, &err), &err, ERROR_BUG, bad[i]);
    }
    changeset_free(cs);
    two_layers_free(&t);
}

static int stop_at_once(void *arg, const struct change *c, struct error *err)
{
    ++*(int *)arg;
    return error_set(err, ERROR_IO, "at %s", c->path);
}

static void test_changeset__a_visitor_can_stop(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    int calls = 0;
    struct changeset *cs = changeset_new();
    assert_ok(changeset_add_directory(cs, "a", &err), &err);
    assert_ok(changeset_add_directory(cs, "b", &err), &err);
    struct changeset_visitor v = {.change = stop_at_once, .arg = &calls};
    assert_fails("visit", changeset_visit(cs, &v, &err), &err, ERROR_IO, "at a");
    assert_int_equal(calls, 1);
    changeset_free(cs);
}

/* Markers stand directly behind the directories where a large tree is cut. */
static void test_changeset__a_large_tree_in_several_catalogs(void **state)
{
    (void)state;
    enum { DIRECTORIES = 4, FILES = 30000 };
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf listing = BUF_INIT;
    struct making m = making_new();
    for (int i = 0; i < DIRECTORIES * FILES; i++) {
        char name[64];
        snprintf(name, sizeof name, "d%d/%d", i / FILES, i);
        struct tar_entry e = {.type = TAR_FIFO, .name = name, .link = "", .mode = 0644};
        struct content none = {0};
        assert_ok(layer_builder_add(m.builder, &e, &none, &err), &err);
    }
    struct layer layer = making_finish(&m, 1);
    size_t bad;
    const struct layer_index *index = &layer.index;
    struct stack stack;
    assert_ok(stack_init(&stack, &index, 1, &bad, &err), &err);
    struct changeset *cs = changeset_new();
    struct tree_change t = {.root = "M", .stack = &stack, .layers = xcalloc(1, sizeof *t.layers)};
    t.layers[0].layer = &layer;
    stack_merge(&stack, 1, &t.tree);
    assert_ok(changeset_add_tree(cs, &t, &err), &err);
    assert_ok(list_changeset(cs, &listing, &err), &err);
    assert_true(starts_with(listing.data, "d M\nf M/.cvmfscatalog =\nd M/d0\n"
                                          "f M/d0/.cvmfscatalog =\np M/d0/0\n"));
    size_t markers = 0;
    for (const char *p = listing.data; (p = strstr(p, ".cvmfscatalog")); p++)
        markers++;
    assert_int_equal(markers, 2); /* one cut is enough for 120,005 entries */
    changeset_free(cs);
    stack_release(&stack);
    layer_release(&layer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changeset__order_and_units),
        cmocka_unit_test(test_changeset__what_is_given_is_copied),
        cmocka_unit_test(test_changeset__bad_paths_are_bugs),
        cmocka_unit_test(test_changeset__a_unit_holds_what_is_below_it),
        cmocka_unit_test(test_changeset__trees_link_to_the_layers),
        cmocka_unit_test(test_changeset__a_layer_brings_its_content_once),
        cmocka_unit_test(test_changeset__what_cannot_be_linked_is_carried),
        cmocka_unit_test(test_changeset__mirrors_and_layers_without_a_home),
        cmocka_unit_test(test_changeset__a_content_that_is_not_there_is_a_bug),
        cmocka_unit_test(test_changeset__a_refused_tree_is_released),
        cmocka_unit_test(test_changeset__a_visitor_can_stop),
        cmocka_unit_test(test_changeset__a_large_tree_in_several_catalogs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

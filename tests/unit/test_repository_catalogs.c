/* repository/catalogs.h */
#include "layer_maker.h"

#include "layers/stack.h"
#include "repository/catalogs.h"

struct one_tree {
    struct layer layer;
    struct stack stack;
    struct tree tree;
};

static void one_tree_make(struct one_tree *t, const char *text)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    t->layer = make_layer(text, 1);
    size_t bad;
    const struct layer_index *indexes[] = {&t->layer.index};
    assert_ok(stack_init(&t->stack, indexes, 1, &bad, &err), &err);
    stack_merge(&t->stack, 1, &t->tree);
}

static void one_tree_free(struct one_tree *t)
{
    tree_release(&t->tree);
    stack_release(&t->stack);
    layer_release(&t->layer);
}

static const char *path_of(const struct one_tree *t, size_t node, size_t *len)
{
    return node_path(&t->stack, &t->tree.nodes[node], len);
}

/* The directories where catalogs begin, in order, one a word. */
static void list_places(const struct one_tree *t, size_t max, size_t min, struct buf *out)
{
    struct catalog_places places;
    catalog_places_find(&t->stack, &t->tree, max, min, &places);
    for (size_t i = 0; i < places.count; i++) {
        size_t len;
        const char *path = path_of(t, places.nodes[i], &len);
        buf_addf(out, "%s%.*s", i ? " " : "", (int)len, path);
    }
    catalog_places_release(&places);
}

static void test_catalogs__where_a_tree_is_cut(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t max, min;
        const char *expected;
    } rows[] = {
        {"", 1, 1, ""},
        {"f a 1;f b 2;f c 3", 4, 1, ""},                /* just as many as may be */
        {"f a 1;f b 2;f c 3", 3, 1, ""},                /* nothing to cut at */
        {"f a/1 x;f a/2 x;f b/1 x;f b/2 x", 7, 2, ""},  /* fits */
        {"f a/1 x;f a/2 x;f b/1 x;f b/2 x", 6, 2, "a"}, /* of two the first one */
        {"f a/1 x;f b/1 x;f b/2 x", 5, 2, "b"},         /* the largest */
        {"f a/1 x;f a/2 x;f b/1 x;f b/2 x", 4, 2, "a b"},
        {"f a/1 x;f a/2 x;f b/1 x;f b/2 x", 4, 4, ""}, /* too small to be parts */
        {"f a/b/c/1 x;f a/b/c/2 x;f a/b/c/3 x;f a/b/c/4 x", 5, 2, "a/b/c"},
        {"f a/b/1 x;f a/b/2 x;f a/c/1 x;f a/c/2 x;f d/1 x", 4, 2, "a a/b a/c"},
        {"f a.b/1 x;f a.b/2 x;f a/1 x;f a-/1 x", 6, 2, "a.b"}, /* siblings with longer names */
        {"d a;d b;d c;d d", 3, 2, ""},                         /* a part of one entry saves none */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct one_tree t;
        _cleanup_buf_ struct buf got = BUF_INIT;
        one_tree_make(&t, rows[i].text);
        list_places(&t, rows[i].max, rows[i].min, &got);
        assert_same_text(rows[i].text, got.data ? got.data : "", rows[i].expected);
        one_tree_free(&t);
    }
}

/* The number, among the cuts, of the part that a node stands in, not counting the one it begins. */
static size_t part_of(const struct one_tree *t, const struct catalog_places *p, size_t node)
{
    size_t len, best = p->count, best_len = 0;
    const char *path = path_of(t, node, &len);
    for (size_t i = 0; i < p->count; i++) {
        size_t cut_len;
        const char *cut = path_of(t, p->nodes[i], &cut_len);
        if (cut_len > best_len && cut_len < len && memcmp(cut, path, cut_len) == 0 &&
            path[cut_len] == '/') {
            best = i;
            best_len = cut_len;
        }
    }
    return best;
}

static void random_path(struct buf *out)
{
    for (uint64_t depth = 1 + random_u64() % 5; depth > 0; depth--)
        buf_addf(out, "%c%s", 'a' + (int)(random_u64() % 4), depth > 1 ? "/" : "");
    buf_addf(out, "/f%llu", (unsigned long long)(random_u64() % 100000));
}

/* No directory has more than four others in it and few files: every part can be made small. */
static void test_catalogs__parts_are_bounded(void **state)
{
    (void)state;
    random_state = 3;
    for (int round = 0; round < 60; round++) {
        struct one_tree t;
        struct catalog_places places;
        _cleanup_buf_ struct buf text = BUF_INIT;
        for (uint64_t n = 200 + random_u64() % 2000; n > 0; n--) {
            buf_adds(&text, "f ");
            random_path(&text);
            buf_adds(&text, " x;");
        }
        one_tree_make(&t, text.data);
        size_t max = 150 + random_u64() % 200;
        catalog_places_find(&t.stack, &t.tree, max, 2, &places);
        _cleanup_free_ size_t *sizes = xcalloc(places.count + 1, sizeof *sizes);
        for (size_t i = 0; i < t.tree.count; i++)
            sizes[part_of(&t, &places, i)]++;
        for (size_t i = 0; i <= places.count; i++)
            if (sizes[i] + (i < places.count) > max)
                fail_msg("round %d: part %zu of %zu has %zu entries, not %zu", round, i,
                         places.count, sizes[i], max);
        /* Not many more than are needed. */
        assert_true(places.count <= 5 * t.tree.count / max);
        catalog_places_release(&places);
        one_tree_free(&t);
    }
}

/* Nothing but files in one directory: one part, above the maximum. */
static void test_catalogs__a_wide_directory_is_one_part(void **state)
{
    (void)state;
    struct one_tree t;
    _cleanup_buf_ struct buf text = BUF_INIT, got = BUF_INIT;
    for (int i = 0; i < 300; i++)
        buf_addf(&text, "f a/wide/%d x;d a/many/%d;", i, i);
    one_tree_make(&t, text.data);
    list_places(&t, 100, 10, &got);
    assert_same_text("wide", got.data, "a/many a/wide");
    one_tree_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_catalogs__where_a_tree_is_cut),
        cmocka_unit_test(test_catalogs__parts_are_bounded),
        cmocka_unit_test(test_catalogs__a_wide_directory_is_one_part),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

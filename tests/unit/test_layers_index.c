/* layers/layer_index.h: what is mapped is trusted only after it was checked. */
#include "layer_maker.h"

#include "layers/stack.h"

static const char sample[] = "d . 0711;d d 0700 1:2 @3;f d/f hello;l d/g d/f;s s target;c c 1,3;"
                             "w gone;o d;l lower other/file;f e/implied x";

struct damaged {
    struct layer layer;
    struct buf bytes;
};

static struct damaged damaged_new(void)
{
    struct damaged d = {.layer = make_layer(sample, 1), .bytes = BUF_INIT};
    buf_add(&d.bytes, d.layer.index.map, d.layer.index.map_size);
    return d;
}

static void damaged_free(struct damaged *d)
{
    layer_release(&d->layer);
    buf_release(&d->bytes);
}

static struct layer_index_header *header_in(struct damaged *d)
{
    return (void *)d->bytes.data;
}

static struct layer_entry *entry_in(struct damaged *d, const char *path)
{
    const struct layer_index *x = &d->layer.index;
    const struct layer_entry *e = layer_index_find(x, path, strlen(path));
    assert_non_null(e);
    return (struct layer_entry *)(void *)(d->bytes.data + sizeof *x->header) + (e - x->entries);
}

static void test_index__opens_from_a_file(void **state)
{
    (void)state;
    struct damaged d = damaged_new();
    struct layer_index x;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *path = in_scratch("index");
    write_file(path, d.bytes.data, d.bytes.len);
    for (int check_all = 0; check_all < 2; check_all++) {
        assert_ok(layer_index_open(path, check_all, &x, &err), &err);
        assert_int_equal(x.count, d.layer.index.count);
        assert_non_null(layer_index_find(&x, "d/g", 3));
        assert_null(layer_index_find(&x, "d/h", 3));
        assert_ptr_equal(layer_index_find(&x, "", 0), x.entries);
        layer_index_release(&x);
    }
    _cleanup_free_ char *missing = in_scratch("missing");
    assert_fails("missing", layer_index_open(missing, true, &x, &err), &err, ERROR_NOT_FOUND,
                 "missing: cannot open");
    write_file(path, d.bytes.data, 20);
    assert_fails("short", layer_index_open(path, false, &x, &err), &err, ERROR_CORRUPT,
                 "index: not a layer index of this version: too short");
    damaged_free(&d);
}

static void expect_refused(const char *what, struct damaged *d, const char *says)
{
    struct layer_index x;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *copy = xmalloc(d->bytes.len);
    memcpy(copy, d->bytes.data, d->bytes.len);
    assert_fails(what, layer_index_open_memory(copy, d->bytes.len, &x, &err), &err, ERROR_CORRUPT,
                 says);
    damaged_free(d);
    *d = damaged_new();
}

static void test_index__headers_of_others_are_refused(void **state)
{
    (void)state;
    struct damaged d = damaged_new();
    header_in(&d)->magic[7] = '2';
    expect_refused("magic", &d, "no such header");
    header_in(&d)->header_size += 8;
    expect_refused("header size", &d, "other record sizes");
    header_in(&d)->entry_size -= 8;
    expect_refused("entry size", &d, "other record sizes");
    header_in(&d)->entry_count = 0;
    expect_refused("no entries", &d, "do not add up");
    header_in(&d)->entry_count++;
    expect_refused("one more", &d, "do not add up");
    header_in(&d)->entry_count = UINT64_MAX / sizeof(struct layer_entry) + 2;
    expect_refused("overflow", &d, "do not add up");
    header_in(&d)->names_size++;
    expect_refused("names", &d, "do not add up");
    header_in(&d)->diff_algorithm = 77;
    expect_refused("diff id", &d, "no diff id");
    buf_addc(&d.bytes, 'x');
    expect_refused("longer", &d, "do not add up");
    buf_truncate(&d.bytes, d.bytes.len - 1);
    expect_refused("shorter", &d, "do not add up");
    buf_truncate(&d.bytes, 0);
    expect_refused("nothing", &d, "no such header");
    damaged_free(&d);
}

static void test_index__records_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct damaged d = damaged_new();
    entry_in(&d, "s")->type = 0;
    expect_refused("type 0", &d, "is damaged");
    entry_in(&d, "s")->type = 9;
    expect_refused("type 9", &d, "is damaged");
    entry_in(&d, "s")->path = UINT32_MAX;
    expect_refused("path", &d, "is damaged");
    entry_in(&d, "s")->path_len = UINT32_MAX;
    expect_refused("path length", &d, "is damaged");
    entry_in(&d, "s")->target_len = 1 << 20;
    expect_refused("target", &d, "is damaged");
    entry_in(&d, "s")->xattrs = 1 << 20;
    expect_refused("xattrs", &d, "is damaged");
    entry_in(&d, "s")->flags = ENTRY_OPAQUE;
    expect_refused("flags of no directory", &d, "is damaged");
    entry_in(&d, "s")->target_len = 0;
    expect_refused("no target", &d, "is damaged");
    entry_in(&d, "s")->mode = 0100644;
    expect_refused("mode", &d, "is damaged");
    entry_in(&d, "s")->mtime_nsec = 1000000000;
    expect_refused("nanoseconds", &d, "is damaged");
    header_in(&d)->lower_links = 0; /* what an array is made for */
    expect_refused("fewer links", &d, "counts are damaged");
    header_in(&d)->lower_links = UINT32_MAX;
    expect_refused("more links", &d, "counts are damaged");
    entry_in(&d, "d/f")->size = 1 << 20;
    expect_refused("size", &d, "is damaged");
    entry_in(&d, "d/f")->data_offset = UINT64_MAX;
    expect_refused("offset", &d, "is damaged");
    entry_in(&d, "d/f")->primary = 1000;
    expect_refused("primary behind", &d, "is damaged");
    entry_in(&d, "d/g")->primary = 0;
    expect_refused("primary of another type", &d, "is damaged");
    entry_in(&d, "")->type = ENTRY_FILE;
    expect_refused("root", &d, "is damaged");
    *entry_in(&d, "s") = *entry_in(&d, "d");
    expect_refused("order", &d, "is damaged");
    entry_in(&d, "d")->type = ENTRY_SYMLINK;
    expect_refused("parent", &d, "is damaged");
    damaged_free(&d);
}

static void put_path(struct damaged *d, const char *path, const char *new_path)
{
    struct layer_entry *e = entry_in(d, path);
    char *names = d->bytes.data + sizeof(struct layer_index_header) +
                  d->layer.index.count * sizeof(struct layer_entry);
    assert_int_equal(e->path_len, strlen(new_path));
    memcpy(names + e->path, new_path, e->path_len);
}

static void test_index__paths_that_leave_the_root_are_refused(void **state)
{
    (void)state;
    struct damaged d = damaged_new();
    put_path(&d, "d/f", "../");
    expect_refused("..", &d, "is damaged");
    put_path(&d, "d/f", "/ab");
    expect_refused("absolute", &d, "is damaged");
    put_path(&d, "d/f", "d//");
    expect_refused("empty component", &d, "is damaged");
    put_path(&d, "d/f", "d/.");
    expect_refused("dot", &d, "is damaged");
    put_path(&d, "d/f", "x/f");
    expect_refused("no parent", &d, "is damaged");
    put_path(&d, "s", "/");
    expect_refused("slash", &d, "is damaged");
    damaged_free(&d);
}

/* Extended attributes are read as NAME NUL LENGTH VALUE: a wrong one must not lead outside. */
static void test_index__attributes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct damaged d = damaged_new();
    struct layer_entry *e = entry_in(&d, "d/f");
    e->xattrs = 0;
    e->xattrs_len = 5; /* bytes of paths, not attributes */
    expect_refused("xattrs", &d, "is damaged");
    damaged_free(&d);
}

/* Whatever the damage: refused, or good enough for everything that is done with an index. */
static void test_index__random_damage_never_crashes(void **state)
{
    (void)state;
    struct damaged d = damaged_new();
    struct layer below = make_layer("d other;f other/file x;d d;f d/old 1;d d/f;f d/f/x 1", 2);
    size_t accepted = 0;
    random_state = 3;
    for (int i = 0; i < 30000; i++) {
        struct layer_index x;
        _cleanup_error_ struct error err = ERROR_INIT;
        _cleanup_free_ char *copy = xmalloc(d.bytes.len);
        memcpy(copy, d.bytes.data, d.bytes.len);
        for (size_t n = 1 + random_below(3); n > 0; n--)
            copy[random_below(d.bytes.len)] = (char)random_u64();
        if (layer_index_open_memory(copy, d.bytes.len, &x, &err) < 0) {
            assert_int_equal(err.kind, ERROR_CORRUPT);
            continue;
        }
        const struct layer_index *indexes[] = {&below.index, &x};
        struct stack stack;
        struct tree tree;
        size_t bad;
        if (stack_init(&stack, indexes, 2, &bad, &err) < 0)
            continue;
        accepted++;
        stack_merge(&stack, 2, &tree);
        tree_release(&tree);
        stack_layer_tree(&stack, 1, &tree);
        tree_release(&tree);
        stack_release(&stack);
    }
    assert_true(accepted > 1000);
    layer_release(&below);
    damaged_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index__opens_from_a_file),
        cmocka_unit_test(test_index__headers_of_others_are_refused),
        cmocka_unit_test(test_index__records_that_do_not_fit_are_refused),
        cmocka_unit_test(test_index__paths_that_leave_the_root_are_refused),
        cmocka_unit_test(test_index__attributes_that_do_not_fit_are_refused),
        cmocka_unit_test(test_index__random_damage_never_crashes),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

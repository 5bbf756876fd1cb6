/*
 * layers/layer_builder.h. What is expected was measured on umoci 0.4.7 and Podman 4.3.1 where the
 * two agree; where they do not, the rules of layer_builder.h say which one is followed.
 */
#include "layer_maker.h"

#include "base/limits.h"

#include <stdlib.h>

struct expected_layer {
    const char *entries, *listing; /* of the index, without the root where it is implied */
};

static void expect_listing(const struct expected_layer *row)
{
    static const char root[] = "d . implied\n";
    _cleanup_buf_ struct buf listing = BUF_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct layer layer = make_layer(row->entries, 1), checked;
    list_index(&listing, &layer);
    const char *rest = listing.data;
    if (starts_with(rest, root))
        rest += strlen(root);
    assert_same_text(row->entries, rest, row->listing);
    /* What the builder writes passes every check. */
    assert_ok(layer_index_open_memory(layer.index.map, layer.index.map_size, &checked.index, &err),
              &err);
    layer_release(&layer);
}

#define EXPECT(rows)                                                                               \
    for (size_t i = 0; i < COUNT(rows); i++)                                                       \
    expect_listing(&rows[i])

static void test_builder__names_are_cleaned(void **state)
{
    (void)state;
    static const struct expected_layer rows[] = {
        {"f /abs x", "f abs x\n"},
        {"f ./x//y/./z x", "d x implied\nd x/y implied\nf x/y/z x\n"},
        {"f a/../b x", "f b x\n"}, /* and no "a" */
        {"d a;f a/../b x", "d a\nf b x\n"},
        {"f a/ x", "f a x\n"},
        {"f //a x", "f a x\n"},
        {"d . 0700 1:2 @5", "d . 700 1:2 @5\n"},
        {"d / 0700", "d . 700\n"},
        {"d ./", "d .\n"},
        {"d . 0700;d . 0711", "d . 711\n"},
        {"d a/..", "d .\n"},
        {"f caf\xc3\xa9 x;f caf\xe9 x", "f caf\xc3\xa9 x\nf caf\xe9 x\n"},
        {"f ... x;f ..a x", "f ... x\nf ..a x\n"},
    };
    EXPECT(rows);
}

static void test_builder__order_of_the_index(void **state)
{
    (void)state;
    static const struct expected_layer rows[] = {
        {"f b x;f a-b x;d a;f a/c x;f a.b x;f a/b x",
         "d a\nf a/b x\nf a/c x\nf a-b x\nf a.b x\nf b x\n"},
        {"f a/b/c/d x", "d a implied\nd a/b implied\nd a/b/c implied\nf a/b/c/d x\n"},
        {"f a/b x;d a 0700 @5", "d a 700 @5\nf a/b x\n"}, /* named after its child */
        {"", ""},
    };
    EXPECT(rows);
}

static void test_builder__attributes(void **state)
{
    (void)state;
    static const struct expected_layer rows[] = {
        {"f a x 4755 3:4 @-5", "f a x 4755 3:4 @-5\n"},
        {"d a 1777 1:1 @8589934592", "d a 1777 1:1 @8589934592\n"},
        {"s a t 0600 7:8 @9", "s a t 7:8 @9\n"},
        {"f a x 0 4294967294:4294967294", "f a x 0 4294967294:4294967294\n"},
        {"c a 1,3 0666;b b 7,0;p c 0600", "c a 1,3 666\nb b 7,0\np c 600\n"},
    };
    EXPECT(rows);
}

static void test_builder__below_symlinks_of_the_layer(void **state)
{
    (void)state;
    static const struct expected_layer rows[] = {
        {"d usr;d usr/lib;s lib usr/lib;f lib/x 1",
         "s lib usr/lib\nd usr\nd usr/lib\nf usr/lib/x 1\n"},
        {"d usr;d usr/lib;s lib /usr/lib;f lib/x 1",
         "s lib /usr/lib\nd usr\nd usr/lib\nf usr/lib/x 1\n"},
        {"s lib usr/lib;f lib/x 1",
         "s lib usr/lib\nd usr implied\nd usr/lib implied\nf usr/lib/x 1\n"},
        {"s a ../../../tmp/escape;f a/x 1",
         "s a ../../../tmp/escape\nd tmp implied\nd tmp/escape implied\nf tmp/escape/x 1\n"},
        {"d d;d e;s d/up ../e;f d/up/x 1", "d d\ns d/up ../e\nd e\nf e/x 1\n"},
        {"s a b;s b c;d c;f a/x 1", "s a b\ns b c\nd c\nf c/x 1\n"},
        {"s a .;f a/x 1", "s a .\nf x 1\n"},
        {"s a /;f a/b/x 1", "s a /\nd b implied\nf b/x 1\n"},
        /* The last component is not followed. */
        {"d d;s a d;s a e", "s a e\nd d\n"},
        {"d d;s a d;f a x", "f a x\nd d\n"},
        {"d d;s a d;d a", "d a opaque\nd d\n"},
        {"s lib usr/lib;w lib/x", "s lib usr/lib\nd usr implied\nd usr/lib implied\nw usr/lib/x\n"},
        {"s lib usr/lib;o lib", "s lib usr/lib\nd usr implied\nd usr/lib implied opaque\n"},
        {"d d;f d/f 1;s a d;l g a/f", "s a d\nd d\nf d/f 1\nf g 1 same as d/f\n"},
    };
    EXPECT(rows);
}

static void test_builder__later_entries_win(void **state)
{
    (void)state;
    static const struct expected_layer rows[] = {
        {"f a 1;f a 2 0600", "f a 2 600\n"},
        {"d a;f a/x 1;d a 0700 @3", "d a 700 @3\nf a/x 1\n"},
        {"d a;f a/x 1;d a/b;f a/b/y 1;f a 2", "f a 2\n"},
        {"d a;f a/x 1;s a t", "s a t\n"},
        {"f a 1;d a", "d a opaque\n"},
        {"f a 1;d a;f a/x 1", "d a opaque\nf a/x 1\n"},
        {"d t;s a t;d a;f a/x 1", "d a opaque\nf a/x 1\nd t\n"},
        {"d t;f t/f 1;s a t/f;f a 2", "f a 2\nd t\nf t/f 1\n"},
        {"f a 1;l b a;f a 2", "f a 2\nf b 1\n"}, /* the link keeps what it shared */
        {"d a;f a/x 1;f a 1;d a;f a/y 2", "d a opaque\nf a/y 2\n"},
        {"f a 1;f b 2;l b a", "f a 1\nf b 1 same as a\n"},
        {"f a 1;d b;f b/x 1;l b a", "f a 1\nf b 1 same as a\n"},
    };
    EXPECT(rows);
}

static void test_builder__whiteouts(void **state)
{
    (void)state;
    static const struct expected_layer rows[] = {
        {"w a", "w a\n"},
        {"d d;w d/a", "d d\nw d/a\n"},
        {"w d/a", "d d implied\nw d/a\n"},
        /* Hides the layers below only, before and after: */
        {"w a;f a 1", "f a 1\n"},
        {"f a 1;w a", "f a 1\n"},
        {"w a;d a;f a/x 1", "d a opaque\nf a/x 1\n"},
        {"d a;f a/x 1;w a", "d a opaque\nf a/x 1\n"},
        {"w a;f a/x 1", "d a implied opaque\nf a/x 1\n"},
        {"w a;s a t", "s a t\n"},
        {"w a;w a", "w a\n"},
        {"w a/b;w a", "w a\n"},
        /* The type of the mark does not matter; its bytes neither. */
        {"d .wh.a", "w a\n"},
        {"s .wh.a t", "w a\n"},
        {"l .wh.a t", "w a\n"},
        {"f .wh.a content 0644", "w a\n"},
        /* aufs' own bookkeeping, and what is below a whiteout's name. */
        {"f .wh..wh.plnk x", ""},
        {"f .wh..wh.aufs x", ""},
        {"d .wh..wh.plnk;f .wh..wh.plnk/1 x", ""},
        {"w d;f .wh.d/x 1", "w d\n"},
        /* overlayfs' whiteout */
        {"c a 0,0", "w a\n"},
        {"f a 1;c a 0,0", "f a 1\n"},
        {"w a/b;f a 1", "f a 1\n"},
    };
    EXPECT(rows);
}

static void test_builder__opaque_directories(void **state)
{
    (void)state;
    static const struct expected_layer rows[] = {
        {"d a;o a", "d a opaque\n"},
        {"o a;d a 0700;f a/x 1", "d a 700 opaque\nf a/x 1\n"},
        {"d a;f a/x 1;o a;f a/y 1;d a 0700", "d a 700 opaque\nf a/x 1\nf a/y 1\n"},
        {"o a", "d a implied opaque\n"},
        {"o .", "d . implied opaque\n"},
        {"o .;d . 0700;f a 1", "d . 700 opaque\nf a 1\n"},
        {"o a/b", "d a implied\nd a/b implied opaque\n"},
        {"d a;o a;f a 1", "f a 1\n"},
        {"d a;o a;f a 1;d a", "d a opaque\n"},
    };
    EXPECT(rows);
}

static void test_builder__hard_links(void **state)
{
    (void)state;
    static const struct expected_layer rows[] = {
        {"f a 1 4755 3:4 @5;l b a", "f a 1 4755 3:4 @5\nf b 1 4755 3:4 @5 same as a\n"},
        {"f b 1;l a b", "f a 1\nf b 1 same as a\n"}, /* the first in order is the file */
        {"f a 1;l b /a", "f a 1\nf b 1 same as a\n"},
        {"f a 1;l b x/../a", "f a 1\nf b 1 same as a\n"},
        {"f a 1;l b a;l c b", "f a 1\nf b 1 same as a\nf c 1 same as a\n"},
        {"s a t;l b a", "s a t\ns b t same as a\n"},
        {"p a;l b a", "p a\np b same as a\n"},
        {"c a 1,3;l b a", "c a 1,3\nc b 1,3 same as a\n"},
        /* The layers below have it, perhaps: */
        {"l b a", "L b a\n"},
        {"l b ./x/a", "L b x/a\n"},
        {"d x;l b x/a", "L b x/a\nd x\n"},
        {"w a;l b a", "w a\nL b a\n"},
        {"l b a;f a 1", "f a 1\nL b a\n"}, /* before the link, not after */
        {"s s x/y;l b s/a", "L b x/y/a\ns s x/y\n"},
        {"d d;s d/s ../x;l b d/s/t/a", "L b x/t/a\nd d\ns d/s ../x\n"},
        {"l b a;f b 1", "f b 1\n"},
    };
    EXPECT(rows);
}

static void test_builder__instructions_to_cvmfs_are_dropped(void **state)
{
    (void)state;
    static const struct expected_layer rows[] = {
        {"f .cvmfscatalog x;d a;f a/.cvmfscatalog x", "d a\n"},
        {"f a/.cvmfsgraft-b x", ""},
        {"d .cvmfscatalog;f .cvmfscatalog/x 1", ""},
        {"f .cvmfscatalog2 x;f .cvmfsgraft x;f x.cvmfsgraft-a x",
         "f .cvmfscatalog2 x\nf .cvmfsgraft x\nf x.cvmfsgraft-a x\n"},
    };
    EXPECT(rows);
    struct layer layer = make_layer("f .cvmfscatalog x;f a/.cvmfsgraft-x x;f b 1", 1);
    assert_int_equal(layer.index.header->dropped_count, 2);
    layer_release(&layer);
}

/* An instruction by way of a link: what is named so must never be published. */
static void test_builder__no_way_around_the_dropped_names(void **state)
{
    (void)state;
    static const struct expected_layer rows[] = {
        {"f a 1;l .cvmfscatalog a", "f a 1\n"},
        {"f a 1;l .cvmfsgraft-b a", "f a 1\n"},
        {"w .cvmfscatalog", ""},
        {"w .cvmfsgraft-a", ""},
        {"c .cvmfscatalog 0,0", ""},
    };
    EXPECT(rows);
}

static void test_builder__refused(void **state)
{
    (void)state;
    static const struct {
        const char *entries;
        enum error_kind kind;
        const char *says;
    } rows[] = {
        {"s s .cvmfscatalog;f s/x 1", ERROR_PARSE, "leads to .cvmfscatalog"},
        {"s s a/.cvmfsgraft-x/b;f s/x 1", ERROR_PARSE, "leads to .cvmfsgraft-x"},
        {"f ../x 1", ERROR_PARSE, "entry \"../x\": its name leaves the layer's root"},
        {"f a/../../x 1", ERROR_PARSE, "leaves the layer's root"},
        {"f /../x 1", ERROR_PARSE, "leaves the layer's root"},
        {"d ..", ERROR_PARSE, "leaves the layer's root"},
        {"l a ../b", ERROR_PARSE, "hard-link target \"../b\" leaves the layer's root"},
        {"f . 1", ERROR_PARSE, "the root can only be a directory"},
        {"s / t", ERROR_PARSE, "the root can only be a directory"},
        {"f a 1;f a/x 1", ERROR_PARSE, "lies below \"a\", which is not a directory"},
        {"f a 1;s s a;f s/x 1", ERROR_PARSE, "lies below \"a\", which is not a directory"},
        {"s a b;s b a;f a/x 1", ERROR_PARSE, "leads through more than 40 symlinks"},
        {"s a a;f a/x 1", ERROR_PARSE, "leads through more than 40 symlinks"},
        {"f a 1;l a a", ERROR_PARSE, "a hard link to itself"},
        {"d a;l b a", ERROR_PARSE, "hard-link target \"a\" is a directory"},
        {"l b .", ERROR_PARSE, "hard-link target \".\" is a directory"},
        {"s a a;l b a/x", ERROR_PARSE, "leads through more than 40 symlinks"},
        {"f .wh. 1", ERROR_PARSE, "a whiteout that names no entry"},
        {"f .wh.. 1", ERROR_PARSE, "a whiteout that names no entry"},
        {"f .wh... 1", ERROR_PARSE, "a whiteout that names no entry"},
        {"s a", ERROR_PARSE, "a symlink whose text has 0 bytes"},
        {"l . a;f a 1", ERROR_PARSE, "the root can only be a directory"},
        {"f a 1;l . a", ERROR_PARSE, "the root can only be a directory"},
        {"f a 1;l / a", ERROR_PARSE, "the root can only be a directory"},
        {"c . 0,0", ERROR_PARSE, "a whiteout that names no entry"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        struct making m = making_new();
        assert_fails(rows[i].entries, making_add_all(&m, rows[i].entries, &err), &err, rows[i].kind,
                     rows[i].says);
        making_free(&m);
    }
}

/* A name of `count` components of `len` bytes. */
static char *deep_name(size_t count, size_t len)
{
    struct buf name = BUF_INIT;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_addc(&name, '/');
        for (size_t k = 0; k < len; k++)
            buf_addc(&name, 'n');
    }
    return buf_take(&name);
}

static void expect_length(char type, size_t count, size_t len, const char *says)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *name = deep_name(count, len);
    _cleanup_free_ char *line =
        type == 's' ? xasprintf("s link %s", name) : xasprintf("%c %s x", type, name);
    struct making m = making_new();
    int rc = making_add(&m, line, &err);
    if (says)
        assert_fails("length", rc, &err, ERROR_LIMIT, says);
    else
        assert_ok(rc, &err);
    making_free(&m);
}

static void test_builder__lengths_are_limited(void **state)
{
    (void)state;
    expect_length('f', 1, 255, NULL);
    expect_length('f', 1, 256, "a component of 256 bytes (limit 255)");
    expect_length('d', 2, 256, "a component of 256 bytes (limit 255)");
    expect_length('f', 15, 255, NULL); /* 3839 */
    expect_length('f', 16, 255, "is 4095 bytes long (limit 3840)");
    expect_length('f', 40, 127, "is 5119 bytes long (limit 3840)");
    expect_length('s', 16, 255, "a symlink whose text has 4095 bytes");
    expect_length('s', 15, 255, NULL);
    /* A symlink must not make a path longer than a name may be. */
    _cleanup_free_ char *dir = deep_name(10, 255), *name = deep_name(10, 255);
    _cleanup_free_ char *text = xasprintf("s s %s;f s/%s 1", dir, name);
    _cleanup_error_ struct error err = ERROR_INIT;
    struct making m = making_new();
    assert_fails("symlink", making_add_all(&m, text, &err), &err, ERROR_LIMIT, "path is ");
    making_free(&m);
}

static void test_builder__refuses_unknown_types(void **state)
{
    (void)state;
    struct making m = making_new();
    _cleanup_error_ struct error err = ERROR_INIT;
    struct tar_entry volume = {.type = TAR_OTHER, .typeflag = 'V', .name = "v", .link = ""};
    assert_int_equal(layer_builder_add(m.builder, &volume, NULL, &err), -1);
    assert_int_equal(err.kind, ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "entry \"v\": tar entries of type 0x56 are not known"));
    making_free(&m);
}

static void test_builder__directory_in_place_of_a_file_is_opaque(void **state)
{
    (void)state;
    struct making m = making_new();
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(making_add_all(&m, "f c 1;d c;d e", &err), &err);
    struct layer layer = making_finish(&m, 1);
    const struct layer_entry *c = layer_index_find(&layer.index, "c", 1);
    const struct layer_entry *e = layer_index_find(&layer.index, "e", 1);
    assert_int_equal(c->flags, ENTRY_OPAQUE);
    assert_int_equal(e->flags, 0);
    layer_release(&layer);
}

static void test_builder__counts_stand_in_the_header(void **state)
{
    (void)state;
    struct making m = making_new();
    _cleanup_error_ struct error err = ERROR_INIT;
    struct buf xattrs = BUF_INIT;
    uint32_t len = 1;
    buf_add(&xattrs, "user.a", 7);
    buf_add(&xattrs, &len, sizeof len);
    buf_addc(&xattrs, 'v');
    struct tar_entry with = {.type = TAR_DIRECTORY, .name = "x", .link = "", .xattrs = &xattrs};
    assert_ok(layer_builder_add(m.builder, &with, NULL, &err), &err);
    assert_ok(making_add_all(&m, "l b a;o x;f y/z 1;f .cvmfscatalog x", &err), &err);
    struct layer layer = making_finish(&m, 1);
    const struct layer_index_header *h = layer.index.header;
    assert_int_equal(h->entry_count, 5); /* the root, b, x, y, y/z */
    assert_int_equal(h->xattr_count, 1);
    assert_int_equal(h->lower_links, 1);
    assert_int_equal(h->opaque_count, 1);
    assert_int_equal(h->implied_count, 2);
    assert_int_equal(h->dropped_count, 1);
    const struct layer_entry *x = layer_index_find(&layer.index, "x", 1);
    assert_int_equal(x->xattrs_len, xattrs.len);
    assert_memory_equal(layer.index.names + x->xattrs, xattrs.data, xattrs.len);
    buf_release(&xattrs);
    layer_release(&layer);
}

/* Enough names that the table grows several times, and enough depth for any recursion to show. */
static void test_builder__many_and_deep(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct making m = making_new();
    for (unsigned i = 0; i < 20000; i++) {
        _cleanup_free_ char *line = xasprintf("f d%u/f%u x", i % 70, i);
        assert_ok(making_add(&m, line, &err), &err);
    }
    _cleanup_free_ char *deep = deep_name(1920, 1);
    _cleanup_free_ char *line = xasprintf("f %s x", deep);
    assert_ok(making_add(&m, line, &err), &err);
    assert_ok(making_add(&m, "f n x", &err), &err); /* and all of that goes */
    struct layer layer = making_finish(&m, 1);
    assert_int_equal(layer.index.count, 1 + 70 + 20000 + 1);
    assert_non_null(layer_index_find(&layer.index, "d69/f19949", 10));
    assert_null(layer_index_find(&layer.index, "d69/f19950", 10));
    layer_release(&layer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builder__names_are_cleaned),
        cmocka_unit_test(test_builder__order_of_the_index),
        cmocka_unit_test(test_builder__attributes),
        cmocka_unit_test(test_builder__below_symlinks_of_the_layer),
        cmocka_unit_test(test_builder__later_entries_win),
        cmocka_unit_test(test_builder__whiteouts),
        cmocka_unit_test(test_builder__opaque_directories),
        cmocka_unit_test(test_builder__hard_links),
        cmocka_unit_test(test_builder__instructions_to_cvmfs_are_dropped),
        cmocka_unit_test(test_builder__no_way_around_the_dropped_names),
        cmocka_unit_test(test_builder__refused),
        cmocka_unit_test(test_builder__lengths_are_limited),
        cmocka_unit_test(test_builder__refuses_unknown_types),
        cmocka_unit_test(test_builder__directory_in_place_of_a_file_is_opaque),
        cmocka_unit_test(test_builder__counts_stand_in_the_header),
        cmocka_unit_test(test_builder__many_and_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

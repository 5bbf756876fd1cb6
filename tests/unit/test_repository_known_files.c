/* repository/known_files.h */
#include "layer_maker.h"

#include "repository/known_files.h"

struct fixture {
    struct layer layers[4];
    size_t count;
    struct known_files *known;
};

static void fixture_free(struct fixture *f)
{
    known_files_free(f->known);
    for (size_t i = 0; i < f->count; i++)
        layer_release(&f->layers[i]);
}

static struct layer *add(struct fixture *f, const char *text)
{
    f->layers[f->count] = make_layer(text, (unsigned)f->count);
    return &f->layers[f->count++];
}

static void want(struct fixture *f, const char *home, const char *text)
{
    struct layer *l = add(f, text);
    known_files_want(f->known, &l->blob, &l->index, home);
}

static void offer(struct fixture *f, const char *home, const char *text,
                  const uint8_t *not_linkable)
{
    struct layer *l = add(f, text);
    struct known_source source = {.index = l->index, .home = home, .not_linkable = not_linkable};
    known_files_offer(f->known, &source);
}

/* "PATH -> TARGET" of each link of a wanted layer, in order. */
static void expect_links(const struct fixture *f, size_t layer, const char *expected)
{
    _cleanup_buf_ struct buf got = BUF_INIT, path = BUF_INIT;
    const struct layer_index *index = &f->layers[layer].index;
    const struct known_layer *l = known_layer_find(f->known, &f->layers[layer].blob);
    assert_non_null(l);
    for (uint32_t i = 0; i < index->count; i++) {
        const struct layer_entry *e = &index->entries[i];
        if (known_layer_path(l, i, &path))
            buf_addf(&got, "%s%.*s -> %s", got.len ? "; " : "", (int)e->path_len,
                     entry_path(index, e), path.data);
    }
    assert_same_text("links", got.data ? got.data : "", expected);
}

static void expect_counts(const struct known_counts *c, uint64_t files, uint64_t bytes,
                          uint64_t differing, uint64_t bytes_differing)
{
    assert_int_equal(c->files, files);
    assert_int_equal(c->bytes, bytes);
    assert_int_equal(c->files_differing, differing);
    assert_int_equal(c->bytes_differing, bytes_differing);
}

static void test_known__in_an_earlier_layer(void **state)
{
    (void)state;
    struct known_counts counts;
    struct fixture f = {.known = known_files_new(true)};
    want(&f, "N", "f a/same one;f b/moved two;f new three;s link one;d a 700");
    offer(&f, "O", "f a/same one;f was/here two;f gone four;s link one", NULL);
    known_files_finish(f.known, &counts);
    expect_links(&f, 0, "a/same -> O/a/same; b/moved -> O/was/here");
    expect_counts(&counts, 2, 6, 0, 0);
    assert_null(known_layer_find(f.known, &f.layers[1].blob));
    fixture_free(&f);
}

/* A link shares them all. */
static void test_known__attributes_must_be_equal(void **state)
{
    (void)state;
    static const char *const others[] = {"f x one 600", "f x one 1:0", "f x one 0:1", "f x one @1"};
    for (size_t i = 0; i < COUNT(others); i++) {
        struct known_counts counts;
        struct fixture f = {.known = known_files_new(true)};
        want(&f, "N", "f x one");
        offer(&f, "O", others[i], NULL);
        known_files_finish(f.known, &counts);
        expect_links(&f, 0, "");
        expect_counts(&counts, 0, 0, 1, 3);
        fixture_free(&f);
    }
}

static struct layer with_details(unsigned number, uint32_t nanoseconds, const char *xattrs,
                                 size_t xattrs_len)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct making m = making_new();
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    buf_add(&bytes, xattrs, xattrs_len);
    struct tar_entry e = {.type = TAR_FILE,
                          .name = "x",
                          .link = "",
                          .mode = 0644,
                          .mtime_nsec = nanoseconds,
                          .xattrs = xattrs_len ? &bytes : NULL};
    struct content c = {.size = 0};
    assert_ok(layer_builder_add(m.builder, &e, &c, &err), &err);
    return making_finish(&m, number);
}

static bool links(bool whole_seconds, struct layer *wanted, struct layer *offered)
{
    struct known_counts counts;
    struct known_files *known = known_files_new(whole_seconds);
    known_files_want(known, &wanted->blob, &wanted->index, "N");
    struct known_source source = {.index = offered->index, .home = "O"};
    known_files_offer(known, &source);
    known_files_finish(known, &counts);
    known_files_free(known);
    return counts.files == 1;
}

static void test_known__xattrs_and_parts_of_seconds(void **state)
{
    (void)state;
    struct layer plain = with_details(1, 0, "", 0), late = with_details(2, 5, "", 0);
    struct layer capable = with_details(3, 0, "user.a\0\1\0\0\0b", 12);
    struct layer capable_too = with_details(4, 0, "user.a\0\1\0\0\0b", 12);
    struct layer other = with_details(5, 0, "user.a\0\1\0\0\0c", 12);
    assert_true(links(true, &plain, &late));
    assert_false(links(false, &plain, &late));
    assert_true(links(true, &capable, &capable_too));
    assert_false(links(true, &capable, &plain));
    assert_false(links(true, &plain, &capable));
    assert_false(links(true, &capable, &other));
    layer_release(&plain);
    layer_release(&late);
    layer_release(&capable);
    layer_release(&capable_too);
    layer_release(&other);
}

/* What is sent is sent once; a hard link of the layer is no second file. */
static void test_known__within_one_commit(void **state)
{
    (void)state;
    struct known_counts counts;
    struct fixture f = {.known = known_files_new(true)};
    want(&f, "N", "f a one;f b one;l c a;f d one 600");
    want(&f, "M", "f e one;f f two;f g two");
    known_files_want(f.known, &f.layers[1].blob, &f.layers[1].index, "again");
    known_files_finish(f.known, &counts);
    expect_links(&f, 0, "b -> N/a");
    expect_links(&f, 1, "e -> N/a; g -> M/f");
    expect_counts(&counts, 3, 9, 1, 3);
    fixture_free(&f);
}

/* Never a link to what is a link in the same commit. */
static void test_known__links_lead_to_files(void **state)
{
    (void)state;
    struct known_counts counts;
    struct fixture f = {.known = known_files_new(true)};
    want(&f, "N", "f a one;f b one");
    want(&f, "M", "f c one");
    offer(&f, "O", "f old one;f older one", NULL);
    known_files_finish(f.known, &counts);
    expect_links(&f, 0, "a -> O/old; b -> O/old");
    expect_links(&f, 1, "c -> O/old");
    expect_counts(&counts, 3, 9, 0, 0);
    fixture_free(&f);
}

static void refuse_short(void *arg, const struct known_source *source, const uint32_t *entries,
                         size_t count, bool *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct layer_entry *e = &source->index.entries[entries[i]];
        buf_addf(arg, "%s/%.*s ", source->home, (int)e->path_len, entry_path(&source->index, e));
        out[i] = e->size > 3;
    }
}

/* Files in chunks, and those that are not what the index says. */
static void test_known__what_may_not_be_linked_to(void **state)
{
    (void)state;
    struct known_counts counts;
    _cleanup_buf_ struct buf asked = BUF_INIT;
    struct fixture f = {.known = known_files_new(true)};
    want(&f, "N", "f a one;f b three;f c four");
    uint8_t not_linkable[1] = {1 << 1}; /* the root is entry 0 */
    offer(&f, "O", "f c four", not_linkable);
    struct layer *l = add(&f, "f x one;f y three;f z five");
    struct known_source source = {
        .index = l->index, .home = "P", .may_link = refuse_short, .arg = &asked};
    known_files_offer(f.known, &source);
    offer(&f, "Q", "f x one", NULL);
    known_files_finish(f.known, &counts);
    expect_links(&f, 0, "a -> Q/x; b -> P/y");
    assert_string_equal(asked.data, "P/x P/y ");
    expect_counts(&counts, 2, 8, 1, 4);
    fixture_free(&f);
}

static void test_known__many(void **state)
{
    (void)state;
    enum { FILES = 20000 };
    struct known_counts counts;
    _cleanup_buf_ struct buf text = BUF_INIT, old = BUF_INIT;
    for (int i = 0; i < FILES; i++) {
        buf_addf(&text, "f d%d/f%d content-%d @%d\n", i % 50, i, i % 1000, i % 7);
        buf_addf(&old, "f o%d/f%d content-%d @%d\n", i % 30, i, i % 1000, i % 5);
    }
    struct fixture f = {.known = known_files_new(true)};
    want(&f, "N", text.data);
    offer(&f, "O", old.data, NULL);
    known_files_finish(f.known, &counts);
    /* 7,000 of the new ones differ; the old layer has each content with one time. */
    assert_int_equal(counts.files, FILES - 7000 + 1000);
    assert_int_equal(counts.files_differing, 7000 - 1000);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known__in_an_earlier_layer),
        cmocka_unit_test(test_known__attributes_must_be_equal),
        cmocka_unit_test(test_known__xattrs_and_parts_of_seconds),
        cmocka_unit_test(test_known__within_one_commit),
        cmocka_unit_test(test_known__links_lead_to_files),
        cmocka_unit_test(test_known__what_may_not_be_linked_to),
        cmocka_unit_test(test_known__many),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

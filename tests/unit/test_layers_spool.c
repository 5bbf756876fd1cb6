/* layers/spool.h, and layers/layer.h: what lies in the spool. */
#include "tar_maker.h"

#include "base/cancel.h"
#include "layers/layer.h"
#include "layers/spool.h"

static struct spool open_spool(const char *dir, uint64_t limit)
{
    struct spool spool;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(spool_open(&spool, dir, limit, &err), &err);
    return spool;
}

/* A blob in the spool, charged for. Its digest. */
static struct digest put_blob(struct spool *spool, const void *bytes, size_t len)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct digest d = digest_of(DIGEST_SHA256, bytes, len);
    _cleanup_free_ char *path = spool_blob_path(spool, &d);
    assert_ok(spool_charge(spool, len, &err), &err);
    write_file(path, bytes, len);
    return d;
}

static const struct prepare_options sha256 = {.diff_algorithm = DIGEST_SHA256};

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void test_spool__budget(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = new_folder("budget");
    struct spool spool = open_spool(dir, 100);
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(spool_charge(&spool, 60, &err), &err);
    assert_fails("charge", spool_charge(&spool, 41, &err), &err, ERROR_LIMIT,
                 "is full: 41 more bytes");
    assert_ok(spool_charge(&spool, 40, &err), &err);
    spool_credit(&spool, 100);
    assert_int_equal(spool.used_bytes, 0);
    assert_fails("huge", spool_charge(&spool, UINT64_MAX, &err), &err, ERROR_LIMIT, "is full");
    spool_release(&spool);
}

static void test_spool__finds_what_an_earlier_run_left(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = new_folder("left");
    struct spool spool = open_spool(dir, 0);
    put_blob(&spool, "12345", 5);
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *half = path_join(dir, "layers/abc.tmp");
    _cleanup_free_ char *layer = path_join(dir, "layers/def");
    _cleanup_free_ char *data = path_join(layer, "data");
    assert_ok(dir_make(half, 0700, &err), &err);
    assert_ok(dir_make(layer, 0700, &err), &err);
    write_file(data, "1234567", 7);
    spool_release(&spool);
    spool = open_spool(dir, 0);
    assert_int_equal(spool.used_bytes, 12);
    assert_false(is_there(half));
    assert_true(is_there(data));
    spool_release(&spool);
}

static bool wanted_is(void *arg, const char *hex)
{
    return strcmp(arg, hex) == 0;
}

static void test_spool__sweep_keeps_what_is_wanted(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = new_folder("sweep");
    struct spool spool = open_spool(dir, 0);
    struct digest keep = put_blob(&spool, "keep", 4), other = put_blob(&spool, "other", 5);
    struct digest_text hex = digest_hex(&keep);
    spool_sweep(&spool, wanted_is, hex.s);
    _cleanup_free_ char *kept = spool_blob_path(&spool, &keep);
    _cleanup_free_ char *gone = spool_blob_path(&spool, &other);
    assert_true(is_there(kept));
    assert_false(is_there(gone));
    assert_int_equal(spool.used_bytes, 4);
    spool_drop_blob(&spool, &keep);
    assert_int_equal(spool.used_bytes, 0);
    spool_drop_blob(&spool, &keep); /* not there: fine */
    assert_int_equal(spool.used_bytes, 0);
    spool_release(&spool);
}

static void test_layer__prepare_leaves_data_and_index(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = new_folder("prepare");
    struct spool spool = open_spool(dir, 0);
    _cleanup_buf_ struct buf tar = BUF_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    put_file(&tar, "a", "first");
    put_file(&tar, "b", "second");
    put_end(&tar);
    buf_adds(&tar, "behind the end, but part of the diff id");
    struct digest blob = put_blob(&spool, tar.data, tar.len);
    struct layer layer;
    assert_fails("not yet", layer_open(&spool, &blob, &layer, &err), &err, ERROR_NOT_FOUND,
                 "cannot open");
    assert_ok(layer_prepare(&spool, &blob, &sha256, &err), &err);
    assert_int_equal(spool.used_bytes, 11);
    assert_ok(layer_open(&spool, &blob, &layer, &err), &err);
    struct digest diff_id = layer_index_diff_id(&layer.index);
    assert_true(digest_equal(&diff_id, &blob)); /* the blob is not compressed */
    assert_int_equal(layer.index.header->diff_size, tar.len);
    assert_int_equal(layer.index.header->compressed_size, tar.len);
    char bytes[7] = "";
    const struct layer_entry *b = layer_index_find(&layer.index, "b", 1);
    assert_int_equal(file_pread_all(layer.data_fd, bytes, 6, (off_t)b->data_offset), 0);
    assert_string_equal(bytes, "second");
    layer_release(&layer);
    _cleanup_free_ char *place = spool_layer_path(&spool, &blob);
    _cleanup_free_ char *data = path_join(place, "data");
    assert_int_equal(truncate(data, 10), 0);
    assert_fails("cut data", layer_open(&spool, &blob, &layer, &err), &err, ERROR_CORRUPT,
                 "not the size its index says");
    spool_drop_layer(&spool, &blob);
    assert_false(is_there(place));
    spool_release(&spool);
}

static void expect_prepare_fails(const char *what, const struct buf *blob, uint64_t limit,
                                 uint64_t max_bytes, enum error_kind kind, const char *says)
{
    _cleanup_free_ char *dir = new_folder("fails");
    struct spool spool = open_spool(dir, limit);
    _cleanup_error_ struct error err = ERROR_INIT;
    struct digest d = put_blob(&spool, blob->data, blob->len);
    struct prepare_options options = {.diff_algorithm = DIGEST_SHA256, .max_bytes = max_bytes};
    assert_fails(what, layer_prepare(&spool, &d, &options, &err), &err, kind, says);
    _cleanup_free_ char *name = xasprintf("layer %s", digest_text(&d).s);
    assert_non_null(strstr(err.message, name));
    /* Nothing stays but the blob, and its bytes are what the budget counts. */
    _cleanup_free_ char *place = spool_layer_path(&spool, &d);
    _cleanup_free_ char *half = xasprintf("%s.tmp", place);
    assert_false(is_there(place));
    assert_false(is_there(half));
    assert_int_equal(spool.used_bytes, blob->len);
    spool_release(&spool);
}

static void test_layer__prepare_cleans_up_behind_a_failure(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf tar = BUF_INIT, big = BUF_INIT;
    put_file(&tar, "a", "content");
    put_file(&tar, "../b", "x");
    expect_prepare_fails("..", &tar, 0, 0, ERROR_PARSE, "entry \"../b\": its name leaves");
    buf_truncate(&tar, 1030);
    expect_prepare_fails("text", &tar, 0, 0, ERROR_PARSE, "ends in the middle of a header");
    buf_truncate(&tar, 0);
    _cleanup_free_ char *content = xcalloc(1, 3000001);
    memset(content, 'x', 3000000);
    put_file(&big, "a", content);
    expect_prepare_fails("limit", &big, 0, 2000000, ERROR_LIMIT,
                         "unpacks to more than 2000000 bytes");
    expect_prepare_fails("spool", &big, big.len + 1500000, 0, ERROR_LIMIT, "the spool");
    cancel_request();
    expect_prepare_fails("stop", &big, 0, 0, ERROR_CANCELLED, "");
    cancel_reset();
}

static void test_layer__adopted_indexes_are_checked(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = new_folder("adopt");
    struct spool spool = open_spool(dir, 0);
    _cleanup_buf_ struct buf tar = BUF_INIT, index = BUF_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct layer layer;
    put_file(&tar, "a", "first");
    struct digest blob = put_blob(&spool, tar.data, tar.len);
    assert_ok(layer_prepare(&spool, &blob, &sha256, &err), &err);
    _cleanup_free_ char *place = spool_layer_path(&spool, &blob);
    _cleanup_free_ char *from = path_join(place, "index");
    _cleanup_free_ char *copy = in_scratch("index");
    assert_ok(file_read(from, 1 << 20, &index, &err), &err);
    spool_drop_layer(&spool, &blob);
    write_file(copy, index.data, index.len);
    assert_ok(layer_adopt_index(&spool, &blob, copy, &err), &err);
    assert_ok(layer_open(&spool, &blob, &layer, &err), &err);
    assert_int_equal(layer.data_fd, -1);
    assert_non_null(layer_index_find(&layer.index, "a", 1));
    layer_release(&layer);
    spool_drop_layer(&spool, &blob);
    index.data[sizeof(struct layer_index_header) + offsetof(struct layer_entry, type)] = 99;
    write_file(copy, index.data, index.len);
    assert_fails("damaged", layer_adopt_index(&spool, &blob, copy, &err), &err, ERROR_CORRUPT,
                 "record 0 is damaged");
    assert_false(is_there(place));
    spool_release(&spool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spool__budget),
        cmocka_unit_test(test_spool__finds_what_an_earlier_run_left),
        cmocka_unit_test(test_spool__sweep_keeps_what_is_wanted),
        cmocka_unit_test(test_layer__prepare_leaves_data_and_index),
        cmocka_unit_test(test_layer__prepare_cleans_up_behind_a_failure),
        cmocka_unit_test(test_layer__adopted_indexes_are_checked),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

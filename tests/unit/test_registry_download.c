#include "test_registry_standin.h"

#include "base/buf.h"
#include "base/cancel.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define SIZE 300000

/* A blob of SIZE bytes in the stand-in, and a file to fetch it into. */
struct target {
    struct fixture f;
    struct descriptor blob;
    int fd;
};

static struct target target_new(void)
{
    struct target t = {.f = fixture_new(), .blob = {.size = SIZE}};
    FILE *file = tmpfile();
    assert_non_null(file);
    t.fd = dup(fileno(file));
    fclose(file);
    json_t *added =
        standin_call("{s:s, s:i, s:i}", "call", "add_random_blob", "seed", 1, "size", SIZE);
    assert_ok(
        digest_parse(json_string_value(json_object_get(added, "digest")), &t.blob.digest, &t.f.err),
        &t.f.err);
    json_decref(added);
    return t;
}

static void target_free(struct target *t)
{
    fixture_free(&t->f);
    close(t->fd);
}
#define _cleanup_target_ __attribute__((cleanup(target_free)))

static int fetch(struct target *t)
{
    struct blob_download download = {.ref = &t->f.ref, .blob = &t->blob, .fd = t->fd};
    return registry_download_blob(t->f.client, &download, &t->f.err);
}

static off_t size_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_size;
}

static void assert_complete(struct target *t)
{
    static char bytes[SIZE];
    assert_int_equal(size_of(t->fd), SIZE);
    assert_int_equal(file_pread_all(t->fd, bytes, SIZE, 0), 0);
    struct digest got = digest_of(DIGEST_SHA256, bytes, SIZE);
    assert_true(digest_equal(&got, &t->blob.digest));
}

/* The Range headers of the requests so far: "- 1000 2000 ". */
static void assert_ranges(const char *expected)
{
    _cleanup_buf_ struct buf all = BUF_INIT;
    json_t *seen = standin_seen("/blobs/");
    for (size_t i = 0; i < json_array_size(seen); i++) {
        const char *range = request_header(seen, i, "range");
        buf_addf(&all, "%s ", range ? range + strlen("bytes=") : "all");
    }
    json_decref(seen);
    assert_string_equal(all.data, expected);
}

static void behave(const char *json)
{
    json_t *order = json_loads(json, 0, NULL);
    assert_non_null(order);
    json_object_set_new(order, "call", json_string("behave"));
    json_object_set_new(order, "path_regex", json_string("/blobs/"));
    json_decref(standin_call("o", order));
}

/* --- the good ones --- */

static int note_progress(void *arg, uint64_t bytes, struct error *err)
{
    (void)err;
    uint64_t *last = arg;
    assert_true(bytes > *last);
    *last = bytes;
    return 0;
}

static void test_download__whole(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    uint64_t last = 0;
    struct blob_download download = {
        .ref = &t.f.ref, .blob = &t.blob, .fd = t.fd, .progress = note_progress, .arg = &last};
    assert_ok(registry_download_blob(t.f.client, &download, &t.f.err), &t.f.err);
    assert_complete(&t);
    assert_int_equal(last, SIZE);
    struct registry_counters n;
    registry_get_counters(t.f.client, &n);
    assert_int_equal(n.blob_bytes, SIZE);
    assert_int_equal(n.get_blob, 1);
    /* What is there already is not fetched again. */
    assert_ok(fetch(&t), &t.f.err);
    assert_ranges("all ");
}

static void test_download__resumes_as_long_as_it_gets_on(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    behave("{\"times\":6, \"cut_after\":40000}");
    assert_ok(fetch(&t), &t.f.err);
    assert_complete(&t);
    assert_ranges("all 40000- 80000- 120000- 160000- 200000- 240000- ");
}

static void test_download__resumes_short_answers(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    behave("{\"times\":1, \"content_length\":1000}");
    behave("{\"times\":2, \"no_length\":true, \"cut_after\":5000}");
    assert_ok(fetch(&t), &t.f.err);
    assert_complete(&t);
}

static void test_download__resumes_from_file(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    assert_ok(fetch(&t), &t.f.err);
    assert_int_equal(ftruncate(t.fd, 123456), 0);
    assert_ok(fetch(&t), &t.f.err);
    assert_complete(&t);
    assert_ranges("all 123456- ");
}

static void test_download__starts_anew_where_range_is_ignored(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    behave("{\"times\":1, \"cut_after\":1000}");
    behave("{\"ignore_range\":true}");
    assert_ok(fetch(&t), &t.f.err);
    assert_complete(&t);
    assert_ranges("all 1000- ");
}

static void test_download__starts_anew_after_416(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    assert_int_equal(file_write_all(t.fd, "0123456789", 10), 0);
    behave("{\"times\":1, \"status\":416}");
    assert_ok(fetch(&t), &t.f.err);
    assert_complete(&t);
    assert_ranges("10- all ");
}

static void test_download__file_longer_than_blob(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    assert_int_equal(ftruncate(t.fd, SIZE + 1), 0);
    assert_ok(fetch(&t), &t.f.err);
    assert_complete(&t);
    assert_ranges("all ");
}

static void test_download__spoilt_beginning_is_fetched_again(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    assert_int_equal(file_write_all(t.fd, "not this blob", 13), 0);
    assert_ok(fetch(&t), &t.f.err);
    assert_complete(&t);
    assert_ranges("13- all ");
}

static void test_download__after_errors(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    behave("{\"times\":1, \"status\":503}");
    behave("{\"times\":2, \"reset\":true}");
    assert_ok(fetch(&t), &t.f.err);
    assert_complete(&t);
}

static void test_download__after_a_stall(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    behave("{\"times\":1, \"stall_after\":100000}");
    assert_ok(fetch(&t), &t.f.err);
    assert_complete(&t);
    assert_ranges("all 100000- ");
}

/* --- the bad ones --- */

static void test_download__wrong_digest(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    behave("{\"corrupt\":true}");
    assert_failed(fetch(&t), &t.f.err, ERROR_CORRUPT, digest_text(&t.blob.digest).s);
    _cleanup_free_ char *where = xasprintf("%s/a/b: blob: expected digest", standin.host);
    assert_non_null(strstr(t.f.err.message, where));
    assert_non_null(strstr(t.f.err.message, "ask the owner to push the image again"));
    assert_int_equal(size_of(t.fd), 0);
    assert_ranges("all ");
}

static void test_download__too_long(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    behave("{\"append\":1}");
    assert_failed(fetch(&t), &t.f.err, ERROR_CORRUPT, "longer than the 300000 bytes");
    assert_int_equal(size_of(t.fd), 0);
    assert_ranges("all ");
}

static void test_download__wrong_content_range(void **state)
{
    (void)state;
    static const char *const ranges[] = {"bytes 0-299999/300000", "bytes 1000-299999/300001",
                                         "bytes 1000-300000/300000", "1000-",
                                         "bytes 1000-2/300000"};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        _cleanup_target_ struct target t = target_new();
        _cleanup_free_ char *order = xasprintf("{\"content_range\":\"%s\"}", ranges[i]);
        behave("{\"times\":1, \"cut_after\":1000}");
        behave(order);
        assert_failed(fetch(&t), &t.f.err, ERROR_NET, "asked for bytes from 1000 of 300000, got");
        assert_int_equal(size_of(t.fd), 1000);
    }
}

static void test_download__gives_up_without_progress(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    behave("{\"cut_after\":0}");
    behave("{\"times\":1, \"cut_after\":1000}");
    assert_failed(fetch(&t), &t.f.err, ERROR_NET, "after 4 attempts: ");
    assert_true(t.f.err.retryable);
    assert_int_equal(size_of(t.fd), 1000);
}

static void test_download__gives_up_in_the_end(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    behave("{\"cut_after\":1000}");
    assert_failed(fetch(&t), &t.f.err, ERROR_NET, "after 20 attempts: ");
    assert_int_equal(size_of(t.fd), 20000);
}

static void test_download__running_in_place_is_no_progress(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    behave("{\"ignore_range\":true, \"cut_after\":1000}");
    assert_failed(fetch(&t), &t.f.err, ERROR_NET, "after 4 attempts: ");
}

static void test_download__not_there(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    behave("{\"status\":404}");
    assert_failed(fetch(&t), &t.f.err, ERROR_NOT_FOUND, "404 Not Found");
    assert_ranges("all ");
}

static void test_download__full_disk(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    if (full < 0)
        skip();
    dup2(full, t.fd);
    close(full);
    assert_failed(fetch(&t), &t.f.err, ERROR_LIMIT, "the spool is full");
    assert_ranges("all ");
}

static int stop(void *arg, uint64_t bytes, struct error *err)
{
    (void)arg;
    (void)bytes;
    return error_set(err, ERROR_LIMIT, "over the budget");
}

static void test_download__caller_stops(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    struct blob_download download = {
        .ref = &t.f.ref, .blob = &t.blob, .fd = t.fd, .progress = stop};
    int rc = registry_download_blob(t.f.client, &download, &t.f.err);
    assert_failed(rc, &t.f.err, ERROR_LIMIT, "over the budget");
    assert_true(size_of(t.fd) > 0);
}

static int cancel(void *arg, uint64_t bytes, struct error *err)
{
    (void)arg;
    (void)bytes;
    (void)err;
    cancel_request();
    return 0;
}

static void test_download__cancel_keeps_the_beginning(void **state)
{
    (void)state;
    _cleanup_target_ struct target t = target_new();
    struct blob_download download = {
        .ref = &t.f.ref, .blob = &t.blob, .fd = t.fd, .progress = cancel};
    behave("{\"trickle\":[20000, 0.2]}");
    int rc = registry_download_blob(t.f.client, &download, &t.f.err);
    cancel_reset();
    assert_failed(rc, &t.f.err, ERROR_CANCELLED, "stopped on request");
    assert_true(size_of(t.fd) > 0);
    standin_do("{s:s}", "call", "well_behaved");
    assert_ok(fetch(&t), &t.f.err);
    assert_complete(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_download__whole),
        cmocka_unit_test(test_download__resumes_as_long_as_it_gets_on),
        cmocka_unit_test(test_download__resumes_short_answers),
        cmocka_unit_test(test_download__resumes_from_file),
        cmocka_unit_test(test_download__starts_anew_where_range_is_ignored),
        cmocka_unit_test(test_download__starts_anew_after_416),
        cmocka_unit_test(test_download__file_longer_than_blob),
        cmocka_unit_test(test_download__spoilt_beginning_is_fetched_again),
        cmocka_unit_test(test_download__after_errors),
        cmocka_unit_test(test_download__after_a_stall),
        cmocka_unit_test(test_download__wrong_digest),
        cmocka_unit_test(test_download__too_long),
        cmocka_unit_test(test_download__wrong_content_range),
        cmocka_unit_test(test_download__gives_up_without_progress),
        cmocka_unit_test(test_download__gives_up_in_the_end),
        cmocka_unit_test(test_download__running_in_place_is_no_progress),
        cmocka_unit_test(test_download__not_there),
        cmocka_unit_test(test_download__full_disk),
        cmocka_unit_test(test_download__caller_stops),
        cmocka_unit_test(test_download__cancel_keeps_the_beginning),
    };
    return cmocka_run_group_tests(tests, standin_start, standin_stop);
}

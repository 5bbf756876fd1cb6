/* Reading ahead on a thread: the same bytes, the same end. */
#include "check.h"

#include "layers/read_ahead.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A stream of bytes that tell their place, in pieces of any size. */
struct stream {
    size_t at, size;
    bool fails; /* at the end */
    unsigned seed;
    atomic_size_t calls;
};

static char byte_at(size_t at)
{
    return (char)(at * 31 + at / 251);
}

static ssize_t read_stream(void *arg, void *bytes, size_t size, struct error *err)
{
    struct stream *s = arg;
    size_t n = (size_t)rand_r(&s->seed) % size + 1;
    atomic_fetch_add(&s->calls, 1);
    if (s->at == s->size)
        return s->fails ? error_set(err, ERROR_CORRUPT, "damaged after %zu bytes", s->at) : 0;
    if (n > s->size - s->at)
        n = s->size - s->at;
    for (size_t i = 0; i < n; i++)
        ((char *)bytes)[i] = byte_at(s->at + i);
    s->at += n;
    return (ssize_t)n;
}

/* All of it, in reads of any size. Returns what the last one did. */
static ssize_t read_all(struct read_ahead *a, size_t most, size_t *out_size, struct error *err)
{
    static char bytes[300 * 1024];
    unsigned seed = 7;
    ssize_t n;
    *out_size = 0;
    while ((n = read_ahead_read(a, bytes, (size_t)rand_r(&seed) % most + 1, err)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(bytes[i], byte_at(*out_size + (size_t)i));
        *out_size += (size_t)n;
    }
    return n;
}

static void expect(size_t size, bool fails, bool threaded, size_t most)
{
    size_t got;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct stream s = {.size = size, .fails = fails, .seed = (unsigned)size};
    _cleanup_read_ahead_ struct read_ahead *a = read_ahead_new(read_stream, &s, threaded);
    ssize_t last = read_all(a, most, &got, &err);
    assert_int_equal(got, size);
    assert_int_equal(last, fails ? -1 : 0);
    assert_int_equal(err.kind, fails ? ERROR_CORRUPT : ERROR_NONE);
    if (threaded) /* it ended once, and stays so */
        assert_int_equal(read_all(a, most, &got, &err), last);
}

static void test_read_ahead__same_bytes_same_end(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 4096, 128 * 1024, 128 * 1024 + 1, 3 * 1000 * 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int how = 0; how < 4; how++) {
            expect(sizes[i], how & 1, how & 2, 300 * 1024);
            expect(sizes[i], how & 1, how & 2, 1000);
        }
    }
}

/* Whoever gives up in the middle, or before the beginning, does not wait for the rest. */
static void test_read_ahead__given_up(void **state)
{
    (void)state;
    char bytes[100];
    _cleanup_error_ struct error err = ERROR_INIT;
    struct stream s = {.size = SIZE_MAX, .seed = 1}, t = {.size = SIZE_MAX, .seed = 2};
    struct read_ahead *a = read_ahead_new(read_stream, &s, true);
    assert_true(read_ahead_read(a, bytes, sizeof bytes, &err) > 0);
    read_ahead_free(a);
    read_ahead_free(read_ahead_new(read_stream, &t, true));
    read_ahead_free(NULL);
    assert_true(s.calls <= 6 && t.calls <= 5); /* what there is room for, and no more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_ahead__same_bytes_same_end),
        cmocka_unit_test(test_read_ahead__given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "check.h"

#include "base/clock.h"
#include "registry/load.h"

#include <pthread.h>
#include <stdatomic.h>

static struct endpoint endpoint_of(const char *registry)
{
    return (struct endpoint){(char *)"https://q.io/v2/a/", (char *)(uintptr_t)registry, (char *)"a",
                             false, false};
}

/* An answer with one header; not to be released. */
static struct http_response answer(long status, struct http_header *header)
{
    return (struct http_response){
        .status = status, .headers = header, .header_count = 1, .body = BUF_INIT};
}

static void enter_and_leave(struct load *load, const struct endpoint *at, enum load_kind kind,
                            const struct http_response *response)
{
    struct error err = ERROR_INIT;
    assert_ok(load_enter(load, at, kind, &err), &err);
    load_leave(load, at, kind, response);
}

struct crowd {
    struct load *load;
    enum load_kind kind;
    atomic_int inside, most;
};

static void *visit(void *arg)
{
    struct crowd *c = arg;
    struct endpoint at = endpoint_of("q.io");
    struct error err = ERROR_INIT;
    if (load_enter(c->load, &at, c->kind, &err) < 0)
        abort();
    int inside = atomic_fetch_add(&c->inside, 1) + 1, most = atomic_load(&c->most);
    while (inside > most && !atomic_compare_exchange_weak(&c->most, &most, inside))
        continue;
    usleep(10000);
    atomic_fetch_sub(&c->inside, 1);
    load_leave(c->load, &at, c->kind, NULL);
    return NULL;
}

static int most_inside(const struct site *site, enum load_kind kind)
{
    struct crowd c = {.load = load_new(site), .kind = kind};
    pthread_t threads[12];
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, visit, &c), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    load_free(c.load);
    return atomic_load(&c.most);
}

static void test_load__so_many_at_a_time(void **state)
{
    (void)state;
    struct site site = {.defaults = {.requests = 5, .downloads = 2}};
    assert_in_range(most_inside(&site, LOAD_POLL), 3, 5);
    assert_int_equal(most_inside(&site, LOAD_DOWNLOAD), 2);
}

static void test_load__so_many_a_second(void **state)
{
    (void)state;
    struct site site = {.defaults = {.requests_per_second = 50}};
    struct load *load = load_new(&site);
    struct endpoint at = endpoint_of("q.io"), other = endpoint_of("x.io");
    double start = clock_monotonic();
    for (int i = 0; i < 6; i++)
        enter_and_leave(load, &at, LOAD_POLL, NULL);
    double took = clock_monotonic() - start;
    assert_true(took >= 0.1 && took < 1);
    start = clock_monotonic();
    enter_and_leave(load, &other, LOAD_POLL, NULL); /* a registry of its own */
    assert_true(clock_monotonic() - start < 0.02);
    load_free(load);
}

static void test_load__a_pause_is_for_all(void **state)
{
    (void)state;
    struct load *load = load_new(NULL);
    struct endpoint at = endpoint_of("Q.io"), same = endpoint_of("q.io:443");
    struct http_header header = {(char *)"retry-after", (char *)"1"};
    struct http_response busy = answer(429, &header);
    double start = clock_monotonic();
    enter_and_leave(load, &at, LOAD_POLL, &busy);
    enter_and_leave(load, &same, LOAD_DOWNLOAD, NULL);
    assert_true(clock_monotonic() - start >= 1);
    header.value = (char *)"600";
    struct error err = ERROR_INIT;
    enter_and_leave(load, &at, LOAD_POLL, &busy);
    assert_fails("600 s", load_enter(load, &at, LOAD_DOWNLOAD, &err), &err, ERROR_NET,
                 "registry q.io: the registry asked for a pause: not asked until 20");
    assert_false(err.retryable);
    error_release(&err);
    load_free(load);
}

static void test_load__quota(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool stops;
    } table[] = {{"11;w=21600", false},
                 {"10;w=21600", true},
                 {"x", false},
                 {"", false},
                 {"-5;w=600", false}};
    for (size_t i = 0; i < COUNT(table); i++) {
        struct site site = {.defaults = {.quota_floor = 10}};
        struct load *load = load_new(&site);
        struct endpoint at = endpoint_of("q.io");
        struct http_header header = {(char *)"ratelimit-remaining",
                                     (char *)(uintptr_t)table[i].value};
        struct http_response response = answer(200, &header);
        struct error err = ERROR_INIT;
        enter_and_leave(load, &at, LOAD_POLL, &response);
        if (table[i].stops) {
            assert_fails(table[i].value, load_enter(load, &at, LOAD_POLL, &err), &err, ERROR_NET,
                         "10 requests left, floor 10): not polled until 20");
            error_release(&err);
            enter_and_leave(load, &at, LOAD_DOWNLOAD, NULL); /* what is known may be fetched */
        } else {
            enter_and_leave(load, &at, LOAD_POLL, NULL);
        }
        load_free(load);
    }
}

static void test_load__a_mirror_rests(void **state)
{
    (void)state;
    struct load *load = load_new(NULL);
    struct endpoint at = endpoint_of("m.io"), other = endpoint_of("n.io");
    assert_false(load_is_resting(load, &at));
    load_rest(load, &at);
    assert_true(load_is_resting(load, &at));
    assert_false(load_is_resting(load, &other));
    load_free(load);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load__so_many_at_a_time),
        cmocka_unit_test(test_load__so_many_a_second),
        cmocka_unit_test(test_load__a_pause_is_for_all),
        cmocka_unit_test(test_load__quota),
        cmocka_unit_test(test_load__a_mirror_rests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test_registry_standin.h"

#include "base/buf.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/limits.h"

#include <pthread.h>

#define MANIFEST                                                                                   \
    "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\"," \
    "\"digest\":\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","      \
    "\"size\":2},\"layers\":[]}"

static void add_manifest(void)
{
    json_t *manifest = json_loads(MANIFEST, 0, NULL);
    standin_do("{s:s, s:s, s:s, s:o}", "call", "add_manifest", "repository", "a/b", "tag", "1",
               "manifest", manifest);
}

static int get(struct fixture *f)
{
    struct fetched_manifest manifest;
    int rc = registry_get_manifest(f->client, &f->ref, NULL, &manifest, &f->err);
    if (rc == 0) {
        assert_int_equal(manifest.kind, MEDIA_MANIFEST);
        fetched_manifest_release(&manifest);
    }
    return rc;
}

static int head(struct fixture *f)
{
    struct digest digest;
    return registry_head_manifest(f->client, &f->ref, &digest, &f->err);
}

/* --- manifests --- */

static void test_client__head_and_get_agree(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_new();
    struct digest digest;
    struct fetched_manifest manifest;
    add_manifest();
    assert_ok(registry_head_manifest(f.client, &f.ref, &digest, &f.err), &f.err);
    assert_ok(registry_get_manifest(f.client, &f.ref, NULL, &manifest, &f.err), &f.err);
    assert_true(digest_equal(&digest, &manifest.digest));
    fetched_manifest_release(&manifest);
    assert_ok(registry_get_manifest(f.client, &f.ref, &digest, &manifest, &f.err), &f.err);
    fetched_manifest_release(&manifest);
    json_t *seen = standin_seen("/manifests/sha256:");
    assert_int_equal(json_array_size(seen), 1);
    assert_string_equal(request_header(seen, 0, "accept"), media_accept());
    assert_string_equal(request_header(seen, 0, "user-agent"), "ducc/0.1");
    json_decref(seen);
    struct registry_counters n;
    registry_get_counters(f.client, &n);
    assert_int_equal(n.head_manifest, 1);
    assert_int_equal(n.get_manifest, 2);
}

static void test_client__head_without_digest(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_new();
    struct digest digest = {.algorithm = DIGEST_SHA256};
    add_manifest();
    standin_do("{s:s, s:s, s:[s]}", "call", "behave", "path_regex", "/manifests/", "drop_headers",
               "Docker-Content-Digest");
    assert_ok(registry_head_manifest(f.client, &f.ref, &digest, &f.err), &f.err);
    assert_false(digest_is_set(&digest));
    assert_ok(get(&f), &f.err);
}

static void test_client__tells_what_the_registry_said(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_new();
    struct digest digest;
    _cleanup_free_ char *text = xasprintf("no such image or tag, or it is private: "
                                          "http://%s/v2/a/b/manifests/1: 404 Not Found",
                                          standin.host);
    assert_failed(registry_head_manifest(f.client, &f.ref, &digest, &f.err), &f.err,
                  ERROR_NOT_FOUND, text);
    assert_failed(get(&f), &f.err, ERROR_NOT_FOUND, text);
    assert_failed(get(&f), &f.err, ERROR_NOT_FOUND, "404 Not Found: manifest unknown");
    assert_false(f.err.retryable);
    standin_do("{s:s, s:s, s:i}", "call", "behave", "path_regex", ".", "status", 403);
    assert_failed(get(&f), &f.err, ERROR_AUTH, "403 Forbidden: out of order");
    standin_do("{s:s, s:s, s:i, s:s}", "call", "behave", "path_regex", ".", "status", 400, "body",
               "{\"errors\":[{\"message\":\"two\\nlines\"}]}");
    assert_failed(get(&f), &f.err, ERROR_NET, "400 Bad Request: two lines");
    assert_false(f.err.retryable);
}

static void test_client__wrong_manifest_bytes(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_new();
    add_manifest();
    standin_do("{s:s, s:s, s:b}", "call", "behave", "path_regex", ".", "corrupt", 1);
    assert_failed(get(&f), &f.err, ERROR_CORRUPT, "/a/b: manifest: expected digest sha256:");
}

static void test_client__limits_answers(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_new();
    add_manifest();
    standin_do("{s:s, s:s, s:i, s:i}", "call", "behave", "path_regex", ".", "append", 5 << 20,
               "times", 1);
    assert_failed(get(&f), &f.err, ERROR_LIMIT, "the answer is longer than 4194304 bytes");
    char big[70000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    standin_do("{s:s, s:s, s:{s:s}}", "call", "behave", "path_regex", ".", "headers", "X-Big", big);
    assert_failed(get(&f), &f.err, ERROR_LIMIT, "bytes of response headers");
}

static void test_client__contradicting_type(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_new();
    add_manifest();
    standin_do("{s:s, s:s, s:{s:s}}", "call", "behave", "path_regex", ".", "headers",
               "Content-Type", "application/vnd.oci.image.index.v1+json");
    assert_failed(get(&f), &f.err, ERROR_PARSE, "contradicts its other fields");
}

/* --- trying again --- */

static void test_client__tries_again(void **state)
{
    (void)state;
    static const char *const orders[] = {
        "{\"status\":500}",
        "{\"status\":503}",
        "{\"reset\":true}",
        "{\"cut_after\":10}",
        "{\"content_length\":100000}",
        "{\"retry_after\":\"0\"}",
    };
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        _cleanup_fixture_ struct fixture f = fixture_new();
        add_manifest();
        json_t *order = json_loads(orders[i], 0, NULL);
        json_object_set_new(order, "call", json_string("behave"));
        json_object_set_new(order, "path_regex", json_string("."));
        json_object_set_new(order, "times", json_integer(3));
        json_decref(standin_call("o", order));
        assert_ok(get(&f), &f.err);
        json_t *seen = standin_seen("/manifests/");
        assert_int_equal(json_array_size(seen), 4);
        json_decref(seen);
    }
}

static void test_client__gives_up(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_new();
    standin_do("{s:s, s:s, s:i}", "call", "behave", "path_regex", ".", "status", 502);
    assert_failed(get(&f), &f.err, ERROR_NET, "502 Bad Gateway: out of order");
    assert_true(f.err.retryable);
    json_t *seen = standin_seen(".");
    assert_int_equal(json_array_size(seen), 4);
    json_decref(seen);
}

static void test_client__obeys_retry_after(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_new();
    add_manifest();
    standin_do("{s:s, s:s, s:s, s:i}", "call", "behave", "path_regex", ".", "retry_after", "1",
               "times", 1);
    double start = clock_monotonic();
    assert_ok(head(&f), &f.err);
    assert_true(clock_monotonic() - start >= 1);
    /* Nobody sits out an hour. */
    standin_do("{s:s, s:s, s:s}", "call", "behave", "path_regex", ".", "retry_after", "3600");
    assert_failed(get(&f), &f.err, ERROR_NET,
                  "429 Too Many Requests: out of order (it asks to wait");
    assert_true(f.err.retryable);
}

static void test_client__obeys_retry_after_date(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_new();
    char date[64];
    time_t when = time(NULL) + 2;
    struct tm tm;
    add_manifest();
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&when, &tm));
    standin_do("{s:s, s:s, s:s, s:i}", "call", "behave", "path_regex", ".", "retry_after", date,
               "times", 1);
    double start = clock_monotonic();
    assert_ok(get(&f), &f.err);
    assert_true(clock_monotonic() - start >= 0.9);
}

static void test_client__notices_stalls(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f =
        fixture_with(&(struct registry_options){.attempts = 1, .stall_seconds = 1});
    add_manifest();
    standin_do("{s:s, s:s, s:i}", "call", "behave", "path_regex", ".", "stall_after", 5);
    double start = clock_monotonic();
    assert_failed(get(&f), &f.err, ERROR_NET, "too slow");
    assert_true(clock_monotonic() - start < 5);
    assert_true(f.err.retryable);
}

static void test_client__nobody_there(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_new();
    struct reference ref;
    struct digest digest;
    assert_ok(reference_parse("http://127.0.0.1:1/a:1", 0, &ref, &f.err), &f.err);
    int rc = registry_head_manifest(f.client, &ref, &digest, &f.err);
    assert_failed(rc, &f.err, ERROR_NET, "http://127.0.0.1:1/v2/a/manifests/1: ");
    assert_true(f.err.retryable);
    reference_release(&ref);
}

static void *cancel_soon(void *arg)
{
    (void)arg;
    usleep(300000);
    cancel_request();
    return NULL;
}

static void test_client__stops_on_request(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_with(&(struct registry_options){0});
    pthread_t thread;
    add_manifest();
    standin_do("{s:s, s:s, s:i}", "call", "behave", "path_regex", ".", "stall_after", 5);
    pthread_create(&thread, NULL, cancel_soon, NULL);
    double start = clock_monotonic();
    int rc = get(&f);
    double took = clock_monotonic() - start;
    pthread_join(thread, NULL);
    cancel_reset();
    assert_failed(rc, &f.err, ERROR_CANCELLED, "stopped on request");
    assert_true(took < 0.3 + 0.5);
}

/* --- redirects --- */

static char *other_host(void)
{
    json_t *where = standin_call("{s:s, s:i}", "call", "where", "server", 1);
    char *host = xstrdup(json_string_value(json_object_get(where, "host")));
    json_decref(where);
    return host;
}

static int lookup(void *arg, const char *registry, const char *repository, struct credential *out,
                  struct error *err)
{
    (void)err;
    assert_string_equal(registry, standin.host);
    assert_string_equal(repository, "a/b");
    out->username = xstrdup("me");
    out->password = xstrdup(arg);
    return 1;
}

static struct fixture fixture_with_password(char *password, struct credential_source *source)
{
    *source = (struct credential_source){lookup, password};
    return fixture_with(&(struct registry_options){
        .first_pause_seconds = 0.01, .stall_seconds = 1, .credentials = source});
}

static void test_client__redirect_drops_authorization(void **state)
{
    (void)state;
    char password[] = "secret";
    struct credential_source source;
    _cleanup_fixture_ struct fixture f = fixture_with_password(password, &source);
    struct buf bytes = BUF_INIT;
    struct descriptor blob = {.size = 5};
    _cleanup_free_ char *other = other_host();
    _cleanup_free_ char *target = xasprintf("http://user:pw@%s/v2/x/blobs/", other);
    json_t *added =
        standin_call("{s:s, s:i, s:s}", "call", "add_blob", "server", 1, "text", "hello");
    const char *digest = json_string_value(json_object_get(added, "digest"));
    assert_ok(digest_parse(digest, &blob.digest, &f.err), &f.err);
    _cleanup_free_ char *url = xasprintf("%s%s?signature=hidden", target, digest);
    standin_do("{s:s, s:s, s:s}", "call", "require_basic", "user", "me", "password", "secret");
    standin_do("{s:s, s:s, s:s}", "call", "behave", "path_regex", "/blobs/", "redirect", url);
    assert_ok(registry_get_blob(f.client, &f.ref, &blob, 100, &bytes, &f.err), &f.err);
    assert_string_equal(bytes.data, "hello");
    buf_release(&bytes);
    json_t *answer =
        standin_call("{s:s, s:i, s:s}", "call", "seen", "server", 1, "path_regex", ".");
    json_t *seen = json_object_get(answer, "requests");
    assert_int_equal(json_array_size(seen), 1);
    assert_null(request_header(seen, 0, "authorization"));
    json_decref(answer);
    /* What a failure there shows of the URL: no signature, no user. */
    standin_do("{s:s, s:i, s:s, s:i}", "call", "behave", "server", 1, "path_regex", ".", "status",
               403);
    int rc = registry_get_blob(f.client, &f.ref, &blob, 100, &bytes, &f.err);
    assert_failed(rc, &f.err, ERROR_AUTH, "403 Forbidden");
    assert_null(strstr(f.err.message, "hidden"));
    assert_null(strstr(f.err.message, "pw"));
    standin_do("{s:s, s:i}", "call", "reset", "server", 1);
    json_decref(added);
}

static void test_client__foreign_challenge_gets_nothing(void **state)
{
    (void)state;
    char password[] = "secret";
    struct credential_source source;
    _cleanup_fixture_ struct fixture f = fixture_with_password(password, &source);
    _cleanup_free_ char *other = other_host();
    _cleanup_free_ char *url = xasprintf("http://%s", other);
    standin_do("{s:s, s:i, s:s, s:s}", "call", "require_basic", "server", 1, "user", "me",
               "password", "secret");
    standin_do("{s:s, s:s, s:s}", "call", "behave", "path_regex", ".", "redirect", url);
    assert_failed(get(&f), &f.err, ERROR_AUTH, "401 Unauthorized");
    json_t *answer =
        standin_call("{s:s, s:i, s:s}", "call", "seen", "server", 1, "path_regex", ".");
    json_t *seen = json_object_get(answer, "requests");
    assert_int_equal(json_array_size(seen), 1);
    assert_null(request_header(seen, 0, "authorization"));
    json_decref(answer);
    standin_do("{s:s, s:i}", "call", "reset", "server", 1);
}

static void test_client__bad_redirects(void **state)
{
    (void)state;
    static const struct {
        const char *location, *says;
    } table[] = {
        {"file:///etc/passwd", "redirect: not a http or https URL"},
        {"ftp://127.0.0.1/x/y", "redirect: not a http or https URL"},
        {"/v2/a/b/manifests/1?again", "more than 10 redirects"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_fixture_ struct fixture f = fixture_new();
        standin_do("{s:s, s:s, s:s}", "call", "behave", "path_regex", ".", "redirect",
                   table[i].location);
        assert_failed(get(&f), &f.err, ERROR_NET, table[i].says);
        assert_false(f.err.retryable);
    }
}

/* --- small blobs --- */

static void test_client__small_blobs(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_new();
    struct buf bytes = BUF_INIT;
    struct descriptor blob = {.size = 5};
    json_t *added = standin_call("{s:s, s:s}", "call", "add_blob", "text", "hello");
    assert_ok(
        digest_parse(json_string_value(json_object_get(added, "digest")), &blob.digest, &f.err),
        &f.err);
    json_decref(added);
    assert_ok(registry_get_blob(f.client, &f.ref, &blob, 5, &bytes, &f.err), &f.err);
    assert_string_equal(bytes.data, "hello");
    buf_release(&bytes);
    int rc = registry_get_blob(f.client, &f.ref, &blob, 4, &bytes, &f.err);
    assert_failed(rc, &f.err, ERROR_LIMIT, "5 bytes, more than the 4");
    blob.size = 4;
    rc = registry_get_blob(f.client, &f.ref, &blob, 100, &bytes, &f.err);
    assert_failed(rc, &f.err, ERROR_CORRUPT, "its descriptor says 4");
    blob.size = 5;
    standin_do("{s:s, s:s, s:b}", "call", "behave", "path_regex", ".", "corrupt", 1);
    rc = registry_get_blob(f.client, &f.ref, &blob, 100, &bytes, &f.err);
    assert_failed(rc, &f.err, ERROR_CORRUPT, "blob: expected digest");
}

/* --- tags --- */

static int count_tag(void *arg, const char *tag, struct error *err)
{
    struct buf *all = arg;
    if (strcmp(tag, "stop") == 0)
        return error_set(err, ERROR_BUG, "stopped by the caller");
    buf_addf(all, "%s ", tag);
    return 0;
}

static void assert_tags(struct fixture *f, const char *expected)
{
    _cleanup_buf_ struct buf all = BUF_INIT;
    assert_ok(registry_list_tags(f->client, &f->ref, count_tag, &all, &f->err), &f->err);
    assert_string_equal(all.data, expected);
}

static void test_client__pages_of_tags(void **state)
{
    (void)state;
    static const char *const links[] = {"relative", "absolute"};
    for (size_t i = 0; i < 2; i++) {
        _cleanup_fixture_ struct fixture f = fixture_new();
        standin_do("{s:s, s:i, s:s, s:{s:[s,s,s,s,s,s]}}", "call", "set", "page_size", 2, "links",
                   links[i], "tags", "a/b", "1", "2", "../x", "", "x y", "3");
        assert_tags(&f, "1 2 3 ");
        struct registry_counters n;
        registry_get_counters(f.client, &n);
        assert_int_equal(n.list_tags, 3);
        standin_do("{s:s, s:{s:[]}}", "call", "set", "tags", "a/b");
        assert_tags(&f, "");
    }
}

static void test_client__bad_pages_of_tags(void **state)
{
    (void)state;
    _cleanup_free_ char *other = other_host();
    _cleanup_free_ char *elsewhere = xasprintf("http://%s/v2/a/b/tags/list?last=2", other);
    const struct {
        const char *link, *says;
    } table[] = {
        {elsewhere, "said to be at another server"},
        {"https://q.io/v2/x", "said to be at another server: https://q.io/v2/x"},
        {"ftp://q.io/", "not a http or https URL"},
        {"/v2/a/b/tags/list?n=1000", "go in a circle"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_fixture_ struct fixture f = fixture_new();
        _cleanup_buf_ struct buf all = BUF_INIT;
        standin_do("{s:s, s:i, s:s, s:{s:[s,s,s]}}", "call", "set", "page_size", 2, "links",
                   table[i].link, "tags", "a/b", "1", "2", "3");
        int rc = registry_list_tags(f.client, &f.ref, count_tag, &all, &f.err);
        assert_failed(rc, &f.err, ERROR_NET, table[i].says);
    }
}

static void test_client__caller_stops_tags(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_new();
    _cleanup_buf_ struct buf all = BUF_INIT;
    standin_do("{s:s, s:{s:[s,s,s]}}", "call", "set", "tags", "a/b", "1", "stop", "3");
    int rc = registry_list_tags(f.client, &f.ref, count_tag, &all, &f.err);
    assert_failed(rc, &f.err, ERROR_BUG, "stopped by the caller");
    assert_string_equal(all.data, "1 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client__head_and_get_agree),
        cmocka_unit_test(test_client__head_without_digest),
        cmocka_unit_test(test_client__tells_what_the_registry_said),
        cmocka_unit_test(test_client__wrong_manifest_bytes),
        cmocka_unit_test(test_client__limits_answers),
        cmocka_unit_test(test_client__contradicting_type),
        cmocka_unit_test(test_client__tries_again),
        cmocka_unit_test(test_client__gives_up),
        cmocka_unit_test(test_client__obeys_retry_after),
        cmocka_unit_test(test_client__obeys_retry_after_date),
        cmocka_unit_test(test_client__notices_stalls),
        cmocka_unit_test(test_client__nobody_there),
        cmocka_unit_test(test_client__stops_on_request),
        cmocka_unit_test(test_client__redirect_drops_authorization),
        cmocka_unit_test(test_client__foreign_challenge_gets_nothing),
        cmocka_unit_test(test_client__bad_redirects),
        cmocka_unit_test(test_client__small_blobs),
        cmocka_unit_test(test_client__pages_of_tags),
        cmocka_unit_test(test_client__bad_pages_of_tags),
        cmocka_unit_test(test_client__caller_stops_tags),
    };
    return cmocka_run_group_tests(tests, standin_start, standin_stop);
}

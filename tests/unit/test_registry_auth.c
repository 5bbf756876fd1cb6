#include "test_registry_standin.h"

#include "registry/token.h"

#include <pthread.h>

static int lookup(void *arg, const char *registry, const char *repository, struct credential *out,
                  struct error *err)
{
    (void)err;
    if (strcmp(registry, standin.host) != 0 || strcmp(repository, "a/b") != 0)
        return 0;
    out->username = xstrdup("me");
    out->password = xstrdup(arg);
    return 1;
}

static char good_password[] = "pass:word", wrong_password[] = "wrong";
static const struct credential_source good_source = {lookup, good_password};
static const struct credential_source wrong_source = {lookup, wrong_password};

static struct fixture fixture_for(const struct credential_source *source)
{
    struct fixture f = fixture_with(&(struct registry_options){
        .first_pause_seconds = 0.01, .stall_seconds = 1, .credentials = source});
    standin_do("{s:s, s:s, s:s, s:s}", "call", "add_manifest", "repository", "a/b", "tag", "1",
               "manifest", "x");
    return f;
}

/* Its site says nothing of the registry, whose reference has "http://" all the same. */
static struct fixture fixture_unmarked(const struct credential_source *source)
{
    static const struct site site;
    struct fixture f = fixture_with(&(struct registry_options){
        .first_pause_seconds = 0.01, .stall_seconds = 1, .credentials = source, .site = &site});
    standin_do("{s:s, s:s, s:s, s:s}", "call", "add_manifest", "repository", "a/b", "tag", "1",
               "manifest", "x");
    return f;
}

static int head(struct fixture *f)
{
    struct digest digest;
    return registry_head_manifest(f->client, &f->ref, &digest, &f->err);
}

static void assert_requests(struct fixture *f, uint64_t heads, uint64_t tokens)
{
    struct registry_counters n;
    registry_get_counters(f->client, &n);
    assert_int_equal(n.head_manifest, heads);
    assert_int_equal(n.token, tokens);
}

/* --- tokens --- */

static void test_auth__anonymous_token_is_kept(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_for(NULL);
    standin_do("{s:s}", "call", "require_token");
    assert_ok(head(&f), &f.err);
    assert_ok(head(&f), &f.err);
    assert_requests(&f, 3, 1);
    json_t *seen = standin_seen("^/token");
    assert_null(request_header(seen, 0, "authorization"));
    const char *path = json_string_value(json_object_get(json_array_get(seen, 0), "path"));
    /* libcurl's versions differ in the case of the hex digits. */
    assert_int_equal(strcasecmp(path, "/token?service=the%2c+%22test%22+service&"
                                      "scope=repository%3aa%2fb%3apull"),
                     0);
    json_decref(seen);
}

static void test_auth__token_with_credentials(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_for(&good_source);
    standin_do("{s:s, s:s, s:s, s:b, s:n}", "call", "require_token", "user", "me", "password",
               "pass:word", "scope", 0, "expires_in");
    assert_ok(head(&f), &f.err);
    assert_requests(&f, 2, 1);
    json_t *seen = standin_seen("^/token.*account=me");
    assert_string_equal(request_header(seen, 0, "authorization"), "Basic bWU6cGFzczp3b3Jk");
    json_decref(seen);
}

static void test_auth__access_token(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_for(NULL);
    standin_do("{s:s, s:s}", "call", "require_token", "field", "access_token");
    assert_ok(head(&f), &f.err);
}

static void test_auth__wrong_credentials(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_for(&wrong_source);
    standin_do("{s:s, s:s, s:s}", "call", "require_token", "user", "me", "password", "pass:word");
    assert_failed(head(&f), &f.err, ERROR_AUTH, "refuses the credentials for");
    assert_non_null(strstr(f.err.message, "incorrect username or password"));
    assert_null(strstr(f.err.message, "wrong"));
    assert_requests(&f, 1, 1);
}

static void test_auth__fresh_token_refused(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_for(NULL);
    standin_do("{s:s, s:b}", "call", "require_token", "reject", 1);
    assert_failed(head(&f), &f.err, ERROR_AUTH, "without them a/b is not to be had");
    assert_requests(&f, 2, 1);
}

static void test_auth__expired_token_is_renewed(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_for(NULL);
    standin_do("{s:s}", "call", "require_token");
    assert_ok(head(&f), &f.err);
    standin_do("{s:s}", "call", "expire_tokens");
    assert_ok(head(&f), &f.err);
    assert_requests(&f, 4, 2);
}

/* A token of no life at all is good for the request it was fetched for: no loop, no 401 either
 * once the habit is known. */
static void test_auth__shortest_tokens(void **state)
{
    (void)state;
    static const int lives[] = {0, -5};
    for (size_t i = 0; i < 2; i++) {
        _cleanup_fixture_ struct fixture f = fixture_for(NULL);
        standin_do("{s:s, s:i}", "call", "require_token", "expires_in", lives[i]);
        assert_ok(head(&f), &f.err);
        assert_ok(head(&f), &f.err);
        assert_ok(head(&f), &f.err);
        assert_requests(&f, 4, 3);
    }
}

static void test_auth__token_refreshed_before_its_end(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_for(NULL);
    standin_do("{s:s, s:i}", "call", "require_token", "expires_in", 2);
    assert_ok(head(&f), &f.err);
    assert_ok(head(&f), &f.err);
    assert_requests(&f, 3, 1);
    usleep(1200000);
    assert_ok(head(&f), &f.err);
    assert_requests(&f, 4, 2);
}

static void test_auth__token_service_tries_again(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_for(NULL);
    standin_do("{s:s}", "call", "require_token");
    standin_do("{s:s, s:s, s:i, s:i}", "call", "behave", "path_regex", "^/token", "status", 503,
               "times", 2);
    assert_ok(head(&f), &f.err);
    assert_requests(&f, 2, 3);
}

static void test_auth__bad_token_answers(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum error_kind kind;
        const char *says;
    } table[] = {
        {"{}", ERROR_PARSE, "no usable token in it"},
        {"{\"token\":\"a b\"}", ERROR_PARSE, "no usable token in it"},
        {"{\"token\":\"a\\r\\nX-Evil: 1\"}", ERROR_PARSE, "no usable token in it"},
        {"{\"token\":1}", ERROR_PARSE, "field \"token\": expected a string"},
        {"[]", ERROR_PARSE, "expected a JSON object"},
        {"<html>", ERROR_PARSE, "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_fixture_ struct fixture f = fixture_for(NULL);
        standin_do("{s:s}", "call", "require_token");
        standin_do("{s:s, s:s, s:s}", "call", "behave", "path_regex", "^/token", "body",
                   table[i].body);
        assert_failed(head(&f), &f.err, table[i].kind, table[i].says);
    }
}

static void test_auth__bad_challenges(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"Bearer realm=\"ftp://q.io/token\"", "not a http or https URL"},
        {"Bearer realm=\"/token\"", "not a http or https URL"},
        {"Bearer realm=\"x", "expected a closing quote"},
        {"Bearer service=\"x\"", "a kind of authentication that is not known"},
        {"Digest realm=\"x\"", "a kind of authentication that is not known"},
        {"Basic realm=\"x\"", "wants a user and a password, and none are known"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_fixture_ struct fixture f = fixture_for(NULL);
        standin_do("{s:s, s:s, s:i, s:{s:s}}", "call", "behave", "path_regex", ".", "status", 401,
                   "headers", "WWW-Authenticate", table[i][0]);
        enum error_kind kind = strstr(table[i][1], "URL") ? ERROR_NET : ERROR_AUTH;
        assert_failed(head(&f), &f.err, kind, table[i][1]);
        assert_requests(&f, 1, 0);
    }
    _cleanup_fixture_ struct fixture f = fixture_for(NULL);
    standin_do("{s:s, s:s, s:i}", "call", "behave", "path_regex", ".", "status", 401);
    assert_failed(head(&f), &f.err, ERROR_AUTH, "does not say what it wants");
}

/* Ours is an https registry that names an open realm: nothing is sent there with a password. The
 * cache is asked directly, for want of a certificate. */
static void test_auth__open_realm_gets_no_password(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_for(NULL);
    atomic_uint_fast64_t counter = 0;
    struct token_cache *cache = token_cache_new(
        &(struct token_options){.credentials = &good_source, .request_counter = &counter});
    struct token token;
    struct endpoint at = {(char *)"https://r.io/v2/a/b/", f.ref.registry, f.ref.repository, false,
                          false};
    struct token_scope scope = {&at, "http://q.io/token?x=secret", "s", "repository:a/b:pull"};
    int rc = token_get(cache, &scope, 0, &token, &f.err);
    assert_failed(rc, &f.err, ERROR_AUTH, "wants credentials sent to http://q.io/token, an open");
    assert_int_equal(counter, 0);
    token_cache_free(cache);
}

/* --- plain http --- */

static void assert_withheld(struct fixture *f, size_t requests, const char *says)
{
    _cleanup_free_ char *known =
        xasprintf("credentials for %s are known, but they are not sent over plain http; use https, "
                  "or set \"insecure: http\" for %s in the configuration file: %s",
                  standin.host, standin.host, says);
    assert_failed(head(f), &f->err, ERROR_AUTH, known);
    json_t *seen = standin_seen(".");
    assert_int_equal(json_array_size(seen), requests);
    for (size_t i = 0; i < json_array_size(seen); i++)
        assert_null(request_header(seen, i, "authorization"));
    json_decref(seen);
}

static void test_auth__plain_http_gets_no_password(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_unmarked(&good_source);
    standin_do("{s:s, s:s, s:s}", "call", "require_basic", "user", "me", "password", "pass:word");
    assert_withheld(&f, 1, "registry ");
}

static void test_auth__plain_http_token_service_gets_no_password(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_unmarked(&good_source);
    standin_do("{s:s, s:s, s:s}", "call", "require_token", "user", "me", "password", "pass:word");
    assert_withheld(&f, 2, "token service of ");
    json_t *seen = standin_seen("account");
    assert_int_equal(json_array_size(seen), 0);
    json_decref(seen);
}

static int lookup_identity(void *arg, const char *registry, const char *repository,
                           struct credential *out, struct error *err)
{
    (void)registry;
    (void)repository;
    (void)err;
    out->identity_token = xstrdup(arg);
    return 1;
}

static void test_auth__plain_http_gets_no_identity_token(void **state)
{
    (void)state;
    char identity[] = "identity";
    struct credential_source source = {lookup_identity, identity};
    _cleanup_fixture_ struct fixture f = fixture_unmarked(&source);
    standin_do("{s:s, s:s, s:s}", "call", "require_token", "user", "me", "password", "pass:word");
    assert_withheld(&f, 2, "token service of ");
    json_t *seen = standin_seen("^/token");
    const char *method = json_string_value(json_object_get(json_array_get(seen, 0), "method"));
    assert_string_equal(method, "GET");
    json_decref(seen);
}

static void test_auth__plain_http_anonymously(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_unmarked(&good_source);
    assert_ok(head(&f), &f.err);
    standin_do("{s:s}", "call", "require_token");
    assert_ok(head(&f), &f.err);
    json_t *seen = standin_seen("^/token");
    assert_int_equal(json_array_size(seen), 1);
    assert_null(request_header(seen, 0, "authorization"));
    json_decref(seen);
}

/* The anonymous token is given, and opens nothing. */
static void test_auth__plain_http_anonymous_token_refused(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_unmarked(&good_source);
    standin_do("{s:s, s:b}", "call", "require_token", "reject", 1);
    assert_failed(head(&f), &f.err, ERROR_AUTH, "are not sent over plain http");
}

/* --- one request for many threads --- */

static void *head_thread(void *arg)
{
    struct fixture *shared = arg;
    struct error err = ERROR_INIT;
    struct digest digest;
    int rc = registry_head_manifest(shared->client, &shared->ref, &digest, &err);
    error_release(&err);
    return rc == 0 ? arg : NULL;
}

static int heads_at_once(struct fixture *f)
{
    pthread_t threads[16];
    int good = 0;
    for (size_t i = 0; i < 16; i++)
        pthread_create(&threads[i], NULL, head_thread, f);
    for (size_t i = 0; i < 16; i++) {
        void *result;
        pthread_join(threads[i], &result);
        good += result != NULL;
    }
    return good;
}

static void test_auth__threads_share_one_token_request(void **state)
{
    (void)state;
    struct registry_counters n;
    _cleanup_fixture_ struct fixture f = fixture_for(NULL);
    standin_do("{s:s}", "call", "require_token");
    standin_do("{s:s, s:s, s:f}", "call", "behave", "path_regex", "^/token", "delay", 0.5);
    assert_int_equal(heads_at_once(&f), 16);
    registry_get_counters(f.client, &n);
    assert_int_equal(n.token, 1);
    standin_do("{s:s}", "call", "expire_tokens");
    assert_int_equal(heads_at_once(&f), 16);
    registry_get_counters(f.client, &n);
    assert_int_equal(n.token, 2);
}

static void test_auth__threads_share_a_failure(void **state)
{
    (void)state;
    struct registry_counters n;
    _cleanup_fixture_ struct fixture f = fixture_for(&wrong_source);
    standin_do("{s:s, s:s, s:s}", "call", "require_token", "user", "me", "password", "pass:word");
    standin_do("{s:s, s:s, s:f}", "call", "behave", "path_regex", "^/token", "delay", 0.5);
    assert_int_equal(heads_at_once(&f), 0);
    registry_get_counters(f.client, &n);
    assert_int_equal(n.token, 1);
}

/* --- passwords --- */

static void test_auth__basic(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_for(&good_source);
    standin_do("{s:s, s:s, s:s}", "call", "require_basic", "user", "me", "password", "pass:word");
    assert_ok(head(&f), &f.err);
    assert_ok(head(&f), &f.err);
    assert_requests(&f, 3, 0);
}

static void test_auth__basic_refused(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f = fixture_for(&wrong_source);
    standin_do("{s:s, s:s, s:s}", "call", "require_basic", "user", "me", "password", "pass:word");
    assert_failed(head(&f), &f.err, ERROR_AUTH, "do not open a/b");
    assert_requests(&f, 2, 0);
    assert_failed(head(&f), &f.err, ERROR_AUTH, "refuses the credentials");
    assert_requests(&f, 3, 0);
}

static void test_auth__basic_encodes(void **state)
{
    (void)state;
    static const char *const table[][3] = {
        {"Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
        {"", "", "Basic Og=="},
        {"a", "b", "Basic YTpi"},
        {"a", "bc", "Basic YTpiYw=="},
        {"a", "\xc3\xa9", "Basic YTrDqQ=="},
    };
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_free_ char *user = xstrdup(table[i][0]), *password = xstrdup(table[i][1]);
        struct credential credential = {user, password, NULL};
        _cleanup_free_ char *value = basic_authorization(&credential, &err);
        assert_string_equal(value, table[i][2]);
    }
    char colon[] = "a:b";
    struct credential credential = {colon, colon, NULL};
    assert_null(basic_authorization(&credential, &err));
    assert_int_equal(err.kind, ERROR_AUTH);
    error_release(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_auth__anonymous_token_is_kept),
        cmocka_unit_test(test_auth__token_with_credentials),
        cmocka_unit_test(test_auth__access_token),
        cmocka_unit_test(test_auth__wrong_credentials),
        cmocka_unit_test(test_auth__fresh_token_refused),
        cmocka_unit_test(test_auth__expired_token_is_renewed),
        cmocka_unit_test(test_auth__shortest_tokens),
        cmocka_unit_test(test_auth__token_refreshed_before_its_end),
        cmocka_unit_test(test_auth__token_service_tries_again),
        cmocka_unit_test(test_auth__bad_token_answers),
        cmocka_unit_test(test_auth__bad_challenges),
        cmocka_unit_test(test_auth__open_realm_gets_no_password),
        cmocka_unit_test(test_auth__plain_http_gets_no_password),
        cmocka_unit_test(test_auth__plain_http_token_service_gets_no_password),
        cmocka_unit_test(test_auth__plain_http_gets_no_identity_token),
        cmocka_unit_test(test_auth__plain_http_anonymously),
        cmocka_unit_test(test_auth__plain_http_anonymous_token_refused),
        cmocka_unit_test(test_auth__threads_share_one_token_request),
        cmocka_unit_test(test_auth__threads_share_a_failure),
        cmocka_unit_test(test_auth__basic),
        cmocka_unit_test(test_auth__basic_refused),
        cmocka_unit_test(test_auth__basic_encodes),
    };
    return cmocka_run_group_tests(tests, standin_start, standin_stop);
}

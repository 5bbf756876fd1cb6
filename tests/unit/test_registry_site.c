#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"
#include "registry/endpoint.h"
#include "registry/site.h"

#define ELEMENTS(a) (sizeof(a) / sizeof(a)[0])

static struct reference reference(const char *text)
{
    struct reference ref;
    struct error err = ERROR_INIT;
    if (reference_parse(text, REFERENCE_TAG_PATTERN, &ref, &err) < 0)
        fail_msg("%s", err.message);
    return ref;
}

/* The rule's name that refuses a reference, "" if none does. */
static char *refused_by(const struct site *site, const char *text)
{
    _cleanup_reference_ struct reference ref = reference(text);
    struct error err = ERROR_INIT;
    if (site_check(site, &ref, &err) == 0)
        return xstrdup("");
    assert_int_equal(err.kind, ERROR_POLICY);
    char *message = xstrdup(err.message);
    error_release(&err);
    return message;
}

static void test_site__rules(void **state)
{
    (void)state;
    static const struct {
        const char *allow, *block, *reference;
        bool passes;
    } table[] = {
        {NULL, NULL, "q.io/a", true},
        {"q.io", NULL, "q.io/a/b:1", true},
        {"q.io", NULL, "xq.io/a", false},
        {"q.io", NULL, "q.io:5000/a", false},
        {"q.io:5000", NULL, "q.io:5000/a", true},
        {"q.io/team", NULL, "q.io/team/a", true},
        {"q.io/team", NULL, "q.io/team", true},
        {"q.io/team", NULL, "q.io/teammate/a", false},
        {"*.cern.ch", NULL, "registry.cern.ch/a", true},
        {"*.cern.ch", NULL, "registry.cern.ch.evil.io/a", false},
        {"q.io/a:1.*", NULL, "q.io/a:1.2", true},
        {"q.io/a:1.*", NULL, "q.io/a:2.0", false},
        {NULL, "q.io", "q.io/a", false},
        {NULL, "q.io", "Q.IO/a", false},
        {NULL, "q.io", "q.io:443/a", false},
        {NULL, "q.io/a", "q.io/b", true},
        {NULL, "docker.io", "index.docker.io/library/a", false},
        {NULL, "docker.io", "registry-1.docker.io/library/a", false},
        {NULL, "registry-1.docker.io", "docker.io/a", false},
        {NULL, "docker.io/library", "docker.io/busybox", false},
        {NULL, "q.io/*/secret", "q.io/a/b/secret/x", false},
        {"q.io", "q.io/a", "q.io/a/b", false},
        {"q.io", "q.io/a", "q.io/b", true},
    };
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct site site = {0};
        if (table[i].allow)
            site_add_rule(&site.allow, "ours", table[i].allow, "f:1:1");
        if (table[i].block)
            site_add_rule(&site.block, "not that", table[i].block, "f:2:1");
        _cleanup_free_ char *why = refused_by(&site, table[i].reference);
        if ((*why == '\0') != table[i].passes)
            fail_msg("%s: \"%s\"", table[i].reference, why);
        if (*why)
            assert_non_null(strstr(why, table[i].block && strstr(why, "blocked")
                                            ? "\"not that\" (f:2:1)"
                                            : "\"ours\", f:1:1"));
        site_release(&site);
    }
}

static void test_site__limits_fall_back(void **state)
{
    (void)state;
    struct site site = {.defaults = {.requests = 4, .quota_floor = 7}};
    site_add_registry(&site, "Q.io")->limits = (struct site_limits){.requests = 2, .downloads = 1};
    struct site_limits l = site_limits_of(&site, "q.io:443");
    assert_int_equal(l.requests, 2);
    assert_int_equal(l.downloads, 1);
    assert_int_equal(l.quota_floor, 7);
    l = site_limits_of(&site, "other.io");
    assert_int_equal(l.requests, 4);
    assert_int_equal(l.downloads, 8);
    assert_int_equal(site_limits_of(NULL, "q.io").requests, 16);
    site_release(&site);
}

static void test_site__mirrors(void **state)
{
    (void)state;
    static const struct {
        const char *mirror, *reference, *url;
    } table[] = {
        {"m.io", "q.io/a/b", "https://m.io/v2/a/b/x"},
        {"m.io", "http://q.io/a", "http://m.io/v2/a/x"},
        {"http://m.io:5000", "q.io/a", "http://m.io:5000/v2/a/x"},
        {"https://m.io/hub/", "q.io/a", "https://m.io/v2/hub/a/x"},
        {"[::1]:5000/p/q", "q.io/a", "https://[::1]:5000/v2/p/q/a/x"},
    };
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct site site = {0};
        struct endpoints places;
        struct error err = ERROR_INIT;
        _cleanup_reference_ struct reference ref = reference(table[i].reference);
        if (site_add_mirror(site_add_registry(&site, "q.io"), table[i].mirror, &err) < 0)
            fail_msg("%s", err.message);
        endpoints_of(&site, &ref, &places);
        assert_int_equal(places.count, 2);
        assert_true(places.items[0].is_mirror && !places.items[1].is_mirror);
        _cleanup_free_ char *url = endpoint_url(&places.items[0], "x");
        assert_string_equal(url, table[i].url);
        endpoints_release(&places);
        site_release(&site);
    }
}

static void test_site__bad_mirrors(void **state)
{
    (void)state;
    static const char *const table[] = {"",        "/",          "ftp://m.io", "m",
                                        "m.io/UP", "me:pw@m.io", "m.io:0"};
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct site site = {0};
        struct error err = ERROR_INIT;
        if (site_add_mirror(site_add_registry(&site, "q.io"), table[i], &err) == 0)
            fail_msg("%s: was taken", table[i]);
        assert_int_equal(err.kind, ERROR_PARSE);
        assert_non_null(strstr(err.message, "HOST[:PORT][/PREFIX]"));
        error_release(&err);
        site_release(&site);
    }
}

static void test_site__insecure_registry(void **state)
{
    (void)state;
    struct site site = {0};
    struct endpoints places;
    _cleanup_reference_ struct reference ref = reference("q.io/a"), other = reference("x.io/a");
    site_add_registry(&site, "q.io")->transport = TRANSPORT_HTTP;
    endpoints_of(&site, &ref, &places);
    assert_string_equal(places.items[0].base, "http://q.io/v2/a/");
    assert_true(places.items[0].open_line);
    endpoints_release(&places);
    endpoints_of(&site, &other, &places);
    assert_string_equal(places.items[0].base, "https://x.io/v2/a/");
    assert_false(places.items[0].open_line);
    assert_true(endpoint_gets_credentials(&places.items[0]));
    endpoints_release(&places);
    site_release(&site);
}

/* "http://" in a reference or before a mirror is no leave to send credentials. */
static void test_site__plain_http_is_no_mark(void **state)
{
    (void)state;
    struct site site = {0};
    struct error err = ERROR_INIT;
    struct endpoints places;
    _cleanup_reference_ struct reference ref = reference("http://q.io/a");
    static const char *const mirrors[] = {"http://m.io", "n.io", "http://marked.io"};
    site_add_registry(&site, "marked.io")->transport = TRANSPORT_HTTP;
    site_add_registry(&site, "q.io")->transport = TRANSPORT_UNVERIFIED;
    for (size_t i = 0; i < ELEMENTS(mirrors); i++)
        assert_int_equal(site_add_mirror(site_add_registry(&site, "q.io"), mirrors[i], &err), 0);
    endpoints_of(&site, &ref, &places);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(strncmp(places.items[i].base, "http://", 7), 0);
        assert_int_equal(endpoint_gets_credentials(&places.items[i]), i == 2);
    }
    endpoints_release(&places);
    site_release(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_site__rules),
        cmocka_unit_test(test_site__limits_fall_back),
        cmocka_unit_test(test_site__mirrors),
        cmocka_unit_test(test_site__bad_mirrors),
        cmocka_unit_test(test_site__insecure_registry),
        cmocka_unit_test(test_site__plain_http_is_no_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

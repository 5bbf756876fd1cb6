#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"
#include "registry/endpoint.h"
#include "registry/reference.h"

#define HEX64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHA256 "sha256:" HEX64

static void assert_same(const char *a, const char *b)
{
    if (!a || !b)
        assert_true(!a && !b);
    else
        assert_string_equal(a, b);
}

static void test_reference__parses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned flags;
        bool plain_http;
        const char *registry, *repository, *tag, *name;
    } table[] = {
        {"docker.io/library/busybox", 0, false, "docker.io", "library/busybox", "latest",
         "docker.io/library/busybox:latest"},
        {"https://registry.hub.docker.com/library/fedora:35", 0, false, "registry.hub.docker.com",
         "library/fedora", "35", "registry.hub.docker.com/library/fedora:35"},
        {"http://localhost:5000/a:1", 0, true, "localhost:5000", "a", "1", "localhost:5000/a:1"},
        {"localhost/a", 0, false, "localhost", "a", "latest", "localhost/a:latest"},
        {"http://[::1]:5000/a/b:1", 0, true, "[::1]:5000", "a/b", "1", "[::1]:5000/a/b:1"},
        {"[2001:db8::1]/a", 0, false, "[2001:db8::1]", "a", "latest", "[2001:db8::1]/a:latest"},
        {"127.0.0.1:1/a", 0, false, "127.0.0.1:1", "a", "latest", "127.0.0.1:1/a:latest"},
        {"h.example:65535/a:V1.2-x_y", 0, false, "h.example:65535", "a", "V1.2-x_y",
         "h.example:65535/a:V1.2-x_y"},
        {"docker.io/dluitz/bonn-comp-phys-c--dev:1", 0, false, "docker.io",
         "dluitz/bonn-comp-phys-c--dev", "1", "docker.io/dluitz/bonn-comp-phys-c--dev:1"},
        {"q.io/a__b/c_d/e.f/g---h", 0, false, "q.io", "a__b/c_d/e.f/g---h", "latest",
         "q.io/a__b/c_d/e.f/g---h:latest"},
        {"https://gitlab-p4n.aip.de:5005/compute4punch/container-stacks/htcondor-wn:latest", 0,
         false, "gitlab-p4n.aip.de:5005", "compute4punch/container-stacks/htcondor-wn", "latest",
         "gitlab-p4n.aip.de:5005/compute4punch/container-stacks/htcondor-wn:latest"},
        {"https://ghcr.io/watonomous/actions-runner-image:*", REFERENCE_TAG_PATTERN, false,
         "ghcr.io", "watonomous/actions-runner-image", "*",
         "ghcr.io/watonomous/actions-runner-image:*"},
        {"q.io/a:*-v1*2", REFERENCE_TAG_PATTERN, false, "q.io", "a", "*-v1*2", "q.io/a:*-v1*2"},
        {"q.io/a@" SHA256, 0, false, "q.io", "a", NULL, "q.io/a@" SHA256},
        {"q.io/a:1@" SHA256, 0, false, "q.io", "a", "1", "q.io/a@" SHA256},
        {"q.io/a:1@sha512:" HEX64 HEX64, 0, false, "q.io", "a", "1", "q.io/a@sha512:" HEX64 HEX64},
        {"HOST.Example/a", 0, false, "HOST.Example", "a", "latest", "HOST.Example/a:latest"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct reference ref;
        struct error err = ERROR_INIT;
        if (reference_parse(table[i].text, table[i].flags, &ref, &err) < 0)
            fail_msg("%s: %s", table[i].text, err.message);
        assert_int_equal(ref.plain_http, table[i].plain_http);
        assert_same(ref.registry, table[i].registry);
        assert_same(ref.repository, table[i].repository);
        assert_same(ref.tag, table[i].tag);
        _cleanup_free_ char *name = reference_name(&ref);
        assert_same(name, table[i].name);
        reference_release(&ref);
    }
}

struct bad {
    const char *text;
    unsigned flags;
    const char *says;
};

static void check_bad(const struct bad *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct reference ref;
        struct error err = ERROR_INIT;
        if (reference_parse(table[i].text, table[i].flags, &ref, &err) == 0)
            fail_msg("%s: was taken", table[i].text);
        if (!strstr(err.message, table[i].says))
            fail_msg("%s: says \"%s\", not \"%s\"", table[i].text, err.message, table[i].says);
        assert_int_equal(err.kind, ERROR_PARSE);
        error_release(&err);
    }
}
#define CHECK_BAD(table) check_bad(table, sizeof table / sizeof table[0])

static void test_reference__rejects_short_names(void **state)
{
    (void)state;
    static const struct bad table[] = {
        {"ubuntu", 0, "for Docker Hub write \"docker.io/library/ubuntu\""},
        {"ubuntu:22.04", 0, "for Docker Hub write \"docker.io/library/ubuntu:22.04\""},
        {"user/image", 0, "for Docker Hub write \"docker.io/user/image\""},
        {"ubuntu@" SHA256, 0, "does not begin with a registry"},
        {"", 0, "the registry is missing"},
        {"/a", 0, "the registry is missing"},
        {"https:///a", 0, "the registry is missing"},
    };
    CHECK_BAD(table);
}

static void test_reference__rejects_bad_registries(void **state)
{
    (void)state;
    static const struct bad table[] = {
        {"ftp://q.io/a", 0, "scheme \"ftp\": expected http or https"},
        {"q_x.io/a", 0, "expected a host name"},
        {".io/a", 0, "expected a host name"},
        {"q..io/a", 0, "expected a host name"},
        {"q-.io/a", 0, "expected a host name"},
        {"q.io./a", 0, "expected a host name"},
        {"q io.x/a", 0, "expected a host name"},
        {"q.io:0/a", 0, "expected a port from 1 to 65535"},
        {"q.io:65536/a", 0, "expected a port from 1 to 65535"},
        {"q.io:/a", 0, "expected a port from 1 to 65535"},
        {"q.io:5000x/a", 0, "expected a port from 1 to 65535"},
        {"q.io:1:2/a", 0, "expected a port from 1 to 65535"},
        {"[::1/a", 0, "expected a host name"},
        {"[::1]x/a", 0, "expected a host name"},
        {"[]/a", 0, "expected a host name"},
        {"[fe80::1%eth0]/a", 0, "expected a host name"},
        {"../a", 0, "expected a host name"},
    };
    CHECK_BAD(table);
}

static void test_reference__rejects_bad_repositories(void **state)
{
    (void)state;
    static const struct bad table[] = {
        {"q.io/", 0, "the repository behind the registry is missing"},
        {"q.io/:1", 0, "the repository behind the registry is missing"},
        {"q.io/A/b", 0, "upper-case letters are not allowed"},
        {"q.io//a", 0, "expected lower-case letters"},
        {"q.io/a/", 0, "expected lower-case letters"},
        {"q.io/a/../b", 0, "expected lower-case letters"},
        {"q.io/a/.b", 0, "expected lower-case letters"},
        {"q.io/a..b", 0, "expected lower-case letters"},
        {"q.io/a___b", 0, "expected lower-case letters"},
        {"q.io/a._b", 0, "expected lower-case letters"},
        {"q.io/-a", 0, "expected lower-case letters"},
        {"q.io/a-", 0, "expected lower-case letters"},
        {"q.io/a?x=1", 0, "expected lower-case letters"},
        {"q.io/a%2fb", 0, "expected lower-case letters"},
        {"q.io/a b", 0, "expected lower-case letters"},
        {"q.io/a\nb", 0, "a\\x0ab"},
    };
    CHECK_BAD(table);
}

static void test_reference__rejects_bad_tags_and_digests(void **state)
{
    (void)state;
    static const struct bad table[] = {
        {"q.io/a:", 0, "tag \"\": expected up to 128"},
        {"q.io/a:.x", 0, "expected up to 128"},
        {"q.io/a:-x", 0, "expected up to 128"},
        {"q.io/a:x/y", 0, "expected up to 128"},
        {"q.io/a:x y", 0, "expected up to 128"},
        {"q.io/a:x*", 0, "'*' stands for many tags"},
        {"q.io/a:x?", REFERENCE_TAG_PATTERN, "expected up to 128"},
        {"q.io/a:" HEX64 HEX64 "0", 0, "expected up to 128"},
        {"q.io/a:*@" SHA256, REFERENCE_TAG_PATTERN, "exclude each other"},
        {"q.io/a@", 0, "digest \"\""},
        {"q.io/a@" HEX64, 0, "expected ALGORITHM:HEX"},
        {"q.io/a@sha256:12", 0, "64 lower-case hex digits"},
        {"q.io/a@sha256:" HEX64 "@x", 0, "64 lower-case hex digits"},
    };
    CHECK_BAD(table);
}

static void test_reference__rejects_userinfo_without_repeating_it(void **state)
{
    (void)state;
    static const char *const table[] = {
        "https://user:secret@q.io/a:1",    "user:secret@q.io/a",
        "https://user:se/secret@q.io/a",   "https://user:secret@q.io:5000",
        "user:secret@localhost/a@" SHA256,
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct reference ref;
        struct error err = ERROR_INIT;
        assert_int_equal(reference_parse(table[i], 0, &ref, &err), -1);
        assert_int_equal(err.kind, ERROR_PARSE);
        assert_non_null(strstr(err.message, "credentials do not belong in a reference"));
        assert_null(strstr(err.message, "secret"));
        error_release(&err);
    }
}

static void test_reference__limits_length(void **state)
{
    (void)state;
    struct reference ref;
    struct error err = ERROR_INIT;
    char text[3000];
    memset(text, 'a', sizeof text);
    memcpy(text, "q.io/", 5);
    text[sizeof text - 1] = '\0';
    assert_int_equal(reference_parse(text, 0, &ref, &err), -1);
    assert_int_equal(err.kind, ERROR_LIMIT);
    text[256] = '\0';
    assert_int_equal(reference_parse(text, 0, &ref, &err), -1);
    assert_int_equal(err.kind, ERROR_PARSE);
    assert_non_null(strstr(err.message, "longer than 255 bytes"));
    error_release(&err);
    text[255] = '\0';
    assert_int_equal(reference_parse(text, 0, &ref, &err), 0);
    reference_release(&ref);
}

static void test_reference__with_tag_forgets_digest(void **state)
{
    (void)state;
    struct reference ref, other;
    struct error err = ERROR_INIT;
    assert_int_equal(reference_parse("http://q.io/a:x@" SHA256, 0, &ref, &err), 0);
    reference_with_tag(&other, &ref, "2");
    _cleanup_free_ char *name = reference_name(&other);
    assert_string_equal(name, "q.io/a:2");
    assert_true(other.plain_http);
    reference_release(&ref);
    reference_release(&other);
}

static void test_endpoint__maps_docker_hub(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"docker.io/busybox", "https://registry-1.docker.io/v2/library/busybox/x"},
        {"index.docker.io/a/b", "https://registry-1.docker.io/v2/a/b/x"},
        {"registry.hub.docker.com/library/a", "https://registry.hub.docker.com/v2/library/a/x"},
        {"http://localhost:5000/a", "http://localhost:5000/v2/a/x"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct reference ref;
        struct error err = ERROR_INIT;
        assert_int_equal(reference_parse(table[i][0], 0, &ref, &err), 0);
        struct endpoints places;
        endpoints_of(NULL, &ref, &places);
        assert_int_equal(places.count, 1);
        _cleanup_free_ char *url = endpoint_url(&places.items[0], "x");
        assert_string_equal(url, table[i][1]);
        endpoints_release(&places);
        reference_release(&ref);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference__parses),
        cmocka_unit_test(test_reference__rejects_short_names),
        cmocka_unit_test(test_reference__rejects_bad_registries),
        cmocka_unit_test(test_reference__rejects_bad_repositories),
        cmocka_unit_test(test_reference__rejects_bad_tags_and_digests),
        cmocka_unit_test(test_reference__rejects_userinfo_without_repeating_it),
        cmocka_unit_test(test_reference__limits_length),
        cmocka_unit_test(test_reference__with_tag_forgets_digest),
        cmocka_unit_test(test_endpoint__maps_docker_hub),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

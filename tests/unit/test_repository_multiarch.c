#include "check.h"

#include "repository/multiarch.h"

static void test_multiarch__directories(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"linux/amd64", "amd64"},     {"linux/amd64/v1", "amd64"}, {"linux/amd64/v3", "amd64:v3"},
        {"linux/arm64/v8", "arm64"},  {"linux/arm/v7", "arm:v7"},  {"linux/arm", "arm"},
        {"linux/ppc64le", "ppc64le"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct platform platform;
        struct error err = ERROR_INIT;
        assert_ok(platform_parse(table[i][0], &platform, &err), &err);
        _cleanup_free_ char *directory = multiarch_directory(&platform);
        assert_string_equal(directory, table[i][1]);
        platform_release(&platform);
    }
}

static void test_multiarch__links(void **state)
{
    (void)state;
    _cleanup_free_ char *deep = multiarch_variant_link("amd64", "q.io/library/busybox:1");
    _cleanup_free_ char *flat = multiarch_variant_link("arm:v7", "q.io/a:1");
    assert_string_equal(deep, "../../.multiarch/$(CVMFS_ARCH:-amd64)/q.io/library/busybox:1");
    assert_string_equal(flat, "../.multiarch/$(CVMFS_ARCH:-arm:v7)/q.io/a:1");
    assert_string_equal(multiarch_alias("amd64"), "x86_64");
    assert_string_equal(multiarch_alias("arm64"), "aarch64");
    assert_null(multiarch_alias("arm:v7"));
}

/* A client shows the link with a value in the variable's place: that is no change. */
static void test_multiarch__resolved_links(void **state)
{
    (void)state;
    static const char link[] = "../.multiarch/$(CVMFS_ARCH:-amd64)/q.io/a:1";
    static const struct {
        const char *shown;
        bool same;
    } table[] = {
        {"../.multiarch/amd64/q.io/a:1", true},
        {"../.multiarch/arm:v7/q.io/a:1", true},
        {"../.multiarch//q.io/a:1", false},
        {"../.multiarch/amd64/q.io/b:1", false},
        {"../.multiarch/a/b/q.io/a:1", false},
        {"../../.multiarch/amd64/q.io/a:1", false},
        {"../.flat/00/0011", false},
        {"", false},
    };
    for (size_t i = 0; i < COUNT(table); i++)
        if (multiarch_is_resolved(link, table[i].shown) != table[i].same)
            fail_msg("%s", table[i].shown);
    assert_false(multiarch_is_resolved("../.flat/00/0011", "../.flat/00/0011"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multiarch__directories),
        cmocka_unit_test(test_multiarch__links),
        cmocka_unit_test(test_multiarch__resolved_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

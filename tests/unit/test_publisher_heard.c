/* publisher/heard.h: which wishes, and which lists, an event concerns. */
#include "check.h"

#include "base/memory.h"
#include "publisher/heard.h"
#include "registry/site.h"

static enum concern concern_of(enum event_kind kind, const char *subject, const char *wish,
                               const struct selector *selector)
{
    struct error err = ERROR_INIT;
    struct heard heard _cleanup_heard_ = {0};
    struct wanted_list list = {0};
    struct reference ref = {0};
    assert_ok(heard_parse(kind, subject, &heard, &err), &err);
    assert_ok(reference_parse(wish, REFERENCE_TAG_GLOB, &ref, &err), &err);
    wanted_add(&list, &ref, selector, NULL);
    _cleanup_free_ char *repository = reference_canonical(&list.items[0].ref);
    enum concern concern = heard_concerns(&heard, &list.items[0], repository);
    wanted_release(&list);
    return concern;
}

#define DIGEST "sha256:8cac139af4d50a74e5e702d0d848e958eacb66b6e4ac907d66facebfaf810148"

static void test_heard__one_image(void **state)
{
    (void)state;
    static const struct {
        const char *subject, *wish;
        enum concern concern;
    } table[] = {
        {"h.io/a/b:1", "h.io/a/b:1", CONCERNS_WISH},
        {"h.io/a/b:1", "http://H.io:443/a/b:1", CONCERNS_WISH},
        {"h.io/a/b:1", "h.io/a/b:2", CONCERNS_NOTHING},
        {"h.io/a/b:1", "h.io/a/bc:1", CONCERNS_NOTHING},
        {"h.io/a/b:1", "h.io:5000/a/b:1", CONCERNS_NOTHING},
        {"h.io:5000/a/b", "h.io:5000/a/b:1", CONCERNS_WISH}, /* the port is no tag */
        {"h.io:5000/a/b", "h.io:5000/a/b@" DIGEST, CONCERNS_WISH},
        {"h.io/a/b:1", "h.io/a/b:1@" DIGEST, CONCERNS_NOTHING}, /* it never moves */
        {"h.io/a/b@" DIGEST, "h.io/a/b@" DIGEST, CONCERNS_WISH},
        {"h.io/a/b@" DIGEST, "h.io/a/b:1", CONCERNS_NOTHING},
        {"docker.io/library/busybox:1", "https://registry.hub.docker.com/library/busybox:1",
         CONCERNS_WISH},
        {"docker.io/library/busybox:1", "index.docker.io/busybox:1", CONCERNS_WISH},
        {"h.io/a/b:latest", "h.io/a/b", CONCERNS_WISH},
        /* a signature, of whichever tag */
        {"h.io/a/b:sha256-8cac139af4d50a74e5e702d0d848e958eacb66b6e4ac907d66facebfaf810148.sig",
         "h.io/a/b:7", CONCERNS_WISH},
    };
    for (size_t i = 0; i < COUNT(table); i++)
        if (concern_of(EVENT_PUSHED, table[i].subject, table[i].wish, NULL) != table[i].concern)
            fail_msg("%s for %s: not %d", table[i].subject, table[i].wish, table[i].concern);
}

static void test_heard__selectors(void **state)
{
    (void)state;
    char *globs[] = {(char *)(uintptr_t) "1.*"};
    const struct selector plain = {.globs = {globs, 1}};
    const struct selector newest = {.globs = {globs, 1}, .newest = 3};
    const struct selector young = {.globs = {globs, 1}, .newer_than = 86400};
    const char *wish = "h.io/a/b:x";
    assert_int_equal(concern_of(EVENT_PUSHED, "h.io/a/b:1.2", wish, &plain), CONCERNS_TAG);
    assert_int_equal(concern_of(EVENT_PUSHED, "h.io/a/b:2.1", wish, &plain), CONCERNS_NOTHING);
    assert_int_equal(concern_of(EVENT_PUSHED, "h.io/a/c:1.2", wish, &plain), CONCERNS_NOTHING);
    assert_int_equal(concern_of(EVENT_PUSHED, "h.io/a/b", wish, &plain), CONCERNS_WISH);
    assert_int_equal(concern_of(EVENT_PUSHED, "h.io/a/b@" DIGEST, wish, &plain), CONCERNS_NOTHING);
    /* Which are selected depends on the other tags, or on the time. */
    assert_int_equal(concern_of(EVENT_PUSHED, "h.io/a/b:1.2", wish, &newest), CONCERNS_WISH);
    assert_int_equal(concern_of(EVENT_PUSHED, "h.io/a/b:1.2", wish, &young), CONCERNS_WISH);
    /* A tag that is gone is found out from the list of tags. */
    assert_int_equal(concern_of(EVENT_DELETED, "h.io/a/b:1.2", wish, &plain), CONCERNS_WISH);
}

static void test_heard__no_image(void **state)
{
    (void)state;
    struct heard heard;
    struct error err = ERROR_INIT;
    assert_fails("a word", heard_parse(EVENT_PUSHED, "busybox", &heard, &err), &err, ERROR_PARSE,
                 "docker.io/library/busybox");
    error_release(&err);
}

static void test_heard__places(void **state)
{
    (void)state;
    static const struct {
        const char *source, *place;
        bool is_at;
    } table[] = {
        {"git+https://github.com/Org/lists.git//a.yaml@main", "github.com/org/lists", true},
        {"git+https://github.com/Org/lists.git//a.yaml@main", "github.com/org/list", false},
        {"git+https://github.com/org/lists//a.yaml", "github.com/org/lists", true},
        {"git+ssh://git@gitlab.example.org/a/b.git//l.yaml", "gitlab.example.org/a/b", true},
        {"git+http://127.0.0.1:3000/a/b.git//l.yaml", "127.0.0.1/a/b", true},
        {"git+https://github.com/org/lists.git//a.yaml", "gitlab.com/org/lists", false},
        {"https://gitlab.example.org/a/b/-/raw/main/l.yaml", "gitlab.example.org/a/b", true},
        {"https://gitlab.example.org/a/bc/l.yaml", "gitlab.example.org/a/b", true}, /* a part */
        {"https://Gitlab.example.org/A/bc/l.yaml", "gitlab.example.org/a/b", false},
        {"/etc/ducc/list.yaml", "list.yaml", true},
        {"/etc/ducc/list.yaml", "github.com/etc/ducc", false},
        {"/etc/ducc/list.yaml", "", true},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct error err = ERROR_INIT;
        struct source_url url _cleanup_source_url_ = {0};
        assert_ok(source_url_parse(table[i].source, &url, &err), &err);
        if (heard_is_at(&url, table[i].place) != table[i].is_at)
            fail_msg("%s at %s", table[i].source, table[i].place);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heard__one_image),
        cmocka_unit_test(test_heard__selectors),
        cmocka_unit_test(test_heard__no_image),
        cmocka_unit_test(test_heard__places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/memory.h"
#include "registry/auth.h"
#include "registry/link.h"

/* "scheme token68 name=value name=value; scheme ...": what was understood, in one line. */
static char *dump(const struct challenges *all)
{
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < all->count; i++) {
        const struct challenge *c = &all->items[i];
        buf_addf(&b, "%s%s", i ? "; " : "", c->scheme);
        if (c->token68)
            buf_addf(&b, " %s", c->token68);
        for (size_t k = 0; k < c->param_count; k++)
            buf_addf(&b, " %s=%s", c->params[k].name, c->params[k].value);
    }
    return buf_take(&b);
}

static void test_challenge__parses(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope="
         "\"repository:a/b:pull\"",
         "bearer realm=https://auth.docker.io/token service=registry.docker.io "
         "scope=repository:a/b:pull"},
        {"Basic realm=\"a, b\"", "basic realm=a, b"},
        {"Basic", "basic"},
        {"", ""},
        {" , ,", ""},
        {"Basic realm=x, Bearer realm=y , Service = \"z\"",
         "basic realm=x; bearer realm=y service=z"},
        {"Negotiate, Basic realm=\"q\\\"uote\\\\d\"", "negotiate; basic realm=q\"uote\\d"},
        {"Negotiate YWJj==, Basic", "negotiate YWJj==; basic"},
        {"Bearer realm=", "bearer realm="}, /* a token68, by the grammar */
        {"Bearer scope=\"repository:a:pull,push\",,error=\"invalid_token\"",
         "bearer scope=repository:a:pull,push error=invalid_token"},
        {"Bearer realm=\"\"", "bearer realm="},
        {"BEARER\trealm=\"x\"", "bearer realm=x"},
        {"Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\", Basic realm=\"simple\"",
         "newauth realm=apps type=1 title=Login to \"apps\"; basic realm=simple"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct challenges all;
        struct error err = ERROR_INIT;
        if (challenges_parse(table[i][0], &all, &err) < 0)
            fail_msg("%s: %s", table[i][0], err.message);
        _cleanup_free_ char *text = dump(&all);
        assert_string_equal(text, table[i][1]);
        challenges_release(&all);
    }
}

static void test_challenge__rejects(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"Bearer realm=\"x", "position 16: expected a closing quote"},
        {"Bearer realm=\"x\\", "expected a closing quote"},
        {"Bearer a=b,realm=", "position 18: expected a value"},
        {"Bearer realm=\"a\" service=\"b\"", "position 18: expected a comma"},
        {"=x", "position 1: expected a scheme"},
        {"\"x\"", "position 1: expected a scheme"},
        {"Bearer/x", "position 7: expected a space or a comma"},
        {"Bearer {x}", "position 8: expected a parameter"},
        {"Bearer realm=\"a\x01\"", "expected no control character"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct challenges all;
        struct error err = ERROR_INIT;
        if (challenges_parse(table[i][0], &all, &err) == 0)
            fail_msg("%s: was taken", table[i][0]);
        assert_int_equal(err.kind, ERROR_PARSE);
        if (!strstr(err.message, table[i][1]))
            fail_msg("%s: %s", table[i][0], err.message);
        error_release(&err);
    }
}

static void test_challenge__get(void **state)
{
    (void)state;
    struct challenges all;
    struct error err = ERROR_INIT;
    assert_int_equal(challenges_parse("Bearer REALM=x,realm=y", &all, &err), 0);
    assert_string_equal(challenge_get(&all.items[0], "realm"), "x");
    assert_null(challenge_get(&all.items[0], "service"));
    challenges_release(&all);
}

static void test_link__finds_relation(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"</v2/a/tags/list?n=2&last=b>; rel=\"next\"", "/v2/a/tags/list?n=2&last=b"},
        {"<https://q.io/x,y>; rel=next", "https://q.io/x,y"},
        {"</a>; rel=\"prev\", </b>; title=\"x, <y>; rel=next\"; REL=\"first Next\"", "/b"},
        {"</a> ; a=b ;rel = \"next\" , </c>", "/a"},
        {"</a>", NULL},
        {"", NULL},
        {"</a; rel=next", NULL},
        {"</a>; rel=\"next", NULL},
        {"/a; rel=next", NULL},
        {"</a>; rel=nextish", NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_free_ char *target = link_find(table[i][0], "next");
        if (!table[i][1])
            assert_null(target);
        else
            assert_string_equal(target, table[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_challenge__parses),
        cmocka_unit_test(test_challenge__rejects),
        cmocka_unit_test(test_challenge__get),
        cmocka_unit_test(test_link__finds_relation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

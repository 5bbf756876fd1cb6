/* wishlist/source_url.h */
#include "check.h"

#include "wishlist/source_url.h"

static void test_source_url__parts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum source_kind kind;
        const char *remote, *host, *user, *path, *branch, *shown;
        bool plain;
    } table[] = {
        {"recipe.yaml", SOURCE_FILE, "", "", "", "recipe.yaml", "", "recipe.yaml", false},
        {"./a/b.yaml", SOURCE_FILE, "./a/", "", "", "b.yaml", "", "./a/b.yaml", false},
        {"a@b.yaml", SOURCE_FILE, "", "", "", "a@b.yaml", "", "a@b.yaml", false},
        {"a/x@b:c.yaml", SOURCE_FILE, "a/", "", "", "x@b:c.yaml", "", "a/x@b:c.yaml", false},
        {"https://Host.Example/a/b.yaml?token=x", SOURCE_HTTP,
         "https://Host.Example/a/b.yaml?token=x", "host.example", "", "b.yaml", "",
         "https://Host.Example/a/b.yaml", false},
        {"http://h:81/b%20c.yaml", SOURCE_HTTP, "http://h:81/b%20c.yaml", "h:81", "", "b c.yaml",
         "", "http://h:81/b%20c.yaml", true},
        {"git+https://h/g/repo.git//l/r.yaml@main", SOURCE_GIT, "https://h/g/repo.git", "h", "",
         "l/r.yaml", "main", "git+https://h/g/repo.git//l/r.yaml@main", false},
        {"git+http://h/r//x", SOURCE_GIT, "http://h/r", "h", "", "x", "", "git+http://h/r//x",
         true},
        {"git+ssh://git@h:2222/~/repo//r.yaml@feature/one", SOURCE_GIT, "ssh://git@h:2222/~/repo",
         "h:2222", "git", "r.yaml", "feature/one",
         "git+ssh://git@h:2222/~/repo//r.yaml@feature/one", false},
        {"git+ssh://git@[::1]:22/r//a%40b.yaml@m", SOURCE_GIT, "ssh://git@[::1]:22/r", "[::1]:22",
         "git", "a@b.yaml", "m", "git+ssh://git@[::1]:22/r//a%40b.yaml@m", false},
        {"git+file:///srv/lists.git//r.yaml", SOURCE_GIT, "file:///srv/lists.git", "", "", "r.yaml",
         "", "git+file:///srv/lists.git//r.yaml", false},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        _cleanup_source_url_ struct source_url u = {0};
        assert_ok(source_url_parse(table[i].text, &u, &err), &err);
        assert_int_equal(u.kind, table[i].kind);
        assert_string_equal(u.remote, table[i].remote);
        assert_string_equal(u.host, table[i].host);
        assert_string_equal(u.user ? u.user : "", table[i].user);
        assert_string_equal(u.path, table[i].path);
        assert_string_equal(u.branch ? u.branch : "", table[i].branch);
        assert_string_equal(u.shown, table[i].shown);
        assert_int_equal(u.plain, table[i].plain);
        assert_int_equal(source_is_url(table[i].text), table[i].kind != SOURCE_FILE);
    }
}

static void test_source_url__bad(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } table[] = {
        {"", "is no file's name"},
        {"lists/", "is no file's name"},
        {"git@github.com:org/repo.git", "write git+ssh://git@github.com/PATH-OF-REPOSITORY//"},
        {"ftp://h/x", "lists are not read by \"ftp\"; write a file's path, or one of https://"},
        {"ssh://git@h/r//x", "for a git repository write git+ssh://"},
        {"file:///srv/x", "for a git repository write git+file://"},
        {"git://h/r//x@main", "lists are not read by \"git\""},
        {"GIT+https://h/r//x", "lists are not read by \"GIT+https\""},
        {"https://u:secret@h/x", "a password does not belong into a URL"},
        {"https://u@h/x", "a user name is for git+ssh only"},
        {"git+https://u@h/r//x", "a user name is for git+ssh only"},
        {"git+ssh://u:secret@h/r//x", "list \"git+ssh://@h/r//x\": a password does not belong"},
        {"git+ssh://-oProxyCommand=x@h/r//x", "expected a user name in front of"},
        {"git+ssh://@h/r//x", "expected a user name in front of"},
        {"git+ssh://git@-oProxyCommand=x/r//x", "expected a host name"},
        {"https:///x", "expected a host name"},
        {"https://h_%41/x", "expected a host name"},
        {"https://[::1/x", "expected a host name"},
        {"https://h:/x", "a port is a number from 1 to 65535"},
        {"https://h:70000/x", "a port is a number from 1 to 65535"},
        {"https://h:8x/x", "a port is a number from 1 to 65535"},
        {"https://h/a b", "holds the character \\x20; write %20 for it"},
        {"https://h/a\nb", "holds the character \\x0a"},
        {"https://h", "the URL names no file"},
        {"https://h/lists/", "the URL names no file"},
        {"https://h/lists/?x=y", "the URL names no file"},
        {"https://h/x#y", "has no '#'"},
        {"https://h/%2e%2e", "cannot be a list's path"},
        {"https://h/a%0ab", "two hex digits that make a printable character"},
        {"https://h/a%", "two hex digits"},
        {"https://h/a%zz", "two hex digits"},
        {"git+https://h/r.git/x@main",
         "which file of the repository? Write REPOSITORY//PATH@BRANCH"},
        {"git+https://h/r.git//", "which file of the repository?"},
        {"git+https://h//x@main", "expected the repository's path in front of \"//\""},
        {"git+https://h", "which file of the repository?"},
        {"git+file://host/x//y", "expected the repository's path in front of"},
        {"git+https://h/r//x?ref=main", "a git URL has no '?'"},
        {"git+https://h/r//../x@main", "cannot be a list's path"},
        {"git+https://h/r///etc/x@main", "cannot be a list's path"},
        {"git+https://h/r//a/./x@main", "cannot be a list's path"},
        {"git+https://h/r//@main", "cannot be a list's path"},
        {"git+https://h/r//x@", "\"\" cannot be the name of a branch"},
        {"git+https://h/r//x@-f", "\"-f\" cannot be the name of a branch"},
        {"git+https://h/r//x@a..b", "cannot be the name of a branch"},
        {"git+https://h/r//x@a:b", "cannot be the name of a branch"},
        {"git+https://h/r//x@a*", "cannot be the name of a branch"},
        {"git+https://h/r//x@a//b", "cannot be the name of a branch"},
        {"git+https://h/r//x@/a", "cannot be the name of a branch"},
        {"git+https://h/r//x@a/", "cannot be the name of a branch"},
        {"git+https://h/r//x@a.lock", "cannot be the name of a branch"},
        {"git+https://h/r//x@.a", "cannot be the name of a branch"},
        {"git+https://h/r//x@HEAD", "cannot be the name of a branch"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        struct source_url u;
        assert_fails(table[i].text, source_url_parse(table[i].text, &u, &err), &err, ERROR_PARSE,
                     table[i].says);
        assert_null(strstr(err.message, "secret"));
    }
}

static void test_source_url__long(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct source_url u;
    struct buf b = BUF_INIT;
    buf_adds(&b, "https://h/");
    for (int i = 0; i < 3000; i++)
        buf_addc(&b, 'x');
    assert_fails("long", source_url_parse(b.data, &u, &err), &err, ERROR_LIMIT,
                 "a URL of more than 2048 bytes");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source_url__parts),
        cmocka_unit_test(test_source_url__bad),
        cmocka_unit_test(test_source_url__long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

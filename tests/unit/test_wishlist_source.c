/* wishlist/source.h, with files and with git repositories on disk (by the real git). This program
 * is also the one that fetches. */
#include "check.h"

#include "base/clock.h"
#include "wishlist/git_fetch.h"
#include "wishlist/source.h"
#include "wishlist/source_auth.h"

#include <signal.h>

static struct source *open_source(const char *url, const char *state_dir)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct source_options options = {.state_dir = state_dir};
    struct source *s = source_open(url, &options, &err);
    if (!s)
        fail_msg("%s", err.message);
    return s;
}

static bool refreshed(struct source *s)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    bool changed = false;
    assert_ok(source_refresh(s, &changed, &err), &err);
    return changed;
}

static void refresh_fails(struct source *s, enum error_kind kind, const char *says)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    bool changed = false;
    assert_fails(says, source_refresh(s, &changed, &err), &err, kind, says);
}

static void accept_it(struct source *s)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(source_accept(s, &err), &err);
}

static void assert_holds(struct source *s, const char *path, const char *text)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    assert_ok(source_read(s, path, 1000, &bytes, &err), &err);
    assert_string_equal(bytes.data, text);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    _cleanup_free_ char *path = path_join(folder, name);
    write_file(path, text, strlen(text));
}

/* ---- files ---- */

static void test_source__file(void **state)
{
    (void)state;
    _cleanup_free_ char *folder = new_folder("files");
    _cleanup_free_ char *path = path_join(folder, "list.yaml");
    write_text(folder, "list.yaml", "one");
    write_text(folder, "more.yaml", "other");
    _cleanup_source_ struct source *s = open_source(path, NULL);
    assert_null(source_revision(s));
    assert_true(refreshed(s));
    assert_false(refreshed(s));
    assert_holds(s, source_path(s), "one");
    assert_true(starts_with(source_revision(s), "sha256:"));
    assert_true(source_time(s) > clock_now() - 60);
    assert_holds(s, "more.yaml", "other");
    assert_false(refreshed(s));
    write_text(folder, "more.yaml", "different"); /* what is included counts */
    assert_true(refreshed(s));
    assert_holds(s, "more.yaml", "different");
    write_text(folder, "list.yaml", "two");
    assert_true(refreshed(s));
    assert_holds(s, "list.yaml", "two");
}

static void test_source__a_file_that_could_not_be_read_is_asked_for_again(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    _cleanup_free_ char *folder = new_folder("missing");
    _cleanup_free_ char *path = path_join(folder, "list.yaml");
    write_text(folder, "list.yaml", "one");
    _cleanup_source_ struct source *s = open_source(path, NULL);
    assert_true(refreshed(s));
    assert_fails("include", source_read(s, "more.yaml", 10, &bytes, &err), &err, ERROR_NOT_FOUND,
                 "missing/more.yaml");
    assert_true(refreshed(s));
    assert_fails("include", source_read(s, "more.yaml", 10, &bytes, &err), &err, ERROR_NOT_FOUND,
                 "missing/more.yaml");
    write_text(folder, "more.yaml", "here");
    assert_true(refreshed(s));
    assert_holds(s, "more.yaml", "here");
    assert_false(refreshed(s));
}

/* ---- the good version ---- */

static void test_source__the_good_version_stays(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *folder = new_folder("kept");
    _cleanup_free_ char *state_dir = new_folder("kept-state");
    _cleanup_free_ char *path = path_join(folder, "list.yaml");
    write_text(folder, "list.yaml", "good \xc3\xa9\n");
    write_text(folder, "more.yaml", "included");
    _cleanup_source_ struct source *s = open_source(path, state_dir);
    assert_false(source_use_good(s));
    assert_true(refreshed(s));
    assert_holds(s, "list.yaml", "good \xc3\xa9\n");
    assert_holds(s, "more.yaml", "included");
    accept_it(s);
    _cleanup_free_ char *good = xstrdup(source_revision(s));

    write_text(folder, "list.yaml", "broken");
    assert_true(refreshed(s));
    assert_holds(s, "list.yaml", "broken");
    assert_true(source_use_good(s)); /* it did not parse */
    assert_holds(s, "list.yaml", "good \xc3\xa9\n");
    assert_string_equal(source_revision(s), good);
    assert_false(refreshed(s)); /* still the same broken one */
    assert_int_equal(unlink(path), 0);
    refresh_fails(s, ERROR_NOT_FOUND, "kept/list.yaml");

    /* Another run, which reaches nothing. */
    _cleanup_source_ struct source *again = open_source(path, state_dir);
    assert_true(source_has_good(again));
    assert_string_equal(source_revision(again), good);
    refresh_fails(again, ERROR_NOT_FOUND, "kept/list.yaml");
    assert_holds(again, source_path(again), "good \xc3\xa9\n");
    assert_holds(again, "more.yaml", "included");
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    assert_fails("new include", source_read(again, "else.yaml", 10, &bytes, &err), &err,
                 ERROR_NOT_FOUND, "not kept of the last good version");
    write_text(folder, "list.yaml", "good \xc3\xa9\n"); /* it comes back as it was */
    assert_false(refreshed(again));
    write_text(folder, "list.yaml", "new");
    assert_true(refreshed(again));
}

static void test_source__what_is_kept_may_be_damaged(void **state)
{
    (void)state;
    _cleanup_free_ char *folder = new_folder("damaged");
    _cleanup_free_ char *state_dir = new_folder("damaged-state");
    _cleanup_free_ char *path = path_join(folder, "list.yaml");
    write_text(folder, "list.yaml", "good");
    _cleanup_source_ struct source *s = open_source(path, state_dir);
    assert_true(refreshed(s));
    accept_it(s);
    RUN("sh", "-c",
        "for f in \"$0\"/sources/list-*.json; do printf '{\"revision\": 1' > \"$f\"; done",
        state_dir);
    _cleanup_source_ struct source *again = open_source(path, state_dir);
    assert_false(source_has_good(again));
    assert_true(refreshed(again));
}

/* ---- git ---- */

#define GIT                                                                                        \
    "git", "-C", repo, "-c", "user.name=t", "-c", "user.email=t@example.org", "-c",                \
        "init.defaultBranch=main"

static char *make_repo(const char *name)
{
    char *repo = new_folder(name);
    RUN(GIT, "init", "-q");
    return repo;
}

static void commit_text(const char *repo, const char *name, const char *text)
{
    _cleanup_free_ char *path = path_join(repo, name);
    _cleanup_free_ char *folder = path_parent(path);
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(dir_make(folder, 0755, &err), &err);
    write_text(repo, name, text);
    RUN(GIT, "add", "-A");
    RUN(GIT, "commit", "-q", "-m", "change");
}

static char *head_of(const char *repo)
{
    struct buf out = BUF_INIT;
    run_program((const char *const[]){GIT, "rev-parse", "HEAD", NULL}, &out);
    buf_truncate(&out, out.len - 1);
    return buf_take(&out);
}

static struct source *open_git(const char *repo, const char *path, const char *state_dir)
{
    _cleanup_free_ char *url = xasprintf("git+file://%s//%s", repo, path);
    return open_source(url, state_dir);
}

static void test_source__git(void **state)
{
    (void)state;
    _cleanup_free_ char *repo = make_repo("repo");
    _cleanup_free_ char *state_dir = new_folder("git-state");
    commit_text(repo, "lists/more.yaml", "included");
    commit_text(repo, "lists/r.yaml", "one");
    _cleanup_source_ struct source *s = open_git(repo, "lists/r.yaml@main", state_dir);
    assert_true(refreshed(s));
    _cleanup_free_ char *first = head_of(repo);
    assert_string_equal(source_revision(s), first);
    assert_holds(s, source_path(s), "one");
    assert_holds(s, "lists/more.yaml", "included");
    assert_true(starts_with(source_base(s), "git+file:///") && ends_with(source_base(s), "//"));
    accept_it(s);

    commit_text(repo, "README", "something else"); /* another file: nothing for us */
    assert_false(refreshed(s));
    assert_string_equal(source_revision(s), first);
    commit_text(repo, "lists/more.yaml", "changed");
    assert_true(refreshed(s));
    assert_holds(s, "lists/more.yaml", "changed");
    accept_it(s);

    RUN(GIT, "reset", "-q", "--hard", first); /* and force-pushed */
    commit_text(repo, "lists/r.yaml", "forced");
    assert_true(refreshed(s));
    assert_holds(s, "lists/r.yaml", "forced");
    assert_holds(s, "lists/more.yaml", "included");
    accept_it(s);

    RUN(GIT, "mv", "lists/r.yaml", "elsewhere.yaml");
    RUN(GIT, "commit", "-q", "-m", "moved");
    refresh_fails(s, ERROR_NOT_FOUND, "lists/r.yaml: there is no such file in this commit");
    RUN(GIT, "branch", "-m", "main", "trunk");
    refresh_fails(s, ERROR_NOT_FOUND, "there is no branch \"main\" in the repository");
    assert_holds(s, "lists/r.yaml", "forced");
    RUN("rm", "-rf", repo);
    refresh_fails(s, ERROR_NOT_FOUND, "there is no such git repository");
    _cleanup_source_ struct source *again = open_git(repo, "lists/r.yaml@main", state_dir);
    assert_holds(again, "lists/r.yaml", "forced");
    assert_holds(again, "lists/more.yaml", "included");
}

static void test_source__git_default_branch(void **state)
{
    (void)state;
    _cleanup_free_ char *repo = make_repo("default");
    _cleanup_free_ char *state_dir = new_folder("default-state");
    commit_text(repo, "r.yaml", "main");
    RUN(GIT, "checkout", "-q", "-b", "other");
    commit_text(repo, "r.yaml", "other");
    _cleanup_source_ struct source *s = open_git(repo, "r.yaml", state_dir);
    _cleanup_source_ struct source *main_branch = open_git(repo, "r.yaml@main", state_dir);
    assert_true(refreshed(s));
    assert_true(refreshed(main_branch)); /* the same mirror */
    assert_holds(s, "r.yaml", "other");
    assert_holds(main_branch, "r.yaml", "main");
}

/* What is asked for is all that is fetched. */
static void test_source__git_fetches_the_named_branch_only(void **state)
{
    (void)state;
    _cleanup_free_ char *repo = make_repo("branches");
    _cleanup_free_ char *state_dir = new_folder("branches-state");
    commit_text(repo, "r.yaml", "main");
    RUN(GIT, "tag", "-a", "-m", "a tag", "v1");
    RUN(GIT, "checkout", "-q", "-b", "large");
    commit_text(repo, "large", "a large file");
    _cleanup_free_ char *large = head_of(repo);
    _cleanup_source_ struct source *s = open_git(repo, "r.yaml@main", state_dir);
    assert_true(refreshed(s));
    _cleanup_free_ char *script = xasprintf(
        "set -e; cd \"$0\"/sources/git-*/mirror; git fsck --strict 2>&1; "
        "test -z \"$(git tag)\"; ! git cat-file -e %s; test \"$(git for-each-ref | wc -l)\" = 1",
        large);
    RUN("sh", "-c", script, state_dir);
}

static void test_source__git_files_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum error_kind kind;
        const char *says;
    } table[] = {
        {"link.yaml", ERROR_UNSUPPORTED, "\"link.yaml\" is a symlink, expected a plain file"},
        {"folder", ERROR_UNSUPPORTED, "\"folder\" is a folder, expected a plain file"},
        {"r.yaml/x", ERROR_UNSUPPORTED, "\"r.yaml\" is a file, expected a folder"},
        {"link-to-folder/r.yaml", ERROR_UNSUPPORTED, "is a symlink, expected a folder"},
        {"none/r.yaml", ERROR_NOT_FOUND, "none/r.yaml: there is no such file in this commit"},
        {"folder/large.yaml", ERROR_LIMIT, "larger than the 4194304 bytes"},
    };
    _cleanup_free_ char *repo = make_repo("odd");
    _cleanup_free_ char *state_dir = new_folder("odd-state");
    commit_text(repo, "r.yaml", "x");
    RUN("sh", "-c",
        "cd \"$0\"; ln -s /etc/passwd link.yaml; mkdir folder; head -c 5000000 /dev/zero > "
        "folder/large.yaml; ln -s folder link-to-folder",
        repo);
    commit_text(repo, "folder/r.yaml", "x");
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_source_ struct source *s = open_git(repo, table[i].path, state_dir);
        refresh_fails(s, table[i].kind, table[i].says);
    }
}

static void test_source__a_damaged_mirror_is_made_anew(void **state)
{
    (void)state;
    _cleanup_free_ char *repo = make_repo("again");
    _cleanup_free_ char *state_dir = new_folder("again-state");
    commit_text(repo, "r.yaml", "x");
    _cleanup_source_ struct source *s = open_git(repo, "r.yaml@main", state_dir);
    assert_true(refreshed(s));
    RUN("sh", "-c", "cd \"$0\"/sources/git-*/mirror && rm -r HEAD objects && echo > config",
        state_dir);
    assert_false(refreshed(s));
    commit_text(repo, "r.yaml", "y");
    assert_true(refreshed(s));
    assert_holds(s, "r.yaml", "y");
}

/* Hundreds of small fetches do not leave hundreds of packs. */
static void test_source__packs_are_put_together(void **state)
{
    (void)state;
    _cleanup_free_ char *repo = make_repo("packs");
    _cleanup_free_ char *state_dir = new_folder("packs-state");
    commit_text(repo, "r.yaml", "0");
    _cleanup_source_ struct source *s = open_git(repo, "r.yaml@main", state_dir);
    assert_true(refreshed(s));
    /* Packs that other fetches left: of things no branch needs, one of them twice. */
    RUN("sh", "-c",
        "set -e; cd \"$0\"/sources/git-*/mirror; for i in $(seq 60); do echo $i | git hash-object "
        "-w "
        "--stdin | git pack-objects -q objects/pack/pack > /dev/null; done; git prune-packed -q; "
        "test $(ls objects/pack/*.pack | wc -l) -gt 60",
        state_dir);
    commit_text(repo, "r.yaml", "1");
    assert_true(refreshed(s));
    assert_holds(s, "r.yaml", "1");
    RUN("sh", "-c",
        "set -e; cd \"$0\"/sources/git-*/mirror; git fsck --strict; "
        "test $(ls objects/pack/*.pack | wc -l) = 1; test $(git rev-list --all | wc -l) = 2",
        state_dir);
    commit_text(repo, "r.yaml", "2");
    assert_true(refreshed(s));
    assert_holds(s, "r.yaml", "2");
}

static void test_source__a_mirror_in_use_is_waited_for(void **state)
{
    (void)state;
    _cleanup_free_ char *repo = make_repo("busy");
    _cleanup_free_ char *state_dir = new_folder("busy-state");
    _cleanup_error_ struct error err = ERROR_INIT;
    struct source_settings settings = {.silence_seconds = 3, .limit_seconds = 2.5};
    struct source_options options = {.state_dir = state_dir, .settings = &settings};
    _cleanup_free_ char *url = xasprintf("git+file://%s//r.yaml@main", repo);
    commit_text(repo, "r.yaml", "x");
    _cleanup_source_ struct source *s = source_open(url, &options, &err);
    assert_non_null(s);
    assert_true(refreshed(s));
    struct buf found = BUF_INIT;
    run_program(
        (const char *const[]){"sh", "-c", "ls \"$0\"/sources/git-*/mirror.lock", state_dir, NULL},
        &found);
    found.data[found.len - 1] = '\0';
    int fd = -1;
    assert_ok(lock_take(found.data, "me", &fd, &err), &err);
    refresh_fails(s, ERROR_NET, "not fetched within 2 seconds, given up"); /* alive, not silent */
    close(fd);
    assert_false(refreshed(s));
    buf_release(&found);
}

/* ---- credentials ---- */

static void test_source__credentials_cover_whole_parts(void **state)
{
    (void)state;
    static const struct {
        const char *url, *remote;
        bool covers;
    } table[] = {
        {"https://h", "https://h/a/r.git", true},
        {"https://h/", "https://H:443/a/r.git", true},
        {"https://h:443/a", "https://h/a/r.git", true},
        {"git+https://h/a/", "https://h/a/r.git", true},
        {"https://h/a", "https://h/a", true},
        {"https://h/a", "https://h/ab/r.git", false},
        {"https://h/a", "https://h/", false},
        {"https://h", "https://h.example/a", false},
        {"https://h", "https://h:8443/a", false},
        {"https://h", "http://h/a", false},
        {"ssh://h", "ssh://git@h:22/r", true},
        {"ssh://git@h:2222", "ssh://h:2222/r", true},
        {"ssh://h", "https://h/r", false},
        {"h", "https://h/r", false},
        {"", "https://h/r", false},
    };
    for (size_t i = 0; i < COUNT(table); i++)
        if ((source_credential_match(table[i].url, table[i].remote) > 0) != table[i].covers)
            fail_msg("%s for %s", table[i].url, table[i].remote);
}

static void test_source__secrets_do_not_go_over_plain_http(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *folder = new_folder("secrets");
    _cleanup_free_ char *file = path_join(folder, "secret");
    write_text(folder, "secret", "hidden\nmore\n");
    struct source_credential items[] = {
        {.url = (char *)"http://h", .user = (char *)"u", .secret_file = file},
        {.url = (char *)"https://h", .user = (char *)"u", .secret_file = file},
        {.url = (char *)"https://h/none", .user = (char *)"u", .secret_file = folder}};
    struct source_settings settings = {.credentials = items, .credential_count = COUNT(items)};
    struct site site = {0};
    struct source_secret secret;
    _cleanup_source_url_ struct source_url plain = {0}, safe = {0}, wrong = {0};
    assert_ok(source_url_parse("git+http://h/r//x", &plain, &err), &err);
    assert_ok(source_url_parse("git+https://h/r//x", &safe, &err), &err);
    assert_ok(source_url_parse("git+https://h/none/r//x", &wrong, &err), &err);
    assert_fails("plain", source_secret_find(&settings, &site, &plain, &secret, &err), &err,
                 ERROR_POLICY, "they are not sent over plain http");
    assert_fails("no file", source_secret_find(&settings, &site, &wrong, &secret, &err), &err,
                 ERROR_IO, "credentials for https://h/none");
    assert_ok(source_secret_find(&settings, &site, &safe, &secret, &err), &err);
    assert_string_equal(secret.text, "hidden");
    source_secret_release(&secret);
    site_add_registry(&site, "h")->transport = TRANSPORT_HTTP;
    assert_ok(source_secret_find(&settings, &site, &plain, &secret, &err), &err);
    assert_string_equal(secret.text, "hidden");
    source_secret_release(&secret);
    site_release(&site);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], SOURCE_GIT_FETCH) == 0)
        git_fetch_main();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source__file),
        cmocka_unit_test(test_source__a_file_that_could_not_be_read_is_asked_for_again),
        cmocka_unit_test(test_source__the_good_version_stays),
        cmocka_unit_test(test_source__what_is_kept_may_be_damaged),
        cmocka_unit_test(test_source__git),
        cmocka_unit_test(test_source__git_default_branch),
        cmocka_unit_test(test_source__git_fetches_the_named_branch_only),
        cmocka_unit_test(test_source__git_files_that_are_none),
        cmocka_unit_test(test_source__a_damaged_mirror_is_made_anew),
        cmocka_unit_test(test_source__packs_are_put_together),
        cmocka_unit_test(test_source__a_mirror_in_use_is_waited_for),
        cmocka_unit_test(test_source__credentials_cover_whole_parts),
        cmocka_unit_test(test_source__secrets_do_not_go_over_plain_http),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

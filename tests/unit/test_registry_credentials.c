#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"
#include "registry/auth_file.h"
#include "registry/credential_helper.h"
#include "registry/credentials.h"

#include <sys/stat.h>
#include <unistd.h>

#define ELEMENTS(a) (sizeof(a) / sizeof(a)[0])

/* A folder as $HOME, and nothing of the machine's own in the environment. */
static char *home;

static int set_up(void **state)
{
    (void)state;
    static const char *const variables[] = {
        "DUCC_AUTH_REGISTRIES", "REGISTRY_AUTH_FILE", "CREDENTIALS_DIRECTORY",
        "XDG_RUNTIME_DIR",      "DOCKER_CONFIG",      "DUCC_A_IDENT",
        "DUCC_A_USER",          "DUCC_A_PASS",        "DUCC_A_PROXY"};
    char folder[] = "/tmp/ducc-credentials-XXXXXX";
    for (size_t i = 0; i < ELEMENTS(variables); i++)
        unsetenv(variables[i]);
    if (!mkdtemp(folder))
        return -1;
    home = xstrdup(folder);
    setenv("HOME", home, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    int rc = tree_remove(home, &err);
    error_release(&err);
    free(home);
    return rc;
}

/* Owned path of a new file below the home directory. */
static char *put(const char *name, const char *text, mode_t mode)
{
    struct error err = ERROR_INIT;
    char *path = path_join(home, name);
    _cleanup_free_ char *folder = path_parent(path);
    if (dir_make(folder, 0700, &err) < 0 || file_write(path, text, strlen(text), mode, &err) < 0 ||
        chmod(path, mode) < 0)
        fail_msg("%s", err.message ? err.message : path);
    return path;
}

#define AUTH(user_password) "{\"auth\":\"" user_password "\"}"
#define ONE_PAIR            "b25lOnBhaXI="     /* one:pair */
#define TWO_PAIR            "dHdvOnBhOmly"     /* two:pa:ir */
#define OTHER               "b3RoZXI6b3RoZXI=" /* other:other */

/* "USER:PASSWORD", or "token:TOKEN", or NULL; what was found for registry/repository. */
static char *found(const struct credentials *c, const char *registry, const char *repository)
{
    struct credential credential = {0};
    struct error err = ERROR_INIT;
    const struct credential_source *source = credentials_source(c);
    int rc = source->lookup(source->arg, registry, repository, &credential, &err);
    if (rc < 0)
        fail_msg("%s", err.message);
    char *text = NULL;
    if (rc > 0 && credential.identity_token)
        text = xasprintf("token:%s", credential.identity_token);
    else if (rc > 0)
        text = xasprintf("%s:%s", credential.username, credential.password);
    credential_release(&credential);
    return text;
}

static void assert_found(const struct credentials *c, const char *registry, const char *repository,
                         const char *expected)
{
    _cleanup_free_ char *text = found(c, registry, repository);
    if (!text != !expected || (text && strcmp(text, expected) != 0))
        fail_msg("%s/%s: found %s, expected %s", registry, repository, text ? text : "nothing",
                 expected ? expected : "nothing");
}

static struct credentials *load(const char *authfile, struct site *site)
{
    struct credentials *c;
    struct error err = ERROR_INIT;
    if (credentials_load(authfile, site, &c, &err) < 0)
        fail_msg("%s", err.message);
    return c;
}

/* --- one file --- */

static void test_credentials__longest_scope_wins(void **state)
{
    (void)state;
    _cleanup_free_ char *path =
        put("a.json",
            "{\"auths\":{\"q.io\":" AUTH(ONE_PAIR) ",\"q.io/team\":" AUTH(
                TWO_PAIR) ",\"https://index.docker.io/v1/\":" AUTH(OTHER) ",\"Up.Example:"
                                                                          "443\":" AUTH(
                                                                              ONE_PAIR) ",\"empty."
                                                                                        "io\":{}}}",
            0600);
    struct credentials *c = load(path, NULL);
    assert_found(c, "q.io", "a/b", "one:pair");
    assert_found(c, "q.io", "team/b", "two:pa:ir");
    assert_found(c, "q.io", "team", "two:pa:ir");
    assert_found(c, "q.io", "teammate/b", "one:pair");
    assert_found(c, "q.io:5000", "team/b", NULL);
    assert_found(c, "xq.io", "a", NULL);
    assert_found(c, "docker.io", "busybox", "other:other");
    assert_found(c, "registry-1.docker.io", "a/b", "other:other");
    assert_found(c, "up.example", "a", "one:pair");
    assert_found(c, "empty.io", "a", NULL);
    credentials_free(c);
}

static void test_credentials__identity_token(void **state)
{
    (void)state;
    _cleanup_free_ char *path =
        put("t.json",
            "{\"auths\":{\"q.io\":{\"auth\":\"PHRva2VuPjo=\",\"identitytoken\":\"refresh-me\"}}}",
            0600);
    struct credentials *c = load(path, NULL);
    assert_found(c, "q.io", "a", "token:refresh-me");
    credentials_free(c);
}

static void test_credentials__order_of_the_places(void **state)
{
    (void)state;
    _cleanup_free_ char *named =
        put("named.json", "{\"auths\":{\"1.io\":" AUTH(ONE_PAIR) "}}", 0600);
    _cleanup_free_ char *variable =
        put("variable.json", "{\"auths\":{\"1.io\":" AUTH(OTHER) ",\"2.io\":" AUTH(ONE_PAIR) "}}",
            0600);
    _cleanup_free_ char *systemd =
        put("cred/ducc.auth.json",
            "{\"auths\":{\"2.io\":" AUTH(OTHER) ",\"3.io\":" AUTH(ONE_PAIR) "}}", 0400);
    (void)systemd; /* only to be freed */
    _cleanup_free_ char *runtime =
        put("run/containers/auth.json",
            "{\"auths\":{\"3.io\":" AUTH(OTHER) ",\"4.io\":" AUTH(ONE_PAIR) "}}", 0600);
    (void)runtime; /* only to be freed */
    _cleanup_free_ char *docker =
        put(".docker/config.json",
            "{\"auths\":{\"4.io\":" AUTH(OTHER) ",\"5.io\":" AUTH(ONE_PAIR) "}}", 0600);
    (void)docker; /* only to be freed */
    _cleanup_free_ char *cred = path_join(home, "cred"), *run = path_join(home, "run");
    setenv("REGISTRY_AUTH_FILE", variable, 1);
    setenv("CREDENTIALS_DIRECTORY", cred, 1);
    setenv("XDG_RUNTIME_DIR", run, 1);
    setenv("DUCC_AUTH_REGISTRIES", "A", 1);
    setenv("DUCC_A_IDENT", "0.io", 1);
    setenv("DUCC_A_USER", "from", 1);
    setenv("DUCC_A_PASS", "environment", 1);
    struct credentials *c = load(named, NULL);
    assert_found(c, "0.io", "a", "from:environment");
    for (int i = 1; i <= 5; i++) {
        char registry[] = "0.io";
        registry[0] = (char)('0' + i);
        assert_found(c, registry, "a", "one:pair");
    }
    credentials_free(c);
}

static void test_credentials__named_file_must_be_there(void **state)
{
    (void)state;
    struct credentials *c = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(credentials_load("/no/where.json", NULL, &c, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, "/no/where.json"));
    error_release(&err);
}

static void test_credentials__warns_of_files_others_can_read(void **state)
{
    (void)state;
    size_t count;
    _cleanup_free_ char *open_path = put("open.json", "{\"auths\":{}}", 0644);
    _cleanup_free_ char *closed = put(".docker/config.json", "{\"auths\":{}}", 0600);
    (void)closed; /* only to be freed */
    struct credentials *c = load(open_path, NULL);
    const char *const *warnings = credentials_warnings(c, &count);
    assert_int_equal(count, 1);
    assert_non_null(strstr(warnings[0], open_path));
    credentials_free(c);
}

/* What is wrong is named; what the file holds is not repeated. */
static void test_credentials__bad_files(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"{\"auths\":{\"q.io\":{\"auth\":\"c2VjcmV0", "secret.json: line 1"},
        {"[]", "expected a JSON object"},
        {"{\"auths\":[]}", "field \"auths\": expected an object"},
        {"{\"auths\":{\"q.io\":\"c2VjcmV0\"}}", "entry \"q.io\": expected an object"},
        {"{\"auths\":{\"q.io\":{\"auth\":7}}}", "field \"auth\": expected a string"},
        {"{\"auths\":{\"q.io\":{\"auth\":\"c2VjcmV0\"}}}", "is not USER:PASSWORD in base64"},
        {"{\"auths\":{\"q.io\":{\"auth\":\"c2Vjc!V0\"}}}", "is not USER:PASSWORD in base64"},
        {"{\"auths\":{\"q.io\":{\"auth\":\"c2VjcmV0OmE\"}}}", "is not USER:PASSWORD in base64"},
        {"{\"auths\":{\"q.io\":{\"auth\":\"OnM6AGFzZA==\"}}}", "is not USER:PASSWORD in base64"},
        {"{\"credHelpers\":{\"q.io\":\"../evil\"}}", "credential helper is no word"},
        {"{\"credHelpers\":{\"q.io\":7}}", "credential helper is no word"},
        {"{\"credsStore\":\"a b\"}", "credential helper is no word"},
    };
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct auth_file file;
        struct error err = ERROR_INIT;
        if (auth_file_parse("secret.json", table[i][0], strlen(table[i][0]), &file, &err) == 0)
            fail_msg("%s: was taken", table[i][0]);
        if (err.kind != ERROR_PARSE || !strstr(err.message, table[i][1]))
            fail_msg("%s: \"%s\", expected \"%s\"", table[i][0], err.message, table[i][1]);
        assert_null(strstr(err.message, "c2V"));
        error_release(&err);
    }
}

/* --- the Go tool's variables --- */

static void test_credentials__ident_is_the_registry(void **state)
{
    (void)state;
    struct site site = {0};
    setenv("DUCC_AUTH_REGISTRIES", "A, B,", 1);
    setenv("DUCC_A_IDENT", "q.io", 1);
    setenv("DUCC_A_USER", "me", 1);
    setenv("DUCC_A_PASS", "pw", 1);
    setenv("DUCC_B_IDENT", "https://hub.io/", 1);
    setenv("DUCC_B_PROXY", "cache.io:5000/hub", 1);
    struct credentials *c = load(NULL, &site);
    assert_found(c, "q.io", "a", "me:pw");
    assert_found(c, "evil-q.io", "a", NULL);
    assert_found(c, "evil.io", "q.io/a", NULL);
    assert_found(c, "hub.io", "a", NULL);
    const struct site_registry *r = site_find_registry(&site, "hub.io");
    assert_non_null(r);
    assert_int_equal(r->mirror_count, 1);
    assert_string_equal(r->mirrors[0].registry, "cache.io:5000");
    assert_string_equal(r->mirrors[0].prefix, "hub");
    assert_null(getenv("DUCC_A_PASS")); /* no child inherits it */
    credentials_free(c);
    site_release(&site);
    unsetenv("DUCC_B_IDENT");
    unsetenv("DUCC_B_PROXY");
}

static void test_credentials__incomplete_variables(void **state)
{
    (void)state;
    static const char *const table[][4] = {/* IDENT, USER, PASS, PROXY */
                                           {NULL, "u", "p", NULL},      {"q.io", NULL, NULL, NULL},
                                           {"q.io", "u", NULL, NULL},   {"q.io", NULL, "p", NULL},
                                           {"q.io", "u", NULL, "m.io"}, {NULL, NULL, NULL, "m.io"}};
    static const char *const names[] = {"DUCC_A_IDENT", "DUCC_A_USER", "DUCC_A_PASS",
                                        "DUCC_A_PROXY"};
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct credentials *c = NULL;
        struct error err = ERROR_INIT;
        setenv("DUCC_AUTH_REGISTRIES", "A", 1);
        for (size_t k = 0; k < 4; k++)
            table[i][k] ? setenv(names[k], table[i][k], 1) : unsetenv(names[k]);
        assert_int_equal(credentials_load(NULL, NULL, &c, &err), -1);
        assert_int_equal(err.kind, ERROR_PARSE);
        assert_non_null(strstr(err.message, "set DUCC_A_IDENT"));
        error_release(&err);
    }
}

static void test_credentials__password_from_systemd(void **state)
{
    (void)state;
    _cleanup_free_ char *path = put("cred/DUCC_A_PASS", "from-systemd\n", 0400);
    (void)path; /* only to be freed */
    _cleanup_free_ char *folder = path_join(home, "cred");
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    setenv("DUCC_AUTH_REGISTRIES", "A", 1);
    setenv("DUCC_A_IDENT", "q.io/team", 1);
    setenv("DUCC_A_USER", "me", 1);
    unsetenv("DUCC_A_PASS");
    struct credentials *c = load(NULL, NULL);
    assert_found(c, "q.io", "team/a", "me:from-systemd");
    assert_found(c, "q.io", "other/a", NULL);
    credentials_free(c);
}

/* --- helpers --- */

static const char helper_script[] =
    "#!/bin/sh\n"
    "read server\n"
    "echo \"$1 $server\" >> \"$HOME/asked\"\n"
    "case $server in\n"
    "q.io) echo '{\"ServerURL\":\"q.io\",\"Username\":\"helped\",\"Secret\":\"by it\"}' ;;\n"
    "https://index.docker.io/v1/) echo '{\"Username\":\"<token>\",\"Secret\":\"identity\"}' ;;\n"
    "broken.io) echo 'its secret'; echo 'the vault is closed' >&2; exit 3 ;;\n"
    "*) echo 'credentials not found in native keychain'; exit 1 ;;\n"
    "esac\n";

static struct credentials *load_with_helper(void)
{
    _cleanup_free_ char *helper = put("bin/docker-credential-test", helper_script, 0755);
    (void)helper; /* only to be freed */
    _cleanup_free_ char *config =
        put("h.json",
            "{\"auths\":{\"q.io\":{},\"q.io/own\":" AUTH(
                ONE_PAIR) "},"
                          "\"credHelpers\":{\"q.io\":\"test\"},\"credsStore\":\"test\"}",
            0600);
    _cleanup_free_ char *path = xasprintf("%s/bin:/usr/bin:/bin", home);
    setenv("PATH", path, 1);
    return load(config, NULL);
}

static void test_credentials__helper(void **state)
{
    (void)state;
    struct credentials *c = load_with_helper();
    assert_found(c, "q.io", "a", "helped:by it");
    assert_found(c, "q.io", "b", "helped:by it");
    assert_found(c, "q.io", "own/b", "one:pair");
    assert_found(c, "docker.io", "busybox", "token:identity");
    assert_found(c, "unknown.io", "a", NULL);
    assert_found(c, "unknown.io", "a", NULL);
    credentials_free(c);
    struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf asked = BUF_INIT;
    _cleanup_free_ char *log = path_join(home, "asked");
    assert_int_equal(file_read(log, 10000, &asked, &err), 0);
    assert_string_equal(asked.data, "get q.io\nget https://index.docker.io/v1/\nget unknown.io\n");
}

static void test_credentials__helper_that_fails(void **state)
{
    (void)state;
    struct credentials *c = load_with_helper();
    const struct credential_source *source = credentials_source(c);
    struct credential out = {0};
    struct error err = ERROR_INIT;
    assert_int_equal(source->lookup(source->arg, "broken.io", "a", &out, &err), -1);
    assert_int_equal(err.kind, ERROR_CHILD);
    assert_non_null(strstr(err.message, "docker-credential-test"));
    assert_non_null(strstr(err.message, "the vault is closed"));
    assert_null(strstr(err.message, "secret"));
    error_release(&err);
    credentials_free(c);
}

static void test_credentials__helper_bad_answers(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"", "its answer"},
        {"[]", "expected a JSON object"},
        {"{\"Secret\":\"x\"}", "field \"Username\""},
        {"{\"Username\":\"x\"}", "field \"Secret\""},
        {"{\"Username\":\"x\",\"Secret\":[]}", "field \"Secret\""},
    };
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct credential out;
        struct error err = ERROR_INIT;
        assert_int_equal(credential_helper_parse(table[i][0], strlen(table[i][0]), &out, &err), -1);
        if (err.kind != ERROR_PARSE || !strstr(err.message, table[i][1]))
            fail_msg("%s: \"%s\"", table[i][0], err.message);
        error_release(&err);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_credentials__longest_scope_wins),
        TEST(test_credentials__identity_token),
        TEST(test_credentials__order_of_the_places),
        TEST(test_credentials__named_file_must_be_there),
        TEST(test_credentials__warns_of_files_others_can_read),
        TEST(test_credentials__bad_files),
        TEST(test_credentials__ident_is_the_registry),
        TEST(test_credentials__incomplete_variables),
        TEST(test_credentials__password_from_systemd),
        TEST(test_credentials__helper),
        TEST(test_credentials__helper_that_fails),
        TEST(test_credentials__helper_bad_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The key `web` of the configuration: config/config_web.h. */
#include "check.h"

#include "base/file.h"
#include "base/memory.h"
#include "config/config.h"

#include <sys/stat.h>
#include <unistd.h>

static int parse(const char *text, struct config *out, struct error *err)
{
    return config_parse("/etc/ducc/d.yaml", text, strlen(text), out, err);
}

static void test_config_web__off_and_usual(void **state)
{
    (void)state;
    struct config config;
    struct error err = ERROR_INIT;
    assert_ok(parse("lists: []\n", &config, &err), &err);
    assert_false(config.web.on);
    config_release(&config);
    assert_ok(parse("web: {}\n", &config, &err), &err);
    assert_true(config.web.on);
    assert_int_equal(config.web.settings.listen_count, 1);
    assert_string_equal(config.web.settings.listen[0], "127.0.0.1:8899");
    config_release(&config);
}

static void test_config_web__keys(void **state)
{
    (void)state;
    struct config config;
    struct error err = ERROR_INIT;
    assert_ok(parse("web:\n"
                    "  listen: ['127.0.0.1:1', '[::1]:2']\n"
                    "  token_file: token\n"
                    "  connections: 10\n"
                    "  connections_per_address: 5\n"
                    "  senders:\n"
                    "    our-harbor: {kind: harbor, secret_file: /s/h, registry: 'h.io:5000',\n"
                    "                 requests_per_second: 7}\n"
                    "    git: {kind: github, secret_file: g}\n",
                    &config, &err),
              &err);
    const struct web_settings *s = &config.web.settings;
    assert_string_equal(s->listen[1], "[::1]:2");
    assert_string_equal(config.web.token_file, "/etc/ducc/token");
    assert_int_equal(s->connections, 10);
    assert_int_equal(s->per_address, 5);
    assert_int_equal(s->senders.count, 2);
    assert_string_equal(s->senders.items[0].name, "our-harbor");
    assert_int_equal(s->senders.items[0].kind, SENDER_HARBOR);
    assert_string_equal(s->senders.items[0].registry, "h.io:5000");
    assert_true(s->senders.items[0].rate == 7);
    assert_string_equal(config.web.secret_files[1], "/etc/ducc/g");
    assert_true(s->senders.items[1].rate == SENDER_RATE_DEFAULT);
    config_release(&config);
}

static void test_config_web__bad(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } table[] = {
        {"service: {status_copy: 30s}\n", "d.yaml:1:24: key \"status_copy\": 1m at least"},
        {"service: {status_copy: often}\n", "d.yaml:1:24: key \"status_copy\": "},
        {"web: []\n", "d.yaml:1:6: key \"web\": expected a mapping"},
        {"web: {tls: x}\n", "d.yaml:1:7: unknown key \"tls\"; here may stand listen,"},
        {"web: {listen: []}\n", "d.yaml:1:15: key \"listen\": an empty list"},
        {"web: {listen: ['8899']}\n",
         "d.yaml:1:16: key \"listen\": \"8899\": expected ADDRESS:PORT"},
        {"web: {listen: ['localhost:1']}\n",
         "d.yaml:1:16: key \"listen\": \"localhost:1\": expected "
         "an address and a port, not a name"},
        {"web: {connections: 0}\n", "d.yaml:1:20: key \"connections\": expected a number from 1"},
        {"web: {senders: {X: {}}}\n", "d.yaml:1:17: expected a sender's name"},
        {"web: {senders: {refresh: {}}}\n", "d.yaml:1:17: expected a sender's name"},
        {"web: {senders: {a/b: {}}}\n", "d.yaml:1:17: expected a sender's name"},
        {"web: {senders: {a: secret}}\n", "d.yaml:1:20: expected a mapping with kind"},
        {"web: {senders: {a: {kind: harbor}}}\n", "d.yaml:1:20: a sender needs the keys \"kind\""},
        {"web: {senders: {a: {secret_file: x}}}\n", "d.yaml:1:20: a sender needs the keys"},
        {"web: {senders: {a: {kind: svn}}}\n",
         "d.yaml:1:27: key \"kind\": expected one of harbor, distribution, dockerhub, github"},
        {"web: {senders: {a: {registry: a/b}}}\n", "d.yaml:1:31: key \"registry\": expected HOST"},
        {"web: {senders: {a: {secret: x}}}\n", "d.yaml:1:21: unknown key \"secret\""},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct config config;
        struct error err = ERROR_INIT;
        if (parse(table[i].text, &config, &err) == 0)
            fail_msg("%s: accepted", table[i].text);
        if (!strstr(err.message, table[i].says))
            fail_msg("%s: \"%s\", expected \"%s\"", table[i].text, err.message, table[i].says);
        assert_int_equal(err.kind, ERROR_PARSE);
        error_release(&err);
    }
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_config_web__secrets(void **state)
{
    (void)state;
    char dir[] = "/tmp/ducc-web-XXXXXX";
    assert_non_null(mkdtemp(dir));
    _cleanup_free_ char *secret = xasprintf("%s/secret", dir);
    _cleanup_free_ char *text = xasprintf(
        "web: {token_file: %s, senders: {a: {kind: quay, secret_file: %s}}}\n", secret, secret);
    struct config config;
    struct web_settings settings = {0};
    struct error err = ERROR_INIT;
    assert_ok(parse(text, &config, &err), &err);
    assert_fails("missing", configured_web_open(&config.web, &settings, &err), &err,
                 ERROR_NOT_FOUND, "web: token_file: ");
    error_release(&err);
    write_text(secret, "short\n0123456789012345678901234567890\n");
    assert_fails("short", configured_web_open(&config.web, &settings, &err), &err, ERROR_PARSE,
                 "16 to 1024 characters in the first line");
    assert_null(strstr(err.message, "short"));
    error_release(&err);
    write_text(secret, "a secret of 23 letters.\r\nmore\n");
    assert_ok(configured_web_open(&config.web, &settings, &err), &err);
    assert_string_equal(settings.token, "a secret of 23 letters.");
    assert_string_equal(settings.senders.items[0].secret, "a secret of 23 letters.");
    assert_string_equal(settings.listen[0], WEB_LISTEN_DEFAULT);
    web_settings_release(&settings);
    config_release(&config);
    unlink(secret);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_web__off_and_usual),
        cmocka_unit_test(test_config_web__keys),
        cmocka_unit_test(test_config_web__bad),
        cmocka_unit_test(test_config_web__secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "check.h"

#include "config/config.h"

static int parse(const char *text, struct config *out, struct error *err)
{
    return config_parse("/etc/ducc/d.yaml", text, strlen(text), out, err);
}

static void test_config__registries(void **state)
{
    (void)state;
    struct config config;
    struct error err = ERROR_INIT;
    assert_ok(parse("registries:\n"
                    "  allow:\n"
                    "    - docker.io\n"
                    "    - {name: ours, match: '*.cern.ch'}\n"
                    "  block: [docker.io/evil]\n"
                    "  certificates: [/a, certs.d]\n"
                    "  sizes: {manifest: 1M, config: 2M, layer: 3G}\n"
                    "  defaults: {requests_at_a_time: 4, ratelimit_floor: 20}\n"
                    "  hosts:\n"
                    "    'Q.io:5000':\n"
                    "      insecure: http\n"
                    "      requests_per_second: 2.5\n"
                    "    docker.io:\n"
                    "      mirrors: [m.io/hub, 'http://n.io:80']\n"
                    "      downloads_at_a_time: 3\n",
                    &config, &err),
              &err);
    const struct site *site = &config.site;
    assert_int_equal(site->allow.count, 2);
    assert_string_equal(site->allow.items[1].name, "ours");
    assert_string_equal(site->allow.items[1].place, "/etc/ducc/d.yaml:4:7");
    assert_string_equal(site->block.items[0].name, "docker.io/evil");
    assert_string_equal(site->certificates[1], "/etc/ducc/certs.d");
    assert_int_equal(site->sizes.layer_bytes, 3000000000);
    assert_int_equal(site_limits_of(site, "x.io").requests, 4);
    assert_int_equal(site_find_registry(site, "q.io:5000")->transport, TRANSPORT_HTTP);
    assert_true(site_limits_of(site, "q.io:5000").requests_per_second == 2.5);
    assert_int_equal(site_find_registry(site, "index.docker.io")->mirror_count, 2);
    assert_int_equal(site_limits_of(site, "docker.io").downloads, 3);
    assert_int_equal(site_limits_of(site, "docker.io").quota_floor, 20);
    config_release(&config);
}

/* Where systemd gives a copy of a file, and where it does not. */
static void test_config__credentials_of_systemd(void **state)
{
    (void)state;
    static const char text[] =
        "notifications: {files: [{path: $CREDENTIALS_DIRECTORY/x}, {path: $OTHER/x}]}\n";
    static const char *const table[][2] = {
        {NULL, "/etc/ducc/x"}, {"", "/etc/ducc/x"}, {"/run/c", "/run/c/x"}};
    for (size_t i = 0; i < COUNT(table); i++) {
        struct config config;
        struct error err = ERROR_INIT;
        unsetenv("CREDENTIALS_DIRECTORY");
        if (table[i][0])
            setenv("CREDENTIALS_DIRECTORY", table[i][0], 1);
        assert_ok(parse(text, &config, &err), &err);
        assert_string_equal(config.notifications.items[0].where, table[i][1]);
        assert_string_equal(config.notifications.items[1].where, "/etc/ducc/$OTHER/x");
        config_release(&config);
    }
    unsetenv("CREDENTIALS_DIRECTORY");
}

static void test_config__notifications(void **state)
{
    (void)state;
    struct config config;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *secret = in_scratch("secret");
    _cleanup_free_ char *text =
        xasprintf("notifications:\n"
                  "  files: [{path: notes, events: [failed, runs]}]\n"
                  "  webhooks:\n"
                  "    - {url: 'https://a.example.org/x', secret_file: %s}\n"
                  "    - url: http://b.example.org/\n"
                  "  commands: [{run: [tell, 'a b']}]\n"
                  "history: {keep: 90d, keep_events: 1d}\n",
                  secret);
    write_file(secret, "a secret\nmore\n", 14);
    assert_ok(parse(text, &config, &err), &err);
    const struct notify_target *t = config.notifications.items;
    assert_int_equal(config.notifications.count, 4);
    assert_string_equal(t[0].where, "/etc/ducc/notes");
    assert_int_equal(t[0].events, NOTIFY_FAILED | NOTIFY_RUNS);
    assert_string_equal(t[1].secret, "a secret");
    assert_int_equal(t[1].events, NOTIFY_IMAGES);
    assert_null(t[2].secret);
    assert_string_equal(t[3].argv[1], "a b");
    assert_null(t[3].argv[2]);
    assert_int_equal(config.history.history_seconds, 90 * 86400);
    assert_int_equal(config.history.events_seconds, 86400);
    config_release(&config);
}

static void test_config__sources(void **state)
{
    (void)state;
    struct config config;
    struct error err = ERROR_INIT;
    assert_ok(parse("sources:\n"
                    "  known_hosts: hosts\n"
                    "  silence: 90s\n"
                    "  limit: 2h\n"
                    "  credentials:\n"
                    "    - {url: 'https://a.example.org/x', secret_file: token, scheme: bearer}\n"
                    "    - {url: 'ssh://b.example.org:22', user: git, key_file: /k, "
                    "passphrase_file: p}\n",
                    &config, &err),
              &err);
    const struct source_settings *s = &config.sources;
    assert_string_equal(s->known_hosts, "/etc/ducc/hosts");
    assert_true(s->silence_seconds == 90 && s->limit_seconds == 7200);
    assert_int_equal(s->credential_count, 2);
    assert_string_equal(s->credentials[0].secret_file, "/etc/ducc/token");
    assert_true(s->credentials[0].bearer && !s->credentials[1].bearer);
    assert_null(s->credentials[0].user);
    assert_string_equal(s->credentials[1].user, "git");
    assert_string_equal(s->credentials[1].key_file, "/k");
    assert_string_equal(s->credentials[1].passphrase_file, "/etc/ducc/p");
    config_release(&config);
}

static void test_config__bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } table[] = {
        {"- a\n", "d.yaml:1:1: expected a mapping"},
        {"registry: {}\n", "d.yaml:1:1: unknown key \"registry\"; here may stand registries"},
        {"registries: []\n", "d.yaml:1:13: key \"registries\": expected a mapping"},
        {"registries:\n  alow: [a.io]\n", "d.yaml:2:3: unknown key \"alow\"; here may stand allow"},
        {"registries:\n  allow: a.io\n", "d.yaml:2:10: key \"allow\": expected a list of rules"},
        {"registries:\n  allow: []\n", "d.yaml:2:10: key \"allow\": an empty list"},
        {"registries:\n  block: [[a]]\n", "d.yaml:2:11: expected REGISTRY"},
        {"registries:\n  block: [{name: x}]\n", "d.yaml:2:11: a rule needs the key \"match\""},
        {"registries:\n  block: ['https://a.io']\n", "d.yaml:2:11: a rule begins with the"},
        {"registries:\n  block: [{match: a.io, keys: [x]}]\n", "d.yaml:2:25: unknown key \"keys\""},
        {"registries:\n  hosts: {'a.io/b': {}}\n", "d.yaml:2:11: expected a registry"},
        {"registries:\n  hosts: {ubuntu: {}}\n", "d.yaml:2:11: expected a registry"},
        {"registries:\n  hosts: {a.io: http}\n", "d.yaml:2:17: expected a mapping"},
        {"registries:\n  hosts: {a.io: {insecure: true}}\n",
         "d.yaml:2:28: key \"insecure\": expected http or unverified-tls"},
        {"registries:\n  hosts: {a.io: {mirrors: ['ftp://x.io']}}\n",
         "d.yaml:2:28: key \"mirrors\": not a mirror"},
        {"registries:\n  defaults: {requests_at_a_time: 0}\n",
         "d.yaml:2:34: key \"requests_at_a_time\": expected a number from 1 to 1000"},
        {"registries:\n  defaults: {requests_at_a_time: 5x}\n", "d.yaml:2:34: key \"requests_at"},
        {"registries:\n  defaults: {requests_per_second: 0}\n", "d.yaml:2:35: key \"requests_per_"},
        {"registries:\n  defaults: {requests_per_second: nan}\n", "d.yaml:2:35: key \"request"},
        {"registries:\n  sizes: {manifest: 1T}\n", "d.yaml:2:21: key \"manifest\": 67108864 bytes"},
        {"registries:\n  sizes: {layer: big}\n", "d.yaml:2:18: key \"layer\": "},
        {"registries:\n  signatures: [a.io]\n", "d.yaml:2:16: a signature rule needs the key"},
        {"registries:\n  signatures: [{match: a.io, keys: [/no/where.pub]}]\n",
         "d.yaml:2:37: key \"keys\": /no/where.pub"},
        {"registries:\n  signatures: [{match: a.io, keys: [/etc/passwd]}]\n",
         "d.yaml:2:37: key \"keys\": not a public key in PEM form"},
        {"deletion:\n  retain: soon\n", "d.yaml:2:11: key \"retain\": "},
        {"deletion:\n  retain: 101y\n", "d.yaml:2:11: key \"retain\": "},
        {"deletion:\n  keep_last: -1\n", "d.yaml:2:14: key \"keep_last\": expected a number"},
        {"deletion:\n  gone_pause: 0\n", "d.yaml:2:15: key \"gone_pause\": "},
        {"deletion:\n  grace_period: forever\n", "d.yaml:2:17: key \"grace_period\": "},
        {"deletion:\n  protect: ['a[']\n", "d.yaml:2:13: key \"protect\": the signs are * and ?"},
        {"deletion:\n  protect: ['']\n", "d.yaml:2:13: expected a name, or a glob of names"},
        {"deletion:\n  lists: {a.yaml: forever}\n", "d.yaml:2:19: expected a mapping: retain"},
        {"deletion:\n  lists: {a.yaml: {grace_period: 1d}}\n",
         "d.yaml:2:20: unknown key \"grace_period\"; here may stand retain"},
        {"notifications:\n  files: [notes]\n", "d.yaml:2:11: expected a mapping"},
        {"notifications:\n  files: [{events: [failed]}]\n", "d.yaml:2:11: the key \"path\""},
        {"notifications:\n  files: [{path: x, events: []}]\n", "\"events\": an empty list"},
        {"notifications:\n  files: [{path: x, events: [ok]}]\n", "d.yaml:2:30: expected runs"},
        {"notifications:\n  webhooks: [{url: 'ftp://x'}]\n", "d.yaml:2:20: key \"url\": expected"},
        {"notifications:\n  webhooks: [{url: 'http://x', secret_file: /no/such}]\n", "/no/such"},
        {"notifications:\n  webhooks: [{url: 'http://x', secret_file: /dev/null}]\n",
         "the file holds no secret"},
        {"notifications:\n  commands: [{run: tell}]\n", "expected a list: a program"},
        {"notifications:\n  commands: [{run: []}]\n", "expected a program and its arguments"},
        {"notifications:\n  mail: []\n", "unknown key \"mail\"; here may stand files"},
        {"sources: [a]\n", "d.yaml:1:10: key \"sources\": expected a mapping"},
        {"sources: {silence: 0s}\n", "d.yaml:1:20: key \"silence\""},
        {"sources: {limit: long}\n", "d.yaml:1:18: key \"limit\""},
        {"sources: {credentials: [a]}\n", "d.yaml:1:25: expected a mapping with url"},
        {"sources: {credentials: [{user: a}]}\n", "a credential needs the key \"url\""},
        {"sources: {credentials: [{url: a, scheme: none}]}\n", "expected basic or bearer"},
        {"sources: {credentials: [{url: a, password: x}]}\n", "unknown key \"password\""},
        {"history: {keep: 5}\n", "d.yaml:1:17: key \"keep\""},
        {"history: {kept: 5d}\n", "unknown key \"kept\"; here may stand keep, keep_events"},
        {"registries:\n\thosts: 1\n", "d.yaml:2:1: not valid YAML"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct config config;
        struct error err = ERROR_INIT;
        int rc = parse(table[i].text, &config, &err);
        if (rc == 0)
            fail_msg("%s: accepted", table[i].text);
        if (!strstr(err.message, table[i].says))
            fail_msg("%s: \"%s\", expected \"%s\"", table[i].text, err.message, table[i].says);
        error_release(&err);
    }
}

static void test_config__deletion(void **state)
{
    (void)state;
    struct config config;
    struct error err = ERROR_INIT;
    assert_ok(parse("deletion:\n"
                    "  retain: 30d\n"
                    "  keep_last: 3\n"
                    "  gone_pause: 12h\n"
                    "  grace_period: 0\n"
                    "  protect: ['*/keep/*', r.io/a:1]\n"
                    "  lists:\n"
                    "    nightly.yaml: {retain: 0, protect: ['*:latest']}\n"
                    "    cms.yaml: {retain: forever}\n",
                    &config, &err),
              &err);
    const struct retention_rules *rules = &config.deletion;
    assert_true(rules->usual.is_limited);
    assert_int_equal(rules->usual.seconds, 30 * 86400);
    assert_int_equal(rules->usual.keep_last, 3);
    assert_int_equal(rules->usual.gone_pause_seconds, 12 * 3600);
    assert_string_equal(rules->usual.protect[1], "r.io/a:1");
    assert_null(rules->usual.protect[2]);
    assert_true(rules->has_grace);
    assert_int_equal(rules->grace_seconds, 0);
    assert_int_equal(rules->count, 2);
    assert_string_equal(rules->lists[0].list, "nightly.yaml");
    assert_true(rules->lists[0].retention.is_limited);
    assert_int_equal(rules->lists[0].retention.seconds, 0);
    assert_string_equal(rules->lists[0].retention.protect[0], "*:latest");
    assert_false(rules->lists[1].retention.is_limited);
    config_release(&config);
}

static void test_config__named_file_must_be_there(void **state)
{
    (void)state;
    struct config config;
    struct error err = ERROR_INIT;
    assert_fails("--config", config_read("/no/where", &config, &err), &err, ERROR_NOT_FOUND,
                 "/no/where");
    error_release(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config__registries),
        cmocka_unit_test(test_config__notifications),
        cmocka_unit_test(test_config__sources),
        cmocka_unit_test(test_config__credentials_of_systemd),
        cmocka_unit_test(test_config__bad_files),
        cmocka_unit_test(test_config__deletion),
        cmocka_unit_test(test_config__named_file_must_be_there),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

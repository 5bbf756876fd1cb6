#include "publisher/config.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "base/quantity.h"
#include "base/signature.h"
#include "repository/policy.h"
#include "wishlist/document.h"

#include <string.h>

#define KEY_FILE_BYTES_MAX ((size_t)64 << 10)
#define AT_A_TIME_MAX      1000
#define PER_SECOND_MAX     100000.0

struct reader {
    const char *path;
    struct config *config;
    struct error *err;
};

/* How a key's value is read: `to` is what the mapping it stands in is about. */
struct key {
    const char *name;
    int (*read)(struct reader *r, const struct node *value, void *to);
    const char *expected; /* for messages: "a list of rules" */
    enum node_kind kind;
};

/* --- what every table needs --- */

static int fail_at(struct reader *r, const struct node *at, const char *message)
{
    return error_set(r->err, ERROR_PARSE, "%s:%d:%d: %s", r->path, at->line, at->column, message);
}

/* Put the place in front of an error that a reader of texts has set. */
static int wrap_at(struct reader *r, const struct node *at, const char *key)
{
    return error_wrap(r->err, "%s:%d:%d: key \"%s\"", r->path, at->line, at->column, key);
}

static int unknown_key(struct reader *r, const struct node *key, const struct key *table)
{
    struct buf message = BUF_INIT;
    buf_adds(&message, "unknown key ");
    buf_add_quoted(&message, key->text, strlen(key->text));
    buf_adds(&message, "; here may stand");
    for (const struct key *k = table; k->name; k++)
        buf_addf(&message, "%s %s", k == table ? "" : ",", k->name);
    int rc = fail_at(r, key, message.data);
    buf_release(&message);
    return rc;
}

static int wrong_kind(struct reader *r, const struct node *value, const struct key *key)
{
    _cleanup_free_ char *message = xasprintf("key \"%s\": expected %s", key->name, key->expected);
    return fail_at(r, value, message);
}

static int read_key(struct reader *r, const struct node *name, const struct node *value,
                    const struct key *table, void *to)
{
    for (const struct key *k = table; k->name; k++) {
        if (strcmp(k->name, name->text) != 0)
            continue;
        bool empty = value->kind == NODE_TEXT && !*value->text;
        if (value->kind != k->kind || empty)
            return wrong_kind(r, value, k);
        return k->read(r, value, to);
    }
    return unknown_key(r, name, table);
}

static int read_mapping(struct reader *r, const struct node *mapping, const struct key *table,
                        void *to)
{
    for (size_t i = 0; i + 1 < mapping->count; i += 2)
        if (read_key(r, &mapping->items[i], &mapping->items[i + 1], table, to) < 0)
            return -1;
    return 0;
}

/* Each element of a list must be a text. */
static int check_texts(struct reader *r, const struct node *list, const char *what)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].kind == NODE_TEXT && *list->items[i].text)
            continue;
        _cleanup_free_ char *message = xasprintf("expected %s", what);
        return fail_at(r, &list->items[i], message);
    }
    return 0;
}

/* Relative to the folder of the configuration file. Owned. */
static char *resolve_path(const struct reader *r, const char *path)
{
    _cleanup_free_ char *folder = path_parent(r->path);
    return path[0] == '/' || !*folder ? xstrdup(path) : path_join(folder, path);
}

/* --- numbers --- */

static int read_count(struct reader *r, const struct node *value, size_t *out, const char *key,
                      unsigned long max)
{
    char *end;
    unsigned long n = strtoul(value->text, &end, 10);
    if (value->text[0] >= '1' && value->text[0] <= '9' && !*end && n <= max) {
        *out = n;
        return 0;
    }
    _cleanup_free_ char *message =
        xasprintf("key \"%s\": expected a number from 1 to %lu", key, max);
    return fail_at(r, value, message);
}

static int read_requests(struct reader *r, const struct node *value, void *to)
{
    struct site_limits *l = to;
    return read_count(r, value, &l->requests, "requests_at_a_time", AT_A_TIME_MAX);
}

static int read_downloads(struct reader *r, const struct node *value, void *to)
{
    struct site_limits *l = to;
    return read_count(r, value, &l->downloads, "downloads_at_a_time", AT_A_TIME_MAX);
}

static int read_quota_floor(struct reader *r, const struct node *value, void *to)
{
    struct site_limits *l = to;
    return read_count(r, value, &l->quota_floor, "ratelimit_floor", 1000000);
}

static int read_rate(struct reader *r, const struct node *value, void *to)
{
    struct site_limits *l = to;
    char *end;
    double rate = strtod(value->text, &end);
    bool plain = value->text[strspn(value->text, "0123456789.")] == '\0';
    if (!plain || *end || !(rate > 0.0001 && rate <= PER_SECOND_MAX))
        return fail_at(r, value,
                       "key \"requests_per_second\": expected a number above 0, such as 5 or 0.5");
    l->requests_per_second = rate;
    return 0;
}

#define LIMIT_KEYS                                                                                 \
    {"requests_at_a_time", read_requests, "a number", NODE_TEXT},                                  \
        {"downloads_at_a_time", read_downloads, "a number", NODE_TEXT},                            \
        {"requests_per_second", read_rate, "a number", NODE_TEXT},                                 \
    {                                                                                              \
        "ratelimit_floor", read_quota_floor, "a number", NODE_TEXT                                 \
    }

static const struct key limit_keys[] = {LIMIT_KEYS, {0}};

static int read_defaults(struct reader *r, const struct node *value, void *to)
{
    struct site *site = to;
    return read_mapping(r, value, limit_keys, &site->defaults);
}

/* --- sizes --- */

static int read_size(struct reader *r, const struct node *value, uint64_t max, const char *key,
                     uint64_t *out)
{
    if (size_parse(value->text, out, r->err) < 0)
        return wrap_at(r, value, key);
    if (*out <= max)
        return 0;
    _cleanup_free_ char *message =
        xasprintf("key \"%s\": %llu bytes at most", key, (unsigned long long)max);
    return fail_at(r, value, message);
}

static int read_manifest_size(struct reader *r, const struct node *value, void *to)
{
    struct site *site = to;
    uint64_t size = 0;
    int rc = read_size(r, value, LIMIT_MANIFEST_BYTES_MAX, "manifest", &size);
    site->sizes.manifest_bytes = (size_t)size;
    return rc;
}

static int read_config_size(struct reader *r, const struct node *value, void *to)
{
    struct site *site = to;
    uint64_t size = 0;
    int rc = read_size(r, value, LIMIT_CONFIG_BYTES_MAX, "config", &size);
    site->sizes.config_bytes = (size_t)size;
    return rc;
}

static int read_layer_size(struct reader *r, const struct node *value, void *to)
{
    struct site *site = to;
    return read_size(r, value, LIMIT_LAYER_BYTES, "layer", &site->sizes.layer_bytes);
}

static const struct key size_keys[] = {
    {"manifest", read_manifest_size, "a size", NODE_TEXT},
    {"config", read_config_size, "a size", NODE_TEXT},
    {"layer", read_layer_size, "a size", NODE_TEXT},
    {0},
};

static int read_sizes(struct reader *r, const struct node *value, void *to)
{
    return read_mapping(r, value, size_keys, to);
}

/* --- rules --- */

/* One element of a list of rules, while it is read. */
struct rule_text {
    const char *name, *match;
    const struct node *keys; /* of the signature policy: one path, or a list of them */
};

static int read_rule_name(struct reader *r, const struct node *value, void *to)
{
    (void)r;
    ((struct rule_text *)to)->name = value->text;
    return 0;
}

static int read_rule_match(struct reader *r, const struct node *value, void *to)
{
    (void)r;
    ((struct rule_text *)to)->match = value->text;
    return 0;
}

static int read_rule_keys(struct reader *r, const struct node *value, void *to)
{
    ((struct rule_text *)to)->keys = value;
    return check_texts(r, value, "the path of a public key");
}

static const struct key rule_keys[] = {
    {"name", read_rule_name, "a text", NODE_TEXT},
    {"match", read_rule_match, "REGISTRY[/REPOSITORY[:TAG]]", NODE_TEXT},
    {0},
};

static const struct key signature_keys[] = {
    {"name", read_rule_name, "a text", NODE_TEXT},
    {"match", read_rule_match, "REGISTRY[/REPOSITORY[:TAG]]", NODE_TEXT},
    {"keys", read_rule_keys, "a list of paths of public keys", NODE_LIST},
    {0},
};

/* "REGISTRY[/…]", or a mapping of it with a name. */
static int read_rule(struct reader *r, const struct node *item, const struct key *table,
                     struct rule_text *out)
{
    *out = (struct rule_text){0};
    if (item->kind == NODE_TEXT)
        out->match = item->text;
    else if (item->kind == NODE_LIST)
        return fail_at(r, item, "expected REGISTRY[/REPOSITORY[:TAG]], or a mapping with match");
    else if (read_mapping(r, item, table, out) < 0)
        return -1;
    if (!out->match || !*out->match)
        return fail_at(r, item, "a rule needs the key \"match\": REGISTRY[/REPOSITORY[:TAG]]");
    if (strstr(out->match, "://") || out->match[0] == '/')
        return fail_at(r, item, "a rule begins with the registry, without a scheme");
    return 0;
}

static struct site_rule *add_rule(struct reader *r, struct site_rules *rules,
                                  const struct node *item, const struct rule_text *text)
{
    _cleanup_free_ char *place = xasprintf("%s:%d:%d", r->path, item->line, item->column);
    return site_add_rule(rules, text->name, text->match, place);
}

static int read_rules(struct reader *r, const struct node *list, struct site_rules *to)
{
    for (size_t i = 0; i < list->count; i++) {
        struct rule_text text;
        if (read_rule(r, &list->items[i], rule_keys, &text) < 0)
            return -1;
        add_rule(r, to, &list->items[i], &text);
    }
    return 0;
}

static int read_allow(struct reader *r, const struct node *value, void *to)
{
    /* An empty list would allow nothing by its words, and everything by its absence. */
    if (value->count == 0)
        return fail_at(r, value, "key \"allow\": an empty list; leave it out to allow everything");
    return read_rules(r, value, &((struct site *)to)->allow);
}

static int read_block(struct reader *r, const struct node *value, void *to)
{
    return read_rules(r, value, &((struct site *)to)->block);
}

static int read_public_key(struct reader *r, const struct node *value, struct site_rule *rule)
{
    _cleanup_free_ char *path = resolve_path(r, value->text);
    _cleanup_buf_ struct buf pem = BUF_INIT;
    if (file_read(path, KEY_FILE_BYTES_MAX, &pem, r->err) < 0 ||
        public_key_check(pem.data, pem.len, r->err) < 0)
        return wrap_at(r, value, "keys");
    site_rule_add_key(rule, path, pem.data);
    return 0;
}

static int read_signatures(struct reader *r, const struct node *list, void *to)
{
    struct site *site = to;
    for (size_t i = 0; i < list->count; i++) {
        const struct node *item = &list->items[i];
        struct rule_text text;
        if (read_rule(r, item, signature_keys, &text) < 0)
            return -1;
        if (!text.keys || text.keys->count == 0)
            return fail_at(r, item, "a signature rule needs the key \"keys\": a list of paths");
        struct site_rule *rule = add_rule(r, &site->signatures, item, &text);
        for (size_t k = 0; k < text.keys->count; k++)
            if (read_public_key(r, &text.keys->items[k], rule) < 0)
                return -1;
    }
    return 0;
}

/* --- registries --- */

static int read_insecure(struct reader *r, const struct node *value, void *to)
{
    struct site_registry *registry = to;
    if (strcmp(value->text, "http") == 0)
        registry->transport = TRANSPORT_HTTP;
    else if (strcmp(value->text, "unverified-tls") == 0)
        registry->transport = TRANSPORT_UNVERIFIED;
    else
        return fail_at(r, value, "key \"insecure\": expected http or unverified-tls");
    return 0;
}

static int read_mirrors(struct reader *r, const struct node *value, void *to)
{
    if (check_texts(r, value, "a mirror: [http://|https://]HOST[:PORT][/PREFIX]") < 0)
        return -1;
    for (size_t i = 0; i < value->count; i++)
        if (site_add_mirror(to, value->items[i].text, r->err) < 0)
            return wrap_at(r, &value->items[i], "mirrors");
    return 0;
}

static int read_limit(struct reader *r, const struct node *value, void *to, const char *name)
{
    const struct node key = {.kind = NODE_TEXT, .text = (char *)(uintptr_t)name};
    return read_key(r, &key, value, limit_keys, &((struct site_registry *)to)->limits);
}

#define READ_LIMIT(function, name)                                                                 \
    static int function(struct reader *r, const struct node *value, void *to)                      \
    {                                                                                              \
        return read_limit(r, value, to, name);                                                     \
    }
READ_LIMIT(read_host_requests, "requests_at_a_time")
READ_LIMIT(read_host_downloads, "downloads_at_a_time")
READ_LIMIT(read_host_rate, "requests_per_second")
READ_LIMIT(read_host_floor, "ratelimit_floor")

static const struct key host_keys[] = {
    {"insecure", read_insecure, "http or unverified-tls", NODE_TEXT},
    {"mirrors", read_mirrors, "a list of mirrors", NODE_LIST},
    {"requests_at_a_time", read_host_requests, "a number", NODE_TEXT},
    {"downloads_at_a_time", read_host_downloads, "a number", NODE_TEXT},
    {"requests_per_second", read_host_rate, "a number", NODE_TEXT},
    {"ratelimit_floor", read_host_floor, "a number", NODE_TEXT},
    {0},
};

static int check_host(struct reader *r, const struct node *name)
{
    struct reference probe = {0};
    _cleanup_error_ struct error why = ERROR_INIT;
    _cleanup_free_ char *below = xasprintf("%s/x", name->text);
    bool good = reference_parse(below, 0, &probe, &why) == 0 && !strchr(name->text, '/');
    reference_release(&probe);
    return good ? 0 : fail_at(r, name, "expected a registry: HOST or HOST:PORT");
}

static int read_hosts(struct reader *r, const struct node *value, void *to)
{
    for (size_t i = 0; i + 1 < value->count; i += 2) {
        const struct node *name = &value->items[i], *settings = &value->items[i + 1];
        if (check_host(r, name) < 0)
            return -1;
        if (settings->kind != NODE_MAPPING)
            return fail_at(r, settings, "expected a mapping: the settings of the registry");
        if (read_mapping(r, settings, host_keys, site_add_registry(to, name->text)) < 0)
            return -1;
    }
    return 0;
}

static int read_certificates(struct reader *r, const struct node *value, void *to)
{
    struct site *site = to;
    if (check_texts(r, value, "the path of a folder") < 0)
        return -1;
    for (size_t i = 0; i < value->count; i++) {
        ARRAY_GROW(site->certificates, site->certificate_count, site->certificate_capacity);
        site->certificates[site->certificate_count++] = resolve_path(r, value->items[i].text);
    }
    return 0;
}

static const struct key registries_keys[] = {
    {"allow", read_allow, "a list of rules", NODE_LIST},
    {"block", read_block, "a list of rules", NODE_LIST},
    {"signatures", read_signatures, "a list of rules", NODE_LIST},
    {"certificates", read_certificates, "a list of folders", NODE_LIST},
    {"sizes", read_sizes, "a mapping", NODE_MAPPING},
    {"defaults", read_defaults, "a mapping", NODE_MAPPING},
    {"hosts", read_hosts, "a mapping of registries", NODE_MAPPING},
    {0},
};

static int read_registries(struct reader *r, const struct node *value, void *to)
{
    struct config *config = to;
    return read_mapping(r, value, registries_keys, &config->site);
}

/* --- the file --- */

static const struct key top_keys[] = {
    {"registries", read_registries, "a mapping", NODE_MAPPING},
    {0},
};

int config_parse(const char *path, const char *bytes, size_t len, struct config *out,
                 struct error *err)
{
    _cleanup_node_ struct node root = {0};
    struct config config = {0};
    struct reader r = {path, &config, err};
    if (document_read(path, bytes, len, &root, err) < 0)
        return -1;
    int rc = root.kind == NODE_MAPPING ? read_mapping(&r, &root, top_keys, &config)
                                       : fail_at(&r, &root, "expected a mapping: registries: …");
    if (rc < 0)
        config_release(&config);
    else
        *out = config;
    return rc;
}

int config_read(const char *path, struct config *out, struct error *err)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    const char *from = path ? path : CONFIG_DEFAULT_PATH;
    if (file_read(from, LIMIT_RECIPE_BYTES, &bytes, err) < 0) {
        if (path || err->kind != ERROR_NOT_FOUND)
            return -1;
        error_release(err);
        *out = (struct config){0};
        return 0;
    }
    return config_parse(from, bytes.data, bytes.len, out, err);
}

void config_release(struct config *config)
{
    site_release(&config->site);
}

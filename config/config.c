#include "config/config_reader.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "base/quantity.h"
#include "base/signature.h"
#include "repository/policy.h"
#include "wishlist/document.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY_FILE_BYTES_MAX ((size_t)64 << 10)
#define AT_A_TIME_MAX      1000
#define PER_SECOND_MAX     100000.0

static int read_requests(struct config_reader *r, const struct node *value, void *to)
{
    struct site_limits *l = to;
    return config_read_count(r, value, &l->requests, "requests_at_a_time", AT_A_TIME_MAX);
}

static int read_downloads(struct config_reader *r, const struct node *value, void *to)
{
    struct site_limits *l = to;
    return config_read_count(r, value, &l->downloads, "downloads_at_a_time", AT_A_TIME_MAX);
}

static int read_quota_floor(struct config_reader *r, const struct node *value, void *to)
{
    struct site_limits *l = to;
    return config_read_count(r, value, &l->quota_floor, "ratelimit_floor", 1000000);
}

static int read_rate(struct config_reader *r, const struct node *value, void *to)
{
    struct site_limits *l = to;
    char *end;
    double rate = strtod(value->text, &end);
    bool plain = value->text[strspn(value->text, "0123456789.")] == '\0';
    if (!plain || *end || !(rate > 0.0001 && rate <= PER_SECOND_MAX))
        return config_fail_at(
            r, value, "key \"requests_per_second\": expected a number above 0, such as 5 or 0.5");
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

static const struct config_key limit_keys[] = {LIMIT_KEYS, {0}};

static int read_defaults(struct config_reader *r, const struct node *value, void *to)
{
    struct site *site = to;
    return config_read_mapping(r, value, limit_keys, &site->defaults);
}

/* --- sizes --- */

static int read_manifest_size(struct config_reader *r, const struct node *value, void *to)
{
    struct site *site = to;
    uint64_t size = 0;
    int rc = config_read_size(r, value, LIMIT_MANIFEST_BYTES_MAX, "manifest", &size);
    site->sizes.manifest_bytes = (size_t)size;
    return rc;
}

static int read_config_size(struct config_reader *r, const struct node *value, void *to)
{
    struct site *site = to;
    uint64_t size = 0;
    int rc = config_read_size(r, value, LIMIT_CONFIG_BYTES_MAX, "config", &size);
    site->sizes.config_bytes = (size_t)size;
    return rc;
}

static int read_layer_size(struct config_reader *r, const struct node *value, void *to)
{
    struct site *site = to;
    return config_read_size(r, value, LIMIT_LAYER_BYTES, "layer", &site->sizes.layer_bytes);
}

static const struct config_key size_keys[] = {
    {"manifest", read_manifest_size, "a size", NODE_TEXT},
    {"config", read_config_size, "a size", NODE_TEXT},
    {"layer", read_layer_size, "a size", NODE_TEXT},
    {0},
};

static int read_sizes(struct config_reader *r, const struct node *value, void *to)
{
    return config_read_mapping(r, value, size_keys, to);
}

/* --- rules --- */

/* One element of a list of rules, while it is read. */
struct rule_text {
    const char *name, *match;
    const struct node *keys; /* of the signature policy: one path, or a list of them */
};

static int read_rule_name(struct config_reader *r, const struct node *value, void *to)
{
    (void)r;
    ((struct rule_text *)to)->name = value->text;
    return 0;
}

static int read_rule_match(struct config_reader *r, const struct node *value, void *to)
{
    (void)r;
    ((struct rule_text *)to)->match = value->text;
    return 0;
}

static int read_rule_keys(struct config_reader *r, const struct node *value, void *to)
{
    ((struct rule_text *)to)->keys = value;
    return config_check_texts(r, value, "the path of a public key");
}

static const struct config_key rule_keys[] = {
    {"name", read_rule_name, "a text", NODE_TEXT},
    {"match", read_rule_match, "REGISTRY[/REPOSITORY[:TAG]]", NODE_TEXT},
    {0},
};

static const struct config_key signature_keys[] = {
    {"name", read_rule_name, "a text", NODE_TEXT},
    {"match", read_rule_match, "REGISTRY[/REPOSITORY[:TAG]]", NODE_TEXT},
    {"keys", read_rule_keys, "a list of paths of public keys", NODE_LIST},
    {0},
};

/* "REGISTRY[/…]", or a mapping of it with a name. */
static int read_rule(struct config_reader *r, const struct node *item,
                     const struct config_key *table, struct rule_text *out)
{
    *out = (struct rule_text){0};
    if (item->kind == NODE_TEXT)
        out->match = item->text;
    else if (item->kind == NODE_LIST)
        return config_fail_at(r, item,
                              "expected REGISTRY[/REPOSITORY[:TAG]], or a mapping with match");
    else if (config_read_mapping(r, item, table, out) < 0)
        return -1;
    if (!out->match || !*out->match)
        return config_fail_at(r, item,
                              "a rule needs the key \"match\": REGISTRY[/REPOSITORY[:TAG]]");
    if (strstr(out->match, "://") || out->match[0] == '/')
        return config_fail_at(r, item, "a rule begins with the registry, without a scheme");
    return 0;
}

static struct site_rule *add_rule(struct config_reader *r, struct site_rules *rules,
                                  const struct node *item, const struct rule_text *text)
{
    _cleanup_free_ char *place = xasprintf("%s:%d:%d", r->path, item->line, item->column);
    return site_add_rule(rules, text->name, text->match, place);
}

static int read_rules(struct config_reader *r, const struct node *list, struct site_rules *to)
{
    for (size_t i = 0; i < list->count; i++) {
        struct rule_text text;
        if (read_rule(r, &list->items[i], rule_keys, &text) < 0)
            return -1;
        add_rule(r, to, &list->items[i], &text);
    }
    return 0;
}

static int read_allow(struct config_reader *r, const struct node *value, void *to)
{
    /* An empty list would allow nothing by its words, and everything by its absence. */
    if (value->count == 0)
        return config_fail_at(r, value,
                              "key \"allow\": an empty list; leave it out to allow everything");
    return read_rules(r, value, &((struct site *)to)->allow);
}

static int read_block(struct config_reader *r, const struct node *value, void *to)
{
    return read_rules(r, value, &((struct site *)to)->block);
}

static int read_public_key(struct config_reader *r, const struct node *value,
                           struct site_rule *rule)
{
    _cleanup_free_ char *path = config_resolve_path(r, value->text);
    _cleanup_buf_ struct buf pem = BUF_INIT;
    if (file_read(path, KEY_FILE_BYTES_MAX, &pem, r->err) < 0 ||
        public_key_check(pem.data, pem.len, r->err) < 0)
        return config_wrap_at(r, value, "keys");
    site_rule_add_key(rule, path, pem.data);
    return 0;
}

static int read_signatures(struct config_reader *r, const struct node *list, void *to)
{
    struct site *site = to;
    for (size_t i = 0; i < list->count; i++) {
        const struct node *item = &list->items[i];
        struct rule_text text;
        if (read_rule(r, item, signature_keys, &text) < 0)
            return -1;
        if (!text.keys || text.keys->count == 0)
            return config_fail_at(r, item,
                                  "a signature rule needs the key \"keys\": a list of paths");
        struct site_rule *rule = add_rule(r, &site->signatures, item, &text);
        for (size_t k = 0; k < text.keys->count; k++)
            if (read_public_key(r, &text.keys->items[k], rule) < 0)
                return -1;
    }
    return 0;
}

/* --- registries --- */

static int read_insecure(struct config_reader *r, const struct node *value, void *to)
{
    struct site_registry *registry = to;
    if (strcmp(value->text, "http") == 0)
        registry->transport = TRANSPORT_HTTP;
    else if (strcmp(value->text, "unverified-tls") == 0)
        registry->transport = TRANSPORT_UNVERIFIED;
    else
        return config_fail_at(r, value, "key \"insecure\": expected http or unverified-tls");
    return 0;
}

static int read_mirrors(struct config_reader *r, const struct node *value, void *to)
{
    if (config_check_texts(r, value, "a mirror: [http://|https://]HOST[:PORT][/PREFIX]") < 0)
        return -1;
    for (size_t i = 0; i < value->count; i++)
        if (site_add_mirror(to, value->items[i].text, r->err) < 0)
            return config_wrap_at(r, &value->items[i], "mirrors");
    return 0;
}

static int read_limit(struct config_reader *r, const struct node *value, void *to, const char *name)
{
    const struct node key = {.kind = NODE_TEXT, .text = (char *)(uintptr_t)name};
    return config_read_key(r, &key, value, limit_keys, &((struct site_registry *)to)->limits);
}

#define READ_LIMIT(function, name)                                                                 \
    static int function(struct config_reader *r, const struct node *value, void *to)               \
    {                                                                                              \
        return read_limit(r, value, to, name);                                                     \
    }
READ_LIMIT(read_host_requests, "requests_at_a_time")
READ_LIMIT(read_host_downloads, "downloads_at_a_time")
READ_LIMIT(read_host_rate, "requests_per_second")
READ_LIMIT(read_host_floor, "ratelimit_floor")

static const struct config_key host_keys[] = {
    {"insecure", read_insecure, "http or unverified-tls", NODE_TEXT},
    {"mirrors", read_mirrors, "a list of mirrors", NODE_LIST},
    {"requests_at_a_time", read_host_requests, "a number", NODE_TEXT},
    {"downloads_at_a_time", read_host_downloads, "a number", NODE_TEXT},
    {"requests_per_second", read_host_rate, "a number", NODE_TEXT},
    {"ratelimit_floor", read_host_floor, "a number", NODE_TEXT},
    {0},
};

static int check_host(struct config_reader *r, const struct node *name)
{
    struct reference probe = {0};
    _cleanup_error_ struct error why = ERROR_INIT;
    _cleanup_free_ char *below = xasprintf("%s/x", name->text);
    bool good = reference_parse(below, 0, &probe, &why) == 0 && !strchr(name->text, '/');
    reference_release(&probe);
    return good ? 0 : config_fail_at(r, name, "expected a registry: HOST or HOST:PORT");
}

static int read_hosts(struct config_reader *r, const struct node *value, void *to)
{
    for (size_t i = 0; i + 1 < value->count; i += 2) {
        const struct node *name = &value->items[i], *settings = &value->items[i + 1];
        if (check_host(r, name) < 0)
            return -1;
        if (settings->kind != NODE_MAPPING)
            return config_fail_at(r, settings, "expected a mapping: the settings of the registry");
        if (config_read_mapping(r, settings, host_keys, site_add_registry(to, name->text)) < 0)
            return -1;
    }
    return 0;
}

static int read_certificates(struct config_reader *r, const struct node *value, void *to)
{
    struct site *site = to;
    if (config_check_texts(r, value, "the path of a folder") < 0)
        return -1;
    for (size_t i = 0; i < value->count; i++) {
        ARRAY_GROW(site->certificates, site->certificate_count, site->certificate_capacity);
        site->certificates[site->certificate_count++] =
            config_resolve_path(r, value->items[i].text);
    }
    return 0;
}

static const struct config_key registries_keys[] = {
    {"allow", read_allow, "a list of rules", NODE_LIST},
    {"block", read_block, "a list of rules", NODE_LIST},
    {"signatures", read_signatures, "a list of rules", NODE_LIST},
    {"certificates", read_certificates, "a list of folders", NODE_LIST},
    {"sizes", read_sizes, "a mapping", NODE_MAPPING},
    {"defaults", read_defaults, "a mapping", NODE_MAPPING},
    {"hosts", read_hosts, "a mapping of registries", NODE_MAPPING},
    {0},
};

static int read_registries(struct config_reader *r, const struct node *value, void *to)
{
    struct config *config = to;
    return config_read_mapping(r, value, registries_keys, &config->site);
}

/* --- the file --- */

static const struct config_key top_keys[] = {
    {"registries", read_registries, "a mapping", NODE_MAPPING},
    {"service", config_read_service, "a mapping", NODE_MAPPING},
    {"lists", config_read_lists, "a list of lists", NODE_LIST},
    {"sources", config_read_sources, "a mapping", NODE_MAPPING},
    {"deletion", config_read_deletion, "a mapping", NODE_MAPPING},
    {"notifications", config_read_notifications, "a mapping", NODE_MAPPING},
    {"history", config_read_history, "a mapping", NODE_MAPPING},
    {"web", config_read_web, "a mapping", NODE_MAPPING},
    {0},
};

int config_parse(const char *path, const char *bytes, size_t len, struct config *out,
                 struct error *err)
{
    _cleanup_node_ struct node root = {0};
    struct config config = {0};
    struct config_reader r = {path, &config, err};
    if (document_read(path, bytes, len, &root, err) < 0)
        return -1;
    int rc = root.kind == NODE_MAPPING
                 ? config_read_mapping(&r, &root, top_keys, &config)
                 : config_fail_at(&r, &root, "expected a mapping: registries: …, lists: …");
    if (rc < 0)
        config_release(&config);
    else
        *out = config;
    return rc;
}

/* Owned. A link is not followed: what it leads to may be another file each time that the
 * configuration changes. */
static char *absolute_path(const char *path, struct error *err)
{
    if (path[0] == '/')
        return xstrdup(path);
    _cleanup_free_ char *parent = path_parent(path);
    _cleanup_free_ char *folder = realpath(*parent ? parent : ".", NULL);
    if (!folder) {
        error_set_errno(err, ERROR_IO, errno, "%s", path);
        return NULL;
    }
    return path_join(folder, path_name(path));
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
    _cleanup_free_ char *place = absolute_path(from, err);
    if (!place || config_parse(from, bytes.data, bytes.len, out, err) < 0)
        return -1;
    out->path = TAKE_PTR(place);
    return 0;
}

void config_release(struct config *config)
{
    free(config->path);
    site_release(&config->site);
    service_settings_release(&config->service);
    for (size_t i = 0; i < config->list_count; i++)
        configured_list_release(&config->lists[i]);
    free(config->lists);
    source_settings_release(&config->sources);
    retention_rules_release(&config->deletion);
    notify_targets_release(&config->notifications);
    configured_web_release(&config->web);
    *config = (struct config){0};
}

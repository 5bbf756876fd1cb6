#include "registry/site.h"

#include "base/limits.h"
#include "base/memory.h"
#include "registry/endpoint.h"

#include <fnmatch.h>
#include <string.h>

#define DEFAULT_REQUESTS  16
#define DEFAULT_DOWNLOADS 8

/* --- names --- */

char *registry_canonical(const char *registry)
{
    static const char *const hub[] = {"docker.io", "index.docker.io", "registry-1.docker.io",
                                      "registry.hub.docker.com"};
    char *name = xstrdup(registry);
    for (char *p = name; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    if (ends_with(name, ":443"))
        *strrchr(name, ':') = '\0';
    for (size_t i = 0; i < sizeof hub / sizeof hub[0]; i++) {
        if (strcmp(name, hub[i]) == 0) {
            free(name);
            return xstrdup(hub[0]);
        }
    }
    return name;
}

char *reference_canonical(const struct reference *ref)
{
    _cleanup_free_ char *registry = registry_canonical(ref->registry);
    _cleanup_free_ char *repository = endpoint_repository(ref);
    return xasprintf("%s/%s", registry, repository);
}

/* --- registries --- */

const struct site_registry *site_find_registry(const struct site *site, const char *registry)
{
    _cleanup_free_ char *name = registry_canonical(registry);
    for (size_t i = 0; site && i < site->registry_count; i++)
        if (strcmp(site->registries[i].registry, name) == 0)
            return &site->registries[i];
    return NULL;
}

struct site_registry *site_add_registry(struct site *site, const char *registry)
{
    const struct site_registry *known = site_find_registry(site, registry);
    if (known)
        return &site->registries[known - site->registries];
    ARRAY_GROW(site->registries, site->registry_count, site->registry_capacity);
    struct site_registry *r = &site->registries[site->registry_count++];
    *r = (struct site_registry){.registry = registry_canonical(registry)};
    return r;
}

struct site_limits site_limits_of(const struct site *site, const char *registry)
{
    static const struct site_limits nothing;
    const struct site_registry *r = site_find_registry(site, registry);
    const struct site_limits *own = r ? &r->limits : &nothing;
    const struct site_limits *all = site ? &site->defaults : &nothing;
    struct site_limits l = {
        .requests = own->requests ? own->requests : all->requests,
        .downloads = own->downloads ? own->downloads : all->downloads,
        .requests_per_second =
            own->requests_per_second > 0 ? own->requests_per_second : all->requests_per_second,
        .quota_floor = own->quota_floor ? own->quota_floor : all->quota_floor,
    };
    l.requests = l.requests ? l.requests : DEFAULT_REQUESTS;
    l.downloads = l.downloads ? l.downloads : DEFAULT_DOWNLOADS;
    return l;
}

struct site_sizes site_sizes_of(const struct site *site)
{
    struct site_sizes s = site ? site->sizes : (struct site_sizes){0};
    s.manifest_bytes = s.manifest_bytes ? s.manifest_bytes : LIMIT_MANIFEST_BYTES;
    s.config_bytes = s.config_bytes ? s.config_bytes : LIMIT_CONFIG_BYTES;
    s.layer_bytes = s.layer_bytes ? s.layer_bytes : LIMIT_LAYER_BYTES;
    return s;
}

/* --- mirrors --- */

int site_add_mirror(struct site_registry *registry, const char *text, struct error *err)
{
    struct site_mirror m = {.scheme = starts_with(text, "http://")    ? MIRROR_HTTP
                                      : starts_with(text, "https://") ? MIRROR_HTTPS
                                                                      : MIRROR_AS_ORIGIN};
    const char *scheme_end = strstr(text, "://");
    const char *host = scheme_end ? scheme_end + 3 : text;
    /* It is well-formed if a repository below it is. */
    struct reference probe = {0};
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '/')
        len--;
    _cleanup_free_ char *below = xasprintf("%.*s/x", (int)len, text);
    _cleanup_error_ struct error why = ERROR_INIT;
    if (reference_parse(below, 0, &probe, &why) < 0 || strchr(host, '@')) {
        reference_release(&probe);
        return error_set(err, ERROR_PARSE,
                         "not a mirror; write [http://|https://]HOST[:PORT][/PREFIX]");
    }
    m.registry = TAKE_PTR(probe.registry);
    char *last = strrchr(probe.repository, '/');
    m.prefix = last ? xstrndup(probe.repository, (size_t)(last - probe.repository)) : xstrdup("");
    reference_release(&probe);
    ARRAY_GROW(registry->mirrors, registry->mirror_count, registry->mirror_capacity);
    registry->mirrors[registry->mirror_count++] = m;
    return 0;
}

/* --- rules --- */

struct site_rule *site_add_rule(struct site_rules *rules, const char *name, const char *pattern,
                                const char *place)
{
    ARRAY_GROW(rules->items, rules->count, rules->capacity);
    struct site_rule *rule = &rules->items[rules->count++];
    *rule = (struct site_rule){.name = xstrdup(name ? name : pattern),
                               .pattern = xstrdup(pattern),
                               .place = xstrdup(place)};
    /* The registry's part is compared in canonical form. */
    size_t len = strcspn(pattern, "/");
    _cleanup_free_ char *host = xstrndup(pattern, len);
    _cleanup_free_ char *canonical = registry_canonical(host);
    free(rule->pattern);
    rule->pattern = xasprintf("%s%s", canonical, pattern + len);
    return rule;
}

void site_rule_add_key(struct site_rule *rule, const char *path, const char *pem)
{
    if (rule->key_count == rule->key_capacity) {
        rule->key_capacity = rule->key_capacity * 2 + 4;
        rule->keys = xreallocarray(rule->keys, rule->key_capacity, sizeof *rule->keys);
        rule->key_paths = xreallocarray(rule->key_paths, rule->key_capacity, sizeof *rule->keys);
    }
    rule->keys[rule->key_count] = xstrdup(pem);
    rule->key_paths[rule->key_count++] = xstrdup(path);
}

/* The pattern matches the whole name, or all of it up to a '/' or the tag's ':'. */
static bool matches(const char *pattern, const char *name, const char *tag)
{
    _cleanup_free_ char *text = tag ? xasprintf("%s:%s", name, tag) : xstrdup(name);
    for (char *p = text + strlen(text); p; p = strrchr(text, '/')) {
        *p = '\0';
        if (fnmatch(pattern, text, 0) == 0)
            return true;
        char *slash = strrchr(text, '/'), *colon = strrchr(text, ':');
        if (colon && slash && colon > slash) { /* the tag's, not a port's */
            *colon = '\0';
            if (fnmatch(pattern, text, 0) == 0)
                return true;
        }
    }
    return false;
}

static const struct site_rule *find_rule(const struct site_rules *rules,
                                         const struct reference *ref)
{
    _cleanup_free_ char *name = reference_canonical(ref);
    for (size_t i = 0; i < rules->count; i++)
        if (matches(rules->items[i].pattern, name, ref->tag))
            return &rules->items[i];
    return NULL;
}

int site_check(const struct site *site, const struct reference *ref, struct error *err)
{
    if (!site)
        return 0;
    const struct site_rule *rule = find_rule(&site->block, ref);
    if (rule)
        return error_set(err, ERROR_POLICY, "%s/%s is blocked by the rule \"%s\" (%s)",
                         ref->registry, ref->repository, rule->name, rule->place);
    if (site->allow.count == 0 || find_rule(&site->allow, ref))
        return 0;
    return error_set(err, ERROR_POLICY,
                     "%s/%s is allowed by no rule of the list \"allow\" (its first is \"%s\", %s)",
                     ref->registry, ref->repository, site->allow.items[0].name,
                     site->allow.items[0].place);
}

const struct site_rule *site_signature_rule(const struct site *site, const struct reference *ref)
{
    return site ? find_rule(&site->signatures, ref) : NULL;
}

/* --- the end --- */

void site_rules_release(struct site_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        struct site_rule *rule = &rules->items[i];
        for (size_t k = 0; k < rule->key_count; k++) {
            free(rule->keys[k]);
            free(rule->key_paths[k]);
        }
        free(rule->keys);
        free(rule->key_paths);
        free(rule->name);
        free(rule->pattern);
        free(rule->place);
    }
    free(rules->items);
    *rules = (struct site_rules){0};
}

void site_release(struct site *site)
{
    for (size_t i = 0; i < site->registry_count; i++) {
        struct site_registry *r = &site->registries[i];
        for (size_t k = 0; k < r->mirror_count; k++) {
            free(r->mirrors[k].registry);
            free(r->mirrors[k].prefix);
        }
        free(r->mirrors);
        free(r->registry);
    }
    free(site->registries);
    for (size_t i = 0; i < site->certificate_count; i++)
        free(site->certificates[i]);
    free(site->certificates);
    site_rules_release(&site->allow);
    site_rules_release(&site->block);
    site_rules_release(&site->signatures);
    *site = (struct site){0};
}

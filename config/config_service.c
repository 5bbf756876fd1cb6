/* The keys `service`, `lists` and `sources` of the configuration. */
#include "config/config_reader.h"

#include "base/memory.h"
#include "wishlist/repository.h"

#include <string.h>

#define JOBS_MAX     256
#define INTERVAL_MIN 10 /* seconds: a registry is not to be asked all the time */

void service_settings_release(struct service_settings *s)
{
    free(s->state_dir);
    free(s->spool);
    *s = (struct service_settings){0};
}

void configured_list_release(struct configured_list *l)
{
    free(l->name);
    free(l->source);
    free(l->repository);
    for (size_t i = 0; i < l->platforms.count; i++)
        platform_release(&l->platforms.items[i]);
    free(l->platforms.items);
    for (int i = 0; i < RECIPE_POLICIES; i++)
        free(l->policies[i]);
    *l = (struct configured_list){0};
}

int configured_list_policy(const struct configured_list *l, struct policy *policy,
                           struct error *err)
{
    for (int i = 0; i < RECIPE_POLICIES; i++) {
        const char *name = recipe_policy_name((enum recipe_policy)i);
        if (l->policies[i] && policy_set(policy, name, l->policies[i], err) < 0)
            return error_wrap(err, "list %s: key %s", l->name ? l->name : l->source, name);
    }
    return policy_finish(policy, err);
}

static void set_text(char **to, char *text)
{
    free(*to);
    *to = text;
}

static int read_interval(struct config_reader *r, const struct node *value, uint64_t *out)
{
    if (config_read_duration(r, value, "interval", out) < 0)
        return -1;
    return *out >= INTERVAL_MIN ? 0 : config_fail_at(r, value, "key \"interval\": 10s at least");
}

/* ---- service ---- */

static int read_state_dir(struct config_reader *r, const struct node *value, void *to)
{
    set_text(&((struct service_settings *)to)->state_dir, config_resolve_path(r, value->text));
    return 0;
}

static int read_spool(struct config_reader *r, const struct node *value, void *to)
{
    set_text(&((struct service_settings *)to)->spool, config_resolve_path(r, value->text));
    return 0;
}

static int read_spool_limit(struct config_reader *r, const struct node *value, void *to)
{
    struct service_settings *s = to;
    return config_read_size(r, value, UINT64_MAX, "spool_limit", &s->spool_limit);
}

static int read_revision_limit(struct config_reader *r, const struct node *value, void *to)
{
    struct service_settings *s = to;
    return config_read_size(r, value, UINT64_MAX, "revision_limit", &s->revision_limit);
}

static int read_jobs(struct config_reader *r, const struct node *value, void *to)
{
    return config_read_count(r, value, &((struct service_settings *)to)->jobs, "jobs", JOBS_MAX);
}

static int read_service_interval(struct config_reader *r, const struct node *value, void *to)
{
    return read_interval(r, value, &((struct service_settings *)to)->interval);
}

static int read_status_copy(struct config_reader *r, const struct node *value, void *to)
{
    uint64_t *interval = &((struct service_settings *)to)->status_copy;
    if (config_read_duration(r, value, "status_copy", interval) < 0)
        return -1;
    return *interval >= STATUS_COPY_MIN
               ? 0
               : config_fail_at(r, value, "key \"status_copy\": 1m at least");
}

static int read_log(struct config_reader *r, const struct node *value, void *to)
{
    static const char *const words[] = {"debug", "info", "warning", "error"};
    struct service_settings *s = to;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(value->text, words[i]) != 0)
            continue;
        s->log = (enum log_level)i;
        s->log_given = true;
        return 0;
    }
    return config_fail_at(r, value, "key \"log\": expected debug, info, warning or error");
}

static const struct config_key service_keys[] = {
    {"state_dir", read_state_dir, "the path of a folder", NODE_TEXT},
    {"spool", read_spool, "the path of a folder", NODE_TEXT},
    {"spool_limit", read_spool_limit, "a size", NODE_TEXT},
    {"revision_limit", read_revision_limit, "a size", NODE_TEXT},
    {"jobs", read_jobs, "a number", NODE_TEXT},
    {"interval", read_service_interval, "a time, such as 10m", NODE_TEXT},
    {"status_copy", read_status_copy, "a time, such as 1h", NODE_TEXT},
    {"log", read_log, "a word", NODE_TEXT},
    {0},
};

int config_read_service(struct config_reader *r, const struct node *value, void *to)
{
    struct config *config = to;
    return config_read_mapping(r, value, service_keys, &config->service);
}

/* ---- lists ---- */

static int read_list_name(struct config_reader *r, const struct node *value, void *to)
{
    (void)r;
    set_text(&((struct configured_list *)to)->name, xstrdup(value->text));
    return 0;
}

/* A path is relative to the configuration's folder; a URL says where it is. */
static int read_list_source(struct config_reader *r, const struct node *value, void *to)
{
    struct configured_list *l = to;
    struct source_url where;
    set_text(&l->source, source_is_url(value->text) ? xstrdup(value->text)
                                                    : config_resolve_path(r, value->text));
    if (source_url_parse(l->source, &where, r->err) < 0)
        return config_wrap_at(r, value, "source");
    source_url_release(&where);
    return 0;
}

static int read_list_repository(struct config_reader *r, const struct node *value, void *to)
{
    set_text(&((struct configured_list *)to)->repository, xstrdup(value->text));
    return repository_check(value->text, r->err) < 0 ? config_wrap_at(r, value, "repository") : 0;
}

static int read_list_interval(struct config_reader *r, const struct node *value, void *to)
{
    return read_interval(r, value, &((struct configured_list *)to)->interval);
}

static int read_list_platforms(struct config_reader *r, const struct node *value, void *to)
{
    struct platform_list *p = &((struct configured_list *)to)->platforms;
    if (config_check_texts(r, value, "a platform: OS/ARCH[/VARIANT]") < 0)
        return -1;
    p->items = xcalloc(value->count, sizeof *p->items);
    for (p->count = 0; p->count < value->count; p->count++)
        if (platform_parse(value->items[p->count].text, &p->items[p->count], r->err) < 0)
            return config_wrap_at(r, &value->items[p->count], "platforms");
    return 0;
}

static int read_policy(struct config_reader *r, const struct node *value, void *to,
                       enum recipe_policy policy)
{
    struct configured_list *l = to;
    struct policy trial = {0};
    const char *name = recipe_policy_name(policy);
    set_text(&l->policies[policy], xstrdup(value->text));
    return policy_set(&trial, name, value->text, r->err) < 0 ? config_wrap_at(r, value, name) : 0;
}

#define READ_POLICY(function, policy)                                                              \
    static int function(struct config_reader *r, const struct node *value, void *to)               \
    {                                                                                              \
        return read_policy(r, value, to, policy);                                                  \
    }
READ_POLICY(read_chains, RECIPE_CHAINS)
READ_POLICY(read_podman, RECIPE_PODMAN)
READ_POLICY(read_flat, RECIPE_FLAT)
READ_POLICY(read_layers, RECIPE_LAYERS)
READ_POLICY(read_xattrs, RECIPE_XATTRS)
READ_POLICY(read_devices, RECIPE_DEVICES)
READ_POLICY(read_fix_perms, RECIPE_FIX_PERMS)
READ_POLICY(read_chunk_above, RECIPE_CHUNK_ABOVE)

static const struct config_key list_keys[] = {
    {"name", read_list_name, "a text", NODE_TEXT},
    {"source", read_list_source, "a path or URL", NODE_TEXT},
    {"repository", read_list_repository, "a repository's name, or a directory", NODE_TEXT},
    {"interval", read_list_interval, "a time, such as 10m", NODE_TEXT},
    {"platforms", read_list_platforms, "a list of platforms", NODE_LIST},
    {"chains", read_chains, "a word", NODE_TEXT},
    {"podman", read_podman, "a word", NODE_TEXT},
    {"flat", read_flat, "a word", NODE_TEXT},
    {"layers", read_layers, "a word", NODE_TEXT},
    {"xattrs", read_xattrs, "a word", NODE_TEXT},
    {"devices", read_devices, "a word", NODE_TEXT},
    {"fix_perms", read_fix_perms, "a word", NODE_TEXT},
    {"chunk_above", read_chunk_above, "a size", NODE_TEXT},
    {0},
};

static int read_list(struct config_reader *r, const struct node *item, struct configured_list *out)
{
    if (item->kind == NODE_TEXT && *item->text)
        return read_list_source(r, item, out);
    if (item->kind != NODE_MAPPING)
        return config_fail_at(r, item, "expected a path or URL, or a mapping with source");
    if (config_read_mapping(r, item, list_keys, out) < 0)
        return -1;
    if (!out->source)
        return config_fail_at(r, item, "a list needs the key \"source\": a path or URL");
    struct policy policy = {0};
    return configured_list_policy(out, &policy, r->err) < 0 ? config_wrap_at(r, item, "lists") : 0;
}

int config_read_lists(struct config_reader *r, const struct node *value, void *to)
{
    struct config *c = to;
    for (size_t i = 0; i < value->count; i++) {
        ARRAY_GROW(c->lists, c->list_count, c->list_capacity);
        struct configured_list *l = &c->lists[c->list_count++];
        *l = (struct configured_list){0};
        if (read_list(r, &value->items[i], l) < 0)
            return -1;
        if (!l->name)
            l->name = xstrdup(l->source);
    }
    return 0;
}

/* ---- sources ---- */

static int read_known_hosts(struct config_reader *r, const struct node *value, void *to)
{
    set_text(&((struct source_settings *)to)->known_hosts, config_resolve_path(r, value->text));
    return 0;
}

static int read_credential_url(struct config_reader *r, const struct node *value, void *to)
{
    (void)r;
    set_text(&((struct source_credential *)to)->url, xstrdup(value->text));
    return 0;
}

static int read_credential_user(struct config_reader *r, const struct node *value, void *to)
{
    (void)r;
    set_text(&((struct source_credential *)to)->user, xstrdup(value->text));
    return 0;
}

static int read_secret_file(struct config_reader *r, const struct node *value, void *to)
{
    set_text(&((struct source_credential *)to)->secret_file, config_resolve_path(r, value->text));
    return 0;
}

static int read_key_file(struct config_reader *r, const struct node *value, void *to)
{
    set_text(&((struct source_credential *)to)->key_file, config_resolve_path(r, value->text));
    return 0;
}

static int read_passphrase_file(struct config_reader *r, const struct node *value, void *to)
{
    set_text(&((struct source_credential *)to)->passphrase_file,
             config_resolve_path(r, value->text));
    return 0;
}

static int read_scheme(struct config_reader *r, const struct node *value, void *to)
{
    bool bearer = strcmp(value->text, "bearer") == 0;
    ((struct source_credential *)to)->bearer = bearer;
    if (bearer || strcmp(value->text, "basic") == 0)
        return 0;
    return config_fail_at(r, value, "key \"scheme\": expected basic or bearer");
}

static const struct config_key credential_keys[] = {
    {"url", read_credential_url, "what it is for: https://HOST[/PATH], ssh://HOST", NODE_TEXT},
    {"user", read_credential_user, "a text", NODE_TEXT},
    {"secret_file", read_secret_file, "the path of a file", NODE_TEXT},
    {"scheme", read_scheme, "basic or bearer", NODE_TEXT},
    {"key_file", read_key_file, "the path of a file", NODE_TEXT},
    {"passphrase_file", read_passphrase_file, "the path of a file", NODE_TEXT},
    {0},
};

static int read_credentials(struct config_reader *r, const struct node *value, void *to)
{
    struct source_settings *s = to;
    for (size_t i = 0; i < value->count; i++) {
        const struct node *item = &value->items[i];
        ARRAY_GROW(s->credentials, s->credential_count, s->credential_capacity);
        struct source_credential *c = &s->credentials[s->credential_count++];
        *c = (struct source_credential){0};
        if (item->kind != NODE_MAPPING)
            return config_fail_at(r, item, "expected a mapping with url");
        if (config_read_mapping(r, item, credential_keys, c) < 0)
            return -1;
        if (!c->url)
            return config_fail_at(r, item, "a credential needs the key \"url\": what it is for");
    }
    return 0;
}

static int read_seconds(struct config_reader *r, const struct node *value, const char *key,
                        double *out)
{
    uint64_t seconds;
    if (config_read_duration(r, value, key, &seconds) < 0)
        return -1;
    *out = (double)seconds;
    return 0;
}

static int read_silence(struct config_reader *r, const struct node *value, void *to)
{
    return read_seconds(r, value, "silence", &((struct source_settings *)to)->silence_seconds);
}

static int read_time_limit(struct config_reader *r, const struct node *value, void *to)
{
    return read_seconds(r, value, "limit", &((struct source_settings *)to)->limit_seconds);
}

static const struct config_key source_keys[] = {
    {"credentials", read_credentials, "a list of credentials", NODE_LIST},
    {"known_hosts", read_known_hosts, "the path of a file", NODE_TEXT},
    {"silence", read_silence, "a time, such as 60s", NODE_TEXT},
    {"limit", read_time_limit, "a time, such as 1h", NODE_TEXT},
    {0},
};

int config_read_sources(struct config_reader *r, const struct node *value, void *to)
{
    struct config *config = to;
    return config_read_mapping(r, value, source_keys, &config->sources);
}

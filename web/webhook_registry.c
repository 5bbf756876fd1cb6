/* What registries send. */
#include "base/buf.h"
#include "base/memory.h"
#include "registry/manifest.h"
#include "web/webhook_parser.h"

#include <string.h>

/* --- Harbor --- */

static const char *harbor_kind(const char *type, enum event_kind *out)
{
    static const struct {
        const char *type, *cloud_type;
        enum event_kind kind;
        const char *part;
    } table[] = {
        {"PUSH_ARTIFACT", "harbor.artifact.pushed", EVENT_PUSHED, "resources"},
        {"DELETE_ARTIFACT", "harbor.artifact.deleted", EVENT_DELETED, "resources"},
        {"REPLICATION", "harbor.replication.status.changed", EVENT_PUSHED, "replication"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(type, table[i].type) != 0 && strcmp(type, table[i].cloud_type) != 0)
            continue;
        *out = table[i].kind;
        return table[i].part;
    }
    return NULL;
}

static int harbor_resources(struct webhook_parser *p, enum event_kind kind, const json_t *data)
{
    json_t *resources;
    size_t i;
    json_t *resource;
    if (webhook_array(p, data, "resources", &resources) < 0)
        return -1;
    if (!resources)
        return error_set(p->err, ERROR_PARSE,
                         "%s: field \"resources\": expected an array, but it is missing", p->what);
    json_array_foreach(resources, i, resource)
    {
        const char *url;
        if (!json_is_object(resource))
            return error_set(p->err, ERROR_PARSE, "%s: field \"resources\": expected objects",
                             p->what);
        if (webhook_need_string(p, resource, "resource_url", &url) < 0 ||
            webhook_add_name(p, kind, url) < 0)
            return -1;
    }
    return 0;
}

/* HOST[:PORT] of a URL. Owned; NULL if it is none. */
static char *host_of(const char *url)
{
    const char *start = strstr(url, "://");
    start = start ? start + 3 : url;
    size_t len = strcspn(start, "/?#");
    return len && !memchr(start, '@', len) ? xstrndup(start, len) : NULL;
}

/* "alpine [1 item(s) in total]" or "alpine:3.8". */
static int harbor_copied(struct webhook_parser *p, const char *host, const char *space,
                         const char *name_tag)
{
    _cleanup_free_ char *name = xstrndup(name_tag, strcspn(name_tag, " :"));
    _cleanup_free_ char *path = *space ? xasprintf("%s/%s", space, name) : xstrdup(name);
    size_t name_len = strlen(name);
    const char *tag = name_tag[name_len] == ':' ? name_tag + name_len + 1 : "";
    _cleanup_free_ char *only_tag = xstrndup(tag, strcspn(tag, " "));
    return webhook_add_image(
        p, EVENT_PUSHED,
        &(struct webhook_image){.registry = host, .repository = path, .tag = only_tag});
}

static int harbor_replication(struct webhook_parser *p, const json_t *data)
{
    json_t *replication, *to, *copied, *artifact;
    const char *status, *endpoint, *space;
    size_t i;
    if (webhook_need_object(p, data, "replication", &replication) < 0 ||
        webhook_need_string(p, replication, "job_status", &status) < 0 ||
        webhook_need_object(p, replication, "dest_resource", &to) < 0 ||
        webhook_need_string(p, to, "endpoint", &endpoint) < 0 ||
        webhook_string(p, to, "namespace", &space) < 0 ||
        webhook_array(p, replication, "successful_artifact", &copied) < 0)
        return -1;
    if (!copied) {
        webhook_ignore(p, "a replication that is not at its end");
        return 0;
    }
    _cleanup_free_ char *host = host_of(endpoint);
    json_array_foreach(copied, i, artifact)
    {
        const char *name_tag;
        if (webhook_need_string(p, artifact, "name_tag", &name_tag) < 0 ||
            harbor_copied(p, host, space ? space : "", name_tag) < 0)
            return -1;
    }
    return 0;
}

int webhook_harbor(struct webhook_parser *p, const json_t *root)
{
    const char *type, *id;
    json_t *data;
    if (webhook_need_string(p, root, "type", &type) < 0 || webhook_string(p, root, "id", &id) < 0)
        return -1;
    bool cloud = json_object_get(root, "specversion") != NULL;
    if (cloud && id) { /* of CloudEvents: with its source, unique */
        free(p->id);
        p->id = xstrndup(id, WEBHOOK_DELIVERY_MAX);
    }
    enum event_kind kind;
    const char *part = harbor_kind(type, &kind);
    if (!part) {
        webhook_ignore(p, "an event that changes no image");
        return 0;
    }
    if (webhook_need_object(p, root, cloud ? "data" : "event_data", &data) < 0)
        return -1;
    return strcmp(part, "resources") == 0 ? harbor_resources(p, kind, data)
                                          : harbor_replication(p, data);
}

/* --- distribution --- */

/* Whether the target of an event is a manifest or an index; layers are pushed, too. */
static bool is_manifest(const char *media_type)
{
    return media_type && (strstr(media_type, ".manifest.") || strstr(media_type, ".index.") ||
                          strstr(media_type, ".prettyjws"));
}

static int distribution_event(struct webhook_parser *p, const json_t *event)
{
    const char *id, *action, *media_type, *repository, *tag, *digest, *host = NULL, *url;
    json_t *target, *request;
    if (webhook_need_string(p, event, "action", &action) < 0 ||
        webhook_string(p, event, "id", &id) < 0 ||
        webhook_need_object(p, event, "target", &target) < 0 ||
        webhook_object(p, event, "request", &request) < 0 ||
        webhook_string(p, target, "mediaType", &media_type) < 0 ||
        webhook_string(p, target, "repository", &repository) < 0 ||
        webhook_string(p, target, "tag", &tag) < 0 ||
        webhook_string(p, target, "digest", &digest) < 0 ||
        webhook_string(p, target, "url", &url) < 0 ||
        (request && webhook_string(p, request, "host", &host) < 0))
        return -1;
    bool deleted = strcmp(action, "delete") == 0;
    if ((strcmp(action, "push") != 0 && !deleted) || !repository ||
        (!deleted && !is_manifest(media_type))) {
        webhook_ignore(p, "a pull, a layer, or a mount");
        return 0;
    }
    _cleanup_free_ char *url_host = url && (!host || !*host) ? host_of(url) : NULL;
    _cleanup_free_ char *event_id = id ? xstrndup(id, WEBHOOK_DELIVERY_MAX) : NULL;
    /* Which tags pointed to a digest that is gone is not said: the repository is looked at. */
    return webhook_add_image(p, deleted ? EVENT_DELETED : EVENT_PUSHED,
                             &(struct webhook_image){.registry = url_host ? url_host : host,
                                                     .repository = repository,
                                                     .tag = tag,
                                                     .digest = deleted ? NULL : digest,
                                                     .id = event_id});
}

int webhook_distribution(struct webhook_parser *p, const json_t *root)
{
    json_t *events, *event;
    size_t i;
    if (webhook_array(p, root, "events", &events) < 0)
        return -1;
    if (!events)
        return error_set(p->err, ERROR_PARSE,
                         "%s: field \"events\": expected an array, but it is missing", p->what);
    json_array_foreach(events, i, event)
    {
        if (!json_is_object(event))
            return error_set(p->err, ERROR_PARSE, "%s: field \"events\": expected objects",
                             p->what);
        if (distribution_event(p, event) < 0)
            return error_wrap(p->err, "event %zu", i);
    }
    return 0;
}

/* --- Docker Hub, Quay --- */

int webhook_dockerhub(struct webhook_parser *p, const json_t *root)
{
    json_t *push, *repository;
    const char *tag, *name;
    if (webhook_need_object(p, root, "push_data", &push) < 0 ||
        webhook_need_object(p, root, "repository", &repository) < 0 ||
        webhook_string(p, push, "tag", &tag) < 0 ||
        webhook_need_string(p, repository, "repo_name", &name) < 0)
        return -1;
    _cleanup_free_ char *official = strchr(name, '/') ? NULL : xasprintf("library/%s", name);
    return webhook_add_image(p, EVENT_PUSHED,
                             &(struct webhook_image){.registry = "docker.io",
                                                     .repository = official ? official : name,
                                                     .tag = tag});
}

static int quay_tag(struct webhook_parser *p, const char *url, const char *tag)
{
    _cleanup_free_ char *name = xasprintf("%s:%s", url, tag);
    return webhook_add_name(p, EVENT_PUSHED, name);
}

/* Quay's payload says nothing by which two pushes of one tag differ: each is a delivery. */
int webhook_quay(struct webhook_parser *p, const json_t *root)
{
    const char *url, *tag;
    json_t *value;
    size_t i;
    p->id[0] = '\0';
    if (webhook_need_string(p, root, "docker_url", &url) < 0)
        return -1;
    json_t *tags = json_object_get(root, "updated_tags");
    if (!tags || json_is_null(tags)) {
        webhook_ignore(p, "an event that pushes nothing");
        return 0;
    }
    if (json_is_object(tags)) { /* of older versions: tag to image */
        json_object_foreach(tags, tag, value) if (quay_tag(p, url, tag) < 0) return -1;
        return 0;
    }
    if (!json_is_array(tags))
        return error_set(p->err, ERROR_PARSE,
                         "%s: field \"updated_tags\": expected an array or an object", p->what);
    json_array_foreach(tags, i, value)
    {
        if (!json_is_string(value))
            return error_set(p->err, ERROR_PARSE, "%s: field \"updated_tags\": expected strings",
                             p->what);
        if (quay_tag(p, url, json_string_value(value)) < 0)
            return -1;
    }
    return 0;
}

/* What git servers send: lists that change, and images of their own registries. */
#include "base/buf.h"
#include "base/memory.h"
#include "web/webhook_parser.h"

#include <string.h>

/* --- GitHub --- */

static int github_push(struct webhook_parser *p, const json_t *root)
{
    json_t *repository;
    const char *url;
    if (webhook_need_object(p, root, "repository", &repository) < 0 ||
        webhook_need_string(p, repository, "clone_url", &url) < 0)
        return -1;
    return webhook_add_list(p, url);
}

static int github_pull_request(struct webhook_parser *p, const json_t *root)
{
    const char *action;
    json_t *request;
    if (webhook_need_string(p, root, "action", &action) < 0 ||
        webhook_need_object(p, root, "pull_request", &request) < 0)
        return -1;
    if (strcmp(action, "closed") == 0 && json_is_true(json_object_get(request, "merged")))
        return github_push(p, root);
    webhook_ignore(p, "a pull request that is not merged");
    return 0;
}

/* "ghcr.io/OWNER/NAME:TAG"; the tag is empty where a version was pushed by its digest only. */
static int github_package_of(struct webhook_parser *p, const json_t *package)
{
    json_t *version;
    const char *url;
    if (webhook_object(p, package, "package_version", &version) < 0)
        return -1;
    if (!version || webhook_string(p, version, "package_url", &url) < 0)
        return version ? -1 : 0;
    if (!url || !strchr(url, '/')) {
        webhook_ignore(p, "a package that is no container image");
        return 0;
    }
    size_t len = strlen(url);
    _cleanup_free_ char *name = xstrndup(url, url[len - 1] == ':' ? len - 1 : len);
    return webhook_add_name(p, EVENT_PUSHED, name);
}

static int github_package(struct webhook_parser *p, const json_t *root)
{
    json_t *package;
    if (webhook_object(p, root, "registry_package", &package) < 0 ||
        (!package && webhook_need_object(p, root, "package", &package) < 0))
        return -1;
    return github_package_of(p, package);
}

int webhook_github(struct webhook_parser *p, const json_t *root)
{
    static const struct {
        const char *event;
        int (*read)(struct webhook_parser *p, const json_t *root);
    } table[] = {
        {"push", github_push},
        {"pull_request", github_pull_request},
        {"package", github_package},
        {"registry_package", github_package},
    };
    if (!p->delivery->event)
        return error_set(p->err, ERROR_PARSE, "%s: the header X-GitHub-Event is missing", p->what);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].event, p->delivery->event) == 0)
            return table[i].read(p, root);
    webhook_ignore(p, "an event that changes no list and no image");
    return 0;
}

/* --- GitLab --- */

int webhook_gitlab(struct webhook_parser *p, const json_t *root)
{
    json_t *project, *attributes;
    const char *kind, *url, *action = NULL;
    if (json_object_get(root, "events")) /* of its registry */
        return webhook_distribution(p, root);
    if (webhook_need_string(p, root, "object_kind", &kind) < 0)
        return -1;
    bool push = strcmp(kind, "push") == 0 || strcmp(kind, "tag_push") == 0;
    if (!push && strcmp(kind, "merge_request") != 0) {
        webhook_ignore(p, "an event that changes no list");
        return 0;
    }
    if (webhook_need_object(p, root, "project", &project) < 0 ||
        webhook_need_string(p, project, "git_http_url", &url) < 0)
        return -1;
    if (!push && (webhook_need_object(p, root, "object_attributes", &attributes) < 0 ||
                  webhook_string(p, attributes, "action", &action) < 0))
        return -1;
    if (push || (action && strcmp(action, "merge") == 0))
        return webhook_add_list(p, url);
    webhook_ignore(p, "a merge request that is not merged");
    return 0;
}

#include "registry/endpoint.h"

#include "base/memory.h"
#include "registry/url.h"

#include <string.h>

/* Docker Hub's public name serves no registry. */
static bool is_docker_hub(const char *registry)
{
    return strcasecmp(registry, "docker.io") == 0 || strcasecmp(registry, "index.docker.io") == 0;
}

char *endpoint_repository(const struct reference *ref)
{
    bool official = is_docker_hub(ref->registry) && !strchr(ref->repository, '/');
    return xasprintf("%s%s", official ? "library/" : "", ref->repository);
}

char *endpoint_url(const struct endpoint *endpoint, const char *path)
{
    return xasprintf("%s%s", endpoint->base, path);
}

bool endpoint_gets_credentials(const struct endpoint *endpoint)
{
    return endpoint->open_line || url_is_https(endpoint->base);
}

static bool is_marked_http(const struct site *site, const char *registry)
{
    const struct site_registry *r = site_find_registry(site, registry);
    return r && r->transport == TRANSPORT_HTTP;
}

static struct endpoint origin_of(const struct site *site, const struct reference *ref)
{
    bool marked = is_marked_http(site, ref->registry), http = ref->plain_http || marked;
    char *repository = endpoint_repository(ref);
    const char *host = is_docker_hub(ref->registry) ? "registry-1.docker.io" : ref->registry;
    return (struct endpoint){
        .base = xasprintf("%s://%s/v2/%s/", http ? "http" : "https", host, repository),
        .registry = xstrdup(ref->registry),
        .repository = repository,
        .open_line = marked,
    };
}

static struct endpoint mirror_of(const struct site *site, const struct site_mirror *m,
                                 const struct endpoint *origin)
{
    bool marked = is_marked_http(site, m->registry);
    bool http = m->scheme == MIRROR_HTTP || marked ||
                (m->scheme == MIRROR_AS_ORIGIN && !url_is_https(origin->base));
    char *repository = xasprintf("%s%s%s", m->prefix, *m->prefix ? "/" : "", origin->repository);
    return (struct endpoint){
        .base = xasprintf("%s://%s/v2/%s/", http ? "http" : "https", m->registry, repository),
        .registry = xstrdup(m->registry),
        .repository = repository,
        .is_mirror = true,
        .open_line = marked,
    };
}

void endpoints_of(const struct site *site, const struct reference *ref, struct endpoints *out)
{
    const struct site_registry *r = site_find_registry(site, ref->registry);
    size_t mirrors = r ? r->mirror_count : 0;
    struct endpoint origin = origin_of(site, ref);
    *out = (struct endpoints){xcalloc(mirrors + 1, sizeof *out->items), mirrors + 1};
    for (size_t i = 0; i < mirrors; i++)
        out->items[i] = mirror_of(site, &r->mirrors[i], &origin);
    out->items[mirrors] = origin;
}

void endpoints_release(struct endpoints *endpoints)
{
    for (size_t i = 0; i < endpoints->count; i++) {
        free(endpoints->items[i].base);
        free(endpoints->items[i].registry);
        free(endpoints->items[i].repository);
    }
    free(endpoints->items);
    *endpoints = (struct endpoints){0};
}

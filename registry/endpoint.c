#include "registry/endpoint.h"

#include "base/memory.h"

#include <string.h>

/* Docker Hub's public name serves no registry. */
static bool is_docker_hub(const char *registry)
{
    return strcmp(registry, "docker.io") == 0 || strcmp(registry, "index.docker.io") == 0;
}

char *endpoint_repository(const struct reference *ref)
{
    bool official = is_docker_hub(ref->registry) && !strchr(ref->repository, '/');
    return xasprintf("%s%s", official ? "library/" : "", ref->repository);
}

char *endpoint_url(const struct reference *ref, const char *path)
{
    _cleanup_free_ char *repository = endpoint_repository(ref);
    const char *host = is_docker_hub(ref->registry) ? "registry-1.docker.io" : ref->registry;
    return xasprintf("%s://%s/v2/%s/%s", ref->plain_http ? "http" : "https", host, repository,
                     path);
}

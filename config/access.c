#include "config/access.h"

#include "base/log.h"
#include "base/memory.h"

static int open_registries(struct access *a, const char *authfile, struct error *err)
{
    size_t count;
    if (credentials_load(authfile, &a->config.site, &a->credentials, err) < 0)
        return -1;
    const char *const *warnings = credentials_warnings(a->credentials, &count);
    for (size_t i = 0; i < count; i++)
        log_warning("%s", warnings[i]);
    struct registry_options options = {.site = &a->config.site,
                                       .credentials = credentials_source(a->credentials)};
    a->client = registry_client_new(&options, err);
    return a->client ? 0 : -1;
}

int access_open_config(const char *config_path, struct access **out, struct error *err)
{
    struct access *a = xcalloc(1, sizeof *a);
    atomic_init(&a->references, 1);
    if (config_read(config_path, &a->config, err) < 0) {
        access_unref(a);
        return -1;
    }
    *out = a;
    return 0;
}

int access_open(const char *config_path, const char *authfile, struct access **out,
                struct error *err)
{
    struct access *a;
    if (access_open_config(config_path, &a, err) < 0)
        return -1;
    if (open_registries(a, authfile, err) < 0) {
        access_unref(a);
        return -1;
    }
    *out = a;
    return 0;
}

struct access *access_ref(struct access *a)
{
    atomic_fetch_add(&a->references, 1);
    return a;
}

void access_unref(struct access *a)
{
    if (!a || atomic_fetch_sub(&a->references, 1) > 1)
        return;
    registry_client_free(a->client);
    credentials_free(a->credentials);
    config_release(&a->config);
    free(a);
}

#include "publisher/access.h"

#include "base/log.h"

int access_open(const char *config_path, const char *authfile, struct access *out,
                struct error *err)
{
    size_t count;
    *out = (struct access){0};
    if (config_read(config_path, &out->config, err) < 0)
        return -1;
    if (credentials_load(authfile, &out->config.site, &out->credentials, err) < 0) {
        config_release(&out->config);
        return -1;
    }
    const char *const *warnings = credentials_warnings(out->credentials, &count);
    for (size_t i = 0; i < count; i++)
        log_warning("%s", warnings[i]);
    out->registry = (struct registry_options){.site = &out->config.site,
                                              .credentials = credentials_source(out->credentials)};
    return 0;
}

void access_close(struct access *access)
{
    credentials_free(access->credentials);
    config_release(&access->config);
    *access = (struct access){0};
}

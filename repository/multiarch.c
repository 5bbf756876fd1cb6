#include "repository/multiarch.h"

#include "base/buf.h"
#include "base/memory.h"

#include <string.h>

void multiarch_release(struct multiarch *multiarch)
{
    free(multiarch->directory);
    *multiarch = (struct multiarch){0};
}

char *multiarch_directory(const struct platform *platform)
{
    const char *variant = platform->variant;
    if (platform_variant_is_default(platform))
        variant = NULL;
    return xasprintf("%s%s%s", platform->architecture, variant ? ":" : "", variant ? variant : "");
}

char *multiarch_name(const char *directory, const char *public_name)
{
    return xasprintf(MULTIARCH_FOLDER "/%s/%s", directory, public_name);
}

const char *multiarch_plain(const char *name)
{
    static const char top[] = MULTIARCH_FOLDER "/";
    const char *slash = starts_with(name, top) ? strchr(name + strlen(top), '/') : NULL;
    return slash ? slash + 1 : NULL;
}

char *multiarch_variant_link(const char *directory, const char *public_name)
{
    struct buf text = BUF_INIT;
    for (const char *p = public_name; (p = strchr(p, '/')); p++)
        buf_adds(&text, "../");
    buf_addf(&text, MULTIARCH_FOLDER "/$(CVMFS_ARCH:-%s)/%s", directory, public_name);
    return buf_take(&text);
}

bool multiarch_is_resolved(const char *link, const char *shown)
{
    const char *open = strstr(link, "$("), *close = open ? strchr(open, ')') : NULL;
    if (!close || strncmp(link, shown, (size_t)(open - link)) != 0)
        return false;
    const char *directory = shown + (open - link), *rest = strchr(directory, '/');
    return rest && rest > directory && strcmp(rest, close + 1) == 0;
}

const char *multiarch_alias(const char *directory)
{
    static const char *const aliases[][2] = {{"amd64", "x86_64"}, {"arm64", "aarch64"}};
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcmp(aliases[i][0], directory) == 0)
            return aliases[i][1];
    return NULL;
}

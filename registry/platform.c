#include "base/buf.h"
#include "base/memory.h"
#include "registry/manifest.h"

#include <stdbool.h>
#include <string.h>

static bool part_is_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return len > 0;
}

int platform_parse(const char *text, struct platform *out, struct error *err)
{
    char *parts[3] = {NULL};
    size_t count = 0;
    bool ok = true;
    for (const char *p = text; p && ok; count++) {
        size_t len = strcspn(p, "/");
        ok = count < 3 && part_is_valid(p, len);
        if (ok)
            parts[count] = xstrndup(p, len);
        p = p[len] ? p + len + 1 : NULL;
    }
    struct platform platform = {parts[0], parts[1], parts[2]};
    if (!ok || count < 2) {
        platform_release(&platform);
        _cleanup_free_ char *q = quoted(text);
        return error_set(err, ERROR_PARSE, "platform %s: expected OS/ARCHITECTURE[/VARIANT]", q);
    }
    *out = platform;
    return 0;
}

static bool equal(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

bool platform_variant_is_default(const struct platform *p)
{
    return (equal(p->architecture, "arm64") && equal(p->variant, "v8")) ||
           (equal(p->architecture, "amd64") && equal(p->variant, "v1"));
}

bool platform_matches(const struct platform *got, const struct platform *wanted)
{
    return equal(got->os, wanted->os) && equal(got->architecture, wanted->architecture) &&
           (!got->variant || !wanted->variant || equal(got->variant, wanted->variant));
}

char *platform_text(const struct platform *platform)
{
    return xasprintf("%s/%s%s%s", platform->os ? platform->os : "unknown",
                     platform->architecture ? platform->architecture : "unknown",
                     platform->variant ? "/" : "", platform->variant ? platform->variant : "");
}

void platform_copy(struct platform *dst, const struct platform *src)
{
    dst->os = src->os ? xstrdup(src->os) : NULL;
    dst->architecture = src->architecture ? xstrdup(src->architecture) : NULL;
    dst->variant = src->variant ? xstrdup(src->variant) : NULL;
}

void platform_release(struct platform *platform)
{
    free(platform->os);
    free(platform->architecture);
    free(platform->variant);
    *platform = (struct platform){0};
}

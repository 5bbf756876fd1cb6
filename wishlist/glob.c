#include "wishlist/glob.h"

#include <string.h>

bool glob_match(const char *pattern, const char *tag)
{
    const char *star = strchr(pattern, '*');
    if (!star)
        return strcmp(pattern, tag) == 0;
    size_t before = (size_t)(star - pattern);
    if (strncmp(pattern, tag, before) != 0)
        return false;
    const char *at = tag + before;
    const char *end = at + strlen(at);
    for (;;) {
        const char *part = star + 1;
        star = strchrnul(part, '*');
        size_t len = (size_t)(star - part);
        if (*star == '\0')
            return (size_t)(end - at) >= len && memcmp(end - len, part, len) == 0;
        /* The leftmost place is as good as any: what follows has the most room then. So nothing
         * is ever tried twice. */
        at = memmem(at, (size_t)(end - at), part, len);
        if (!at)
            return false;
        at += len;
    }
}

#include "base/path.h"

#include "base/memory.h"

#include <string.h>

char *path_join(const char *a, const char *b)
{
    if (!*a)
        return xstrdup(b);
    if (!*b)
        return xstrdup(a);
    const char *slash = a[strlen(a) - 1] == '/' ? "" : "/";
    return xasprintf("%s%s%s", a, slash, b);
}

char *path_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup("");
}

const char *path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool path_is_clean(const char *path)
{
    for (;;) {
        size_t len = strcspn(path, "/");
        if (len == 0 || (len == 1 && path[0] == '.') || (len == 2 && memcmp(path, "..", 2) == 0))
            return false;
        if (path[len] == '\0')
            return true;
        path += len + 1;
    }
}

int path_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t n = a_len < b_len ? a_len : b_len;
    size_t i = 0;
    while (i + 8 <= n && memcmp(a + i, b + i, 8) == 0)
        i += 8;
    while (i < n && a[i] == b[i])
        i++;
    if (i == n)
        return (a_len > b_len) - (a_len < b_len);
    int x = a[i] == '/' ? -1 : (unsigned char)a[i];
    int y = b[i] == '/' ? -1 : (unsigned char)b[i];
    return x - y;
}

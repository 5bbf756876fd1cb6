#include "wishlist/repository.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"

#include <string.h>

bool repository_is_directory(const char *repository)
{
    return repository[0] == '/' || repository[0] == '.';
}

/* The name also becomes a component of paths and a word of a command line. */
static bool is_name(const char *s)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
    size_t len = strlen(s);
    return len > 0 && len <= LIMIT_NAME_BYTES && s[0] != '-' && strspn(s, allowed) == len;
}

int repository_check(const char *repository, struct error *err)
{
    _cleanup_free_ char *q = quoted(repository);
    /* Read-only for everybody but cvmfs_server: somebody took the path for the name. */
    if (starts_with(repository, "/cvmfs/"))
        return error_set(err, ERROR_PARSE,
                         "%s is where a repository is mounted; write only its name, as in "
                         "unpacked.cern.ch",
                         q);
    if (repository_is_directory(repository) || is_name(repository))
        return 0;
    return error_set(err, ERROR_PARSE,
                     "%s is no repository; expected a name such as unpacked.cern.ch, or a "
                     "directory that begins with / or .",
                     q);
}

int prefix_check(const char *prefix, struct error *err)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_/";
    _cleanup_free_ char *q = quoted(prefix);
    if (strlen(prefix) > LIMIT_NAME_BYTES)
        return error_set(err, ERROR_LIMIT, "a prefix has %zu bytes at most", LIMIT_NAME_BYTES);
    if (!path_is_clean(prefix) || strspn(prefix, allowed) != strlen(prefix))
        return error_set(err, ERROR_PARSE,
                         "%s is no prefix; expected folders of letters, digits, '_' and '-', such "
                         "as atlas or atlas/prod",
                         q);
    for (const char *p = prefix; p; p = (p = strchr(p, '/')) ? p + 1 : NULL) {
        size_t len = strcspn(p, "/");
        if (len == strlen("localhost") && memcmp(p, "localhost", len) == 0)
            return error_set(err, ERROR_PARSE, "%s: localhost is the name of a registry", q);
    }
    if (starts_with(prefix, "podmanStore") && strcspn(prefix, "/") == strlen("podmanStore"))
        return error_set(err, ERROR_PARSE, "%s: podmanStore is a folder of the layout's own", q);
    return 0;
}

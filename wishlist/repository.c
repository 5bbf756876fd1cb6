#include "wishlist/repository.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"

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

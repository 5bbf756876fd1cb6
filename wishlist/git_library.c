#include "wishlist/git_library.h"

#include <pthread.h>

static void start(void)
{
    static const git_config_level_t levels[] = {GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG,
                                                GIT_CONFIG_LEVEL_GLOBAL,
                                                GIT_CONFIG_LEVEL_PROGRAMDATA};
    git_libgit2_init();
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, (int)levels[i], "");
#if LIBGIT2_VER_MAJOR > 1 || LIBGIT2_VER_MINOR >= 5
    /* Who owns a repository matters to programs that run its hooks and filters; we read objects. */
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
#endif
}

void git_library_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}

int git_library_error(struct error *err, enum error_kind kind, const char *what)
{
    const git_error *e = git_error_last();
    return error_set(err, kind, "%s: %s", what, e && e->message ? e->message : "libgit2 failed");
}

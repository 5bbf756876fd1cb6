#include "state/state.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

char *state_base_dir(const char *dir, struct error *err)
{
    if (dir)
        return xstrdup(dir);
    if (geteuid() == 0)
        return xstrdup("/var/lib/ducc");
    const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (xdg && xdg[0] == '/')
        return path_join(xdg, "ducc");
    if (home && home[0] == '/')
        return path_join(home, ".local/state/ducc");
    error_set(err, ERROR_NOT_FOUND, "no home directory; say where to keep state with --state-dir");
    return NULL;
}

char *repository_key(const char *repository)
{
    char real[PATH_MAX];
    bool directory = repository[0] == '/' || repository[0] == '.';
    return xstrdup(directory && realpath(repository, real) ? real : repository);
}

/* One name a repository, however its directory is written. */
static char *folder_name(const char *repository)
{
    _cleanup_free_ char *key = repository_key(repository);
    struct buf name = BUF_INIT;
    for (const char *p = key; *p; p++) {
        if (*p == '/' || *p == '%')
            buf_addf(&name, "%%%02X", (unsigned)*p);
        else
            buf_addc(&name, *p);
    }
    return buf_take(&name);
}

static char *repository_dir(const char *base, const char *repository)
{
    _cleanup_free_ char *folder = folder_name(repository);
    return path_join(base, folder);
}

char *state_journal(const char *dir, const char *repository, struct error *err)
{
    _cleanup_free_ char *base = state_base_dir(dir, err);
    _cleanup_free_ char *below = base ? repository_dir(base, repository) : NULL;
    return below ? path_join(below, "commit") : NULL;
}

static int take_lock(struct state *s, struct error *err)
{
    _cleanup_free_ char *path = path_join(s->dir, "lock");
    _cleanup_free_ char *holder =
        xasprintf("process %d since %s\n", (int)getpid(), clock_text(clock_now()).s);
    return lock_take(path, holder, &s->lock_fd, err);
}

static int open_state(const char *dir, const char *spool_base, const char *repository, bool beside,
                      struct state *out, struct error *err)
{
    _cleanup_free_ char *base = state_base_dir(dir, err);
    if (!base)
        return -1;
    /* A directory repository gets its real path only once it exists. */
    if (!beside && (repository[0] == '/' || repository[0] == '.') &&
        dir_make(repository, 0755, err) < 0)
        return -1;
    _cleanup_free_ char *folder = folder_name(repository);
    if (strlen(folder) > NAME_MAX)
        return error_set(err, ERROR_LIMIT, "repository %s: its path is too long", repository);
    struct state s = {.dir = path_join(base, folder), .lock_fd = -1};
    s.journal = path_join(s.dir, "commit");
    _cleanup_free_ char *spool_folder = xasprintf("ducc-spool/%s", folder);
    s.spool_dir = spool_base ? path_join(spool_base, spool_folder) : path_join(s.dir, "spool");
    if (dir_make(s.dir, 0755, err) < 0 || (!beside && take_lock(&s, err) < 0)) {
        state_release(&s);
        return error_wrap(err, "state directory");
    }
    *out = s;
    return 0;
}

int state_open(const char *dir, const char *spool_base, const char *repository, struct state *out,
               struct error *err)
{
    return open_state(dir, spool_base, repository, false, out, err);
}

int state_open_beside(const char *dir, const char *repository, struct state *out, struct error *err)
{
    return open_state(dir, NULL, repository, true, out, err);
}

void state_release(struct state *s)
{
    free(s->dir);
    free(s->journal);
    free(s->spool_dir);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    *s = (struct state){.lock_fd = -1};
}

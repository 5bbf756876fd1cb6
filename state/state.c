#include "state/state.h"

#include "base/buf.h"
#include "base/cancel.h"
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

/* In the text of a lock that is held for one commit only. */
#define BRIEFLY          "(briefly)"
#define LOOK_SECONDS     0.1
#define PATIENCE_SECONDS 120.0 /* with one that is held briefly */

/* `patience` is with any holder. */
static int take_lock(struct state *s, bool briefly, double patience, struct error *err)
{
    _cleanup_free_ char *path = path_join(s->dir, "lock");
    _cleanup_free_ char *holder = xasprintf("process %d %ssince %s\n", (int)getpid(),
                                            briefly ? BRIEFLY " " : "", clock_text(clock_now()).s);
    double start = clock_monotonic();
    for (;;) {
        if (lock_take(path, holder, &s->lock_fd, err) == 0)
            return 0;
        double waited = clock_monotonic() - start;
        bool brief = strstr(err->message, BRIEFLY) && waited < PATIENCE_SECONDS;
        if (err->kind != ERROR_BUSY || cancel_requested() || (!brief && waited >= patience))
            return -1;
        error_release(err);
        clock_sleep(LOOK_SECONDS);
    }
}

static int open_state(const char *dir, const char *spool_base, const char *repository, bool briefly,
                      double patience, struct state *out, struct error *err)
{
    _cleanup_free_ char *base = state_base_dir(dir, err);
    if (!base)
        return -1;
    /* A directory repository gets its real path only once it exists. */
    if ((repository[0] == '/' || repository[0] == '.') && dir_make(repository, 0755, err) < 0)
        return -1;
    _cleanup_free_ char *folder = folder_name(repository);
    if (strlen(folder) > NAME_MAX)
        return error_set(err, ERROR_LIMIT, "repository %s: its path is too long", repository);
    struct state s = {.dir = path_join(base, folder), .lock_fd = -1};
    s.journal = path_join(s.dir, "commit");
    _cleanup_free_ char *spool_folder = xasprintf("ducc-spool/%s", folder);
    s.spool_dir = spool_base ? path_join(spool_base, spool_folder) : path_join(s.dir, "spool");
    if (dir_make(s.dir, 0755, err) < 0 || take_lock(&s, briefly, patience, err) < 0) {
        state_release(&s);
        return error_wrap(err, "state directory");
    }
    *out = s;
    return 0;
}

int state_open(const char *dir, const char *spool_base, const char *repository, struct state *out,
               struct error *err)
{
    return open_state(dir, spool_base, repository, false, 0, out, err);
}

int state_open_briefly(const char *dir, const char *repository, double patience_seconds,
                       struct state *out, struct error *err)
{
    return open_state(dir, NULL, repository, true, patience_seconds, out, err);
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

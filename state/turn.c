#include "state/turn.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"

#include <unistd.h>

#define LOOK_SECONDS 0.01

static int wait_for(const char *dir, const char *name, double until, int *out_fd, struct error *err)
{
    _cleanup_free_ char *path = path_join(dir, name);
    _cleanup_free_ char *holder =
        xasprintf("process %d since %s\n", (int)getpid(), clock_text(clock_now()).s);
    while (lock_take(path, holder, out_fd, err) < 0) {
        if (err->kind != ERROR_BUSY || (until > 0 && clock_monotonic() >= until))
            return -1;
        error_release(err);
        if (cancel_check(err) < 0)
            return -1;
        clock_sleep(LOOK_SECONDS);
    }
    return 0;
}

int turn_take(const char *dir, double patience_seconds, struct turn *out, struct error *err)
{
    double until = patience_seconds > 0 ? clock_monotonic() + patience_seconds : 0;
    _cleanup_close_ int next = -1;
    if (wait_for(dir, "next", until, &next, err) < 0)
        return -1;
    return wait_for(dir, "turn", until, &out->fd, err);
}

void turn_end(struct turn *turn)
{
    if (turn->fd >= 0)
        close(turn->fd);
    turn->fd = -1;
}

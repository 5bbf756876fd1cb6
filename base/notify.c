#include "base/notify.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <time.h>

static void notify(const char *text)
{
    if (sd_notify(0, text) < 0) {
        /* systemd is gone: nobody to tell */
    }
}

void notify_ready(void)
{
    notify("READY=1\n");
}

/* systemd wants to know when that was: it takes no answer for one to an earlier signal. */
void notify_reloading(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    _cleanup_free_ char *text =
        xasprintf("RELOADING=1\nMONOTONIC_USEC=%lld\n",
                  (long long)t.tv_sec * 1000000 + (long long)t.tv_nsec / 1000);
    notify(text);
}

void notify_stopping(void)
{
    notify("STOPPING=1\n");
}

void notify_alive(size_t at_work)
{
    static double last = -1e9;
    static size_t last_at_work = SIZE_MAX;
    const char *usec = getenv("WATCHDOG_USEC");
    double pause = usec ? strtod(usec, NULL) * 1e-6 / 2 : 0;
    double now = clock_monotonic();
    if (pause > 0 && now - last >= pause) {
        notify("WATCHDOG=1\n");
        last = now;
    }
    if (at_work == last_at_work)
        return;
    last_at_work = at_work;
    _cleanup_free_ char *text = at_work ? xasprintf("STATUS=%zu at work\n", at_work)
                                        : xstrdup("STATUS=everything is up to date\n");
    notify(text);
}

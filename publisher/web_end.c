#include "publisher/web_end.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdatomic.h>
#include <string.h>

#define STILL_SECONDS 120.0 /* the service looks around ten times a second */

struct web_end {
    char *state_dir;
    struct event_desk *desk;
    struct web *web;              /* NULL: off */
    struct web_settings settings; /* of `web` */
    _Atomic double beat;          /* clock_monotonic() */
};

struct web_end *web_end_new(const struct event_desk_options *options)
{
    struct web_end *end = xcalloc(1, sizeof *end);
    end->state_dir = options->state_dir ? xstrdup(options->state_dir) : NULL;
    atomic_init(&end->beat, clock_monotonic());
    end->desk = event_desk_start(options);
    return end;
}

static void events_waiting(void *arg)
{
    event_desk_wake(((struct web_end *)arg)->desk);
}

static bool is_healthy(void *arg, struct buf *reason)
{
    double still = clock_monotonic() - atomic_load(&((struct web_end *)arg)->beat);
    if (still < STILL_SECONDS)
        return true;
    buf_addf(reason, "the service has not looked around for %.0f s", still);
    return false;
}

void web_end_beat(struct web_end *end)
{
    atomic_store(&end->beat, clock_monotonic());
}

static int start(struct web_end *end, const struct web_settings *settings, struct error *err)
{
    struct web_hooks hooks = {.state_dir = end->state_dir,
                              .events_waiting = events_waiting,
                              .is_healthy = is_healthy,
                              .arg = end};
    return web_start(settings, &hooks, &end->web, err);
}

static void stop(struct web_end *end)
{
    web_stop(end->web);
    end->web = NULL;
    web_settings_release(&end->settings);
}

/* Sockets must be closed before others can take their place; if those cannot be had, the former
 * come back. */
static int restart(struct web_end *end, const struct web_settings *settings, struct error *err)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    bool was_on = end->web != NULL;
    web_stop(end->web);
    end->web = NULL;
    if (start(end, settings, err) == 0)
        return 0;
    if (was_on && start(end, &end->settings, &ignored) < 0)
        log_error("%s", ignored.message);
    return -1;
}

static int change(struct web_end *end, const struct web_settings *settings, struct error *err)
{
    if (end->web && web_settings_same_sockets(&end->settings, settings)) {
        web_change(end->web, settings);
        return 0;
    }
    if (restart(end, settings, err) < 0)
        return -1;
    for (size_t i = 0; i < settings->listen_count; i++)
        log_info("web: listening on %s, port %u", settings->listen[i], web_port(end->web, i));
    return 0;
}

int web_end_apply(struct web_end *end, const struct configured_web *web, struct error *err)
{
    struct web_settings settings = {0};
    if (!web->on) {
        stop(end);
        return 0;
    }
    if (configured_web_open(web, &settings, err) < 0)
        return -1;
    if (change(end, &settings, err) < 0) {
        web_settings_release(&settings);
        return -1;
    }
    web_settings_release(&end->settings);
    end->settings = settings;
    return 0;
}

void web_end_stop(struct web_end *end)
{
    if (!end)
        return;
    stop(end);
    event_desk_stop(end->desk);
}

void web_end_free(struct web_end *end)
{
    if (!end)
        return;
    web_end_stop(end);
    event_desk_free(end->desk);
    free(end->state_dir);
    free(end);
}

#include "registry/load.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "registry/answer.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define WAIT_SECONDS_MAX 60.0 /* as in registry/client.h, "Retry-After" */
#define QUOTA_SECONDS    60.0 /* if the registry does not say how long a window is */
#define REST_SECONDS     60.0
#define CANCEL_LOOK_NSEC 100000000L
#define QUOTA_WINDOW_MAX 86400.0

struct host {
    struct host *next;
    char *registry; /* canonical */
    struct site_limits limits;
    size_t requests, downloads; /* under way */
    double next_request;        /* when the rate allows another; clock_monotonic(), as all below */
    double paused_until;        /* it said 429 with a Retry-After */
    double quota_until;         /* the quota is at its floor */
    unsigned long quota_left;   /* when that was seen */
    double resting_until;
};

struct load {
    const struct site *site;
    pthread_mutex_t mutex; /* guards the hosts */
    pthread_cond_t left;   /* somebody has left */
    struct host *hosts;
};

struct load *load_new(const struct site *site)
{
    struct load *load = xcalloc(1, sizeof *load);
    load->site = site;
    pthread_mutex_init(&load->mutex, NULL);
    pthread_cond_init(&load->left, NULL);
    return load;
}

void load_free(struct load *load)
{
    if (!load)
        return;
    while (load->hosts) {
        struct host *h = load->hosts;
        load->hosts = h->next;
        free(h->registry);
        free(h);
    }
    pthread_cond_destroy(&load->left);
    pthread_mutex_destroy(&load->mutex);
    free(load);
}

static struct host *host_of(struct load *load, const struct endpoint *endpoint)
{
    _cleanup_free_ char *name = registry_canonical(endpoint->registry);
    for (struct host *h = load->hosts; h; h = h->next)
        if (strcmp(h->registry, name) == 0)
            return h;
    struct host *h = xcalloc(1, sizeof *h);
    h->limits = site_limits_of(load->site, name);
    h->registry = TAKE_PTR(name);
    h->next = load->hosts;
    load->hosts = h;
    return h;
}

/* --- entering --- */

/* When the next request may go out at the earliest; what it waits for in *out_why. */
static double earliest(const struct host *h, enum load_kind kind, const char **out_why)
{
    double at = h->next_request;
    *out_why = "the configured rate";
    if (h->paused_until > at) {
        at = h->paused_until;
        *out_why = "the registry asked for a pause";
    }
    if (kind == LOAD_POLL && h->quota_until > at) {
        at = h->quota_until;
        *out_why = "its quota is down to the configured floor";
    }
    return at;
}

static int too_late(const struct host *h, const char *why, double wait, struct error *err)
{
    struct clock_text until = clock_text(clock_now() + (int64_t)(wait + 1));
    if (h->quota_until > 0 && strstr(why, "quota"))
        return error_set(err, ERROR_NET,
                         "registry %s: %s (%lu requests left, floor %zu): not polled until %s",
                         h->registry, why, h->quota_left, h->limits.quota_floor, until.s);
    return error_set(err, ERROR_NET, "registry %s: %s: not asked until %s", h->registry, why,
                     until.s);
}

/* With the mutex held, which is released meanwhile. A request to stop wakes nobody: look often. */
static void wait_a_little(struct load *load)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += CANCEL_LOOK_NSEC;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&load->left, &load->mutex, &until);
}

static void sleep_unlocked(struct load *load, double seconds)
{
    pthread_mutex_unlock(&load->mutex);
    clock_sleep(seconds);
    pthread_mutex_lock(&load->mutex);
}

static bool is_full(const struct host *h, enum load_kind kind)
{
    return h->requests >= h->limits.requests ||
           (kind == LOAD_DOWNLOAD && h->downloads >= h->limits.downloads);
}

static int enter_locked(struct load *load, struct host *h, enum load_kind kind, struct error *err)
{
    for (;;) {
        const char *why;
        double now = clock_monotonic(), wait = earliest(h, kind, &why) - now;
        if (cancel_check(err) < 0)
            return -1;
        /* A rate is never too slow to wait for: it is what the operator wants. */
        if (wait > WAIT_SECONDS_MAX && h->next_request - now < wait)
            return too_late(h, why, wait, err);
        if (is_full(h, kind)) {
            wait_a_little(load);
        } else if (wait > 0) {
            sleep_unlocked(load, wait);
        } else {
            h->requests++;
            h->downloads += kind == LOAD_DOWNLOAD;
            if (h->limits.requests_per_second > 0)
                h->next_request = now + 1 / h->limits.requests_per_second;
            return 0;
        }
    }
}

int load_enter(struct load *load, const struct endpoint *endpoint, enum load_kind kind,
               struct error *err)
{
    pthread_mutex_lock(&load->mutex);
    int rc = enter_locked(load, host_of(load, endpoint), kind, err);
    pthread_mutex_unlock(&load->mutex);
    return rc;
}

/* --- leaving --- */

/* "76", or Docker Hub's "76;w=21600": what is left of the quota, and in how many seconds it is new
 * (IETF draft-ietf-httpapi-ratelimit-headers; older registries say ratelimit-reset). */
static void watch_quota(struct host *h, const struct http_response *response)
{
    const char *remaining = http_header(response, "ratelimit-remaining");
    if (!remaining || h->limits.quota_floor == 0)
        return;
    char *end;
    unsigned long left = strtoul(remaining, &end, 10);
    if (end == remaining || left > h->limits.quota_floor)
        return;
    const char *window = strstr(end, "w="), *reset = http_header(response, "ratelimit-reset");
    double seconds = reset    ? strtod(reset, NULL)
                     : window ? strtod(window + 2, NULL)
                              : QUOTA_SECONDS;
    seconds = seconds > 0 && seconds < QUOTA_WINDOW_MAX ? seconds : QUOTA_SECONDS;
    double until = clock_monotonic() + seconds;
    if (until > h->quota_until)
        h->quota_until = until;
    h->quota_left = left;
    log_debug("registry %s: %lu requests are left, at or below the floor of %zu: no polling until "
              "%s",
              h->registry, left, h->limits.quota_floor,
              clock_text(clock_now() + (int64_t)seconds).s);
}

static void watch_pause(struct host *h, const struct http_response *response)
{
    double asked = answer_retry_after(response);
    if ((response->status != 429 && response->status != 503) || asked <= 0)
        return;
    double until = clock_monotonic() + asked;
    if (until > h->paused_until)
        h->paused_until = until;
}

void load_leave(struct load *load, const struct endpoint *endpoint, enum load_kind kind,
                const struct http_response *response)
{
    pthread_mutex_lock(&load->mutex);
    struct host *h = host_of(load, endpoint);
    h->requests--;
    h->downloads -= kind == LOAD_DOWNLOAD;
    if (response && !response->left_origin) {
        watch_quota(h, response);
        watch_pause(h, response);
    }
    pthread_cond_broadcast(&load->left);
    pthread_mutex_unlock(&load->mutex);
}

/* --- mirrors --- */

void load_rest(struct load *load, const struct endpoint *endpoint)
{
    pthread_mutex_lock(&load->mutex);
    host_of(load, endpoint)->resting_until = clock_monotonic() + REST_SECONDS;
    pthread_mutex_unlock(&load->mutex);
}

bool load_is_resting(struct load *load, const struct endpoint *endpoint)
{
    pthread_mutex_lock(&load->mutex);
    bool resting = host_of(load, endpoint)->resting_until > clock_monotonic();
    pthread_mutex_unlock(&load->mutex);
    return resting;
}

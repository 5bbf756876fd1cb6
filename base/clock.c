#include "base/clock.h"

#include "base/cancel.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

double clock_monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds from $DUCC_CLOCK_OFFSET, for tests in which days pass at once. */
static int64_t offset(void)
{
    const char *text = getenv("DUCC_CLOCK_OFFSET");
    return text ? strtoll(text, NULL, 10) : 0;
}

/* From $DUCC_CLOCK_SPEED, 1 if there is none; and where it began to count. */
static double speed = 1;
static int64_t start;

static void read_speed(void)
{
    const char *text = getenv("DUCC_CLOCK_SPEED");
    double wanted = text ? strtod(text, NULL) : 1;
    speed = wanted >= 1 && wanted <= 100000 ? wanted : 1;
    start = (int64_t)time(NULL);
}

static double since_start(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)(t.tv_sec - start) + (double)t.tv_nsec * 1e-9;
}

int64_t clock_now(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_speed);
    return (speed > 1 ? start + (int64_t)(since_start() * speed) : (int64_t)time(NULL)) + offset();
}

struct clock_text clock_text(int64_t seconds)
{
    struct clock_text text;
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(text.s, sizeof text.s, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(text.s, sizeof text.s, "@%lld", (long long)seconds);
    return text;
}

void clock_sleep(double seconds)
{
    const double step = 0.1;
    for (double end = clock_monotonic() + seconds; !cancel_requested();) {
        double left = end - clock_monotonic();
        if (left <= 0)
            return;
        if (left > step)
            left = step;
        struct timespec t = {.tv_nsec = (long)(left * 1e9)};
        nanosleep(&t, NULL);
    }
}

#include "base/clock.h"

#include "base/cancel.h"

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

int64_t clock_now(void)
{
    return (int64_t)time(NULL) + offset();
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

/* Time: one place that asks the system. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Seconds since an arbitrary start, never going back: for durations. */
double clock_monotonic(void);
/* Seconds since 1970, UTC: what schedules and records count in. For tests, $DUCC_CLOCK_SPEED=N lets
 * it run N times as fast from the start of the program on; durations stay as they are. */
int64_t clock_now(void);

#define CLOCK_TEXT_SIZE 32
struct clock_text {
    char s[CLOCK_TEXT_SIZE];
};
/* RFC 3339 in UTC: "2026-11-21T03:05:38Z". */
struct clock_text clock_text(int64_t seconds);
/* Sleep, but no longer than until a stop is requested (base/cancel.h). */
void clock_sleep(double seconds);

#endif

/* A token bucket: at most `rate` a second over time, at most `burst` at once. Not thread-safe. */
#ifndef WEB_BUCKET_H
#define WEB_BUCKET_H

#include <stdbool.h>

struct bucket {
    double rate, burst;
    double tokens, filled_at; /* of clock_monotonic() */
};

/* A full one. */
struct bucket bucket_make(double rate, double burst, double now);
/* Take one; false if there is none: then *out_wait is in how many seconds there will be. */
bool bucket_take(struct bucket *b, double now, double *out_wait);

#endif

#include "web/bucket.h"

struct bucket bucket_make(double rate, double burst, double now)
{
    return (struct bucket){.rate = rate, .burst = burst, .tokens = burst, .filled_at = now};
}

bool bucket_take(struct bucket *b, double now, double *out_wait)
{
    if (now > b->filled_at) {
        b->tokens += (now - b->filled_at) * b->rate;
        b->filled_at = now;
    }
    if (b->tokens > b->burst)
        b->tokens = b->burst;
    if (b->tokens >= 1) {
        b->tokens -= 1;
        return true;
    }
    *out_wait = (1 - b->tokens) / b->rate;
    return false;
}

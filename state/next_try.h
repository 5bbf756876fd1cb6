/* When to try again what failed: pauses that grow. Pure functions. */
#ifndef STATE_NEXT_TRY_H
#define STATE_NEXT_TRY_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define RETRY_FIRST_SECONDS 60
#define RETRY_MAX_SECONDS   (6 * 3600)

/* Seconds until the next try, after `attempts` (from 1) failures in a row, the last one of this
 * kind: one minute, doubled with each, six hours at most. What a retry alone cannot help (a wrong
 * image, a missing permission) waits the longest at once; a busy repository a minute each time. Of
 * the pause, up to a quarter is cut off by `random` (any number), so that what failed together
 * does not come back together. */
int64_t next_try_pause(enum error_kind kind, bool retryable, unsigned attempts, uint32_t random);

#endif

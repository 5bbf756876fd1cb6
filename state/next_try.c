#include "state/next_try.h"

/* What somebody has to change before a try can succeed. */
static bool waits_for_somebody(enum error_kind kind, bool retryable)
{
    switch (kind) {
    case ERROR_PARSE:
    case ERROR_UNSUPPORTED:
    case ERROR_POLICY:
    case ERROR_BUG:
        return true;
    case ERROR_AUTH:
    case ERROR_NOT_FOUND:
    case ERROR_CORRUPT:
    case ERROR_LIMIT:
        return !retryable;
    default:
        return false; /* NET, IO, CHILD, BUSY, CANCELLED: may have passed by then */
    }
}

static int64_t longest(enum error_kind kind, bool retryable, unsigned attempts)
{
    if (waits_for_somebody(kind, retryable))
        return RETRY_MAX_SECONDS;
    if (kind == ERROR_BUSY || kind == ERROR_CANCELLED)
        return RETRY_FIRST_SECONDS;
    int64_t pause = RETRY_FIRST_SECONDS;
    for (unsigned i = 1; i < attempts && pause < RETRY_MAX_SECONDS; i++)
        pause *= 2;
    return pause < RETRY_MAX_SECONDS ? pause : RETRY_MAX_SECONDS;
}

int64_t next_try_pause(enum error_kind kind, bool retryable, unsigned attempts, uint32_t random)
{
    int64_t pause = longest(kind, retryable, attempts);
    return pause - (int64_t)(random % (uint64_t)(pause / 4 + 1));
}

#include "base/cancel.h"

#include <stdatomic.h>

static atomic_bool requested;

void cancel_request(void)
{
    atomic_store(&requested, true);
}

bool cancel_requested(void)
{
    return atomic_load(&requested);
}

void cancel_reset(void)
{
    atomic_store(&requested, false);
}

int cancel_check(struct error *err)
{
    if (cancel_requested())
        return error_set(err, ERROR_CANCELLED, "stopped on request");
    return 0;
}

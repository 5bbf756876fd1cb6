/* Trying again: growing pauses with jitter, Retry-After (internal to registry/). */
#ifndef REGISTRY_RETRY_H
#define REGISTRY_RETRY_H

#include "registry/http.h"

struct retry_policy {
    int attempts;
    double first_pause_seconds; /* doubles from one failure to the next */
};

/* Wait after the failure number `failures` (1, 2, …); `response` is what came, NULL if nothing
 * did. False if the registry asks for a longer pause than we are willing to sit out: give up. */
bool retry_pause(const struct retry_policy *policy, int failures,
                 const struct http_response *response);

/* Call `once` until it gives an answer that is not transient, or fails for a reason that another
 * try does not help. When attempts end, the last transient answer is returned as an answer. */
MUST_CHECK int retry_run(const struct retry_policy *policy,
                         int (*once)(void *arg, struct http_response *out, struct error *err),
                         void *arg, struct http_response *out, struct error *err);

#endif

#include "registry/retry.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/log.h"
#include "registry/answer.h"

#include <sys/random.h>

#define PAUSE_SECONDS_MAX       30.0
#define RETRY_AFTER_SECONDS_MAX 60.0

/* From 0.5 to 1, so that many clients that failed together do not come back together. */
static double jitter(void)
{
    uint16_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = 0x8000;
    return 0.5 + random / 131072.0;
}

bool retry_pause(const struct retry_policy *policy, int failures,
                 const struct http_response *response)
{
    double pause = policy->first_pause_seconds;
    for (int i = 1; i < failures && pause < PAUSE_SECONDS_MAX; i++)
        pause *= 2;
    if (pause > PAUSE_SECONDS_MAX)
        pause = PAUSE_SECONDS_MAX;
    pause *= jitter();
    double asked = response ? answer_retry_after(response) : -1;
    if (asked > RETRY_AFTER_SECONDS_MAX)
        return false;
    clock_sleep(asked > pause ? asked : pause);
    return true;
}

int retry_run(const struct retry_policy *policy,
              int (*once)(void *arg, struct http_response *out, struct error *err), void *arg,
              struct http_response *out, struct error *err)
{
    for (int failures = 1;; failures++) {
        struct http_response response = {.body = BUF_INIT};
        int rc = once(arg, &response, err);
        if (rc < 0 ? !err->retryable : !answer_is_transient(&response)) {
            if (rc == 0)
                *out = response;
            return rc;
        }
        bool again = failures < policy->attempts &&
                     retry_pause(policy, failures, rc == 0 ? &response : NULL);
        if (!again && rc == 0)
            *out = response;
        if (!again)
            return rc;
        if (rc < 0)
            log_debug("%s: trying again", err->message);
        error_release(err); /* or a later success would leave it behind */
        http_response_release(&response);
        if (cancel_check(err) < 0)
            return -1;
    }
}

/* Requests of senders: what comes out must name something, and be what is documented. */
#include "base/memory.h"
#include "registry/reference.h"
#include "tests/unit/webhook_request.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct webhook_event *event)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_reference_ struct reference ref = {0};
    if (event->kind == EVENT_LIST) {
        _cleanup_free_ char *url = xasprintf("https://%s", event->subject);
        _cleanup_free_ char *again = webhook_git_subject(url);
        if (!again)
            abort();
        return;
    }
    if (reference_parse(event->subject, 0, &ref, &err) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct webhook_request request;
    struct sender sender = {.name = (char *)(uintptr_t) "fuzz",
                            .secret = (char *)(uintptr_t) "the-secret-of-this-sender"};
    struct webhook_events events _cleanup_webhook_events_ = {0};
    _cleanup_error_ struct error err = ERROR_INIT;
    if (webhook_request_parse((const char *)data, size, &request) &&
        sender_kind_parse(request.kind, &sender.kind, &err) == 0) {
        if (webhook_authenticate(&sender, &request.delivery, &err) < 0 && err.kind != ERROR_AUTH)
            abort();
        if (webhook_parse(&sender, &request.delivery, &events, &err) == 0)
            for (size_t i = 0; i < events.count; i++)
                check(&events.items[i]);
    }
    webhook_request_release(&request);
    return 0;
}

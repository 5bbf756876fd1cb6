/* Delivering one notification to one target (internal to config/notifier.h). */
#ifndef CONFIG_NOTIFIER_DELIVERY_H
#define CONFIG_NOTIFIER_DELIVERY_H

#include "config/notifier.h"
#include "registry/http.h"

/* `http` may be NULL but for webhooks. Takes no longer than half a minute or so. */
MUST_CHECK int notify_deliver(const struct notify_target *target, struct http_client *http,
                              const char *json, struct error *err);

#endif

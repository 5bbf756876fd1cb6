/*
 * The web end of a service: the server (web/server.h) as the configuration wants it, and the desk
 * that acts on its events.
 *
 *     web_end_new()       the desk begins with what an earlier run has left
 *     web_end_apply()     start, change or stop the server: at the start, and on SIGHUP
 *     web_end_beat()      often, while the service works: /healthz
 *     web_end_stop()      no request is answered, no event is taken any more
 *     web_end_free()      after the workers have stopped
 */
#ifndef PUBLISHER_WEB_END_H
#define PUBLISHER_WEB_END_H

#include "config/config_web.h"
#include "publisher/event_desk.h"

struct web_end;
struct web_end *web_end_new(const struct event_desk_options *options);
/* What is not configured is stopped. On failure the server goes on as it was. ERROR_NET: an address
 * cannot be listened on; and what configured_web_open() says. */
MUST_CHECK int web_end_apply(struct web_end *end, const struct configured_web *web,
                             struct error *err);
void web_end_beat(struct web_end *end);
/* NULL is fine for both. */
void web_end_stop(struct web_end *end);
void web_end_free(struct web_end *end);

#endif

/*
 * The web end of the service: events in (webhook.h), status out (page.h, api.h, metrics.h).
 *
 *     if (web_start(&settings, &hooks, &web, err) < 0)
 *         return -1;
 *     ...
 *     web_stop(web);
 *
 * Plain HTTP for a loopback address or a reverse proxy, which does TLS. A thread each serves at
 * most `connections` connections, each with a time-out, and bodies of WEBHOOK_BODY_MAX bytes. It
 * reads the state database and writes nothing but events.
 */
#ifndef WEB_SERVER_H
#define WEB_SERVER_H

#include "base/buf.h"
#include "base/error.h"
#include "web/sender.h"

#include <stdint.h>

#define WEB_CONNECTIONS_DEFAULT 256
#define WEB_PER_ADDRESS_DEFAULT 64 /* behind a proxy, all come from one address */
#define WEB_TIMEOUT_SECONDS     20

/* What the configuration says (docs/configuration.md, `web`). */
struct web_settings {
    char **listen; /* "127.0.0.1:8899", "[::1]:8899"; a name is not looked up */
    size_t listen_count, listen_capacity;
    struct senders senders;
    char *token;                     /* of POST /api/v1/refresh; NULL: it is off */
    size_t connections, per_address; /* 0: the defaults */
};
void web_settings_release(struct web_settings *settings);
void web_settings_copy(struct web_settings *out, const struct web_settings *from);
/* Whether they differ in nothing that web_change() cannot change. */
bool web_settings_same_sockets(const struct web_settings *a, const struct web_settings *b);
/* ERROR_PARSE if it is none that could stand in `listen`. */
MUST_CHECK int web_check_address(const char *text, struct error *err);

/* What the server needs of the program it is part of. Called from any thread. */
struct web_hooks {
    const char *state_dir; /* as for database_open() */
    /* New events are stored: events_take(). NULL: nobody waits. */
    void (*events_waiting)(void *arg);
    /* Why work does not go on, appended to *reason; true if it does. NULL: nothing is known. */
    bool (*is_healthy)(void *arg, struct buf *reason);
    void *arg;
};

struct web;
/* Settings and hooks are copied. ERROR_PARSE: an address; ERROR_NET: it cannot be listened on. */
MUST_CHECK int web_start(const struct web_settings *settings, const struct web_hooks *hooks,
                         struct web **out, struct error *err);
/* Other senders and another token; the rest of the settings must be what it was. Nothing that is
 * under way is disturbed. */
void web_change(struct web *web, const struct web_settings *settings);
/* Requests under way may be cut off. */
void web_stop(struct web *web);
/* The port of the n-th address: of use where 0 was asked for. */
unsigned web_port(const struct web *web, size_t n);

#endif

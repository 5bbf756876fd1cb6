#include "base/memory.h"
#include "web/server.h"

#include <string.h>

void web_settings_release(struct web_settings *s)
{
    for (size_t i = 0; i < s->listen_count; i++)
        free(s->listen[i]);
    free(s->listen);
    senders_release(&s->senders);
    if (s->token)
        explicit_bzero(s->token, strlen(s->token));
    free(s->token);
    *s = (struct web_settings){0};
}

void web_settings_copy(struct web_settings *out, const struct web_settings *from)
{
    *out = (struct web_settings){.token = from->token ? xstrdup(from->token) : NULL,
                                 .connections = from->connections,
                                 .per_address = from->per_address};
    senders_copy(&out->senders, &from->senders);
    for (size_t i = 0; i < from->listen_count; i++) {
        ARRAY_GROW(out->listen, out->listen_count, out->listen_capacity);
        out->listen[out->listen_count++] = xstrdup(from->listen[i]);
    }
}

bool web_settings_same_sockets(const struct web_settings *a, const struct web_settings *b)
{
    bool same = a->listen_count == b->listen_count && a->connections == b->connections &&
                a->per_address == b->per_address;
    for (size_t i = 0; same && i < a->listen_count; i++)
        same = strcmp(a->listen[i], b->listen[i]) == 0;
    return same;
}

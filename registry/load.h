/*
 * How hard each registry is worked (internal to registry/): requests at a time, downloads at a
 * time, requests per second, a pause that it asked for (Retry-After), the quota that it says is
 * left (ratelimit-remaining), and mirrors that rest because they did not answer.
 *
 *     load_enter()      waits for its turn
 *     ... the request ...
 *     load_leave()      with what came back
 */
#ifndef REGISTRY_LOAD_H
#define REGISTRY_LOAD_H

#include "registry/endpoint.h"
#include "registry/http.h"

enum load_kind {
    LOAD_POLL, /* HEAD and GET of manifests, lists of tags: what registries count */
    LOAD_DOWNLOAD,
};

struct load;
/* `site` is borrowed; NULL: the defaults. */
struct load *load_new(const struct site *site);
void load_free(struct load *load);

/* ERROR_CANCELLED; ERROR_NET, not retryable, if the registry wants no request for longer than is
 * worth waiting: the message says until when. */
MUST_CHECK int load_enter(struct load *load, const struct endpoint *endpoint, enum load_kind kind,
                          struct error *err);
/* `response` is NULL if there was none. */
void load_leave(struct load *load, const struct endpoint *endpoint, enum load_kind kind,
                const struct http_response *response);

/* A mirror did not answer: not asked again for a minute. */
void load_rest(struct load *load, const struct endpoint *endpoint);
bool load_is_resting(struct load *load, const struct endpoint *endpoint);

#endif

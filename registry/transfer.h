/* One HTTP exchange, without redirects (internal to http): its curl handle and what arrives. */
#ifndef REGISTRY_TRANSFER_H
#define REGISTRY_TRANSFER_H

#include "registry/http.h"

#include <curl/curl.h>
#include <pthread.h>

struct transfer {
    CURL *easy;
    struct curl_slist *headers;
    const struct http_request *request; /* borrowed */
    struct http_response response;
    struct error error; /* set by our callbacks: why the transfer was ended */
    bool begun;         /* the sink was told of the answer */
    bool added;         /* to the multi handle: I/O thread only */
    bool done;          /* guarded by the client's mutex, as `next` */
    char reason[CURL_ERROR_SIZE];
    pthread_cond_t ended;
    struct transfer *next; /* queue of those not yet added */
};

/* `url` is where this exchange goes: the request's, or what a redirect said. Without `authorized`
 * the request's Authorization is left out. */
MUST_CHECK int transfer_init(struct transfer *t, const struct http_options *options,
                             const struct http_request *request, const char *url, bool authorized,
                             struct error *err);
void transfer_release(struct transfer *t);
/* The outcome of a curl handle that has ended: fills t->error and t->response.status. */
void transfer_finish(struct transfer *t, CURLcode result);

#endif

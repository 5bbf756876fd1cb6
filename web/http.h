/*
 * A request and its answer, apart from the library that carries them (internal to web/).
 *
 * Routes answer by filling a response; response_error() makes one of a failure.
 */
#ifndef WEB_HTTP_H
#define WEB_HTTP_H

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>
#include <stdint.h>

struct http_request {
    const char *method; /* "GET", "POST"; HEAD is "GET" here */
    const char *path;   /* decoded, begins with '/' */
    const char *rest;   /* what the route's pattern leaves open */
    const char *body;   /* POST */
    size_t len;
    /* A header by its name in any case, a parameter of the query, decoded; NULL if missing. */
    const char *(*header)(const struct http_request *request, const char *name);
    const char *(*query)(const struct http_request *request, const char *name);
    void *arg;
};
/* A parameter that is there and not empty. */
const char *http_query(const struct http_request *request, const char *name);
/* A whole number of the query; `otherwise` if missing. ERROR_PARSE outside 1 … max. */
MUST_CHECK int http_query_number(const struct http_request *request, const char *name, size_t max,
                                 size_t otherwise, size_t *out, struct error *err);

#define HTTP_OK           200u
#define HTTP_ACCEPTED     202u
#define HTTP_NOT_MODIFIED 304u

struct http_response {
    unsigned status;
    const char *type; /* Content-Type */
    struct buf body;
    bool cacheable;       /* has an ETag */
    unsigned retry_after; /* seconds; 0: not said */
    const char *allow;    /* of 405 */
};
#define HTTP_RESPONSE_INIT                                                                         \
    {                                                                                              \
        .status = HTTP_OK, .body = BUF_INIT                                                        \
    }
void response_release(struct http_response *response);
#define _cleanup_http_response_ __attribute__((cleanup(response_release)))

/* Takes over `value`. */
void response_json(struct http_response *response, unsigned status, json_t *value);
/* What a failure means to whoever asked: {"error": …} and the status of its kind. */
void response_error(struct http_response *response, const struct error *err);
void response_message(struct http_response *response, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif

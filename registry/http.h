/*
 * HTTP requests (internal to registry/; the one place that names libcurl's transfers).
 *
 * One I/O thread drives all transfers through curl_multi: connections are kept and shared between
 * requests to a host, HTTP/2 is used where it is offered. http_perform() blocks its caller until
 * the answer is complete; any number of threads may be in it at once.
 *
 * Redirects are followed here and not by libcurl, so that three rules hold: the Authorization
 * header goes to the origin (scheme, host, port) it was meant for and nowhere else; nothing leaves
 * https for http; ten redirects are enough, and a POST follows none. What a registry's own
 * certificates and exceptions are (registry/tls.h) is looked up for each host that is talked to.
 * https_proxy, http_proxy and no_proxy of the environment are obeyed as libcurl does.
 *
 * Errors: ERROR_NET (retryable where a new try may help: not for a wrong certificate),
 * ERROR_LIMIT for too long headers or bodies, ERROR_CANCELLED within 0.2 s of a request to stop
 * (base/cancel.h), and whatever a sink reports. Messages begin with the URL without its query.
 */
#ifndef REGISTRY_HTTP_H
#define REGISTRY_HTTP_H

#include "base/buf.h"
#include "base/error.h"
#include "registry/tls.h"

#include <stdbool.h>
#include <stdint.h>

struct http_options {
    double connect_seconds; /* to have a connection, TLS included */
    double stall_seconds;   /* slower than 1 kB/s for so long: given up */
    struct tls_store *tls;  /* borrowed */
};

struct http_client;
struct http_client *http_client_new(const struct http_options *options, struct error *err);
/* No thread may be in http_perform(). NULL is fine. */
void http_client_free(struct http_client *client);

struct http_header {
    char *name; /* lower case */
    char *value;
};

struct http_response {
    long status;
    struct http_header *headers;
    size_t header_count, header_capacity, header_bytes;
    /* Without a sink, or if the status is not 2xx. Then it is for messages: cut at 64 KiB, and what
     * we sent as a secret is made unreadable where the peer repeats it. */
    struct buf body;
    char *url;        /* that answered, behind all redirects */
    bool left_origin; /* a redirect led to another origin than the request's */
};
/* The first header of that name (lower case), NULL if there is none. */
const char *http_header(const struct http_response *response, const char *name);
/* All headers of that name as one list: RFC 9110, section 5.3. Owned; NULL if there is none. */
char *http_headers_joined(const struct http_response *response, const char *name);
void http_response_release(struct http_response *response);

/* Takes the body of a 2xx answer while it arrives. Both functions are called on the I/O thread:
 * they must not wait for the network. -1 with *err set ends the transfer. */
struct http_sink {
    /* Once, before the first byte; also for an empty body. */
    int (*begin)(void *arg, const struct http_response *response, struct error *err);
    int (*body)(void *arg, const void *bytes, size_t len, struct error *err);
    void *arg;
};

struct http_request {
    bool head;        /* else GET, */
    const char *form; /* or if this is not NULL, POST of application/x-www-form-urlencoded, */
    const char *json; /* or of application/json */
    const char *json_signature; /* with it: X-Hub-Signature-256 (as GitHub signs); or NULL */
    const char *url;
    const char *accept;            /* or NULL */
    const char *authorization;     /* the value of that header, or NULL */
    const char *secret;            /* in the form; or NULL */
    const char *if_none_match;     /* the value of that header, or NULL: 304 is an answer then */
    const char *if_modified_since; /* the same */
    uint64_t range_start;          /* first byte asked for; 0: all, no Range header */
    size_t max_body_bytes;         /* without a sink: ERROR_LIMIT beyond */
    const struct http_sink *sink;
};

/* 0 with *out filled whatever the status is: http_response_release(). */
MUST_CHECK int http_perform(struct http_client *client, const struct http_request *request,
                            struct http_response *out, struct error *err);

/* "404 Not Found". */
char *http_status_text(long status);

#endif

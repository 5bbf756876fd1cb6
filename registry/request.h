/* What the client's functions share (internal to registry/): sending one request of the
 * distribution protocol, with authentication. */
#ifndef REGISTRY_REQUEST_H
#define REGISTRY_REQUEST_H

#include "registry/authorizer.h"
#include "registry/client.h"
#include "registry/http.h"
#include "registry/retry.h"

#include <stdatomic.h>

enum request_kind {
    REQUEST_HEAD_MANIFEST,
    REQUEST_GET_MANIFEST,
    REQUEST_GET_BLOB,
    REQUEST_LIST_TAGS,
    REQUEST_TOKEN,
    REQUEST_KINDS,
};

struct registry_client {
    struct retry_policy retry;
    struct http_client *http;
    struct authorizer *authorizer;
    atomic_uint_fast64_t counts[REQUEST_KINDS];
    atomic_uint_fast64_t blob_bytes;
};

struct registry_request {
    enum request_kind kind;
    const struct reference *ref;
    struct http_request http; /* its authorization is filled in here */
};

/* Once, but for a second time where a 401 asks for authentication. 0 with *out filled whatever
 * the status, but never with 401, which is ERROR_AUTH. */
MUST_CHECK int request_send_once(struct registry_client *client, struct registry_request *request,
                                 struct http_response *out, struct error *err);
/* With the client's attempts, and only for status 200: any other is an error. Not for requests
 * with a sink. */
MUST_CHECK int request_send(struct registry_client *client, struct registry_request *request,
                            struct http_response *out, struct error *err);

#endif

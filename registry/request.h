/* What the client's functions share (internal to registry/): sending one request of the
 * distribution protocol, with the site's rules and limits, mirrors, and authentication. */
#ifndef REGISTRY_REQUEST_H
#define REGISTRY_REQUEST_H

#include "registry/authorizer.h"
#include "registry/client.h"
#include "registry/endpoint.h"
#include "registry/http.h"
#include "registry/load.h"
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
    const struct site *site; /* or NULL */
    struct site_sizes sizes;
    struct retry_policy retry;
    struct http_client *http;
    struct tls_store *tls;
    struct load *load;
    struct authorizer *authorizer;
    atomic_uint_fast64_t counts[REQUEST_KINDS];
    atomic_uint_fast64_t blob_bytes;
};

struct registry_request {
    enum request_kind kind;
    const struct reference *ref;
    const char *path; /* below the repository, for request_send(); else http.url is set */
    /* Statuses beside 200 that are an answer, ended by 0; NULL: none. */
    const long *also;
    struct http_request http; /* its authorization is filled in here */
};

/* Call `attempt` with the mirrors of a reference, then with its origin, until one succeeds. A
 * mirror that fails is left out silently, whatever the reason, but for those that no other place
 * would change (a stop, a local disk). ERROR_POLICY, without any request, if the site's rules
 * forbid the reference. */
MUST_CHECK int request_anywhere(struct registry_client *client, const struct reference *ref,
                                int (*attempt)(void *arg, const struct endpoint *at,
                                               struct error *err),
                                void *arg, struct error *err);

/* Once, but for a second time where a 401 asks for authentication. 0 with *out filled whatever
 * the status is, but never with 401, which is ERROR_AUTH. */
MUST_CHECK int request_send_once(struct registry_client *client, const struct endpoint *at,
                                 struct registry_request *request, struct http_response *out,
                                 struct error *err);
/* With the client's attempts, and only for status 200 and `also`: any other is an error. Not for
 * requests with a sink. */
MUST_CHECK int request_send_to(struct registry_client *client, const struct endpoint *at,
                               struct registry_request *request, struct http_response *out,
                               struct error *err);
/* The same, anywhere; `path` is set, and http.url is not. */
MUST_CHECK int request_send(struct registry_client *client, struct registry_request *request,
                            struct http_response *out, struct error *err);

#endif

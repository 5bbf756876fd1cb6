#include "registry/request.h"

#include "base/memory.h"
#include "registry/answer.h"

static int perform(struct registry_client *client, struct registry_request *request,
                   const struct authorization *authorization, struct http_response *out,
                   struct error *err)
{
    request->http.authorization = authorization->value;
    atomic_fetch_add(&client->counts[request->kind], 1);
    int rc = http_perform(client->http, &request->http, out, err);
    request->http.authorization = NULL;
    return rc;
}

/* 401 although we sent the best we have. */
static int refused(const struct registry_request *request,
                   const struct authorization *authorization, struct http_response *response,
                   struct error *err)
{
    const struct reference *ref = request->ref;
    answer_error(response, err);
    http_response_release(response);
    if (authorization->with_credentials)
        return error_wrap(err, "the credentials for %s do not open %s", ref->registry,
                          ref->repository);
    return error_wrap(err, "no credentials for %s, and without them %s is not to be had",
                      ref->registry, ref->repository);
}

/* The answer to a 401. A challenge of somebody to whom the registry redirected us is none of its
 * business, and gets no credentials. */
static int authenticate(struct registry_client *client, struct registry_request *request,
                        const struct authorization *first, struct http_response *response,
                        struct error *err)
{
    struct authorization second = {0};
    if (response->left_origin)
        return refused(request, first, response, err);
    int rc = authorizer_answer(client->authorizer, request->ref, response, first, &second, err);
    http_response_release(response);
    if (rc < 0)
        return -1;
    rc = perform(client, request, &second, response, err);
    if (rc == 0 && response->status == 401)
        rc = refused(request, &second, response, err);
    authorization_release(&second);
    return rc;
}

int request_send_once(struct registry_client *client, struct registry_request *request,
                      struct http_response *out, struct error *err)
{
    struct authorization first = {0};
    struct http_response response = {.body = BUF_INIT};
    if (authorizer_current(client->authorizer, request->ref, &first, err) < 0)
        return -1;
    int rc = perform(client, request, &first, &response, err);
    if (rc == 0 && response.status == 401)
        rc = authenticate(client, request, &first, &response, err);
    authorization_release(&first);
    if (rc == 0)
        *out = response;
    return rc;
}

struct sending {
    struct registry_client *client;
    struct registry_request *request;
};

static int send_once(void *arg, struct http_response *out, struct error *err)
{
    struct sending *sending = arg;
    return request_send_once(sending->client, sending->request, out, err);
}

int request_send(struct registry_client *client, struct registry_request *request,
                 struct http_response *out, struct error *err)
{
    struct sending sending = {client, request};
    struct http_response response = {.body = BUF_INIT};
    if (retry_run(&client->retry, send_once, &sending, &response, err) < 0)
        return -1;
    if (response.status != 200) {
        answer_error(&response, err);
        http_response_release(&response);
        return -1;
    }
    *out = response;
    return 0;
}

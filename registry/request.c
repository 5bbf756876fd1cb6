#include "registry/request.h"

#include "base/log.h"
#include "base/memory.h"
#include "registry/answer.h"

#define MIRROR_ATTEMPTS 2 /* there is another place to ask */

/* --- one exchange --- */

static enum load_kind load_of(const struct registry_request *request)
{
    return request->kind == REQUEST_GET_BLOB ? LOAD_DOWNLOAD : LOAD_POLL;
}

static int perform(struct registry_client *client, const struct endpoint *at,
                   struct registry_request *request, const struct authorization *authorization,
                   struct http_response *out, struct error *err)
{
    if (load_enter(client->load, at, load_of(request), err) < 0)
        return -1;
    request->http.authorization = authorization->value;
    atomic_fetch_add(&client->counts[request->kind], 1);
    int rc = http_perform(client->http, &request->http, out, err);
    request->http.authorization = NULL;
    load_leave(client->load, at, load_of(request), rc == 0 ? out : NULL);
    return rc;
}

/* 401 although we sent the best we have. */
static int refused(struct registry_client *client, const struct endpoint *at,
                   const struct authorization *authorization, struct http_response *response,
                   struct error *err)
{
    bool elsewhere = response->left_origin;
    answer_error(response, err);
    http_response_release(response);
    if (authorization->with_credentials)
        return error_wrap(err, "the credentials for %s do not open %s", at->registry,
                          at->repository);
    if (!elsewhere && authorizer_withholds(client->authorizer, at, err))
        return -1;
    return error_wrap(err, "no credentials for %s, and without them %s is not to be had",
                      at->registry, at->repository);
}

/* The answer to a 401. A challenge of somebody to whom the registry redirected us is none of its
 * business, and gets no credentials. */
static int authenticate(struct registry_client *client, const struct endpoint *at,
                        struct registry_request *request, const struct authorization *first,
                        struct http_response *response, struct error *err)
{
    struct authorization second = {0};
    if (response->left_origin)
        return refused(client, at, first, response, err);
    int rc = authorizer_answer(client->authorizer, at, response, first, &second, err);
    http_response_release(response);
    if (rc < 0)
        return -1;
    rc = perform(client, at, request, &second, response, err);
    if (rc == 0 && response->status == 401)
        rc = refused(client, at, &second, response, err);
    authorization_release(&second);
    return rc;
}

int request_send_once(struct registry_client *client, const struct endpoint *at,
                      struct registry_request *request, struct http_response *out,
                      struct error *err)
{
    struct authorization first = {0};
    struct http_response response = {.body = BUF_INIT};
    if (authorizer_current(client->authorizer, at, &first, err) < 0)
        return -1;
    int rc = perform(client, at, request, &first, &response, err);
    if (rc == 0 && response.status == 401)
        rc = authenticate(client, at, request, &first, &response, err);
    authorization_release(&first);
    if (rc == 0)
        *out = response;
    return rc;
}

/* --- with attempts --- */

struct sending {
    struct registry_client *client;
    const struct endpoint *at;
    struct registry_request *request;
    struct http_response *out;
};

static int send_once(void *arg, struct http_response *out, struct error *err)
{
    struct sending *s = arg;
    return request_send_once(s->client, s->at, s->request, out, err);
}

static bool is_answer(const struct registry_request *request, long status)
{
    for (const long *also = request->also; also && *also; also++)
        if (*also == status)
            return true;
    return status == 200;
}

int request_send_to(struct registry_client *client, const struct endpoint *at,
                    struct registry_request *request, struct http_response *out, struct error *err)
{
    struct sending sending = {client, at, request, NULL};
    struct http_response response = {.body = BUF_INIT};
    struct retry_policy retry = client->retry;
    if (at->is_mirror && retry.attempts > MIRROR_ATTEMPTS)
        retry.attempts = MIRROR_ATTEMPTS;
    if (retry_run(&retry, send_once, &sending, &response, err) < 0)
        return -1;
    if (!is_answer(request, response.status)) {
        answer_error(&response, err);
        http_response_release(&response);
        return -1;
    }
    *out = response;
    return 0;
}

/* --- anywhere --- */

/* Whether another place may do better. */
static bool is_about_the_place(enum error_kind kind)
{
    return kind != ERROR_CANCELLED && kind != ERROR_IO && kind != ERROR_POLICY && kind != ERROR_BUG;
}

static int try_all(struct registry_client *client, const struct endpoints *places,
                   int (*attempt)(void *arg, const struct endpoint *at, struct error *err),
                   void *arg, struct error *err)
{
    for (size_t i = 0; i < places->count; i++) {
        const struct endpoint *at = &places->items[i];
        if (at->is_mirror && load_is_resting(client->load, at))
            continue;
        if (attempt(arg, at, err) == 0)
            return 0;
        if (!at->is_mirror || !is_about_the_place(err->kind))
            return -1;
        if (err->kind == ERROR_NET)
            load_rest(client->load, at);
        log_debug("mirror %s: %s; asking the next place", at->registry, err->message);
        error_release(err);
    }
    return error_set(err, ERROR_BUG, "no place to ask");
}

int request_anywhere(struct registry_client *client, const struct reference *ref,
                     int (*attempt)(void *arg, const struct endpoint *at, struct error *err),
                     void *arg, struct error *err)
{
    struct endpoints places;
    if (site_check(client->site, ref, err) < 0)
        return -1;
    endpoints_of(client->site, ref, &places);
    int rc = try_all(client, &places, attempt, arg, err);
    endpoints_release(&places);
    return rc;
}

static int send_to(void *arg, const struct endpoint *at, struct error *err)
{
    struct sending *s = arg;
    _cleanup_free_ char *url = endpoint_url(at, s->request->path);
    s->request->http.url = url;
    int rc = request_send_to(s->client, at, s->request, s->out, err);
    s->request->http.url = NULL;
    return rc;
}

int request_send(struct registry_client *client, struct registry_request *request,
                 struct http_response *out, struct error *err)
{
    struct sending sending = {client, NULL, request, out};
    return request_anywhere(client, request->ref, send_to, &sending, err);
}

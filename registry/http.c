#include "registry/http.h"

#include "base/cancel.h"
#include "base/memory.h"
#include "registry/transfer.h"
#include "registry/url.h"

#include <pthread.h>

#define REDIRECTS_MAX   10
#define CANCEL_POLL_MS  100 /* how soon a request to stop is seen while something runs */
#define IDLE_POLL_MS    10000
#define CONNECTIONS_MAX 64L /* kept open between requests */

struct http_client {
    struct http_options options;
    CURLM *multi; /* the I/O thread's, but for curl_multi_wakeup() */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    struct transfer *queue;
    bool stop;
};

/* --- the I/O thread --- */

static void complete(struct http_client *c, struct transfer *t, CURLcode result)
{
    if (t->added)
        curl_multi_remove_handle(c->multi, t->easy);
    t->added = false;
    transfer_finish(t, result);
    pthread_mutex_lock(&c->mutex);
    t->done = true;
    pthread_cond_signal(&t->ended);
    pthread_mutex_unlock(&c->mutex);
}

/* The active ones, a list that only the I/O thread touches. */
struct active {
    struct transfer **items;
    size_t count, capacity;
};

static void remove_active(struct active *active, const struct transfer *t)
{
    for (size_t i = 0; i < active->count; i++)
        if (active->items[i] == t)
            active->items[i--] = active->items[--active->count];
}

static void start_one(struct http_client *c, struct active *active, struct transfer *t)
{
    if (curl_multi_add_handle(c->multi, t->easy) != CURLM_OK) {
        complete(c, t, CURLE_FAILED_INIT);
        return;
    }
    t->added = true;
    ARRAY_GROW(active->items, active->count, active->capacity);
    active->items[active->count++] = t;
}

/* True if the thread shall end. */
static bool start_queued(struct http_client *c, struct active *active)
{
    pthread_mutex_lock(&c->mutex);
    struct transfer *queue = c->queue;
    bool stop = c->stop;
    c->queue = NULL;
    pthread_mutex_unlock(&c->mutex);
    while (queue) {
        struct transfer *t = queue;
        queue = t->next;
        start_one(c, active, t);
    }
    return stop;
}

static void finish_ended(struct http_client *c, struct active *active)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(c->multi, &left))) {
        char *private = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result; /* gone once the handle is removed */
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        struct transfer *t = (struct transfer *)(void *)private;
        remove_active(active, t);
        complete(c, t, result);
    }
}

static void cancel_all(struct http_client *c, struct active *active)
{
    while (active->count > 0) {
        struct transfer *t = active->items[--active->count];
        if (cancel_check(&t->error) < 0)
            complete(c, t, CURLE_ABORTED_BY_CALLBACK);
    }
}

static void *io_thread(void *arg)
{
    struct http_client *c = arg;
    struct active active = {0};
    while (!start_queued(c, &active)) {
        int running = 0;
        curl_multi_perform(c->multi, &running);
        finish_ended(c, &active);
        if (cancel_requested())
            cancel_all(c, &active);
        curl_multi_poll(c->multi, NULL, 0, active.count ? CANCEL_POLL_MS : IDLE_POLL_MS, NULL);
    }
    free(active.items);
    return NULL;
}

/* --- the client --- */

static void init_library(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http_client *http_client_new(const struct http_options *options, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_library);
    struct http_client *c = xcalloc(1, sizeof *c);
    c->options = *options;
    c->multi = curl_multi_init();
    pthread_mutex_init(&c->mutex, NULL);
    if (c->multi)
        curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX);
    if (!c->multi || pthread_create(&c->thread, NULL, io_thread, c) != 0) {
        error_set(err, ERROR_BUG, "cannot start the network thread");
        curl_multi_cleanup(c->multi);
        pthread_mutex_destroy(&c->mutex);
        free(c);
        return NULL;
    }
    return c;
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    pthread_mutex_lock(&client->mutex);
    client->stop = true;
    pthread_mutex_unlock(&client->mutex);
    curl_multi_wakeup(client->multi);
    pthread_join(client->thread, NULL);
    curl_multi_cleanup(client->multi);
    pthread_mutex_destroy(&client->mutex);
    free(client);
}

static void run(struct http_client *c, struct transfer *t)
{
    pthread_mutex_lock(&c->mutex);
    t->next = c->queue;
    c->queue = t;
    curl_multi_wakeup(c->multi);
    while (!t->done)
        pthread_cond_wait(&t->ended, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

/* One exchange with `url`, no redirect followed. */
static int perform_once(struct http_client *client, const struct http_request *request,
                        const char *url, bool authorized, struct http_response *out,
                        struct error *err)
{
    struct transfer t;
    if (cancel_check(err) < 0 ||
        transfer_init(&t, &client->options, request, url, authorized, err) < 0)
        return -1;
    run(client, &t);
    int rc = 0;
    if (t.error.kind != ERROR_NONE) {
        error_move(err, &t.error);
        rc = -1;
    } else {
        *out = t.response;
        t.response = (struct http_response){.body = BUF_INIT};
    }
    transfer_release(&t);
    return rc;
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Where a redirect leads. Owned; NULL if we do not go there. */
static char *redirect_target(const struct http_response *response, struct error *err)
{
    const char *location = http_header(response, "location");
    if (!location) {
        error_set(err, ERROR_NET, "%ld redirect without a Location", response->status);
        return NULL;
    }
    _cleanup_free_ char *target = url_resolve(response->url, location, err);
    if (!target) {
        error_wrap(err, "redirect");
        return NULL;
    }
    if (url_is_https(response->url) && !url_is_https(target)) {
        _cleanup_free_ char *shown = url_shown(target);
        error_set(err, ERROR_NET, "redirected from https to plain http (%s), refused", shown);
        return NULL;
    }
    return TAKE_PTR(target);
}

static int follow(struct http_client *client, const struct http_request *request, char **url,
                  struct http_response *out, struct error *err)
{
    bool authorized = true; /* once away from the origin, never again */
    for (int hop = 0; hop <= REDIRECTS_MAX; hop++) {
        struct http_response response;
        authorized = authorized && url_same_origin(*url, request->url);
        if (perform_once(client, request, *url, authorized, &response, err) < 0)
            return -1;
        if (!is_redirect(response.status)) {
            *out = response;
            return 0;
        }
        if (request->form || request->json) {
            http_response_release(&response);
            return error_set(err, ERROR_NET, "a redirect, but what was sent goes nowhere else");
        }
        char *target = redirect_target(&response, err);
        http_response_release(&response);
        if (!target)
            return -1;
        free(*url);
        *url = target;
    }
    return error_set(err, ERROR_NET, "more than %d redirects", REDIRECTS_MAX);
}

int http_perform(struct http_client *client, const struct http_request *request,
                 struct http_response *out, struct error *err)
{
    _cleanup_free_ char *url = xstrdup(request->url);
    if (follow(client, request, &url, out, err) < 0) {
        _cleanup_free_ char *shown = url_shown(url);
        return error_wrap(err, "%s", shown);
    }
    return 0;
}

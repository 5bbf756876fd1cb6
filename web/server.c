#include "web/server.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "web/frontend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTION_BYTES   ((size_t)64 << 10) /* headers and buffers of one */
#define REFUSED_PER_SECOND 5.0
#define REFUSED_AT_ONCE    100.0
#define REFRESH_RATE       5.0
#define BURST_SECONDS      10.0

struct web {
    struct frontend frontend;
    struct listener {
        struct MHD_Daemon *daemon;
        unsigned port;
    } * listeners;
    size_t count;
};

/* --- one request --- */

/* From the first call for a request to its end. */
struct exchange {
    struct buf body;
    bool too_large;
};

static const char *get_value(const struct http_request *request, enum MHD_ValueKind kind,
                             const char *name)
{
    return MHD_lookup_connection_value(request->arg, kind, name);
}

static const char *get_header(const struct http_request *request, const char *name)
{
    return get_value(request, MHD_HEADER_KIND, name);
}

static const char *get_query(const struct http_request *request, const char *name)
{
    return get_value(request, MHD_GET_ARGUMENT_KIND, name);
}

static void add_headers(struct MHD_Response *mhd, const struct http_response *response)
{
    static const struct {
        const char *name, *value;
    } always[] = {
        {"Content-Security-Policy",
         "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
         "base-uri 'none'; frame-ancestors 'none'"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
    };
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        MHD_add_response_header(mhd, always[i].name, always[i].value);
    MHD_add_response_header(mhd, "Cache-Control", response->cacheable ? "no-cache" : "no-store");
    if (response->type)
        MHD_add_response_header(mhd, "Content-Type", response->type);
    if (response->allow)
        MHD_add_response_header(mhd, "Allow", response->allow);
    if (response->retry_after) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%u", response->retry_after);
        MHD_add_response_header(mhd, "Retry-After", seconds);
    }
    if (response->status == 401)
        MHD_add_response_header(mhd, "WWW-Authenticate", "Bearer");
}

/* "\"0123…\"", of the body. */
static void etag_of(const struct buf *body, char out[static 36])
{
    struct digest d = digest_of(DIGEST_SHA256, body->data, body->len);
    snprintf(out, 36, "\"%.32s\"", digest_hex(&d).s);
}

static enum MHD_Result reply(struct frontend *frontend, struct MHD_Connection *connection,
                             struct http_response *response)
{
    char etag[36] = "";
    const char *known = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "If-None-Match");
    if (response->cacheable && response->status == HTTP_OK) {
        etag_of(&response->body, etag);
        if (known && strstr(known, etag)) {
            response->status = HTTP_NOT_MODIFIED;
            buf_truncate(&response->body, 0);
        }
    }
    struct MHD_Response *mhd = MHD_create_response_from_buffer(
        response->body.len, response->body.data, MHD_RESPMEM_MUST_COPY);
    if (!mhd)
        return MHD_NO;
    add_headers(mhd, response);
    if (*etag)
        MHD_add_response_header(mhd, "ETag", etag);
    enum MHD_Result result = MHD_queue_response(connection, response->status, mhd);
    MHD_destroy_response(mhd);
    pthread_mutex_lock(&frontend->mutex);
    frontend->answers[response->status < STATUS_MAX ? response->status : 0]++;
    pthread_mutex_unlock(&frontend->mutex);
    return result;
}

/* The headers are there: what is refused whatever the body holds. */
static enum MHD_Result begin(struct frontend *frontend, struct MHD_Connection *connection,
                             const char *url, const char *method, void **state)
{
    struct http_response response _cleanup_http_response_ = HTTP_RESPONSE_INIT;
    bool post = strcmp(method, "POST") == 0;
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    if (!post && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        response_message(&response, 405, "expected GET, HEAD or POST");
        response.allow = "GET, HEAD, POST";
        return reply(frontend, connection, &response);
    }
    if (post && !frontend_accepts_body(url, &response))
        return reply(frontend, connection, &response);
    if (length && strtoull(length, NULL, 10) > WEBHOOK_BODY_MAX) {
        response_message(&response, 413, "a body has %zu bytes at most", WEBHOOK_BODY_MAX);
        return reply(frontend, connection, &response);
    }
    struct exchange *e = xcalloc(1, sizeof *e);
    e->body = (struct buf)BUF_INIT;
    *state = e;
    return MHD_YES;
}

static void answer_with_settings(struct frontend *frontend, struct http_request *request,
                                 struct http_response *response)
{
    pthread_rwlock_rdlock(&frontend->settings_lock);
    frontend_answer(frontend, request, response);
    pthread_rwlock_unlock(&frontend->settings_lock);
}

static enum MHD_Result answer(struct frontend *frontend, struct MHD_Connection *connection,
                              const char *url, const char *method, const struct exchange *e)
{
    struct http_response response _cleanup_http_response_ = HTTP_RESPONSE_INIT;
    struct http_request request = {.method = strcmp(method, "POST") == 0 ? "POST" : "GET",
                                   .path = url,
                                   .body = e->body.data,
                                   .len = e->body.len,
                                   .header = get_header,
                                   .query = get_query,
                                   .arg = connection};
    if (e->too_large)
        response_message(&response, 413, "a body has %zu bytes at most", WEBHOOK_BODY_MAX);
    else
        answer_with_settings(frontend, &request, &response);
    return reply(frontend, connection, &response);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    struct frontend *frontend = &((struct web *)arg)->frontend;
    struct exchange *e = *state;
    (void)version;
    if (!e)
        return begin(frontend, connection, url, method, state);
    if (*size == 0)
        return answer(frontend, connection, url, method, e);
    /* A body without a length: it is read to its end, unless that is too far away. */
    if (e->body.len + *size <= WEBHOOK_BODY_MAX)
        buf_add(&e->body, data, *size);
    else if (e->too_large)
        return MHD_NO;
    else
        e->too_large = true;
    *size = 0;
    return MHD_YES;
}

static void on_end(void *arg, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode why)
{
    struct exchange *e = *state;
    (void)arg, (void)connection, (void)why;
    if (!e)
        return;
    buf_release(&e->body);
    free(e);
    *state = NULL;
}

/* The library would print a path, which may hold a secret. */
static void on_log(void *arg, const char *format, va_list ap)
{
    (void)arg, (void)ap;
    log_debug("web: the HTTP library says: %.60s", format);
}

/* --- addresses --- */

static int resolve(const char *text, struct addrinfo **out, struct error *err)
{
    const char *colon = strrchr(text, ':');
    bool bracketed = text[0] == '[';
    if (!colon || colon == text || (bracketed && colon[-1] != ']'))
        return error_set(err, ERROR_PARSE, "\"%s\": expected ADDRESS:PORT, such as 127.0.0.1:8899",
                         text);
    size_t len = (size_t)(colon - text) - (bracketed ? 2 : 0);
    _cleanup_free_ char *host = xstrndup(text + bracketed, len);
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    if (getaddrinfo(host, colon + 1, &hints, out) == 0)
        return 0;
    return error_set(err, ERROR_PARSE, "\"%s\": expected an address and a port, not a name", text);
}

int web_check_address(const char *text, struct error *err)
{
    struct addrinfo *address = NULL;
    if (resolve(text, &address, err) < 0)
        return -1;
    freeaddrinfo(address);
    return 0;
}

/* A listening socket, or -1. */
static int listen_on(const char *text, struct error *err)
{
    struct addrinfo *address = NULL;
    int yes = 1;
    if (resolve(text, &address, err) < 0)
        return -1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        (address->ai_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes) < 0) ||
        bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, 256) < 0) {
        error_set_errno(err, ERROR_NET, errno, "cannot listen on %s", text);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(address);
    return fd;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    char port[16] = "0";
    if (getsockname(fd, (struct sockaddr *)&address, &len) == 0)
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    return (unsigned)strtoul(port, NULL, 10);
}

/* --- life --- */

/* What was counted of a sender stays. */
static struct sender_state state_of(const struct frontend *f, const struct sender *sender)
{
    struct sender_state state = {0};
    for (size_t i = 0; i < f->settings.senders.count; i++)
        if (strcmp(f->settings.senders.items[i].name, sender->name) == 0)
            state = f->senders[i];
    state.bucket = bucket_make(sender->rate, sender->rate * BURST_SECONDS + 1, clock_monotonic());
    return state;
}

static void frontend_set(struct frontend *f, const struct web_settings *settings)
{
    struct web_settings copy;
    web_settings_copy(&copy, settings);
    struct sender_state *states = xcalloc(copy.senders.count + 1, sizeof *states);
    for (size_t i = 0; i < copy.senders.count; i++)
        states[i] = state_of(f, &copy.senders.items[i]);
    free(f->senders);
    web_settings_release(&f->settings);
    f->settings = copy;
    f->senders = states;
}

static void frontend_init(struct frontend *frontend, const struct web_settings *settings,
                          const struct web_hooks *hooks)
{
    double now = clock_monotonic();
    pthread_mutex_init(&frontend->mutex, NULL);
    pthread_rwlock_init(&frontend->settings_lock, NULL);
    frontend->hooks = *hooks;
    frontend->state_dir = hooks->state_dir ? xstrdup(hooks->state_dir) : NULL;
    frontend_set(frontend, settings);
    frontend->refused = bucket_make(REFUSED_PER_SECOND, REFUSED_AT_ONCE, now);
    frontend->refresh.bucket = bucket_make(REFRESH_RATE, REFRESH_RATE * BURST_SECONDS, now);
    frontend->inbox = inbox_new(hooks->state_dir);
    frontend->started_at = clock_now();
}

static void frontend_release(struct frontend *frontend)
{
    inbox_free(frontend->inbox);
    for (size_t i = 0; i < frontend->idle_count; i++)
        database_free(frontend->idle[i]);
    web_settings_release(&frontend->settings);
    free(frontend->senders);
    free(frontend->state_dir);
    pthread_rwlock_destroy(&frontend->settings_lock);
    pthread_mutex_destroy(&frontend->mutex);
}

/* A thread a connection: they wait for the disk and share its syncs (a pool would have limits for
 * each of its threads only, and turn away what comes to one that has its share). */
static struct MHD_Daemon *start_daemon(struct web *web, const struct web_settings *s, int fd)
{
    size_t connections = s->connections ? s->connections : WEB_CONNECTIONS_DEFAULT;
    size_t per_address = s->per_address ? s->per_address : WEB_PER_ADDRESS_DEFAULT;
    return MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ERROR_LOG, 0, NULL,
        NULL, on_request, web, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET,
        fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)per_address, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)WEB_TIMEOUT_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES, MHD_OPTION_NOTIFY_COMPLETED, on_end,
        NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

static int add_listener(struct web *web, const struct web_settings *settings, const char *address,
                        struct error *err)
{
    int fd = listen_on(address, err);
    if (fd < 0)
        return -1;
    unsigned port = port_of(fd);
    struct MHD_Daemon *daemon = start_daemon(web, settings, fd); /* it closes the socket */
    if (!daemon) {
        close(fd);
        return error_set(err, ERROR_NET, "cannot serve on %s", address);
    }
    web->listeners[web->count++] = (struct listener){daemon, port};
    return 0;
}

int web_start(const struct web_settings *settings, const struct web_hooks *hooks, struct web **out,
              struct error *err)
{
    struct web *web = xcalloc(1, sizeof *web);
    frontend_init(&web->frontend, settings, hooks);
    web->listeners = xcalloc(settings->listen_count + 1, sizeof *web->listeners);
    for (size_t i = 0; i < settings->listen_count; i++) {
        if (add_listener(web, settings, settings->listen[i], err) < 0) {
            web_stop(web);
            return error_wrap(err, "web: listen");
        }
    }
    *out = web;
    return 0;
}

void web_change(struct web *web, const struct web_settings *settings)
{
    struct frontend *f = &web->frontend;
    pthread_rwlock_wrlock(&f->settings_lock);
    frontend_set(f, settings);
    pthread_rwlock_unlock(&f->settings_lock);
}

void web_stop(struct web *web)
{
    if (!web)
        return;
    for (size_t i = 0; i < web->count; i++)
        MHD_stop_daemon(web->listeners[i].daemon);
    frontend_release(&web->frontend);
    free(web->listeners);
    free(web);
}

unsigned web_port(const struct web *web, size_t n)
{
    return n < web->count ? web->listeners[n].port : 0;
}

#include "registry/transfer.h"

#include "base/limits.h"
#include "base/memory.h"
#include "registry/auth.h"
#include "registry/auth_file.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define ERROR_BODY_BYTES ((size_t)64 << 10) /* of an answer that is not 2xx: for its message */
#define STALL_BYTES      1000L

static bool is_success(long status)
{
    return status >= 200 && status < 300;
}

/* --- headers --- */

static long status_of_line(const char *line, size_t len)
{
    const char *space = memchr(line, ' ', len);
    if (!space || (size_t)(space - line) + 4 > len)
        return 0;
    long status = 0;
    for (int i = 1; i <= 3; i++)
        status = status * 10 + (space[i] - '0');
    return status;
}

static void drop_headers(struct http_response *r)
{
    for (size_t i = 0; i < r->header_count; i++) {
        free(r->headers[i].name);
        free(r->headers[i].value);
    }
    r->header_count = 0;
}

static void add_header(struct http_response *r, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    if (!colon)
        return;
    const char *value = colon + 1, *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && strchr(" \t\r\n", end[-1]))
        end--;
    ARRAY_GROW(r->headers, r->header_count, r->header_capacity);
    struct http_header *header = &r->headers[r->header_count++];
    header->name = xstrndup(line, (size_t)(colon - line));
    header->value = xstrndup(value, (size_t)(end - value));
    for (char *p = header->name; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
}

static int begin(struct transfer *t)
{
    const struct http_sink *sink = t->request->sink;
    if (t->begun || !is_success(t->response.status))
        return 0;
    t->begun = true;
    return sink && sink->begin ? sink->begin(sink->arg, &t->response, &t->error) : 0;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * count;
    t->response.header_bytes += len;
    if (t->response.header_bytes > LIMIT_HEADER_BYTES) {
        error_set(&t->error, ERROR_LIMIT, "more than %zu bytes of response headers",
                  LIMIT_HEADER_BYTES);
        return 0;
    }
    if (len >= 5 && strncasecmp(line, "HTTP/", 5) == 0) {
        drop_headers(&t->response); /* of an interim answer: RFC 9110, section 15.2 */
        t->response.status = status_of_line(line, len);
    } else if (line[0] == '\r' || line[0] == '\n') {
        return begin(t) < 0 ? 0 : len;
    } else if (!t->begun) {
        add_header(&t->response, line, len);
    }
    return len;
}

/* --- body --- */

static int collect(struct transfer *t, const char *bytes, size_t len)
{
    struct buf *body = &t->response.body;
    if (!is_success(t->response.status)) {
        size_t room = ERROR_BODY_BYTES - body->len;
        buf_add(body, bytes, len < room ? len : room);
        return 0;
    }
    if (len > t->request->max_body_bytes - body->len)
        return error_set(&t->error, ERROR_LIMIT, "the answer is longer than %zu bytes",
                         t->request->max_body_bytes);
    buf_add(body, bytes, len);
    return 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    const struct http_sink *sink = t->request->sink;
    size_t len = size * count;
    int rc = sink && is_success(t->response.status) ? sink->body(sink->arg, bytes, len, &t->error)
                                                    : collect(t, bytes, len);
    return rc < 0 ? 0 : len;
}

/* --- set-up --- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)arg;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void add_request_header(struct transfer *t, const char *name, const char *value)
{
    if (!value)
        return;
    char *line = xasprintf("%s: %s", name, value);
    t->headers = curl_slist_append(t->headers, line);
    secret_free(line);
}

static void wipe_headers(struct transfer *t)
{
    for (struct curl_slist *h = t->headers; h; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(t->headers);
}

static void set_headers(struct transfer *t, bool authorized)
{
    add_request_header(t, "Accept", t->request->accept);
    if (authorized)
        add_request_header(t, "Authorization", t->request->authorization);
    add_request_header(t, "Content-Type", t->request->json ? "application/json" : NULL);
    add_request_header(t, "X-Hub-Signature-256", t->request->json_signature);
    add_request_header(t, "If-None-Match", t->request->if_none_match);
    add_request_header(t, "If-Modified-Since", t->request->if_modified_since);
    if (t->request->range_start > 0) {
        _cleanup_free_ char *range =
            xasprintf("bytes=%llu-", (unsigned long long)t->request->range_start);
        add_request_header(t, "Range", range);
    }
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

static void set_limits(CURL *easy, const struct http_options *options)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(options->connect_seconds * 1000));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(options->stall_seconds + 0.999));
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Do not wait for a name server when a transfer is given up: it would hold up all others. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static void set_tls(CURL *easy, const struct tls_settings *tls)
{
    if (!tls->verify) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (tls->authorities)
        curl_easy_setopt(easy, CURLOPT_CAINFO, tls->authorities);
    if (tls->certificate) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->certificate);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key);
    }
}

static void set_method(CURL *easy, const struct http_request *request)
{
    curl_easy_setopt(easy, CURLOPT_NOBODY, request->head ? 1L : 0L);
    const char *body = request->form ? request->form : request->json;
    if (!body)
        return;
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
}

static void set_callbacks(struct transfer *t)
{
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->reason);
    curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
}

int transfer_init(struct transfer *t, const struct http_options *options,
                  const struct http_request *request, const char *url, bool authorized,
                  struct error *err)
{
    const struct tls_settings *tls = tls_store_find(options->tls, url, err);
    if (!tls)
        return -1;
    *t = (struct transfer){.request = request, .response = {.body = BUF_INIT}};
    t->easy = curl_easy_init();
    if (!t->easy)
        return error_set(err, ERROR_BUG, "libcurl: no handle");
    pthread_cond_init(&t->ended, NULL);
    t->response.url = xstrdup(url);
    t->response.left_origin = !authorized;
    set_limits(t->easy, options);
    set_callbacks(t);
    set_headers(t, authorized);
    curl_easy_setopt(t->easy, CURLOPT_URL, url);
    curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "ducc/0.1");
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* Wait for a connection that turns out to be HTTP/2 instead of opening one a request. */
    curl_easy_setopt(t->easy, CURLOPT_PIPEWAIT, 1L);
    set_method(t->easy, request);
    set_tls(t->easy, tls);
    return 0;
}

void transfer_release(struct transfer *t)
{
    curl_easy_cleanup(t->easy);
    wipe_headers(t);
    pthread_cond_destroy(&t->ended);
    http_response_release(&t->response);
    error_release(&t->error);
}

/* --- the end --- */

/* Failures that another try will meet again. */
static bool is_permanent(CURLcode code)
{
    return code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ||
           code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_NOT_BUILT_IN || code == CURLE_FAILED_INIT;
}

static void blot_out(struct buf *text, const char *secret, size_t len)
{
    char *found = text->data;
    while (len > 0 &&
           (found = memmem(found, text->len - (size_t)(found - text->data), secret, len)))
        memset(found, '*', len);
}

/* A peer that repeats what it was sent ("unknown token …") must not bring it into a message. */
static void hide_secrets(struct transfer *t)
{
    struct buf *body = &t->response.body;
    const char *sent = t->request->authorization, *space = sent ? strchr(sent, ' ') : NULL;
    if (t->request->secret)
        blot_out(body, t->request->secret, strlen(t->request->secret));
    if (!space)
        return;
    blot_out(body, space + 1, strlen(space + 1));
    size_t len;
    char *pair = starts_with(sent, "Basic ") ? base64_decode(space + 1, &len) : NULL;
    const char *colon = pair ? strchr(pair, ':') : NULL;
    if (colon)
        blot_out(body, colon + 1, strlen(colon + 1));
    secret_free(pair);
}

/* libcurl's words may quote what the peer sent. */
static void make_printable(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = ' ';
}

void transfer_finish(struct transfer *t, CURLcode result)
{
    if (!is_success(t->response.status))
        hide_secrets(t);
    if (t->error.kind != ERROR_NONE || result == CURLE_OK)
        return;
    make_printable(t->reason);
    /* libcurl's word for a header line beyond its own limit of 100 KiB. */
    if (result == CURLE_OUT_OF_MEMORY && !t->begun) {
        error_set(&t->error, ERROR_LIMIT, "more than %zu bytes of response headers",
                  LIMIT_HEADER_BYTES);
        return;
    }
    error_set(&t->error, ERROR_NET, "%s", t->reason[0] ? t->reason : curl_easy_strerror(result));
    t->error.retryable = !is_permanent(result);
}

#include "registry/answer.h"

#include "base/clock.h"
#include "base/memory.h"
#include "registry/url.h"

#include <curl/curl.h>
#include <jansson.h>
#include <string.h>

#define SAID_BYTES_MAX 200

bool answer_is_transient(const struct http_response *response)
{
    long status = response->status;
    return status == 408 || status == 429 || (status >= 500 && status < 600 && status != 501);
}

double answer_retry_after(const struct http_response *response)
{
    const char *value = http_header(response, "retry-after");
    if (!value || !*value)
        return -1;
    size_t digits = strspn(value, "0123456789");
    if (value[digits] == '\0')
        return strtod(value, NULL);
    time_t when = curl_getdate(value, NULL);
    if (when < 0)
        return -1;
    double seconds = (double)(when - (time_t)clock_now());
    return seconds > 0 ? seconds : 0;
}

/* OCI distribution specification, "Error Codes": {"errors":[{"code":…,"message":…}]}. Token
 * services also answer {"message":…} or {"details":…}. Borrowed from doc. */
static const char *said(const json_t *doc)
{
    const json_t *first = json_array_get(json_object_get(doc, "errors"), 0);
    const struct {
        const json_t *object;
        const char *field;
    } places[] = {{first, "message"}, {first, "code"}, {doc, "message"}, {doc, "details"}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *text = json_string_value(json_object_get(places[i].object, places[i].field));
        if (text && *text)
            return text;
    }
    return NULL;
}

/* One line of printable text, not too long, and no UTF-8 character cut in two. */
static void add_line(struct buf *out, const char *text)
{
    size_t len = strlen(text);
    bool cut = len > SAID_BYTES_MAX;
    if (cut)
        for (len = SAID_BYTES_MAX; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
            len--;
    for (size_t i = 0; i < len; i++)
        buf_addc(out, (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i]);
    buf_adds(out, cut ? "..." : "");
}

static void add_said(struct buf *message, const struct http_response *response)
{
    json_t *doc = json_loadb(response->body.data, response->body.len, 0, NULL);
    const char *text = said(doc);
    if (text) {
        buf_adds(message, ": ");
        add_line(message, text);
    }
    json_decref(doc);
}

static enum error_kind kind_of_status(long status)
{
    switch (status) {
    case 401:
    case 403:
        return ERROR_AUTH;
    case 404:
        return ERROR_NOT_FOUND;
    default:
        return ERROR_NET;
    }
}

int answer_error(const struct http_response *response, struct error *err)
{
    _cleanup_buf_ struct buf message = BUF_INIT;
    _cleanup_free_ char *shown = url_shown(response->url);
    _cleanup_free_ char *status = http_status_text(response->status);
    buf_addf(&message, "%s: %s", shown, status);
    add_said(&message, response);
    double wait = answer_retry_after(response);
    if (wait >= 0 && answer_is_transient(response))
        buf_addf(&message, " (it asks to wait %.0f seconds)", wait);
    error_set(err, kind_of_status(response->status), "%s", message.data);
    err->retryable = answer_is_transient(response);
    return -1;
}

int answer_wrong_digest(const struct reference *ref, const char *what,
                        const struct digest *expected, const struct digest *got, struct error *err)
{
    return error_set(err, ERROR_CORRUPT,
                     "%s/%s: %s: expected digest %s, but what the registry sent has %s: damaged "
                     "there or by a proxy on the way; if it stays so, ask the owner to push the "
                     "image again",
                     ref->registry, ref->repository, what, digest_text(expected).s,
                     digest_text(got).s);
}

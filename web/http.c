#include "web/http.h"

#include "base/json.h"
#include "base/memory.h"

#include <stdlib.h>

const char *http_query(const struct http_request *request, const char *name)
{
    const char *value = request->query(request, name);
    return value && *value ? value : NULL;
}

int http_query_number(const struct http_request *request, const char *name, size_t max,
                      size_t otherwise, size_t *out, struct error *err)
{
    const char *text = http_query(request, name);
    char *end;
    *out = otherwise;
    if (!text)
        return 0;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || *end || n > max)
        return error_set(err, ERROR_PARSE, "parameter \"%s\": expected a number from 1 to %zu",
                         name, max);
    *out = n;
    return 0;
}

void response_release(struct http_response *response)
{
    buf_release(&response->body);
}

void response_json(struct http_response *response, unsigned status, json_t *value)
{
    json_t *owned _cleanup_json_ = value;
    _cleanup_free_ char *text = json_text(owned);
    response->status = status;
    response->type = "application/json";
    buf_truncate(&response->body, 0);
    buf_adds(&response->body, text);
    buf_addc(&response->body, '\n');
}

void response_message(struct http_response *response, unsigned status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    _cleanup_free_ char *message = xvasprintf(fmt, ap);
    va_end(ap);
    json_t *text = json_string(message);
    if (!text) { /* bytes that are no UTF-8 */
        _cleanup_free_ char *q = quoted(message);
        text = json_string(q);
    }
    response_json(response, status, json_pack("{s:o}", "error", text));
}

static unsigned status_of(enum error_kind kind)
{
    switch (kind) {
    case ERROR_PARSE:
        return 400;
    case ERROR_AUTH:
        return 401;
    case ERROR_NOT_FOUND:
        return 404;
    case ERROR_LIMIT:
        return 413;
    case ERROR_UNSUPPORTED:
        return 415;
    default:
        return 503; /* of the database, and it may pass */
    }
}

void response_error(struct http_response *response, const struct error *err)
{
    unsigned status = status_of(err->kind);
    response_message(response, status, "%s", err->message);
    response->retry_after = status == 503 ? 30 : 0;
}

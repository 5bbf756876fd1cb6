#include "base/memory.h"
#include "registry/http.h"

#include <string.h>

const char *http_header(const struct http_response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++)
        if (strcmp(response->headers[i].name, name) == 0)
            return response->headers[i].value;
    return NULL;
}

char *http_headers_joined(const struct http_response *response, const char *name)
{
    struct buf joined = BUF_INIT;
    bool found = false;
    for (size_t i = 0; i < response->header_count; i++) {
        if (strcmp(response->headers[i].name, name) != 0)
            continue;
        buf_addf(&joined, "%s%s", found ? ", " : "", response->headers[i].value);
        found = true;
    }
    return found ? buf_take(&joined) : NULL;
}

void http_response_release(struct http_response *response)
{
    for (size_t i = 0; i < response->header_count; i++) {
        free(response->headers[i].name);
        free(response->headers[i].value);
    }
    free(response->headers);
    free(response->url);
    buf_release(&response->body);
    *response = (struct http_response){.body = BUF_INIT};
}

/* Our own words: the reason phrase of the answer is somebody else's text, and HTTP/2 has none. */
char *http_status_text(long status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {410, "Gone"},
        {416, "Range Not Satisfiable"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == status)
            return xasprintf("%ld %s", status, table[i].text);
    return xasprintf("%ld", status);
}

/* A request as it was recorded: "POST PATH", headers, an empty line, the body. tests/data/webhooks
 * and the corpus of the fuzz target. */
#ifndef TEST_WEBHOOK_REQUEST_H
#define TEST_WEBHOOK_REQUEST_H

#include "base/buf.h"
#include "base/memory.h"
#include "web/webhook.h"

#include <string.h>
#include <strings.h>

struct webhook_request {
    char *text; /* with NULs behind the parts below */
    char *kind; /* of the path: "harbor" */
    struct webhook_delivery delivery;
};

static inline void webhook_request_header(struct webhook_delivery *d, const char *name,
                                          const char *value)
{
    const struct {
        const char *name;
        const char **to;
    } table[] = {
        {"Authorization", &d->authorization}, {"X-Hub-Signature-256", &d->signature},
        {"X-Gitlab-Token", &d->token},        {"X-GitHub-Event", &d->event},
        {"X-GitHub-Delivery", &d->id},        {"Idempotency-Key", &d->id},
        {"Content-Type", &d->content_type},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcasecmp(table[i].name, name) == 0)
            *table[i].to = value;
}

/* False if it is no request. */
static inline bool webhook_request_parse(const char *bytes, size_t len, struct webhook_request *out)
{
    static const char start[] = "POST /hook/";
    *out = (struct webhook_request){.text = xstrndup(bytes, len)};
    char *end = strstr(out->text, "\n\n");
    if (!end || !starts_with(out->text, start))
        return false;
    size_t head = (size_t)(end - out->text) + 2;
    out->delivery.body = bytes + head;
    out->delivery.len = len - head;
    *end = '\0';
    char *line = strtok_r(out->text, "\n", &end);
    out->kind = line + strlen(start);
    char *slash = strchr(out->kind, '/');
    if (slash) {
        *slash = '\0';
        out->delivery.path_secret = slash + 1;
    }
    while ((line = strtok_r(NULL, "\n", &end))) {
        char *colon = strstr(line, ": ");
        if (!colon)
            return false;
        *colon = '\0';
        webhook_request_header(&out->delivery, line, colon + 2);
    }
    return true;
}

static inline void webhook_request_release(struct webhook_request *request)
{
    free(request->text);
}

#endif

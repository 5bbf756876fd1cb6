#include "web/webhook.h"

#include "base/buf.h"
#include "base/hmac.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "registry/reference.h"
#include "web/webhook_parser.h"

#include <ctype.h>
#include <string.h>

void webhook_events_release(struct webhook_events *events)
{
    for (size_t i = 0; i < events->count; i++) {
        free(events->items[i].subject);
        free(events->items[i].delivery);
    }
    free(events->items);
    free(events->why);
    *events = (struct webhook_events){0};
}

/* --- who is it? --- */

static bool is_secret(const struct sender *sender, const char *given)
{
    return given && secret_equal(sender->secret, strlen(sender->secret), given, strlen(given));
}

static bool is_authorized(const struct sender *sender, const char *header)
{
    static const char bearer[] = "Bearer ";
    const char *rest =
        header && strncasecmp(header, bearer, strlen(bearer)) == 0 ? header + strlen(bearer) : NULL;
    /* Both are compared, so that the time does not tell which it was. */
    bool whole = is_secret(sender, header), behind = is_secret(sender, rest);
    return whole || behind;
}

static bool is_signed(const struct sender *sender, const struct webhook_delivery *delivery)
{
    struct digest mac =
        hmac_sha256(sender->secret, strlen(sender->secret), delivery->body, delivery->len);
    char expected[7 + DIGEST_HEX_SIZE];
    int len = snprintf(expected, sizeof expected, "sha256=%s", digest_hex(&mac).s);
    return secret_equal(expected, (size_t)len, delivery->signature, strlen(delivery->signature));
}

int webhook_authenticate(const struct sender *sender, const struct webhook_delivery *delivery,
                         struct error *err)
{
    bool ok = false;
    const char *needs = "";
    switch (sender_types[sender->kind].proof) {
    case PROOF_AUTHORIZATION:
        ok = is_authorized(sender, delivery->authorization);
        needs = "the header Authorization with its secret";
        break;
    case PROOF_PATH:
        ok = is_secret(sender, delivery->path_secret);
        needs = "its secret at the end of the URL";
        break;
    case PROOF_SIGNATURE:
        ok = delivery->signature && is_signed(sender, delivery);
        needs = "the header X-Hub-Signature-256 made with its secret";
        break;
    case PROOF_TOKEN:
        ok = is_authorized(sender, delivery->authorization);
        ok = is_secret(sender, delivery->token) || ok;
        needs = "the header X-Gitlab-Token with its secret";
        break;
    }
    if (ok)
        return 0;
    return error_set(err, ERROR_AUTH, "sender %s: expected %s", sender->name, needs);
}

/* --- what all formats need --- */

void webhook_ignore(struct webhook_parser *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!p->events.why)
        p->events.why = xvasprintf(fmt, ap);
    va_end(ap);
    p->events.ignored++;
}

static int add_event(struct webhook_parser *p, enum event_kind kind, char *subject, const char *id)
{
    if (p->events.count == WEBHOOK_EVENTS_MAX) {
        free(subject);
        return error_set(p->err, ERROR_LIMIT, "%s: more than %zu events in one delivery", p->what,
                         WEBHOOK_EVENTS_MAX);
    }
    /* One delivery may tell of several things. */
    char *delivery = id || !*p->id || p->events.count == 0
                         ? xstrdup(id ? id : p->id)
                         : xasprintf("%s#%zu", p->id, p->events.count);
    ARRAY_GROW(p->events.items, p->events.count, p->events.capacity);
    p->events.items[p->events.count++] = (struct webhook_event){kind, subject, delivery};
    return 0;
}

/* Whether it is a name; what is ignored is told. The reference's grammar knows no name without a
 * tag: it would be "latest". */
static bool is_name(struct webhook_parser *p, const char *name, bool is_repository)
{
    _cleanup_error_ struct error why = ERROR_INIT;
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_free_ char *tagged = is_repository ? xasprintf("%s:latest", name) : xstrdup(name);
    if (reference_parse(tagged, 0, &ref, &why) == 0)
        return true;
    webhook_ignore(p, "%s", why.message);
    return false;
}

int webhook_add_image(struct webhook_parser *p, enum event_kind kind,
                      const struct webhook_image *image)
{
    const char *registry = p->sender->registry ? p->sender->registry : image->registry;
    bool tagged = image->tag && *image->tag, digested = image->digest && *image->digest;
    if (!registry || !*registry) {
        webhook_ignore(p, "it does not say which registry it is; set \"registry\" of sender %s",
                       p->sender->name);
        return 0;
    }
    struct buf name = BUF_INIT;
    buf_addf(&name, "%s/%s", registry, image->repository);
    for (char *c = name.data + strlen(registry); *c; c++)
        *c = (char)tolower(
            (unsigned char)*c); /* GitHub shows its names as their owners wrote them */
    if (tagged)
        buf_addf(&name, ":%s", image->tag);
    else if (digested)
        buf_addf(&name, "@%s", image->digest);
    if (is_name(p, name.data, !tagged && !digested))
        return add_event(p, kind, buf_take(&name), image->id);
    buf_release(&name);
    return 0;
}

int webhook_add_name(struct webhook_parser *p, enum event_kind kind, const char *name)
{
    const char *slash = strchr(name, '/');
    if (!slash) {
        webhook_ignore(p, "a name without a registry");
        return 0;
    }
    const char *at = strchr(slash, '@'), *colon = strchr(slash, ':');
    const char *end = at ? at : colon;
    size_t len = end ? (size_t)(end - slash) - 1 : strlen(slash + 1);
    _cleanup_free_ char *registry = xstrndup(name, (size_t)(slash - name));
    _cleanup_free_ char *repository = xstrndup(slash + 1, len);
    return webhook_add_image(p, kind,
                             &(struct webhook_image){.registry = registry,
                                                     .repository = repository,
                                                     .tag = at || !colon ? NULL : colon + 1,
                                                     .digest = at ? at + 1 : NULL});
}

char *webhook_git_subject(const char *url)
{
    const char *scheme = strstr(url, "://");
    const char *host = scheme ? scheme + 3 : url;
    const char *slash = strchr(host, scheme ? '/' : ':'); /* git@HOST:PATH */
    const char *at = memchr(host, '@', slash ? (size_t)(slash - host) : 0);
    if (at)
        host = at + 1;
    if (!slash || slash == host || !slash[1])
        return NULL;
    size_t host_len = (size_t)(slash - host);
    const char *port = host[0] == '[' ? NULL : memchr(host, ':', host_len);
    if (port)
        host_len = (size_t)(port - host);
    const char *path = slash + 1;
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    if (len > 4 && memcmp(path + len - 4, ".git", 4) == 0)
        len -= 4;
    for (size_t i = 0; i < len; i++)
        if (!isgraph((unsigned char)path[i]))
            return NULL;
    return len && host_len ? xasprintf("%.*s/%.*s", (int)host_len, host, (int)len, path) : NULL;
}

int webhook_add_list(struct webhook_parser *p, const char *url)
{
    char *subject = strlen(url) <= LIMIT_REFERENCE_BYTES ? webhook_git_subject(url) : NULL;
    if (subject)
        return add_event(p, EVENT_LIST, subject, NULL);
    webhook_ignore(p, "the URL of the repository is none");
    return 0;
}

int webhook_object(struct webhook_parser *p, const json_t *in, const char *field, json_t **out)
{
    return json_get_optional_object(in, p->what, field, out, p->err);
}

int webhook_string(struct webhook_parser *p, const json_t *in, const char *field, const char **out)
{
    if (json_get_optional_string(in, p->what, field, out, p->err) < 0)
        return -1;
    if (*out && strlen(*out) > LIMIT_REFERENCE_BYTES)
        return error_set(p->err, ERROR_LIMIT, "%s: field \"%s\": longer than %zu bytes", p->what,
                         field, LIMIT_REFERENCE_BYTES);
    return 0;
}

int webhook_array(struct webhook_parser *p, const json_t *in, const char *field, json_t **out)
{
    if (json_get_optional_array(in, p->what, field, out, p->err) < 0)
        return -1;
    if (*out && json_array_size(*out) > WEBHOOK_EVENTS_MAX)
        return error_set(p->err, ERROR_LIMIT, "%s: field \"%s\": more than %zu elements", p->what,
                         field, WEBHOOK_EVENTS_MAX);
    return 0;
}

static int missing(struct webhook_parser *p, const char *field, const char *expected)
{
    return error_set(p->err, ERROR_PARSE, "%s: field \"%s\": expected %s, but it is missing",
                     p->what, field, expected);
}

int webhook_need_object(struct webhook_parser *p, const json_t *in, const char *field, json_t **out)
{
    if (webhook_object(p, in, field, out) < 0)
        return -1;
    return *out ? 0 : missing(p, field, "an object");
}

int webhook_need_string(struct webhook_parser *p, const json_t *in, const char *field,
                        const char **out)
{
    if (webhook_string(p, in, field, out) < 0)
        return -1;
    return *out ? 0 : missing(p, field, "a string");
}

/* --- a delivery --- */

static bool is_json(const char *content_type)
{
    static const char *const types[] = {"application/json", "application/cloudevents+json",
                                        "application/vnd.docker.distribution.events.v1+json",
                                        "application/vnd.docker.distribution.events.v2+json"};
    size_t len = content_type ? strcspn(content_type, "; ") : 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strlen(types[i]) == len && strncasecmp(content_type, types[i], len) == 0)
            return true;
    return content_type == NULL; /* Harbor's CloudEvents in some versions */
}

/* The sender's own word for the delivery with the body's hash behind it, so that an id that comes
 * twice with another body is another delivery. */
static char *delivery_id(const struct webhook_delivery *delivery)
{
    struct digest body = digest_of(DIGEST_SHA256, delivery->body, delivery->len);
    if (!delivery->id)
        return xasprintf("body %.32s", digest_hex(&body).s);
    return xasprintf("%.*s %.16s", (int)WEBHOOK_DELIVERY_MAX - 32, delivery->id,
                     digest_hex(&body).s);
}

int webhook_parse(const struct sender *sender, const struct webhook_delivery *delivery,
                  struct webhook_events *out, struct error *err)
{
    static int (*const readers[SENDER_KIND_COUNT])(struct webhook_parser *, const json_t *) = {
        [SENDER_HARBOR] = webhook_harbor,       [SENDER_DISTRIBUTION] = webhook_distribution,
        [SENDER_DOCKERHUB] = webhook_dockerhub, [SENDER_GITHUB] = webhook_github,
        [SENDER_GITLAB] = webhook_gitlab,       [SENDER_QUAY] = webhook_quay,
    };
    const char *what = sender_types[sender->kind].word;
    if (!is_json(delivery->content_type))
        return error_set(err, ERROR_UNSUPPORTED,
                         "%s: expected the content type application/json; set it at the sender",
                         what);
    json_t *root _cleanup_json_ =
        json_parse(what, delivery->body, delivery->len, WEBHOOK_BODY_MAX, err);
    if (!root)
        return -1;
    if (!json_is_object(root))
        return error_set(err, ERROR_PARSE, "%s: expected an object", what);
    struct webhook_parser p = {.sender = sender, .delivery = delivery, .what = what, .err = err};
    p.id = delivery_id(delivery);
    int rc = readers[sender->kind](&p, root);
    free(p.id);
    if (rc < 0)
        webhook_events_release(&p.events);
    else
        *out = p.events;
    return rc;
}

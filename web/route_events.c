/* Events in: POST /hook/NAME[/SECRET] and POST /api/v1/refresh. */
#include "web/frontend.h"

#include "base/clock.h"
#include "base/hmac.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "registry/reference.h"

#include <string.h>

/* Nobody learns whether the name or the secret was wrong. */
static void refuse(struct frontend *frontend, struct http_response *response)
{
    pthread_mutex_lock(&frontend->mutex);
    frontend->refused_count++;
    pthread_mutex_unlock(&frontend->mutex);
    if (frontend_admit(frontend, &frontend->refused, response))
        response_message(response, 401, "no sender of this name, or not its secret");
}

static void count(struct frontend *frontend, struct sender_state *state,
                  const struct webhook_events *events, size_t new_count)
{
    pthread_mutex_lock(&frontend->mutex);
    state->requests++;
    state->events += new_count;
    state->replays += events->count - new_count;
    state->ignored += events->ignored;
    pthread_mutex_unlock(&frontend->mutex);
}

/* Stored, then answered. */
static void take_in(struct frontend *frontend, const char *source, struct sender_state *state,
                    const struct webhook_events *events, struct http_response *response)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    size_t new_count = 0;
    if (events->count > 0 &&
        inbox_store(frontend->inbox, source, events, clock_now(), &new_count, &err) < 0) {
        log_warning("web: an event of %s could not be stored: %s", source, err.message);
        response_error(response, &err);
        return;
    }
    count(frontend, state, events, new_count);
    log_debug("web: %s: %zu events, %zu of them new, %zu ignored", source, events->count, new_count,
              events->ignored);
    if (new_count > 0 && frontend->hooks.events_waiting)
        frontend->hooks.events_waiting(frontend->hooks.arg);
    response_json(response, HTTP_ACCEPTED,
                  json_pack("{s:I, s:I, s:I, s:s?}", "accepted", (json_int_t)new_count, "replayed",
                            (json_int_t)(events->count - new_count), "ignored",
                            (json_int_t)events->ignored, "because", events->why));
}

static struct webhook_delivery delivery_of(const struct http_request *r, const char *path_secret)
{
    static const char *const ids[] = {"X-GitHub-Delivery", "Idempotency-Key",
                                      "X-Gitlab-Event-UUID"};
    struct webhook_delivery d = {
        .path_secret = path_secret,
        .authorization = r->header(r, "Authorization"),
        .signature = r->header(r, "X-Hub-Signature-256"),
        .token = r->header(r, "X-Gitlab-Token"),
        .event = r->header(r, "X-GitHub-Event"),
        .content_type = r->header(r, "Content-Type"),
        .body = r->body,
        .len = r->len,
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids && !d.id; i++)
        d.id = r->header(r, ids[i]);
    return d;
}

void route_hook(struct frontend *frontend, const struct http_request *request,
                struct http_response *response)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    size_t len = strcspn(request->rest, "/");
    const struct sender *sender = sender_find(&frontend->settings.senders, request->rest, len);
    struct webhook_delivery delivery =
        delivery_of(request, request->rest[len] ? request->rest + len + 1 : NULL);
    if (!sender || webhook_authenticate(sender, &delivery, &err) < 0) {
        if (sender)
            log_debug("web: %s", err.message);
        refuse(frontend, response);
        return;
    }
    struct sender_state *state = &frontend->senders[sender - frontend->settings.senders.items];
    struct webhook_events events _cleanup_webhook_events_ = {0};
    if (!frontend_admit(frontend, &state->bucket, response))
        return;
    if (webhook_parse(sender, &delivery, &events, &err) < 0) {
        log_warning("web: sender %s: %s", sender->name, err.message);
        response_error(response, &err);
        return;
    }
    take_in(frontend, sender->name, state, &events, response);
}

/* --- refresh --- */

static bool has_token(const struct frontend *frontend, const struct http_request *request)
{
    static const char bearer[] = "Bearer ";
    const char *header = request->header(request, "Authorization");
    if (!header || strncasecmp(header, bearer, strlen(bearer)) != 0)
        return false;
    const char *given = header + strlen(bearer), *token = frontend->settings.token;
    return secret_equal(token, strlen(token), given, strlen(given));
}

static void ask_for(struct webhook_events *events, enum event_kind kind, const char *subject)
{
    ARRAY_GROW(events->items, events->count, events->capacity);
    events->items[events->count++] = (struct webhook_event){kind, xstrdup(subject), xstrdup("")};
}

/* An image, or REGISTRY/REPOSITORY for all its tags. */
static int check_image(const char *text, struct error *err)
{
    _cleanup_reference_ struct reference ref = {0};
    return reference_parse(text, 0, &ref, err);
}

static int check_list(const char *text, struct error *err)
{
    if (*text && strlen(text) <= LIMIT_REFERENCE_BYTES)
        return 0;
    return error_set(err, ERROR_PARSE, "a list is its URL, or a part of it");
}

static int read_names(const json_t *body, const char *field, enum event_kind kind,
                      int (*check)(const char *text, struct error *err),
                      struct webhook_events *events, struct error *err)
{
    json_t *names, *name;
    size_t i;
    if (json_get_optional_array(body, "refresh", field, &names, err) < 0)
        return -1;
    json_array_foreach(names, i, name)
    {
        if (!json_is_string(name))
            return error_set(err, ERROR_PARSE, "refresh: field \"%s\": expected strings", field);
        if (events->count == WEBHOOK_EVENTS_MAX)
            return error_set(err, ERROR_LIMIT, "refresh: more than %zu names", WEBHOOK_EVENTS_MAX);
        if (check(json_string_value(name), err) < 0)
            return error_wrap(err, "refresh: field \"%s\"", field);
        ask_for(events, kind, json_string_value(name));
    }
    return 0;
}

static int read_refresh(const struct http_request *request, struct webhook_events *events,
                        struct error *err)
{
    if (request->len == 0) {
        ask_for(events, EVENT_REFRESH, "");
        return 0;
    }
    json_t *body _cleanup_json_ =
        json_parse("refresh", request->body, request->len, WEBHOOK_BODY_MAX, err);
    const char *key;
    json_t *value;
    if (!body)
        return -1;
    if (!json_is_object(body))
        return error_set(err, ERROR_PARSE, "refresh: expected an object");
    json_object_foreach(body, key, value)
    {
        if (strcmp(key, "images") != 0 && strcmp(key, "lists") != 0)
            return error_set(err, ERROR_PARSE, "refresh: expected \"images\" or \"lists\"");
    }
    if (read_names(body, "images", EVENT_REFRESH, check_image, events, err) < 0 ||
        read_names(body, "lists", EVENT_LIST, check_list, events, err) < 0)
        return -1;
    if (json_object_size(body) == 0)
        ask_for(events, EVENT_REFRESH, "");
    return 0;
}

void route_refresh(struct frontend *frontend, const struct http_request *request,
                   struct http_response *response)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct webhook_events events _cleanup_webhook_events_ = {0};
    if (!frontend->settings.token) {
        response_message(response, 403, "off: the configuration has no web: token_file");
        return;
    }
    if (!has_token(frontend, request)) {
        refuse(frontend, response);
        return;
    }
    if (!frontend_admit(frontend, &frontend->refresh.bucket, response))
        return;
    if (read_refresh(request, &events, &err) < 0)
        response_error(response, &err);
    else
        take_in(frontend, "refresh", &frontend->refresh, &events, response);
}

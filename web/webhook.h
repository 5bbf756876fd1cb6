/*
 * Webhooks: what a sender's request says, as events (state/events.h).
 *
 *     struct webhook_events events = {0};
 *     if (webhook_authenticate(sender, &delivery, err) < 0 ||
 *         webhook_parse(sender, &delivery, &events, err) < 0)
 *         return -1;
 *     ... store events.items, then answer ...
 *     webhook_events_release(&events);
 *
 * An event names an image, a repository of a registry, or a git repository; it asks to look there,
 * and says nothing about what is found. So nothing else of a payload is believed or kept.
 *
 * The formats, as documented by those who send them: Harbor ("Configure Webhook Notifications",
 * default form and CloudEvents 1.0), distribution ("Work with notifications", the envelope of
 * events), Docker Hub ("Webhooks"), GitHub ("Webhook events and payloads": push, pull_request,
 * package, registry_package), GitLab ("Webhook events": push, tag_push, merge_request; its
 * registry's notifications are distribution's), Quay ("Repository notifications": repo_push).
 */
#ifndef WEB_WEBHOOK_H
#define WEB_WEBHOOK_H

#include "state/events.h"
#include "web/sender.h"

#define WEBHOOK_BODY_MAX     ((size_t)1 << 20)
#define WEBHOOK_EVENTS_MAX   ((size_t)1000) /* of one delivery */
#define WEBHOOK_DELIVERY_MAX ((size_t)200)  /* bytes of a delivery's id */

/* A request. Missing headers are NULL; everything is borrowed. */
struct webhook_delivery {
    const char *path_secret;   /* what stands behind /hook/NAME/; NULL: nothing */
    const char *authorization; /* Authorization */
    const char *signature;     /* X-Hub-Signature-256 */
    const char *token;         /* X-Gitlab-Token */
    const char *event;         /* X-GitHub-Event */
    const char *id;            /* X-GitHub-Delivery, Idempotency-Key, X-Gitlab-Event-UUID */
    const char *content_type;
    const char *body;
    size_t len;
};

struct webhook_event {
    enum event_kind kind;
    char *subject;
    char *delivery; /* unique for its sender; "" if the sender gives nothing to know it by again */
};

struct webhook_events {
    struct webhook_event *items;
    size_t count, capacity;
    size_t ignored; /* of the payload: of no interest, or with a name that is none */
    char *why;      /* the first of those, in words; NULL if nothing was ignored */
};
void webhook_events_release(struct webhook_events *events);
#define _cleanup_webhook_events_ __attribute__((cleanup(webhook_events_release)))

/* Whether it comes from the sender; takes the same time wherever a secret differs. ERROR_AUTH with
 * a message that says nothing of the secret. */
MUST_CHECK int webhook_authenticate(const struct sender *sender,
                                    const struct webhook_delivery *delivery, struct error *err);
/* *out is filled on success only, and may then be empty: the sender told of something else.
 * ERROR_PARSE with the field, ERROR_LIMIT, ERROR_UNSUPPORTED (of the wrong content type). */
MUST_CHECK int webhook_parse(const struct sender *sender, const struct webhook_delivery *delivery,
                             struct webhook_events *out, struct error *err);

/* A git repository's URL without what differs between its spellings: "HOST/PATH", without scheme,
 * user, port and ".git". NULL if it is none. Owned. */
char *webhook_git_subject(const char *url);

#endif

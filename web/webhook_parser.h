/* What the readers of payloads share (internal to web/webhook*.c). */
#ifndef WEB_WEBHOOK_PARSER_H
#define WEB_WEBHOOK_PARSER_H

#include "web/webhook.h"

#include <jansson.h>

struct webhook_parser {
    const struct sender *sender;
    const struct webhook_delivery *delivery;
    const char *what; /* begins messages: "harbor" */
    char *id;         /* of the delivery as a whole, or "" */
    struct webhook_events events;
    struct error *err;
};

/* An image or a whole repository of a registry. NULL or "": no tag, no digest; with neither it is
 * the repository. A name that is none is ignored, and said so. `id` NULL: the delivery's. */
struct webhook_image {
    const char *registry, *repository, *tag, *digest;
    const char *id;
};
MUST_CHECK int webhook_add_image(struct webhook_parser *p, enum event_kind kind,
                                 const struct webhook_image *image);
/* The same, written in one: "REGISTRY/REPOSITORY[:TAG|@DIGEST]". */
MUST_CHECK int webhook_add_name(struct webhook_parser *p, enum event_kind kind, const char *name);
/* A list's source. */
MUST_CHECK int webhook_add_list(struct webhook_parser *p, const char *url);
/* Something that nobody here waits for. */
void webhook_ignore(struct webhook_parser *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A field of a field …; *out is NULL where one is missing. */
MUST_CHECK int webhook_object(struct webhook_parser *p, const json_t *in, const char *field,
                              json_t **out);
MUST_CHECK int webhook_string(struct webhook_parser *p, const json_t *in, const char *field,
                              const char **out);
MUST_CHECK int webhook_array(struct webhook_parser *p, const json_t *in, const char *field,
                             json_t **out);
/* The same where there must be one. */
MUST_CHECK int webhook_need_object(struct webhook_parser *p, const json_t *in, const char *field,
                                   json_t **out);
MUST_CHECK int webhook_need_string(struct webhook_parser *p, const json_t *in, const char *field,
                                   const char **out);

MUST_CHECK int webhook_harbor(struct webhook_parser *p, const json_t *root);
MUST_CHECK int webhook_distribution(struct webhook_parser *p, const json_t *root);
MUST_CHECK int webhook_dockerhub(struct webhook_parser *p, const json_t *root);
MUST_CHECK int webhook_quay(struct webhook_parser *p, const json_t *root);
MUST_CHECK int webhook_github(struct webhook_parser *p, const json_t *root);
MUST_CHECK int webhook_gitlab(struct webhook_parser *p, const json_t *root);

#endif

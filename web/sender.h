/*
 * Senders: who may tell us that something has changed. One for each key below `web: senders:` of
 * the configuration (docs/web.md); its name stands in the URL it posts to.
 *
 * What proves that a request comes from a sender depends on its kind: a table, sender_kinds[].
 */
#ifndef WEB_SENDER_H
#define WEB_SENDER_H

#include "base/error.h"

#include <stddef.h>

enum sender_kind {
    SENDER_HARBOR,
    SENDER_DISTRIBUTION, /* notifications of the reference registry */
    SENDER_DOCKERHUB,
    SENDER_GITHUB,
    SENDER_GITLAB,
    SENDER_QUAY,
};
#define SENDER_KIND_COUNT 6

enum sender_proof {
    PROOF_AUTHORIZATION, /* the header: the secret, or "Bearer SECRET" */
    PROOF_PATH,          /* the sender can do nothing else: /hook/NAME/SECRET */
    PROOF_SIGNATURE,     /* X-Hub-Signature-256: HMAC of the body with the secret */
    PROOF_TOKEN,         /* X-Gitlab-Token: the secret; for its registry, as PROOF_AUTHORIZATION */
};

struct sender_type {
    const char *word; /* in the configuration: "harbor" */
    enum sender_proof proof;
};
extern const struct sender_type sender_types[SENDER_KIND_COUNT];
/* "harbor, distribution, …", for messages. Owned. */
char *sender_kind_words(void);
/* -1 and ERROR_PARSE if it is none. */
MUST_CHECK int sender_kind_parse(const char *word, enum sender_kind *out, struct error *err);

/* Requests a second that are accepted, unless the configuration says otherwise; ten seconds' worth
 * may come at once. */
#define SENDER_RATE_DEFAULT 50.0

struct sender {
    char *name; /* [a-z0-9][a-z0-9._-]* */
    enum sender_kind kind;
    char *secret;
    char *registry; /* the name by which wishes know the sender's registry; NULL: what it says */
    double rate;    /* requests a second */
};

struct senders {
    struct sender *items;
    size_t count, capacity;
};
/* The secrets are wiped. */
void senders_release(struct senders *senders);
void senders_copy(struct senders *out, const struct senders *from);
/* NULL if there is none. Borrowed. */
const struct sender *sender_find(const struct senders *senders, const char *name, size_t len);

#endif

/*
 * Authentication: the challenge of a 401, tokens, and where credentials come from.
 *
 * A registry that wants a token answers 401 with `WWW-Authenticate: Bearer realm="…",
 * service="…",scope="…"` (Docker Registry v2 token authentication). The challenge is parsed by the
 * grammar of RFC 9110, section 11.6.1: several challenges in one header, commas and escaped
 * characters inside quoted strings. Tokens are cached by registry, realm, service and scope until
 * shortly before they expire.
 */
#ifndef REGISTRY_AUTH_H
#define REGISTRY_AUTH_H

#include "base/error.h"

#include <stddef.h>

struct challenge_param {
    char *name; /* lower case */
    char *value;
};

struct challenge {
    char *scheme;  /* lower case: "bearer", "basic" */
    char *token68; /* or NULL */
    struct challenge_param *params;
    size_t param_count;
};

struct challenges {
    struct challenge *items;
    size_t count;
};

/* All challenges of one WWW-Authenticate value. ERROR_PARSE with the position. */
MUST_CHECK int challenges_parse(const char *value, struct challenges *out, struct error *err);
/* The value of a parameter (`name` in lower case), NULL if it is not there. */
const char *challenge_get(const struct challenge *challenge, const char *name);
void challenges_release(struct challenges *challenges);

/* A user with a password, or with an identity token (an OAuth2 refresh token, which buys access
 * tokens at the token service and is good for nothing else), or with both. */
struct credential {
    char *username; /* owned; may be NULL beside an identity token */
    char *password;
    char *identity_token; /* or NULL */
};
void credential_release(struct credential *credential); /* wipes the secrets */
void credential_copy(struct credential *dst, const struct credential *src);
/* Overwrite and free. NULL is fine. */
void secret_free(char *secret);
/* Overwrite what a buffer holds, and release it. */
struct buf;
void secret_buf_release(struct buf *b);

/* Where credentials come from. `lookup` returns 1 with *out filled (the caller's to release), 0 if
 * it knows none for that registry and repository, -1 on error. Called from several threads. */
struct credential_source {
    int (*lookup)(void *arg, const char *registry, const char *repository, struct credential *out,
                  struct error *err);
    void *arg;
};

#endif

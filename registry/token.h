/*
 * Tokens of the Docker Registry v2 token authentication (internal to registry/): fetched with GET
 * from the realm that a challenge names, or, where an identity token is held, with POST (its
 * "Oauth2 Token Authentication": grant_type=refresh_token); kept until shortly before they expire.
 * Threads that need the same token at the same time cause one request and share its outcome.
 */
#ifndef REGISTRY_TOKEN_H
#define REGISTRY_TOKEN_H

#include "registry/auth.h"
#include "registry/endpoint.h"
#include "registry/http.h"
#include "registry/retry.h"

#include <stdatomic.h>

struct token_options {
    struct http_client *http;
    struct retry_policy retry;
    const struct credential_source *credentials; /* or NULL */
    atomic_uint_fast64_t *request_counter;
};

struct token_cache;
/* What the options point to must outlive the cache. */
struct token_cache *token_cache_new(const struct token_options *options);
void token_cache_free(struct token_cache *cache);

/* Which token: of whom, for what. */
struct token_scope {
    const struct endpoint *at;
    const char *realm, *service, *scope; /* service: "" if the challenge has none */
};

struct token {
    char *text;            /* owned */
    uint64_t generation;   /* grows with each token fetched; never 0 */
    bool with_credentials; /* else an anonymous one */
};
void token_release(struct token *token); /* wipes it */

/* A token of another generation than `refused` (0: any). ERROR_AUTH if the token service refuses
 * the credentials, or if they would have to cross an open line. */
MUST_CHECK int token_get(struct token_cache *cache, const struct token_scope *scope,
                         uint64_t refused, struct token *out, struct error *err);

/* "Basic " and user and password in base64: RFC 7617. Owned; NULL with ERROR_AUTH for a user name
 * with a colon. */
char *basic_authorization(const struct credential *credential, struct error *err);
/* As credential_source.lookup; also for a NULL source. 0 for an endpoint that gets none. */
MUST_CHECK int credential_lookup(const struct credential_source *source, const struct endpoint *at,
                                 struct credential *out, struct error *err);
/* After a refusal: whether there are credentials that the endpoint does not get. *err, which says
 * what was refused, then says so, too, and what to do. */
bool credential_withheld(const struct credential_source *source, const struct endpoint *at,
                         struct error *err);

#endif

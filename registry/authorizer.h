/*
 * Which Authorization header a request gets (internal to registry/). Remembers for each repository
 * how its registry wants to be asked, so that only the first request meets a 401.
 */
#ifndef REGISTRY_AUTHORIZER_H
#define REGISTRY_AUTHORIZER_H

#include "registry/token.h"

struct authorizer;
struct authorizer *authorizer_new(const struct token_options *options);
void authorizer_free(struct authorizer *authorizer);

struct authorization {
    char *value;         /* owned; NULL: none */
    uint64_t generation; /* of the token in it; 0 if it is none */
    bool with_credentials;
};
void authorization_release(struct authorization *authorization); /* wipes it */

/* What to send first. */
MUST_CHECK int authorizer_current(struct authorizer *authorizer, const struct endpoint *at,
                                  struct authorization *out, struct error *err);
/* What to send after a 401 whose request carried `refused`. ERROR_AUTH if there is nothing else to
 * try: no challenge we can answer, no credentials, or the same ones again. */
MUST_CHECK int authorizer_answer(struct authorizer *authorizer, const struct endpoint *at,
                                 const struct http_response *response,
                                 const struct authorization *refused, struct authorization *out,
                                 struct error *err);
/* As credential_withheld() for the authorizer's source. */
bool authorizer_withholds(struct authorizer *authorizer, const struct endpoint *at,
                          struct error *err);

#endif

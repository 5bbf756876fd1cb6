/* Programs that keep credentials: docker-credential-NAME (internal to registry/). */
#ifndef REGISTRY_CREDENTIAL_HELPER_H
#define REGISTRY_CREDENTIAL_HELPER_H

#include "registry/auth.h"

/* `docker-credential-NAME get`, the server on its standard input, {"Username", "Secret"} on its
 * standard output; the user "<token>" means that the secret is an identity token. 1 with *out
 * filled, 0 if it knows none, -1. ERROR_CHILD with what it says on standard error; it is given 30
 * seconds. */
MUST_CHECK int credential_helper_get(const char *name, const char *server, struct credential *out,
                                     struct error *err);
/* Its answer. */
MUST_CHECK int credential_helper_parse(const char *bytes, size_t len, struct credential *out,
                                       struct error *err);

#endif

/* What a source shows to be let in, read from the files that the operator names (internal to
 * source). */
#ifndef WISHLIST_SOURCE_AUTH_H
#define WISHLIST_SOURCE_AUTH_H

#include "wishlist/source.h"

struct source_secret {
    char *user; /* NULL: none given */
    char *text; /* password or token; NULL: none */
    char *key_file;
    char *passphrase;
    bool bearer;
};

/* The credential with the longest URL that covers `remote` ("ssh://git@host/group/repo"); all NULL
 * if there is none. ERROR_IO or ERROR_NOT_FOUND for a file that cannot be read, ERROR_POLICY if it
 * would go over plain http and the site does not allow that for the host. */
MUST_CHECK int source_secret_find(const struct source_settings *settings, const struct site *site,
                                  const struct source_url *url, struct source_secret *out,
                                  struct error *err);
void source_secret_release(struct source_secret *secret);
/* How many bytes of `remote` a credential's URL covers, both without user and default port: 0, if
 * it does not. */
size_t source_credential_match(const char *url, const char *remote);

#endif

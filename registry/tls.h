/*
 * Certificates of registries (internal to registry/): containers-certs.d(5). For HOST[:PORT], as in
 * references, the folder HOST[:PORT] below each of
 *
 *     $HOME/.config/containers/certs.d   /etc/containers/certs.d   /etc/docker/certs.d
 *
 * (or below those that the site names) may hold *.crt, authorities to trust beside the system's,
 * and a pair NAME.cert and NAME.key, our own certificate. They are shown to that host only, not to
 * one that it redirects to.
 */
#ifndef REGISTRY_TLS_H
#define REGISTRY_TLS_H

#include "base/buf.h"
#include "base/error.h"
#include "registry/site.h"

struct tls_settings {
    struct tls_settings *next;
    char *host;
    bool verify;
    char *authorities;       /* path of a file (in memory) with them and the system's; NULL: the
                                system's only */
    int authorities_fd;      /* what it is a path to */
    char *certificate, *key; /* paths; NULL: none */
    struct error error;      /* why the folder cannot be used */
};

struct tls_store;
struct tls_store *tls_store_new(const struct site *site);
void tls_store_free(struct tls_store *store);
/* For the host of a URL. Borrowed, kept as long as the store. ERROR_PARSE for a certificate without
 * a key, ERROR_IO. */
const struct tls_settings *tls_store_find(struct tls_store *store, const char *url,
                                          struct error *err);

#endif

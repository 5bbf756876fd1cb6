/*
 * What is needed to talk to registries: the operator's configuration, credentials, and the client
 * that uses both.
 *
 * Whoever works with it holds a reference: when the configuration is read again, work that is under
 * way ends with the access it began with, and new work begins with the new one.
 */
#ifndef CONFIG_ACCESS_H
#define CONFIG_ACCESS_H

#include "config/config.h"
#include "registry/client.h"
#include "registry/credentials.h"

#include <stdatomic.h>

struct access {
    atomic_size_t references;
    struct config config;
    struct credentials *credentials;
    struct registry_client *client;
};

/* Either path may be NULL. Logs what credentials_warnings() has. One reference is the caller's. */
MUST_CHECK int access_open(const char *config_path, const char *authfile, struct access **out,
                           struct error *err);
/* The configuration alone: what follows is NULL. */
MUST_CHECK int access_open_config(const char *config_path, struct access **out, struct error *err);
struct access *access_ref(struct access *access);
void access_unref(struct access *access); /* NULL is fine */

#endif

/*
 * What is needed to talk to registries: the operator's configuration and credentials, together.
 *
 *     access_open()        before any thread is started
 *     access.registry      for registry_client_new()
 *     access_close()       after the last client
 */
#ifndef PUBLISHER_ACCESS_H
#define PUBLISHER_ACCESS_H

#include "publisher/config.h"
#include "registry/client.h"
#include "registry/credentials.h"

struct access {
    struct config config;
    struct credentials *credentials;
    struct registry_options registry;
};

/* Either path may be NULL. Logs what credentials_warnings() has. */
MUST_CHECK int access_open(const char *config_path, const char *authfile, struct access *out,
                           struct error *err);
void access_close(struct access *access);

#endif

/*
 * The site's credentials: who we are at which registry. Looked for in this order, the first that
 * knows the repository wins:
 *
 *   1. DUCC_AUTH_REGISTRIES=NAME,… with DUCC_NAME_IDENT (the registry, or REGISTRY/NAMESPACE) and
 *      DUCC_NAME_USER, DUCC_NAME_PASS; DUCC_NAME_PROXY=HOST[:PORT][/PREFIX] makes a mirror of it.
 *      A password may lie in the file $CREDENTIALS_DIRECTORY/DUCC_NAME_PASS instead (systemd)
 *   2. the file that --authfile names
 *   3. $REGISTRY_AUTH_FILE
 *   4. $CREDENTIALS_DIRECTORY/ducc.auth.json (systemd: LoadCredential=ducc.auth.json:…)
 *   5. $XDG_RUNTIME_DIR/containers/auth.json
 *   6. $DOCKER_CONFIG/config.json, by default ~/.docker/config.json
 *
 * Files are those that `podman login` and `docker login` write (registry/auth_file.h). One that was
 * named and is not there, or any that cannot be understood, is an error: asking as nobody
 * would look like a private image that has gone.
 *
 * Secrets are overwritten before their memory is given back, and passwords leave our environment,
 * so that no child inherits them.
 */
#ifndef REGISTRY_CREDENTIALS_H
#define REGISTRY_CREDENTIALS_H

#include "registry/auth.h"
#include "registry/site.h"

struct credentials;
/* Reads all of the above; `authfile` may be NULL. Mirrors go into *site, which may be NULL. Changes
 * the environment: before any thread is started. ERROR_PARSE, ERROR_NOT_FOUND, ERROR_IO. */
MUST_CHECK int credentials_load(const char *authfile, struct site *site, struct credentials **out,
                                struct error *err);
void credentials_free(struct credentials *credentials);

/* For registry_options.credentials; borrowed. */
const struct credential_source *credentials_source(const struct credentials *credentials);

/* What somebody should know: files that others can read. `count` lines, borrowed. */
const char *const *credentials_warnings(const struct credentials *credentials, size_t *out_count);

#endif

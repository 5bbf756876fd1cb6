/*
 * Files that `podman login` and `docker login` write: containers-auth.json(5), Docker's config.json
 * (internal to registry/).
 *
 *     {"auths": {"HOST[/NAMESPACE…]": {"auth": base64("USER:PASSWORD"), "identitytoken": "…"}},
 *      "credHelpers": {"HOST": "NAME"}, "credsStore": "NAME"}
 *
 * Within one file the longest scope wins; for the same scope, a helper goes before what is written
 * down, and `credsStore` is asked last.
 */
#ifndef REGISTRY_AUTH_FILE_H
#define REGISTRY_AUTH_FILE_H

#include "base/error.h"
#include "registry/auth.h"

#include <stdbool.h>
#include <stddef.h>

struct auth_entry {
    char *scope;  /* canonical: "docker.io", "quay.io/team" */
    char *helper; /* the program docker-credential-HELPER knows it; or NULL: */
    struct credential credential;
};

struct auth_file {
    char *path;
    struct auth_entry *entries;
    size_t count, capacity;
    char *store; /* of `credsStore`, or NULL */
};

/* ERROR_PARSE or ERROR_LIMIT, naming the file and the entry, never what it holds. */
MUST_CHECK int auth_file_parse(const char *path, const char *bytes, size_t len,
                               struct auth_file *out, struct error *err);
void auth_file_release(struct auth_file *file);
/* The entry for "HOST/REPOSITORY" (canonical), borrowed; NULL if there is none. */
const struct auth_entry *auth_file_find(const struct auth_file *file, const char *name);

/* RFC 4648, section 4, with its padding. Owned, with a NUL behind; NULL if it is none. */
char *base64_decode(const char *text, size_t *out_len);
char *base64_encode(const void *bytes, size_t len);
/* A key of such a file, "https://index.docker.io/v1/" among them, as a scope. Owned. */
char *auth_scope(const char *key);
/* How much of "HOST/REPOSITORY" a scope covers, in bytes: 0 if it does not. */
size_t auth_scope_match(const char *scope, const char *name);

#endif

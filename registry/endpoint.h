/*
 * Where a reference is reached: from the names a user writes to those on the wire (internal to
 * registry/). The one place to add mirrors to.
 */
#ifndef REGISTRY_ENDPOINT_H
#define REGISTRY_ENDPOINT_H

#include "registry/reference.h"

/* The repository's name in requests and token scopes: on Docker Hub, "busybox" is
 * "library/busybox". Owned. */
char *endpoint_repository(const struct reference *ref);
/* "https://HOST/v2/REPOSITORY/" + `path`. Owned. */
char *endpoint_url(const struct reference *ref, const char *path);

#endif

/*
 * Where a reference is reached: from the names a user writes to those on the wire (internal to
 * registry/). A reference may be had at several places: its mirrors, in the operator's order, and
 * last its origin.
 */
#ifndef REGISTRY_ENDPOINT_H
#define REGISTRY_ENDPOINT_H

#include "registry/reference.h"
#include "registry/site.h"

struct endpoint {
    char *base;       /* "https://HOST/v2/REPOSITORY/" */
    char *registry;   /* whose credentials and limits count: "docker.io", "mirror.example.org" */
    char *repository; /* the repository's name there, in requests and token scopes */
    bool is_mirror;
    /* The site marks the registry "insecure: http": its credentials may cross a line that anybody
     * can listen to. Not set because a reference or a mirror was written with "http://". */
    bool open_line;
};

struct endpoints {
    struct endpoint *items;
    size_t count;
};
/* At least one. `site` may be NULL. */
void endpoints_of(const struct site *site, const struct reference *ref, struct endpoints *out);
void endpoints_release(struct endpoints *endpoints);

/* The repository's name at the origin: on Docker Hub, "busybox" is "library/busybox". Owned. */
char *endpoint_repository(const struct reference *ref);
/* `path` below the endpoint's repository. Owned. */
char *endpoint_url(const struct endpoint *endpoint, const char *path);
/* Whether credentials, or tokens had with them, are sent there: over https, or by the site's leave.
 */
bool endpoint_gets_credentials(const struct endpoint *endpoint);

#endif

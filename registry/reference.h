/*
 * Image references: [SCHEME://]REGISTRY/REPOSITORY[:TAG][@DIGEST].
 *
 * The grammar is that of the OCI distribution specification ("Pulling manifests": <name>,
 * <reference>). SCHEME is http or https, https if missing. REGISTRY is a host name, an IPv4
 * address or an IPv6 literal in brackets, with an optional port; it is never left out, so the
 * first component must hold a dot or a colon or be "localhost" (a short name such as "ubuntu" is
 * an error whose text says what to write). A missing tag is "latest"; with a digest, the digest
 * decides and a tag beside it is remembered only. A user or password in front of the registry is
 * an error; its text is not repeated in the message.
 *
 * REGISTRY and REPOSITORY stand in public paths exactly as the user wrote them.
 */
#ifndef REGISTRY_REFERENCE_H
#define REGISTRY_REFERENCE_H

#include "base/digest.h"
#include "base/error.h"

struct reference {
    bool plain_http;      /* http:// was written */
    char *registry;       /* "host" or "host:port" */
    char *repository;     /* "library/busybox" */
    char *tag;            /* NULL if only a digest was given */
    struct digest digest; /* not set if none was given */
};

enum reference_flags {
    REFERENCE_TAG_PATTERN = 1, /* the tag may hold '*' (a wish, not yet an image) */
    REFERENCE_TAG_GLOB = 2,    /* and '?', '[', '!' and ']' */
};

/* On success *out is owned by the caller: reference_release(). ERROR_PARSE with the offending part
 * and what was expected; ERROR_LIMIT beyond LIMIT_REFERENCE_BYTES. */
MUST_CHECK int reference_parse(const char *text, unsigned flags, struct reference *out,
                               struct error *err);
/* Whether a registry's word for a tag is one: [A-Za-z0-9_][A-Za-z0-9._-]{0,127}. */
bool reference_tag_is_valid(const char *tag);
void reference_copy(struct reference *dst, const struct reference *src);
/* The same repository with another tag: what a wildcard expands to. */
void reference_with_tag(struct reference *dst, const struct reference *src, const char *tag);
void reference_release(struct reference *ref);

/* "REGISTRY/REPOSITORY:TAG", or "REGISTRY/REPOSITORY@sha256:…" for a wish by digest: the public
 * name of layout.md, and how messages name an image. Owned. */
char *reference_name(const struct reference *ref);

#define _cleanup_reference_ __attribute__((cleanup(reference_release)))

#endif

/*
 * What the site says about registries: which may be asked at all, how each is reached, and how hard
 * it may be worked. Filled once (config/config.h reads the operator's file, credentials.h the
 * environment), then read by any number of threads.
 *
 * Registries are compared by their canonical names: lower case, without the default port 443,
 * and "docker.io" for all of Docker Hub's names; so a rule cannot be passed by with another
 * spelling.
 */
#ifndef REGISTRY_SITE_H
#define REGISTRY_SITE_H

#include "base/buf.h"
#include "base/error.h"
#include "registry/reference.h"

#include <stddef.h>
#include <stdint.h>

enum site_transport {
    TRANSPORT_VERIFIED,   /* https with a certificate that is right */
    TRANSPORT_UNVERIFIED, /* https with any certificate */
    TRANSPORT_HTTP,
};

enum mirror_scheme {
    MIRROR_AS_ORIGIN,
    MIRROR_HTTP,
    MIRROR_HTTPS,
};

/* Another place for the same repositories: "[SCHEME://]HOST[:PORT][/PREFIX]", asked first. */
struct site_mirror {
    enum mirror_scheme scheme;
    char *registry;
    char *prefix; /* put before the repository, "" for none */
};

/* 0: not said, the default holds. */
struct site_limits {
    size_t requests;  /* at a time, downloads among them; default 16 */
    size_t downloads; /* at a time; default 8 */
    double requests_per_second;
    size_t quota_floor; /* of ratelimit-remaining: at or below, nothing more is polled */
};

struct site_registry {
    char *registry; /* canonical */
    enum site_transport transport;
    struct site_mirror *mirrors;
    size_t mirror_count, mirror_capacity;
    struct site_limits limits;
};

/* A line of an allow or block list, or of the signature policy. The pattern is
 * REGISTRY[/REPOSITORY[:TAG]]; it holds for everything below it, and '*', '?' and [...] in it are
 * those of the shell ('*' passes over '/', too). */
struct site_rule {
    char *name; /* how messages call it; the pattern if it was given none */
    char *pattern;
    char *place; /* "FILE:LINE:COLUMN" */
    /* Of the signature policy: public keys as PEM, and where they came from. */
    char **keys, **key_paths;
    size_t key_count, key_capacity;
};

struct site_rules {
    struct site_rule *items;
    size_t count, capacity;
};

struct site_sizes {
    size_t manifest_bytes, config_bytes;
    uint64_t layer_bytes; /* compressed; all three: 0 for base/limits.h */
};

struct site {
    struct site_limits defaults;
    struct site_sizes sizes;
    struct site_registry *registries;
    size_t registry_count, registry_capacity;
    struct site_rules allow, block, signatures;
    /* Where HOST[:PORT]/{*.crt,*.cert,*.key} are looked for; NULL-ended; none given: the usual
     * places (registry/tls.h). */
    char **certificates;
    size_t certificate_count, certificate_capacity;
};
void site_release(struct site *site);
void site_rules_release(struct site_rules *rules);

/* The entry of a registry, made if it is not there. `registry` as in a reference. */
struct site_registry *site_add_registry(struct site *site, const char *registry);
/* NULL if nothing is said about it. */
const struct site_registry *site_find_registry(const struct site *site, const char *registry);
/* The limits that hold for a registry: what is said of it, of all, and the defaults. `site` may be
 * NULL here and below. */
struct site_limits site_limits_of(const struct site *site, const char *registry);
struct site_sizes site_sizes_of(const struct site *site);

/* ERROR_PARSE if it is no HOST[:PORT][/PREFIX]. */
MUST_CHECK int site_add_mirror(struct site_registry *registry, const char *text, struct error *err);
struct site_rule *site_add_rule(struct site_rules *rules, const char *name, const char *pattern,
                                const char *place);
void site_rule_add_key(struct site_rule *rule, const char *path, const char *pem);

/* Whether the reference may be asked for at all: ERROR_POLICY with the rule's name and place. */
MUST_CHECK int site_check(const struct site *site, const struct reference *ref, struct error *err);
/* The first signature rule that a reference falls under; NULL: none. */
const struct site_rule *site_signature_rule(const struct site *site, const struct reference *ref);

/* "Registry.Example.org:443" -> "registry.example.org". Owned. */
char *registry_canonical(const char *registry);
/* "REGISTRY/REPOSITORY", canonical: "docker.io/library/busybox". Owned. */
char *reference_canonical(const struct reference *ref);

#endif

/*
 * URLs as far as a registry's answers need them, through libcurl's own parser (internal to
 * registry/), so that what we check is what is connected to.
 */
#ifndef REGISTRY_URL_H
#define REGISTRY_URL_H

#include "base/error.h"

#include <stdbool.h>

/* A reference ("/v2/x?last=y", "https://…") against an absolute URL: RFC 3986, section 5. Owned.
 * ERROR_NET if the result is no http or https URL. A user and password in it are left out: nobody
 * but us decides which credentials are sent. */
char *url_resolve(const char *base, const char *reference, struct error *err);
/* Scheme, host and port are the same (RFC 6454). */
bool url_same_origin(const char *a, const char *b);
bool url_is_https(const char *url);
/* "HOST" or "HOST:PORT", as in references: the port only if it is written and not the scheme's
 * own. Owned; NULL if it is no URL. */
char *url_host(const char *url);
/* For messages: scheme://host[:port]/path. The query is left out: it may hold a signature that is
 * as good as a password. Owned. */
char *url_shown(const char *url);

struct url_param {
    const char *name, *value;
};
/* A form of "NAME=VALUE&…", encoded (application/x-www-form-urlencoded). Owned; to be wiped if a
 * value is secret. */
char *url_form(const struct url_param *params, int count);
/* Add parameters to the query, encoded. Owned. */
char *url_add_query(const char *url, const struct url_param *params, int count, struct error *err);

#endif

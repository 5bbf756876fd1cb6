/* The Link header: RFC 8288, section 3 (internal to registry/). */
#ifndef REGISTRY_LINK_H
#define REGISTRY_LINK_H

/* The target of the first link whose relation is `rel`, as it was written. Owned; NULL if there is
 * none, or from the point on where the header is not well-formed. */
char *link_find(const char *header, const char *rel);

#endif

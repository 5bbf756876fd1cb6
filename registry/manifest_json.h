/* What the readers of manifests and indexes share (internal to registry/). */
#ifndef REGISTRY_MANIFEST_JSON_H
#define REGISTRY_MANIFEST_JSON_H

#include "registry/manifest.h"

#include <jansson.h>

/* The document, owned, if it is of the wanted kind (MEDIA_MANIFEST or MEDIA_INDEX) and nothing in
 * it contradicts that. `what` begins the message. */
json_t *manifest_json_parse(const char *bytes, size_t len, enum media_kind wanted, const char *what,
                            struct error *err);
/* OCI "Content Descriptors". ERROR_LIMIT if its size is above max_bytes. */
MUST_CHECK int descriptor_parse(const json_t *object, const char *what, uint64_t max_bytes,
                                struct descriptor *out, struct error *err);

#endif

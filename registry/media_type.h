/*
 * The table of media types (internal to registry/): one row a type, everything we know about it.
 */
#ifndef REGISTRY_MEDIA_TYPE_H
#define REGISTRY_MEDIA_TYPE_H

#include "registry/manifest.h"

#include <stdbool.h>

struct media_type {
    const char *name;
    enum media_kind kind;
    enum compression compression; /* of layers */
};

/* NULL if the table does not hold it. Case does not matter, and parameters (";charset=utf-8") are
 * left out: RFC 9110, section 8.3.1. */
const struct media_type *media_type_find(const char *name);
/* A Content-Type that says nothing about what a manifest is: missing, plain JSON, plain bytes. */
bool media_type_is_generic(const char *name);

#endif

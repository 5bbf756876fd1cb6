/*
 * Manifests, indexes and image configurations: OCI image specification 1.0 ("Image Manifest",
 * "Image Index", "Image Configuration") and Docker image manifest version 2, schema 2. One table
 * says which media types there are and what each is.
 *
 * Everything here is parsed from bytes whose digest has been verified, but which somebody we do
 * not know wrote: sizes and counts are limited (base/limits.h), types are checked, and the media
 * type inside must not contradict the one the registry sent (no manifest read as an index).
 */
#ifndef REGISTRY_MANIFEST_H
#define REGISTRY_MANIFEST_H

#include "base/digest.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum media_kind {
    MEDIA_UNKNOWN,
    MEDIA_MANIFEST,      /* OCI manifest or Docker schema 2 manifest */
    MEDIA_INDEX,         /* OCI index or Docker manifest list */
    MEDIA_SCHEMA1,       /* Docker schema 1, signed or not: refused */
    MEDIA_CONFIG,        /* OCI or Docker image configuration */
    MEDIA_LAYER,         /* tar: plain, gzip or zstd */
    MEDIA_FOREIGN_LAYER, /* non-distributable: skipped */
};

enum compression {
    COMPRESSION_NONE,
    COMPRESSION_GZIP,
    COMPRESSION_ZSTD,
};

enum media_kind media_kind_of(const char *media_type);
/* The Accept header value that asks for everything we read. */
const char *media_accept(void);

struct platform {
    char *os;           /* "linux" */
    char *architecture; /* "amd64" */
    char *variant;      /* "v8", or NULL */
};

struct descriptor {
    char *media_type;
    struct digest digest;
    uint64_t size; /* bytes */
};

struct layer_descriptor {
    struct descriptor blob;
    bool foreign; /* non-distributable: not fetched */
    enum compression compression;
};

struct manifest {
    struct descriptor config;
    struct layer_descriptor *layers; /* the lowest first */
    size_t layer_count;
};

struct index_entry {
    struct descriptor manifest;
    struct platform platform; /* fields may be NULL: not said */
};

struct index {
    struct index_entry *entries;
    size_t count;
};

struct image_config {
    struct platform platform;
    struct digest *diff_ids; /* one a layer, the lowest first */
    size_t diff_id_count;
    char *created; /* RFC 3339, or NULL */
    /* All NULL-ended; never NULL themselves. */
    char **env; /* "NAME=VALUE" */
    char **entrypoint;
    char **cmd;
    char *working_dir;  /* or NULL */
    char *user;         /* or NULL */
    char **label_names; /* beside label_values, the same number */
    char **label_values;
};

/* What the bytes are: the mediaType field, else `content_type`, else their shape. ERROR_PARSE if
 * the two contradict each other; ERROR_UNSUPPORTED for schema 1 and unknown types. */
MUST_CHECK int manifest_kind(const char *bytes, size_t len, const char *content_type,
                             enum media_kind *out, struct error *err);
/* The media type that a document says it has, else what the registry said, unless that says nothing
 * ("application/json"). Owned; NULL if neither does. */
char *manifest_media_type(const char *bytes, size_t len, const char *content_type);
/* Whether two names of media types are the same: case and parameters do not matter. */
bool media_type_is_same(const char *a, const char *b);
/* ERROR_UNSUPPORTED for an artifact that is not a container image (its config or a layer has
 * another media type), naming the type. */
MUST_CHECK int manifest_parse(const char *bytes, size_t len, struct manifest *out,
                              struct error *err);
MUST_CHECK int index_parse(const char *bytes, size_t len, struct index *out, struct error *err);
/* The entry for a platform, borrowed: an exact match first, then one whose variant is the
 * platform's default (arm64: v8; arm: v7; amd64: v1) or not said, then an index inside the index
 * that names no platform, then an only image that names none. ERROR_NOT_FOUND lists what there is.
 * The entry's media type tells whether it is a manifest or another index (media_kind_of).
 * Attestations (platform unknown/unknown) and entries that are no image are never chosen. */
const struct index_entry *index_find(const struct index *index, const struct platform *platform,
                                     struct error *err);
/* How many entries are attestations: documents about images, in the form of one. */
size_t index_attestations(const struct index *index);
/* ERROR_PARSE if the number of diff ids is not `layer_count`. */
MUST_CHECK int image_config_parse(const char *bytes, size_t len, size_t layer_count,
                                  struct image_config *out, struct error *err);

/* "os/arch[/variant]". */
MUST_CHECK int platform_parse(const char *text, struct platform *out, struct error *err);
/* Whether the variant is what the architecture means when none is said: arm64/v8, amd64/v1. (For
 * arm the two are told apart: a name without a variant would say less than it means.) */
bool platform_variant_is_default(const struct platform *platform);
/* Whether something for `got` serves who wants `wanted`: a variant that is not said is not
 * compared.
 */
bool platform_matches(const struct platform *got, const struct platform *wanted);
char *platform_text(const struct platform *platform);
void platform_copy(struct platform *dst, const struct platform *src);
void platform_release(struct platform *platform);
void descriptor_release(struct descriptor *descriptor);
void manifest_release(struct manifest *manifest);
void index_release(struct index *index);
void image_config_release(struct image_config *config);

#endif

/*
 * Versions in tags, and ranges of them.
 *
 * A version is [v]MAJOR[.MINOR[.PATCH]][-PRERELEASE][+BUILD]: semantic versioning 2.0.0, made a
 * little wider for what tags hold. Missing numbers are 0, leading zeros are accepted ("24.04"). So
 * "12-slim" is a prerelease of 12.0.0, which a range without prereleases leaves out.
 *
 * Ranges are npm's (node-semver, "Ranges"): >= > <= < =, ^ ~, x-ranges, hyphen ranges, blank or
 * comma for "and", || for "or". A prerelease is in a range only if the range names a prerelease of
 * the same MAJOR.MINOR.PATCH.
 */
#ifndef WISHLIST_SEMVER_H
#define WISHLIST_SEMVER_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct version {
    uint64_t numbers[3];
    int written;            /* how many of them */
    const char *prerelease; /* borrowed from the text; "" for none */
    size_t prerelease_len;
};

/* Whether the whole text (`len` bytes) is a version. */
bool version_parse(const char *text, size_t len, struct version *out);
/* Precedence (semantic versioning 2.0.0, section 11): < 0, 0, > 0. */
int version_compare(const struct version *a, const struct version *b);

struct version_range;
/* NULL with ERROR_PARSE or ERROR_LIMIT; the message names the part that is wrong. */
struct version_range *version_range_parse(const char *text, struct error *err);
bool version_range_has(const struct version_range *range, const struct version *version);
void version_range_free(struct version_range *range);

#endif

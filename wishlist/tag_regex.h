/*
 * Regular expressions over tags: Perl's (PCRE2), anchored at both ends, on bytes.
 *
 * The library is chosen for its limits: a pattern from a stranger cannot take more than a bounded
 * number of steps and bytes on a tag, which neither libc's nor a home-made engine promises.
 */
#ifndef WISHLIST_TAG_REGEX_H
#define WISHLIST_TAG_REGEX_H

#include "base/error.h"

#include <stddef.h>

struct tag_regex;
/* NULL with ERROR_PARSE (where and why) or ERROR_LIMIT. */
struct tag_regex *tag_regex_new(const char *pattern, struct error *err);
void tag_regex_free(struct tag_regex *regex);
/* 1: the whole tag matches, and *out_part is what the first group matched (the tag, if there is no
 * group or it took no part); 0: it does not; -1 with ERROR_LIMIT: not found out within the limits.
 */
MUST_CHECK int tag_regex_match(struct tag_regex *regex, const char *tag, const char **out_part,
                               size_t *out_part_len, struct error *err);

#endif

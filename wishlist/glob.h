/* Globs over tags. */
#ifndef WISHLIST_GLOB_H
#define WISHLIST_GLOB_H

#include "base/error.h"

#include <stdbool.h>

/* Does the whole of `tag` match `pattern`? `*` stands for any characters, also none; `?` for one;
 * `[abc]`, `[a-z]` for one of them, `[!a-z]` for one that is not. Everything else is literal (a dot
 * is a dot). Bytes, case matters. Takes time in proportion to the product of the two lengths at
 * most, whatever the pattern: it comes from a list that anybody may propose a line for. A pattern
 * that glob_check() refuses matches nothing. */
bool glob_match(const char *pattern, const char *tag);
/* ERROR_PARSE if it is no glob (a '[' without its end, nothing or a range upside down inside), or
 * one that no tag can match. ERROR_LIMIT if it is longer than any tag's name could want. */
MUST_CHECK int glob_check(const char *pattern, struct error *err);
/* Whether a text exists that both match; patterns that glob_check() takes. */
bool glob_overlap(const char *a, const char *b);
/* Whether it holds any sign. */
bool glob_is_pattern(const char *text);

#endif

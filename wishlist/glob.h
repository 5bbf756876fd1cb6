/* Wildcards in tags. */
#ifndef WISHLIST_GLOB_H
#define WISHLIST_GLOB_H

#include <stdbool.h>

/* Does the whole of `tag` match `pattern`? `*` stands for any characters, also none; everything
 * else is literal (a dot is a dot). Takes time in proportion to the two lengths, whatever the
 * pattern: it comes from a list that anybody may propose a line for. */
bool glob_match(const char *pattern, const char *tag);

#endif

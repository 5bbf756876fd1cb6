/* Paths as strings. Nothing here touches the file system. */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* "a" + "b" -> "a/b"; an empty part adds nothing. Owned result. */
char *path_join(const char *a, const char *b);
/* The part before the last slash ("" if there is none). Owned result. */
char *path_parent(const char *path);
/* The part behind the last slash. Borrowed from `path`. */
const char *path_name(const char *path);
/* A relative path whose components are neither empty, "." nor "..". */
bool path_is_clean(const char *path);
/* Orders paths so that a directory stands directly before everything below it, and siblings stand
 * in byte order of their names: as strcmp, with '/' below every other byte. */
int path_compare(const char *a, size_t a_len, const char *b, size_t b_len);

#endif

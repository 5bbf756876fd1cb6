/* A list of owned strings: names in a directory, paths to take away. */
#ifndef BASE_STRING_LIST_H
#define BASE_STRING_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct string_list {
    char **items;
    size_t count, capacity;
};
#define STRING_LIST_INIT                                                                           \
    {                                                                                              \
        0                                                                                          \
    }

/* Takes the string over. */
void string_list_take(struct string_list *list, char *text);
void string_list_add(struct string_list *list, const char *text);
/* In byte order. */
void string_list_sort(struct string_list *list);
/* In a sorted list. */
bool string_list_has(const struct string_list *list, const char *text);
void string_list_release(struct string_list *list);

#define _cleanup_string_list_ __attribute__((cleanup(string_list_release)))

#endif

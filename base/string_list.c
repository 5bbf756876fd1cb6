#include "base/string_list.h"

#include "base/memory.h"

#include <string.h>

void string_list_take(struct string_list *list, char *text)
{
    ARRAY_GROW(list->items, list->count, list->capacity);
    list->items[list->count++] = text;
}

void string_list_add(struct string_list *list, const char *text)
{
    string_list_take(list, xstrdup(text));
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void string_list_sort(struct string_list *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof *list->items, compare);
}

bool string_list_has(const struct string_list *list, const char *text)
{
    return list->count > 0 &&
           bsearch(&text, list->items, list->count, sizeof *list->items, compare) != NULL;
}

void string_list_release(struct string_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct string_list){0};
}

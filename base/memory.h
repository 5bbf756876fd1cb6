/*
 * Memory: allocation that does not return NULL (the process ends instead, with a message: the
 * next run finds out where things stand), and clean-up attributes for the common types.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

void *xmalloc(size_t size) __attribute__((malloc));
void *xcalloc(size_t count, size_t size) __attribute__((malloc));
/* realloc to count * size bytes, checked for overflow. */
void *xreallocarray(void *ptr, size_t count, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t len);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

/* Make room for one more element in a growing array:
 *     ARRAY_GROW(list->items, list->count, list->capacity);
 *     list->items[list->count++] = ...; */
#define ARRAY_GROW(items, count, capacity)                                                         \
    do {                                                                                           \
        if ((count) == (capacity)) {                                                               \
            (capacity) = (capacity) ? (capacity) + (capacity) / 2 + 1 : 8;                         \
            (items) = xreallocarray((items), (capacity), sizeof *(items));                         \
        }                                                                                          \
    } while (0)

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}

static inline void cleanup_fclose(FILE **f)
{
    if (*f)
        fclose(*f);
}

void cleanup_close(int *fd);

#define _cleanup_free_   __attribute__((cleanup(cleanup_free)))
#define _cleanup_fclose_ __attribute__((cleanup(cleanup_fclose)))
#define _cleanup_close_  __attribute__((cleanup(cleanup_close)))

/* Give up ownership: the value, and the variable becomes NULL. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) take_tmp_ = (p);                                                             \
        (p) = NULL;                                                                                \
        take_tmp_;                                                                                 \
    })
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int take_tmp_ = (fd);                                                                      \
        (fd) = -1;                                                                                 \
        take_tmp_;                                                                                 \
    })

#endif

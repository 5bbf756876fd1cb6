/* The same work on many items, on a few threads. */
#ifndef BASE_PARALLEL_H
#define BASE_PARALLEL_H

#include <stddef.h>

/* Calls work(arg, i) once for each i below `count`, on at most `threads` threads (at least one),
 * and returns when all calls have. `work` keeps its own errors. */
void parallel_for(size_t count, size_t threads, void (*work)(void *arg, size_t i), void *arg);

/* Processors this process may use, at least 1. */
size_t processor_count(void);

#endif

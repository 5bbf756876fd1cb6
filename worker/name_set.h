/*
 * The public names that have been resolved in one round (a pass, one reading of the lists): of two
 * orders that want a name, the first gets it. Thread-safe, counted by reference.
 */
#ifndef WORKER_NAME_SET_H
#define WORKER_NAME_SET_H

#include <stdbool.h>

struct name_set;
struct name_set *name_set_new(void);
struct name_set *name_set_ref(struct name_set *set);
void name_set_unref(struct name_set *set); /* NULL is fine */
/* Whether the name was not there; it is now. */
bool name_set_add(struct name_set *set, const char *name);

#endif

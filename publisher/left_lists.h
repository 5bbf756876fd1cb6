/*
 * Lists that left the configuration ask for nothing any more: what only they asked for is unwanted
 * (state/list_origins.h says what has left).
 *
 * Nothing is forgotten while a list of the configuration has never been read, or a repository of
 * its cannot be had: what it asks for may be just what left another list.
 */
#ifndef PUBLISHER_LEFT_LISTS_H
#define PUBLISHER_LEFT_LISTS_H

#include "publisher/watched_list.h"

struct left_lists_search {
    const char *configuration; /* as of struct list_origin; NULL: there is none, nothing is done */
    const char *state_dir;
    struct watched_list *const *lists; /* all of the configuration */
    size_t count;
    pthread_mutex_t *workers_lock;
    struct workers *workers;
};
/* To be called when all lists have been visited, before workers_settle(). Each is logged. A
 * repository that has no worker any more is settled here. */
void left_lists_forget(const struct left_lists_search *search);

#endif

/*
 * Origins of lists: which configuration a list (state/lists.h) stands in, so that it can be
 * forgotten when it does not any more. What nothing else asks for is unwanted then
 * (names_settle()).
 *
 * A service notes for each list that it reads the configuration's path and the source (the URL)
 * that led to it: a recipe leads to a list for each repository it names and each file it includes.
 * A list has left when its source stands in the configuration no more, or when the source does not
 * lead to it any more. It goes when nobody else has noted it. So
 *
 * - services with different configurations may share a database: each forgets only what its own
 *   path led to, and what two of them have asks until it has left both. A configuration that is
 *   moved to another path is another one; what it no longer had when it was moved asks on.
 * - what nobody has noted stays: lists of one-off runs (ducc convert), and those that an older ducc
 *   read, until a service reads them.
 *
 * The recipe of ducc loop stands in no configuration: its origin is ORIGIN_LOOP, which a
 * configuration's takes the place of.
 *
 *     transaction_begin(db, …);
 *     ... what the configuration leads to now: a list that is noted later is not missed ...
 *     list_origins_left(db, &now, &left, err);
 *     for each of them: list_origins_forget(db, now.configuration, &left.items[i], …);
 *     transaction_commit(…);
 *
 * The caller makes sure that all its sources have been read: what moved from one list to another is
 * else unwanted in between.
 */
#ifndef STATE_LIST_ORIGINS_H
#define STATE_LIST_ORIGINS_H

#include "base/string_list.h"
#include "state/database.h"

#define ORIGIN_LOOP "ducc loop"

/* The list is known, and stands there. Nothing happens if it is not known. */
struct list_origin {
    const char *configuration; /* an absolute path, or ORIGIN_LOOP */
    const char *source;        /* without secrets */
};
MUST_CHECK int list_origins_note(struct database *db, const char *repository, const char *url,
                                 const struct list_origin *origin, struct error *err);

/* What a configuration leads to. */
struct list_place {
    char *source;
    char *repository, *url; /* the list's, as in lists.h */
};
struct list_places {
    const char *configuration;  /* borrowed */
    struct string_list sources; /* all of it */
    struct list_place *items;
    size_t count, capacity;
};
void list_places_add(struct list_places *places, const char *source, const char *repository,
                     const char *url);
void list_places_release(struct list_places *places);

struct left_list {
    int64_t id;
    char *source, *repository, *url;
    bool source_left; /* false: the source does not lead to it any more */
};
struct left_lists {
    struct left_list *items;
    size_t count, capacity;
};
void left_lists_release(struct left_lists *left);
/* Ordered by repository and URL. Of ORIGIN_LOOP only sources that are given are looked at: each
 * ducc loop has its own. */
MUST_CHECK int list_origins_left(struct database *db, const struct list_places *now,
                                 struct left_lists *out, struct error *err);
/* It does not stand there. *out_gone: nobody else has noted it, and it was forgotten with its
 * entries; then *out_names published names are asked for by nothing that is left. */
MUST_CHECK int list_origins_forget(struct database *db, const char *configuration,
                                   const struct left_list *left, bool *out_gone, size_t *out_names,
                                   struct error *err);

#endif

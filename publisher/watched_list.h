/*
 * A list that a service watches: its source, what it last said, and when its images are looked at
 * again.
 *
 * An interval is a list's or an entry's; entries with the same interval are looked at together.
 * What is still being looked at when its time comes again (a registry that hangs) is left out that
 * time, registry by registry. So are next tries of what failed: one order of them at a time.
 *
 * A list is visited by one thread at a time. It is counted, because orders that are under way
 * outlive it when the configuration is read again.
 */
#ifndef PUBLISHER_WATCHED_LIST_H
#define PUBLISHER_WATCHED_LIST_H

#include "config/access.h"
#include "config/config.h"
#include "publisher/event_desk.h"
#include "state/list_origins.h"
#include "worker/wishes.h"
#include "worker/workers.h"

#include <pthread.h>

#define INTERVAL_DEFAULT 600 /* seconds */
#define NEVER            INT64_MAX

struct watched_list;

/* `settings` is what the command line says of how to publish; it wins over the list's own, which
 * wins over the recipe's. `state_dir` is where sources keep what they need. All are borrowed during
 * the call only; the list keeps a reference of `access`. */
struct watched_list_options {
    const struct configured_list *configured;
    const struct wish_settings *settings;
    struct access *access;
    const char *state_dir;
    const char *configuration; /* that it stands in: struct list_origin; NULL: none */
};
struct watched_list *watched_list_new(const struct watched_list_options *options,
                                      struct error *err);
struct watched_list *watched_list_ref(struct watched_list *list);
void watched_list_unref(struct watched_list *list);

struct visit {
    /* Workers are shared by all lists: held while one is looked up, or started. */
    pthread_mutex_t *workers_lock;
    struct workers *workers;
    int64_t now;        /* clock_now() */
    bool again;         /* look at every image as if it had never been published */
    bool once;          /* there is no next time */
    bool urgent;        /* an event asks for it */
    bool everything;    /* all wishes are due */
    bool changed;       /* out: the list is not what it was at the last visit */
    size_t failed;      /* out: what could not be done: the list, repositories, entries */
    struct error error; /* out: why a repository could not be opened; the caller's to release */
};
/* Ask the source; submit what is due. Failures are logged. */
void watched_list_visit(struct watched_list *list, struct visit *visit);
/* When something is due again: clock_now(); NEVER after a visit of `once`. */
int64_t watched_list_due(struct watched_list *list);
/* How messages call it. Borrowed. */
const char *watched_list_name(const struct watched_list *list);
/* Add its source, and the lists that it leads to. False: it has never been read, or not all of it
 * could be recorded. May be called during a visit: what that notes in the database is added. */
bool watched_list_places(struct watched_list *list, struct list_places *out);
/* Whether an event about `place` (state/events.h) is about its source. */
bool watched_list_is_at(const struct watched_list *list, const char *place);
/* Submit those wishes that an event concerns, whatever their time. May be called during a visit:
 * a list that has not been read yet has no wishes, and will look at all of them. */
void watched_list_hear(struct watched_list *list, struct visit *visit, struct event_round *round);
/* Submit those wishes for the repository that these public names come from, whatever their time and
 * their pauses: what failed is tried again. May be called during a visit. */
void watched_list_retry(struct watched_list *list, struct visit *visit, const char *repository,
                        const struct string_list *names);

#endif

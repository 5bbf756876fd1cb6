/*
 * History: what happened to a name, newest first. names.h writes it; it is trimmed by age. A
 * failure that repeats in the same words is not told again: name_record counts it.
 */
#ifndef STATE_HISTORY_H
#define STATE_HISTORY_H

#include "base/digest.h"
#include "state/database.h"

enum history_what {
    HISTORY_PUBLISHED,
    HISTORY_FAILED,
    HISTORY_UNWANTED,
    HISTORY_WANTED, /* again */
    HISTORY_GONE,   /* the registry has it no longer */
    HISTORY_REMOVED,
    HISTORY_RESTORED,
};
#define HISTORY_WHAT_COUNT 7
const char *history_word(enum history_what what); /* "published" */

struct history_item {
    char *repository, *name;
    int64_t at;
    enum history_what what;
    struct digest digest; /* not set where there is none */
    struct digest image_id;
    char *platform; /* NULL: none */
    uint64_t revision;
    double seconds;
    uint64_t bytes, bytes_new;
    enum error_kind kind; /* HISTORY_FAILED */
    char *text;           /* the reason; NULL: none */
    char *asked_by;       /* HISTORY_PUBLISHED: "URL:LINE@REVISION", one of those; NULL: unknown */
};
void history_item_release(struct history_item *item);
struct history {
    struct history_item *items;
    size_t count, capacity;
};
void history_release(struct history *history);

MUST_CHECK int history_add(struct database *db, const struct history_item *item, struct error *err);
/* Of one name, of a repository (`name` NULL), of everything (both NULL): the last `max` since a
 * time. */
MUST_CHECK int history_list(struct database *db, const char *repository, const char *name,
                            int64_t since, size_t max, struct history *out, struct error *err);

/* Delete what is older than the times given: of history, events that are done, and runs. Called
 * after each run; what is deleted at a time is bounded. */
struct history_bounds {
    int64_t history_seconds; /* how long to keep; 0: the default, HISTORY_SECONDS_DEFAULT */
    int64_t events_seconds;  /* 0: EVENTS_SECONDS_DEFAULT */
};
#define HISTORY_SECONDS_DEFAULT ((int64_t)365 * 86400)
#define EVENTS_SECONDS_DEFAULT  ((int64_t)30 * 86400)
MUST_CHECK int history_trim(struct database *db, const struct history_bounds *bounds, int64_t now,
                            struct error *err);

#endif

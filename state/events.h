/*
 * Events: what registries and git servers said, kept from the moment before it is answered until it
 * is acted on. A delivery counts once, however often it is sent; many events for one subject become
 * one job.
 *
 *     event_add()          web end: stored, then answered
 *     events_take()        worker: all that wait, one job a (kind, subject)
 *     events_done()        when the job has ended, well or not (failures are names.h's)
 *     events_take_back()   at start: what a process that died had taken waits again
 *
 * An event that comes while a job of its subject is at work waits, and becomes the next job: it may
 * speak of something newer.
 */
#ifndef STATE_EVENTS_H
#define STATE_EVENTS_H

#include "state/database.h"

enum event_kind {
    EVENT_PUSHED,  /* something in a registry changed: `subject` is an image or REGISTRY/REPOSITORY
                    */
    EVENT_DELETED, /* something in a registry was deleted: the same */
    EVENT_LIST,    /* a list's source changed: `subject` is its URL, or a part of it */
    EVENT_REFRESH, /* somebody asked to look: an image, a list's URL, or "" for everything */
};
#define EVENT_KIND_COUNT 4
const char *event_kind_word(enum event_kind kind); /* "pushed" */

struct event {
    const char *source;   /* who sent it: "harbor", or the name of a configured sender */
    const char *delivery; /* unique within the source: its delivery id, or a hash of the body */
    enum event_kind kind;
    const char *subject;
};
/* *out_is_new is false for a replay, which changes nothing. Many at once: inside a transaction of
 * the caller, which is synced to the disk once. */
MUST_CHECK int event_add(struct database *db, const struct event *event, int64_t now,
                         bool *out_is_new, struct error *err);

/* Of one kind and subject, all events that waited. */
struct event_job {
    int64_t id; /* of the first one */
    enum event_kind kind;
    char *subject;
    int64_t received_at; /* the first one */
    size_t events;
};
struct event_jobs {
    struct event_job *items;
    size_t count, capacity;
};
void event_jobs_release(struct event_jobs *jobs);
/* The oldest `max` jobs, which are now the caller's; 0 and none if nothing waits. */
MUST_CHECK int events_take(struct database *db, size_t max, struct event_jobs *out,
                           struct error *err);
/* All events of a job; `outcome` in a word or two, for the page. */
MUST_CHECK int events_done(struct database *db, int64_t job, const char *outcome, int64_t now,
                           struct error *err);
MUST_CHECK int events_take_back(struct database *db, size_t *out_count, struct error *err);

struct event_counts {
    size_t waiting, taken, done;
    int64_t oldest_waiting_at; /* 0: none */
};
MUST_CHECK int events_count(struct database *db, struct event_counts *out, struct error *err);

#endif

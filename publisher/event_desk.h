/*
 * The event desk: takes the events that the web end has stored (state/events.h) and sees to it that
 * somebody looks: at the wishes they concern, or at the lists whose source has changed.
 *
 *     events ──▶ jobs: one a subject ──▶ rounds: one a registry at a time ──▶ orders, or visits
 *
 * What is told to have been pushed or deleted is looked at twice: a moment later, and some seconds
 * later, since registries tell of it before it can be seen everywhere. Events of one registry that
 * come while a round of it is being resolved gather for the next round;
 * so a crowd of them costs one look, and a registry that hangs delays its own events only. A round
 * is done, and so are its events, when the last of what was begun for it has ended. A process that
 * dies before leaves them to the next one.
 *
 *     event_desk_start()   events that an earlier process had taken wait again
 *     event_desk_wake()    there are new ones; from any thread
 *     event_desk_stop()    nothing more is taken; rounds may still be under way
 *     event_desk_free()    when none is: the workers have stopped
 */
#ifndef PUBLISHER_EVENT_DESK_H
#define PUBLISHER_EVENT_DESK_H

#include "publisher/heard.h"

struct event_round {
    struct event_desk *desk;
    struct event_round *next;
    char *registry; /* NULL: of a list */
    struct heard *heard;
    int64_t *jobs; /* ids of event jobs */
    size_t job_count, job_capacity, heard_count, heard_capacity;
    bool concerned;               /* somebody looks because of it */
    size_t unresolved, under_way; /* guarded by the desk's lock */
    bool cut_off;                 /* by a stop: its events are not done */
};

/* For each thing that is begun for a round: an order, a visit. `resolved` may be left out. */
void event_round_begin(struct event_round *round);
void event_round_resolved(struct event_round *round);
void event_round_end(struct event_round *round);

struct event_desk_options {
    const char *state_dir; /* as for database_open() */
    /* Begin whatever the wishes that the round's `heard` concern need. */
    void (*hear)(void *arg, struct event_round *round);
    /* Visit the lists whose source the subject names, "" for all; `everything`:
     * and look at all their wishes. */
    void (*visit)(void *arg, const char *subject, bool everything, struct event_round *round);
    void *arg;
};

struct event_desk;
struct event_desk *event_desk_start(const struct event_desk_options *options);
void event_desk_wake(struct event_desk *desk);
void event_desk_stop(struct event_desk *desk);
void event_desk_free(struct event_desk *desk); /* NULL is fine, as for stop */

#endif

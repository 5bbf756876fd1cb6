/*
 * Taking away what nothing reaches: the second half of repository/mark.h.
 *
 *     sweep_find()       what is there and reached by no name, with sizes
 *     …                  the caller fills in `since` where it knows better (state/unreached.h)
 *     sweep_choose()     what of it is due: the grace period is over
 *     sweep_step()       one commit's worth of it; until there is nothing left
 *     sweep_release()
 *
 * Order: the folders of removed names whose grace period is over (from then on they cannot be
 * restored), Podman's lists without the records that go, and then the trees: Podman's first, flat
 * images, chains, layers. Each step is a revision or two, and bounded: it takes as many trees as
 * went in STEP_SECONDS before. What a step finds gone is no error, so that a sweep that was cut
 * short goes on where it was.
 *
 * The repository may change between two steps, when the caller gives its lock back. It then marks
 * again and calls sweep_check_again(): what is reached meanwhile stays.
 */
#ifndef REPOSITORY_SWEEP_H
#define REPOSITORY_SWEEP_H

#include "base/string_list.h"
#include "repository/mark.h"

struct sweep_unit {
    enum unit_kind kind;
    struct digest id;
    char *path;
    bool is_held;             /* by a name that was removed; */
    bool is_selected;         /* by none but those that the mark was given */
    bool is_recorded;         /* Podman's: its list has it */
    int64_t since;            /* reached by no name; 0: not known */
    uint64_t bytes, entries;  /* of a layer, as far as known: its files' contents */
    struct string_list links; /* of a Podman layer: its short names, */
    enum unit_kind shows_kind;
    struct digest shows; /* and the layer or chain that it shows; not set: not known */
    bool is_due;
};

struct sweep {
    struct sweep_unit *units; /* in the order in which they go */
    size_t count, capacity;
    struct string_list folders; /* below REMOVED_FOLDER: over, or stale; they go first */
    size_t next;                /* unit */
    bool begun;                 /* folders and lists are done */
    size_t at_once;             /* trees a step */
};

struct sweep_options {
    int64_t grace_seconds;
    int64_t now;
    size_t limit; /* trees; 0: no limit */
    /* Only what nothing holds but the removed names that the mark was given, at once. */
    bool only_selected;
};

struct sweep_report {
    size_t units[UNIT_KIND_COUNT]; /* taken away */
    size_t folders, revisions;
    uint64_t bytes;
    double longest_seconds; /* of a step */
};

MUST_CHECK int sweep_find(const struct repository *repository, const struct mark *mark,
                          struct sweep *out, struct error *err);
/* Removed names are judged by the time of their removal, everything else by `since`: what is not
 * known to have been there for the grace period stays. What stays keeps what it needs. */
void sweep_choose(struct sweep *sweep, const struct mark *mark,
                  const struct sweep_options *options);
/* After a change by somebody else: what is reached now, or held for longer, is due no more. */
void sweep_check_again(struct sweep *sweep, const struct mark *mark,
                       const struct sweep_options *options);
/* With the repository's lock held, after repository_begin(). *out_done: nothing is left. Adds to
 * the report. */
MUST_CHECK int sweep_step(struct repository *repository, struct sweep *sweep,
                          struct sweep_report *report, bool *out_done, struct error *err);
void sweep_release(struct sweep *sweep);

#endif

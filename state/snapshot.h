/*
 * A snapshot: how everything stood at one moment. It is what `ducc status`, the web page and
 * /api/v1 show; one reading transaction, which waits for nobody.
 *
 *     struct snapshot s;
 *     if (snapshot_take(db, &(struct snapshot_filter){.failed_only = true}, &s, err) < 0)
 *         return -1;
 *     ...
 *     snapshot_release(&s);
 */
#ifndef STATE_SNAPSHOT_H
#define STATE_SNAPSHOT_H

#include "state/events.h"
#include "state/lists.h"
#include "state/names.h"
#include "state/runs.h"

#include <jansson.h>

/* Each that is set must hold. NULL or 0: everything. */
struct snapshot_filter {
    const char *repository;
    const char *list;          /* a list's URL, or the end of it behind a '/' */
    const char *const *images; /* public names; '*' and '?' stand for what they do in globs */
    size_t image_count;
    bool failed_only;
    const char *search; /* a part of the name, in any case of letters */
};

struct image_status {
    struct name_record record;
    enum name_state state;
    struct want *wants; /* borrowed from the snapshot */
    size_t want_count;
};

struct snapshot {
    int64_t taken_at;
    struct image_status *images; /* ordered by repository and name */
    size_t image_count, image_capacity;
    size_t state_counts[NAME_STATE_COUNT]; /* of the images above */
    uint64_t bytes;                        /* of the images above */
    struct list_records lists;
    struct runs runs; /* the last few, newest first */
    struct event_counts events;
    struct wants wants;
};

MUST_CHECK int snapshot_take(struct database *db, const struct snapshot_filter *filter,
                             struct snapshot *out, struct error *err);
void snapshot_release(struct snapshot *snapshot);
#define _cleanup_snapshot_ __attribute__((cleanup(snapshot_release)))

/* New references. Times are RFC 3339 texts, missing ones null; sizes are bytes. docs/state.md has
 * the fields, which stay. */
json_t *image_status_json(const struct image_status *image);
json_t *snapshot_json(const struct snapshot *snapshot); /* {"taken_at", "images", "lists", …} */
json_t *list_record_json(const struct list_record *list);
json_t *run_json(const struct run *run);

#endif

/*
 * Since when a part of a repository (a layer, a flat image, …) is reached by no name.
 *
 * Its grace period is counted from here, not from the time of a file: an image of three years may
 * have lost its last name this morning. If the database is lost the period begins anew, which
 * deletes later, never earlier; parts of names that were removed by `ducc gc` or `ducc remove` have
 * their time in the repository itself (repository/removal.h).
 */
#ifndef STATE_UNREACHED_H
#define STATE_UNREACHED_H

#include "state/database.h"

struct unreached {
    const char *path; /* in the repository */
    int64_t since;    /* in: 0 is not known. Out: when it was first seen so */
};

/* All parts that are reached by no name now. What is new begins with `now`, as does what is said to
 * begin in the future (a clock that jumped). With `keep` the database is brought up to date: what
 * is not among `items` is forgotten. */
MUST_CHECK int unreached_times(struct database *db, const char *repository, struct unreached *items,
                               size_t count, int64_t now, bool keep, struct error *err);

#endif

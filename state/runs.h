/*
 * Runs: each pass over lists, each collection of garbage, each rebuilding of this database: when,
 * how long, by which process, with which result.
 *
 * A run that has no end and whose process is gone was killed: runs_list() shows it as it is.
 */
#ifndef STATE_RUNS_H
#define STATE_RUNS_H

#include "state/database.h"

struct run_counts {
    uint64_t published, unchanged, failed, removed;
    uint64_t revisions;
    uint64_t bytes; /* of new content */
};

struct run {
    int64_t id;
    char *kind; /* the command or the daemon's word for it: "convert", "poll", "gc", … */
    char *repository;
    int64_t started_at, ended_at; /* 0: not yet */
    int64_t pid;
    struct run_counts counts;
    char *outcome; /* "ok", or what ended it; NULL while it runs */
};
struct runs {
    struct run *items;
    size_t count, capacity;
};
void runs_release(struct runs *runs);

MUST_CHECK int run_start(struct database *db, const char *kind, const char *repository, int64_t now,
                         int64_t *out_id, struct error *err);
MUST_CHECK int run_end(struct database *db, int64_t id, const struct run_counts *counts,
                       const char *outcome, int64_t now, struct error *err);
/* The last `max`, newest first; `repository` NULL: of all. */
MUST_CHECK int runs_list(struct database *db, const char *repository, size_t max, struct runs *out,
                         struct error *err);

/* Whether the names of a repository were ever put into this database, and that they were: a lost
 * database starts without. */
MUST_CHECK int repository_is_known(struct database *db, const char *repository, bool *out,
                                   struct error *err);
MUST_CHECK int repository_set_known(struct database *db, const char *repository, int64_t now,
                                    struct error *err);

#endif

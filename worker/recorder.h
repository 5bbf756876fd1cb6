/*
 * The recorder: what the worker of one repository notes in the state database while it works.
 *
 * It may be called from any thread; what it is told is written in transactions of many, at the
 * latest a second later, and at once when something was published. If writing fails, that is
 * logged and the work goes on: what is published stands in the repository.
 *
 *     recorder_open()       with the repository's lock held. A repository that the database does
 *                           not know is read into it first (worker/rebuild.h).
 *     recorder_lists()      lists were read; recorder_expanded(): what an entry stands for
 *     recorder_seen()       the registry said what a tag points to
 *     recorder_decided()    published, unchanged, failed; recorder_failed(): before there is a job
 *     recorder_tick()       from time to time: what has waited for a second is written
 *     recorder_settle()     after a pass: what nobody asks for is unwanted; old history goes
 *     recorder_close()
 *
 * What was published, and what failed in words it had not failed with before, is then told to the
 * notifier (config/notifier.h).
 *
 * All but recorder_open() do nothing with NULL, which a dry run has.
 */
#ifndef WORKER_RECORDER_H
#define WORKER_RECORDER_H

#include "worker/job.h"
#include "config/notifier.h"
#include "worker/wishes.h"
#include "repository/repository.h"
#include "state/database.h"
#include "state/history.h"
#include "state/list_origins.h"
#include "state/runs.h"
#include "state/snapshot.h"

struct recorder;

struct recorder_options {
    const char *state_dir;               /* NULL: the default */
    const struct repository *repository; /* must live as long as the recorder */
    const char *run;                     /* kind of run that it stands for; NULL: none */
    struct history_bounds history;       /* all zero: the default */
    struct notifier *notifier;           /* told what is published and fails; NULL: nobody */
};
/* As database_open(), rebuild_names(). */
MUST_CHECK int recorder_open(const struct recorder_options *options, struct recorder **out,
                             struct error *err);
/* Writes what is left, ends the run. `outcome` is "ok", or what ended it. */
void recorder_close(struct recorder *recorder, const char *outcome);

/* A list as it was read, or why it could not be. */
void recorder_list(struct recorder *recorder, const struct wished_list *list);
void recorder_list_failed(struct recorder *recorder, const char *url, const struct error *why);
/* It was recorded as it is now. */
void recorder_list_unchanged(struct recorder *recorder, const char *url);
/* Where it stands: to be called after each of the three, for lists that are forgotten when they do
 * not any more. */
void recorder_list_stands(struct recorder *recorder, const char *url,
                          const struct list_origin *origin);
/* What a wish stands for now: public names (further ones, if it is `partly`); or why that could not
 * be found out. */
void recorder_expanded(struct recorder *recorder, const struct wanted *wish,
                       const char *const *names, size_t count);
void recorder_not_expanded(struct recorder *recorder, const struct wanted *wish,
                           const struct error *why);
/* Whether the wish stood for this public name when it was last expanded. */
bool recorder_was_wanted(struct recorder *recorder, const struct wanted *wish, const char *name);

/* The job's names point to its tag_digest. */
void recorder_seen(struct recorder *recorder, const struct job *job);
void recorder_decided(struct recorder *recorder, const struct job *job, enum outcome outcome);
/* A name that was published is not in its registry any more: worker/gone.h. */
void recorder_gone(struct recorder *recorder, const char *name);
/* Counted in the run. */
void recorder_committed(struct recorder *recorder, const struct committed *committed);
/* A name of which nothing is known but why it could not be looked at. */
void recorder_failed(struct recorder *recorder, const char *name, const struct error *why);

void recorder_tick(struct recorder *recorder);
/* names_take_due(): what failed and is to be tried again now. */
void recorder_take_due(struct recorder *recorder, size_t max, struct string_list *out);
/* How things stand in the repository, and its history since then; with jobs: how they will when all
 * of these are published. Nothing of that is written. */
MUST_CHECK int recorder_foresee(struct recorder *recorder, struct job *const *jobs, size_t count,
                                int64_t since, struct snapshot *out, struct history *out_history,
                                struct error *err);

void recorder_settle(struct recorder *recorder);
/* Whether to try an image now: false while a failure of just this digest waits for its next try. */
bool recorder_is_due(struct recorder *recorder, const char *name, const struct digest *wanted);

#endif

/*
 * Taking away: what `ducc gc`, `ducc remove` and `ducc restore` do (docs/deletion.md).
 *
 * gc works in this order: names that may go (config/retention.h) are removed; the repository is
 * marked (repository/mark.h); what no name reaches, and has not for the grace period, is swept
 * (repository/sweep.h), one commit at a time. It changes the repository in turns (state/turn.h) of
 * one commit, so that publishing waits for no more than that; if somebody published meanwhile, the
 * repository is marked again before anything else goes.
 *
 * It may be stopped or killed at any moment: the next run goes on.
 */
#ifndef PUBLISHER_DELETION_H
#define PUBLISHER_DELETION_H

#include "publisher/convert.h"
#include "config/notifier.h"
#include "config/retention.h"
#include "repository/sweep.h"

#define GRACE_SECONDS ((int64_t)7 * 86400) /* unless somebody says otherwise */

struct deletion_options {
    const char *repository;
    const char *state_dir;
    const struct retention_rules *rules;
    int64_t grace_seconds;
    size_t limit;
    char *const *names; /* of remove and restore */
    size_t name_count;
    struct notifier *notifier; /* told of names that go; NULL: nobody */
    bool now;                  /* remove: the content too */
    bool cvmfs_gc;
    bool dry_run;
    bool json;
};

/* EXIT_REPOSITORY with *err: nothing, or not all, was done. EXIT_SOME_FAILED: a name is not there,
 * or cannot be restored. */
enum exit_status gc_command(const struct deletion_options *options, struct error *err);
enum exit_status remove_command(const struct deletion_options *options, struct error *err);
enum exit_status restore_command(const struct deletion_options *options, struct error *err);

#endif

/*
 * One pass: bring wished images into a repository, as `ducc convert` does.
 *
 * Resolve, fetch and prepare need no access to the repository but reading; then everything that is
 * ready goes into one changeset and one revision (group commit), while other images are still being
 * fetched. A group that fails is tried again in halves, until the image that breaks it stands
 * alone.
 */
#ifndef PUBLISHER_CONVERT_H
#define PUBLISHER_CONVERT_H

#include "repository/plan.h"
#include "publisher/report.h"
#include "publisher/resolve.h"

struct convert_options {
    const char *repository;
    const char *state_dir;  /* NULL: the default, see state/state.h */
    const char *spool_base; /* NULL: inside the state directory */
    uint64_t spool_limit;   /* bytes; 0: nine tenths of what is free */
    size_t jobs;            /* layers at a time; 0: by the number of processors */
    struct policy policy;
    struct platform *platforms; /* wanted of an index; at least one */
    size_t platform_count;
    bool again;   /* look at every image as if it had never been published */
    bool dry_run; /* plan, print, and publish nothing */
    enum report_form form;
    struct registry_options registry; /* publisher/access.h */
};

/* Design.md's exit statuses. */
enum exit_status {
    EXIT_OK = 0,
    EXIT_SOME_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_REPOSITORY = 3,
};

/* Does the pass and prints its report. `failed` wishes were found wrong before (bad entries of a
 * recipe): they are listed with the others. On EXIT_REPOSITORY *err says why. */
enum exit_status convert(const struct convert_options *options, const struct wanted_list *wanted,
                         struct result *failed, size_t failed_count, struct error *err);

#endif

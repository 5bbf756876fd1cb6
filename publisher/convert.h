/*
 * One pass: bring wished images into their repositories, as `ducc convert` does: everything is
 * handed to workers (publisher/worker.h), which are waited for.
 */
#ifndef PUBLISHER_CONVERT_H
#define PUBLISHER_CONVERT_H

#include "publisher/report.h"
#include "publisher/wishes.h"
#include "publisher/worker.h"

struct convert_options {
    struct worker_options worker; /* but for the repository */
    struct policy policy;         /* of the command line */
    bool again;                   /* look at every image as if it had never been published */
    enum report_form form;
    struct access *access; /* publisher/access.h */
};

/* Design.md's exit statuses. */
enum exit_status {
    EXIT_OK = 0,
    EXIT_SOME_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_REPOSITORY = 3,
};

/* Does the pass and prints its report. Takes wishes, and entries that were found wrong, out of
 * *wishes. On EXIT_REPOSITORY *err says why. */
enum exit_status convert(const struct convert_options *options, struct wishes *wishes,
                         struct error *err);

#endif

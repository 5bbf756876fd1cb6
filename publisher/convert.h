/*
 * One pass: bring wished images into their repositories, as `ducc convert` does: everything is
 * handed to workers (worker/worker.h), which are waited for.
 */
#ifndef PUBLISHER_CONVERT_H
#define PUBLISHER_CONVERT_H

#include "base/exit_status.h"
#include "worker/report.h"
#include "worker/wishes.h"
#include "worker/worker.h"

struct convert_options {
    struct worker_options worker; /* but for the repository */
    struct policy policy;         /* of the command line */
    bool again;                   /* look at every image as if it had never been published */
    enum report_form form;
    struct access *access; /* config/access.h */
};

/* Does the pass and prints its report. Takes wishes, and entries that were found wrong, out of
 * *wishes. On EXIT_REPOSITORY *err says why. */
enum exit_status convert(const struct convert_options *options, struct wishes *wishes,
                         struct error *err);

#endif

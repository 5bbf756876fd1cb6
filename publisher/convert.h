/*
 * One pass: bring wished images into a repository, as `ducc convert` does: everything is handed to
 * a worker (publisher/worker.h), which is waited for.
 */
#ifndef PUBLISHER_CONVERT_H
#define PUBLISHER_CONVERT_H

#include "publisher/report.h"
#include "publisher/resolve.h"
#include "publisher/worker.h"

struct convert_options {
    struct worker_options worker;
    struct policy policy;
    struct platform *platforms; /* wanted of an index; at least one */
    size_t platform_count;
    bool again; /* look at every image as if it had never been published */
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

/* Does the pass and prints its report. Takes over what *wanted holds. `failed` wishes were found
 * wrong before (bad entries of a recipe): they are listed with the others. On EXIT_REPOSITORY *err
 * says why. */
enum exit_status convert(const struct convert_options *options, struct wanted_list *wanted,
                         struct result *failed, size_t failed_count, struct error *err);

#endif

/*
 * `ducc status` and `ducc why`: what the state database knows, for people (a table, plain words) or
 * programs (--json: the objects of docs/state.md). They read it only, wait for nobody, and need no
 * right but to read.
 */
#ifndef PUBLISHER_STATUS_H
#define PUBLISHER_STATUS_H

#include "publisher/convert.h"

struct status_options {
    const char *state_dir;
    const char *repository; /* NULL: all */
    const char *list;       /* NULL: whoever asks */
    bool failed_only;
    bool json;
    const char *const *images; /* status: names or globs; why: one image */
    size_t image_count;
};

/* EXIT_OK; EXIT_SOME_FAILED if an image that is shown failed, or an image named is not known;
 * EXIT_USAGE with *err. */
enum exit_status status_command(const struct status_options *options, struct error *err);
/* EXIT_OK if the image is published as it is wanted, else EXIT_SOME_FAILED. */
enum exit_status why_command(const struct status_options *options, struct error *err);

#endif

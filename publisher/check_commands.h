/* The form of layers: `ducc verify --layers`, `ducc repair --layers`. */
#ifndef PUBLISHER_CHECK_COMMANDS_H
#define PUBLISHER_CHECK_COMMANDS_H

#include "base/error.h"
#include "publisher/convert.h"

#include <stddef.h>

struct check_options {
    const char *repository;
    const char *state_dir; /* NULL: the default */
    char *const *layers;   /* digests to look at; none: all */
    size_t layer_count;
    bool json;
    bool dry_run; /* repair: only say what would be done */
};

/* Prints what it finds. EXIT_OK: nothing is wrong; EXIT_SOME_FAILED: something is; EXIT_USAGE and
 * EXIT_REPOSITORY with *err set. */
enum exit_status verify_layers_command(const struct check_options *options, struct error *err);
/* Mends what verify finds. EXIT_OK once nothing is wrong any more. */
enum exit_status repair_layers_command(const struct check_options *options, struct error *err);

#endif

/* `ducc diff` (docs/plan.md): what a change of a list means. */
#ifndef PUBLISHER_COMMANDS_DIFF_H
#define PUBLISHER_COMMANDS_DIFF_H

#include "publisher/convert.h"

struct diff_options {
    const char *old, *new;         /* files, URLs, git repositories */
    const char *config, *authfile; /* NULL: the usual ones */
    bool offline;                  /* do not ask registries which names it is about */
    bool json;
};

/* Prints the differences. EXIT_OK, if there are some or none; EXIT_SOME_FAILED: an entry of the new
 * list is wrong, or the tags of one are not known; EXIT_USAGE with *err: a list cannot be read. */
enum exit_status diff_command(const struct diff_options *options, struct error *err);

#endif

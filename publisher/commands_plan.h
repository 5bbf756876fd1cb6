/* `ducc plan` (docs/plan.md): what `ducc convert` would do with recipes, without doing it. */
#ifndef PUBLISHER_COMMANDS_PLAN_H
#define PUBLISHER_COMMANDS_PLAN_H

#include "publisher/convert.h"
#include "worker/wishes.h"

struct plan_options {
    char *const *recipes; /* files, URLs, git repositories */
    size_t recipe_count;
    const char *config, *authfile; /* NULL: the usual ones */
    struct wish_settings settings; /* what the command line says */
    bool json;
};

/* Prints the plan. EXIT_OK; EXIT_SOME_FAILED: something is refused, or an entry is wrong;
 * EXIT_USAGE, EXIT_REPOSITORY with *err. */
enum exit_status plan_command(const struct plan_options *options, struct error *err);

#endif

/* `ducc lint` (docs/lint.md): what is wrong in recipes, for people, programs and merge requests. */
#ifndef PUBLISHER_COMMANDS_LINT_H
#define PUBLISHER_COMMANDS_LINT_H

#include "publisher/options.h"

/* EXIT_OK: nothing is wrong; EXIT_SOME_FAILED: something is (with --strict, a warning counts);
 * EXIT_USAGE with *err: it could not be looked. */
enum exit_status lint_command(const struct options *options, struct error *err);

#endif

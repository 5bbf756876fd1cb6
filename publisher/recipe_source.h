/* Sources of recipes as all commands open them, and a recipe read once, from wherever it lies: for
 * commands that do one pass. */
#ifndef PUBLISHER_RECIPE_SOURCE_H
#define PUBLISHER_RECIPE_SOURCE_H

#include "config/config.h"
#include "wishlist/recipe.h"
#include "wishlist/source.h"

/* `where` as in wishlist/source_url.h; `state_dir` is the folder itself; `config` is borrowed as
 * long as the source. How far a long fetch is goes to the log, and so does a warning if nothing
 * protects the list on its way. */
struct source *recipe_source_open(const char *where, const char *state_dir,
                                  const struct config *config, struct error *err);

/* `state_dir` as for state_open(). If what is there now cannot be had or does not parse, the last
 * good version is taken, and *out_stale says why; without one it is the error. */
MUST_CHECK int recipe_from(const char *where, const char *state_dir, const struct config *config,
                           struct recipe *out, struct error *out_stale, struct error *err);

/* The same for commands that change nothing: what is there now, or an error; a mirror of a git
 * repository is made in a temporary folder that is removed again. */
MUST_CHECK int recipe_look(const char *where, const struct config *config, struct recipe *out,
                           struct error *err);

#endif

/*
 * What is wrong, or looks wrong, in a recipe, for those who change it (docs/lint.md). It says more
 * than the reader of recipes needs to know: an entry may be understood and still be a mistake.
 *
 * The rules:
 *
 *     syntax       error    an entry that cannot be understood, or a file
 *     duplicate    error    what another entry wishes already
 *     registry     error    the site's rules refuse it
 *                  warning  no entry of the recipe before has used the registry
 *     overlap      warning  two entries of one repository that can select the same tag
 *     unbounded    warning  a wildcard that takes every tag there is and will be
 *     docker-hub   warning  Docker Hub under two names; an image under both is a duplicate
 *
 * With the recipe as it was before, only what is due to entries that are new or changed is found.
 * An entry is what it says, not where it stands: a moved line is no new one.
 */
#ifndef WISHLIST_LINT_H
#define WISHLIST_LINT_H

#include "registry/site.h"
#include "wishlist/recipe.h"

enum lint_severity {
    LINT_NOTE, /* a fact, such as a size; nothing is wrong */
    LINT_WARNING,
    LINT_ERROR,
};
const char *lint_severity_name(enum lint_severity severity);

struct lint_finding {
    enum lint_severity severity;
    const char *rule; /* one of the above, or of who adds one */
    char *path;
    int line, column;
    char *message;
    char *entry; /* as it was written; "" for what is about a file */
};

struct lint {
    struct lint_finding *items;
    size_t count, capacity;
};
void lint_release(struct lint *lint);
#define _cleanup_lint_ __attribute__((cleanup(lint_release)))

/* Takes `message` over. */
void lint_add(struct lint *lint, enum lint_severity severity, const char *rule, const char *path,
              int line, int column, const char *entry, char *message);
/* A file that could not be read as a recipe: "PATH:LINE:COLUMN: message", as recipe_load() says it.
 */
void lint_add_file_error(struct lint *lint, const char *path, const struct error *why);

/* Which entries are to be looked at: one element for each wish, one for each problem of the recipe.
 */
struct lint_fresh {
    bool *wishes, *problems;
    const struct recipe *before; /* borrowed; or NULL */
};
void lint_fresh_release(struct lint_fresh *fresh);
/* `before` NULL: all of them. */
void lint_compare(const struct recipe *recipe, const struct recipe *before, struct lint_fresh *out);

/* Find. `site` may be NULL. */
void lint_recipe(const struct recipe *recipe, const struct lint_fresh *fresh,
                 const struct site *site, struct lint *out);
/* By path, line, column; the same order each time. */
void lint_sort(struct lint *lint);
size_t lint_count(const struct lint *lint, enum lint_severity severity);

#endif

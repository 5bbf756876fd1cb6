/*
 * Recipes: the lists of wanted images (docs/recipe.md), version 1.
 *
 * Two levels of wrong: a file that is not a recipe (syntax, an unknown key, a missing one) is an
 * error and wishes nothing, because half of a misunderstood list is worse than none; one entry of
 * `input` that is no image is a problem, and the other entries stay.
 *
 *     struct recipe recipe = RECIPE_INIT;
 *     if (recipe_read(path, &recipe, err) < 0)
 *         return -1;
 *     ... report recipe.problems, act on recipe.wishes ...
 *     recipe_release(&recipe);
 *
 * The version is looked at before anything else, and a wish is a struct: version 2 (entries with
 * selectors) adds fields to it.
 */
#ifndef WISHLIST_RECIPE_H
#define WISHLIST_RECIPE_H

#include "base/error.h"
#include "registry/manifest.h"
#include "registry/reference.h"

#include <stdbool.h>
#include <stddef.h>

struct wish {
    struct reference ref;
    bool is_pattern;  /* the tag holds '*': see wishlist/glob.h */
    char *text;       /* as it was written */
    int line, column; /* where, from 1 */
};

enum problem_severity {
    PROBLEM_WARNING, /* worth a look; every wish holds */
    PROBLEM_ERROR,   /* an entry that is not wished because it cannot be understood */
};

struct recipe_problem {
    enum problem_severity severity;
    int line, column;
    char *message; /* without the place */
};

struct recipe {
    char *path;          /* how messages name the file */
    char *user;          /* NULL if not given; for the output registry of the Go tool */
    char *repository;    /* a CernVM-FS repository name, or a directory: wishlist/repository.h */
    char *output_format; /* NULL if not given; read for compatibility, not used */
    /* How to publish, as written: the words of the options of that name (docs/recipe.md). NULL if
     * not given. */
    char *chains, *podman, *xattrs, *devices, *fix_perms, *chunk_above;
    struct platform *platforms; /* wanted of every image; none: not said */
    size_t platform_count;
    struct wish *wishes; /* in the order of the file, each public name once */
    size_t wish_count, wish_capacity;
    struct recipe_problem *problems; /* in the order of the file */
    size_t problem_count, problem_capacity;
};

#define RECIPE_INIT                                                                                \
    {                                                                                              \
        0                                                                                          \
    }

/* Fills *out (RECIPE_INIT before) on success, also when there are problems. ERROR_PARSE,
 * ERROR_LIMIT, ERROR_UNSUPPORTED for another version: "PATH:LINE:COLUMN: what, what instead";
 * ERROR_NOT_FOUND or ERROR_IO if the file cannot be read. */
MUST_CHECK int recipe_read(const char *path, struct recipe *out, struct error *err);
/* The same from memory; `path` is for messages only. */
MUST_CHECK int recipe_parse(const char *path, const char *bytes, size_t len, struct recipe *out,
                            struct error *err);
void recipe_release(struct recipe *recipe);

/* How many entries could not be understood: problems that are no mere warnings. */
size_t recipe_error_count(const struct recipe *recipe);
/* "PATH:LINE:COLUMN: message", owned. */
char *recipe_problem_text(const struct recipe *recipe, const struct recipe_problem *problem);

#define _cleanup_recipe_ __attribute__((cleanup(recipe_release)))

#endif

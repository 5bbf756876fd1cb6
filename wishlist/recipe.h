/*
 * Recipes: the lists of wanted images (docs/recipe.md), version 1 and version 2, its superset.
 *
 * A recipe is a file and the files it includes. It holds lists: each says where and how its images
 * are published. A recipe of version 1 is one list. The wishes of all lists stand in one array.
 *
 * Two levels of wrong: a file that is not a recipe (syntax, an unknown key, a missing one), or an
 * included one that is not, is an error and wishes nothing, because half of a misunderstood list is
 * worse than none; one entry that is no image is a problem, and the other entries stay.
 *
 *     _cleanup_recipe_ struct recipe recipe = RECIPE_INIT;
 *     if (recipe_read(path, &recipe, err) < 0)
 *         return -1;
 *     ... report recipe.problems, act on recipe.wishes ...
 *
 * Where the bytes come from is the loader's business: files here, other places elsewhere.
 */
#ifndef WISHLIST_RECIPE_H
#define WISHLIST_RECIPE_H

#include "base/buf.h"
#include "base/error.h"
#include "registry/manifest.h"
#include "registry/reference.h"
#include "wishlist/selector.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file that was read: the recipe itself (number 0), then what it includes. */
struct recipe_file {
    char *path;     /* how messages and records call it: the loader's base and the path */
    char *revision; /* the loader's; NULL if it has none */
};

/* Wanted of every image; none: not said. */
struct platform_list {
    struct platform *items;
    size_t count;
};
void platform_list_copy(struct platform_list *to, const struct platform_list *from);
void platform_list_release(struct platform_list *list);

/* A public key: one of them must have signed what is published. */
struct recipe_key {
    char *path; /* as messages call it */
    char *pem;
};

enum recipe_policy {
    RECIPE_CHAINS,
    RECIPE_PODMAN,
    RECIPE_FLAT,
    RECIPE_LAYERS,
    RECIPE_XATTRS,
    RECIPE_DEVICES,
    RECIPE_FIX_PERMS,
    RECIPE_CHUNK_ABOVE,
    RECIPE_POLICIES,
};
/* The name of a policy as repository/policy.h knows it: "fix-perms". */
const char *recipe_policy_name(enum recipe_policy policy);

/* How the images of one list are published. Strings are NULL if not given. */
struct recipe_list {
    size_t file;      /* number in recipe.files */
    int line, column; /* of the list; of the file's root for its own entries */
    char *name;
    char *repository; /* a CernVM-FS repository name, or a directory: wishlist/repository.h */
    char *prefix;     /* folders before the public names, "atlas/prod" */
    char *owner, *contact;
    char *policies[RECIPE_POLICIES]; /* their words, checked */
    struct platform_list platforms;
    uint64_t image_size_max; /* bytes, compressed; 0: no limit */
    uint64_t tags_max;       /* that one entry may select; 0: no limit */
    uint64_t interval;       /* seconds between two polls; 0: not said */
    struct recipe_key *keys;
    size_t key_count;
    char *user, *output_format; /* of the Go tool's output registry; read and not used */
};

void recipe_list_copy(struct recipe_list *to, const struct recipe_list *from);
void recipe_list_release(struct recipe_list *list);

/* One entry. */
struct wish {
    struct reference ref;           /* of a wish with a selector, the tag is for messages only */
    struct selector *selector;      /* owned; NULL: exactly this image */
    char *text;                     /* as it was written; a mapping on one line */
    size_t list;                    /* number in recipe.lists */
    size_t file;                    /* number in recipe.files */
    int line, column;               /* where, from 1 */
    struct platform_list platforms; /* instead of the list's; none: the list's */
    uint64_t interval;              /* seconds; 0: the list's */
    bool suspended;                 /* what is published stays, and is not looked at */
};

enum problem_severity {
    PROBLEM_WARNING, /* worth a look; every wish holds */
    PROBLEM_ERROR,   /* an entry that is not wished because it cannot be understood */
};

struct recipe_problem {
    enum problem_severity severity;
    bool repeated; /* what is wished already */
    size_t file;
    int line, column;
    char *message; /* without the place */
    char *entry;   /* as it was written, as far as it is known; NULL: not of an entry */
};

struct recipe {
    struct recipe_file *files;
    size_t file_count, file_capacity;
    struct recipe_list *lists; /* in the order of the file; at least one, unless all are empty */
    size_t list_count, list_capacity;
    struct wish *wishes; /* in the order of the files, each once a repository and prefix */
    size_t wish_count, wish_capacity;
    struct recipe_problem *problems; /* in the order of the files */
    size_t problem_count, problem_capacity;
};

#define RECIPE_INIT                                                                                \
    {                                                                                              \
        0                                                                                          \
    }

/* Where a recipe, what it includes, and its keys are read from. */
struct recipe_loader {
    const char *base;     /* put before a path in messages: "/srv/lists/", "https://host/x.git//" */
    const char *behind;   /* put behind it, so that it says all: "@BRANCH"; NULL: nothing */
    const char *revision; /* of what is read: a commit, an ETag; NULL: none */
    /* The whole of a file into *out (appended). `path` is clean and relative (base/path.h): no
     * include leads out of the loader's folder. ERROR_LIMIT above max_bytes. */
    int (*read)(void *arg, const char *path, size_t max_bytes, struct buf *out, struct error *err);
    void *arg;
};

/* Fills *out (RECIPE_INIT before) on success, also when there are problems. ERROR_PARSE,
 * ERROR_LIMIT, ERROR_UNSUPPORTED for another version: "PATH:LINE:COLUMN: what, what instead"; what
 * the loader says, if a file cannot be read. */
MUST_CHECK int recipe_load(const struct recipe_loader *loader, const char *path, struct recipe *out,
                           struct error *err);
/* From a file; what it includes must lie in its folder or below. ERROR_NOT_FOUND or ERROR_IO if it
 * cannot be read. */
MUST_CHECK int recipe_read(const char *path, struct recipe *out, struct error *err);
/* From memory; `path` is for messages only. It can include nothing. */
MUST_CHECK int recipe_parse(const char *path, const char *bytes, size_t len, struct recipe *out,
                            struct error *err);
void recipe_release(struct recipe *recipe);

/* How many entries could not be understood: problems that are no mere warnings. */
size_t recipe_error_count(const struct recipe *recipe);
/* "PATH:LINE:COLUMN: message", owned. */
char *recipe_problem_text(const struct recipe *recipe, const struct recipe_problem *problem);
/* "PATH:LINE", owned: who asked for an image. */
char *recipe_wish_place(const struct recipe *recipe, const struct wish *wish);
/* What is wished, in one spelling: two entries that mean the same give the same text. Without what
 * does not change the names (interval, platforms). Owned. */
char *wish_key(const struct wish *wish);

#define _cleanup_recipe_ __attribute__((cleanup(recipe_release)))

#endif

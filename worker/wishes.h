/*
 * What is wanted, sorted by where and how it is published: from recipes and command lines to what
 * workers take.
 *
 * A group is a list of a recipe, or a part of it whose entries say something else than the rest
 * (platforms, interval). Entries with platforms of their own come before the others of their list:
 * of two that mean one name the first gets it, and a wildcard beside them means it too. What a
 * command line or the configuration gives wins over a recipe.
 */
#ifndef WORKER_WISHES_H
#define WORKER_WISHES_H

#include "worker/name_set.h"
#include "worker/report.h"
#include "worker/resolve.h"
#include "registry/manifest.h"
#include "repository/policy.h"
#include "state/lists.h"
#include "wishlist/recipe.h"

struct wish_group {
    char *repository;
    struct policy policy;
    struct platform *platforms; /* at least one */
    size_t platform_count;
    uint64_t interval;       /* seconds between two polls; 0: not said */
    struct recipe_list list; /* a copy; all zero: no list's */
    struct name_set *names;  /* shared by the groups of one repository */
    struct wanted_list wanted;
};

/* A list that wishes come from, as the state database keeps it (state/lists.h): a file of a recipe,
 * or LIST_COMMAND_LINE. */
struct wished_list {
    char *repository, *url;
    char *revision, *contact; /* NULL: not said */
    struct list_entry *entries;
    char **plain; /* one an entry: the only name it stands for; NULL: it is a selector */
    size_t entry_count, entry_capacity;
};
void wished_list_release(struct wished_list *list);

struct wishes {
    struct wish_group *groups;
    size_t count, capacity;
    struct wished_list *lists;
    size_t list_count, list_capacity;
    struct result *failed; /* entries that could not be understood */
    size_t failed_count, failed_capacity;
};

/* What wins over recipes. */
struct wish_settings {
    const char *repository; /* NULL: the recipe's own */
    struct policy policy;
    const struct platform *platforms; /* none: the recipe's, and linux/amd64 if it says nothing */
    size_t platform_count;
    uint64_t interval; /* 0: the recipe's */
};

void wishes_release(struct wishes *wishes);
/* The groups, with sets of names of their own. */
void wishes_copy_groups(struct wishes *to, const struct wishes *from);
/* Warnings are logged. ERROR_PARSE if settings do not go together, or a repository's name is wrong.
 * May be called for several recipes. */
MUST_CHECK int wishes_add_recipe(struct wishes *wishes, const struct recipe *recipe,
                                 const struct wish_settings *settings, struct error *err);
/* Something that is wrong with a list, but does not stop it: reported as failed. `what` is copied,
 * and *why is taken over. */
void wishes_add_failure(struct wishes *wishes, const char *what, struct error *why);
/* Images as they are written on a command line; the settings name the repository. */
MUST_CHECK int wishes_add_images(struct wishes *wishes, char *const *images, size_t count,
                                 const struct wish_settings *settings, struct error *err);

/* For wishes.c: the lists of what it has been given. */
void wished_lists_add_recipe(struct wishes *wishes, const struct recipe *recipe,
                             const struct wish_settings *settings);
/* How records call an entry: as it is written, and its list's prefix, since another list of the
 * file may have the same. Owned. */
char *wished_entry_text(const struct recipe_list *list, const struct wish *wish);
void wished_lists_add_images(struct wishes *wishes, const char *repository,
                             const struct wanted_list *images);

/* What an order of the group's wishes is made of, at a poll's urgency: borrowed from both. */
struct order_options wish_group_order(const struct wish_group *group, struct access *access);

#define _cleanup_wishes_ __attribute__((cleanup(wishes_release)))

#endif

/*
 * What a change of a recipe means: the entries that come and go, those that are suspended and
 * resumed, and what is said differently of those that stay. A pure function of the two recipes.
 *
 * An entry is what it wishes (wish_key()), where that is published (repository and prefix), not
 * where it stands or in which list: moving lines and files about is no difference.
 */
#ifndef WISHLIST_DIFFERENCE_H
#define WISHLIST_DIFFERENCE_H

#include "wishlist/recipe.h"

enum difference_kind {
    DIFFERENCE_ADDED,
    DIFFERENCE_REMOVED,
    DIFFERENCE_SUSPENDED,
    DIFFERENCE_RESUMED,
    DIFFERENCE_SETTING, /* of one entry or of many */
};
const char *difference_word(enum difference_kind kind);

struct difference {
    enum difference_kind kind;
    char *repository, *prefix; /* prefix NULL: none */
    char *entry;               /* as it is written; the first of several */
    char *place;               /* "PATH:LINE", of the old recipe if it was removed */
    /* Of DIFFERENCE_SETTING: which ("chains", "limits.tags"), what it was and what it is (NULL: not
     * said), and for how many entries. */
    const char *setting;
    char *before, *after;
    size_t entries;
};

struct differences {
    struct difference *items; /* by kind; then in the order of the recipe they stand in */
    size_t count, capacity;
    /* One for each wish of either recipe: may it stand for other names than before? So does one
     * that comes or goes, or that has another limit of tags or other platforms. */
    bool *old_touched, *new_touched;
};

void differences_find(const struct recipe *old, const struct recipe *new, struct differences *out);
void differences_release(struct differences *differences);
#define _cleanup_differences_ __attribute__((cleanup(differences_release)))

#endif

/*
 * Selectors: which tags of a repository an entry means (docs/recipe.md, "Selectors").
 *
 * A tag is selected if it passes every condition that is given: one of the globs, the regex, the
 * semver range, none of the excludes; then the age; of what is left, the newest. What a registry
 * lists is untrusted, and so is the selector: everything takes time in proportion to the two, but
 * for the regex, which has a limit of steps (wishlist/tag_regex.h).
 *
 *     selector_check() once, when the recipe is read: its texts can be used
 *     selector_run()   with the tags that a registry lists
 */
#ifndef WISHLIST_SELECTOR_H
#define WISHLIST_SELECTOR_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum newest_by {
    NEWEST_BY_SEMVER, /* versions only; others are not selected */
    NEWEST_BY_NAME,   /* digits in it count as numbers */
    NEWEST_BY_CREATED,
};

struct text_list {
    char **items;
    size_t count;
};
void text_list_release(struct text_list *list);

struct selector {
    struct text_list globs; /* wishlist/glob.h */
    char *regex;            /* wishlist/tag_regex.h */
    char *semver;           /* wishlist/semver.h */
    struct text_list exclude;
    uint64_t newer_than; /* seconds; 0: any age */
    uint64_t newest;     /* how many; 0: all */
    enum newest_by by;
};

/* ERROR_PARSE or ERROR_LIMIT with the key in front, if a text cannot be used or two keys contradict
 * each other. */
MUST_CHECK int selector_check(const struct selector *selector, struct error *err);
/* "glob=1.* newest=3 by=semver", owned; equal texts mean the same. */
char *selector_text(const struct selector *selector);
/* Whether tags must be asked for the time of their image. */
bool selector_needs_created(const struct selector *selector);

/* Seconds since 1970 at which a tag's image was made. */
struct tag_time {
    const char *tag;
    int64_t created; /* INT64_MIN: not known; older than anything */
    bool gone;       /* no longer there: not selected */
};
struct selector_input {
    const char *const *tags; /* in any order; one may stand there twice */
    size_t count;
    int64_t now;
    /* Fill in when the images of the tags were made; NULL if selector_needs_created() is false. */
    int (*created)(void *arg, struct tag_time *tags, size_t count, struct error *err);
    void *arg;
};
/* The tags selected, borrowed from the input; the array is the caller's to free. In the order of
 * their names, or with `newest` the newest first. None is not an error. ERROR_LIMIT if the regex
 * takes too long; whatever created() says. */
MUST_CHECK int selector_run(const struct selector *selector, const struct selector_input *input,
                            const char ***out, size_t *out_count, struct error *err);
void selector_free(struct selector *selector);
/* What a tag with signs of a glob means; NULL if it has none. Not checked. */
struct selector *selector_of_glob(const char *tag);
struct selector *selector_copy(const struct selector *selector);

#endif

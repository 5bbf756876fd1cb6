/*
 * Keys of mappings, by tables (internal to wishlist/): a row says how a key is called, where it may
 * stand, what its value may be, and how it is read into a struct.
 *
 * What is wrong is a `struct mistake`: a place and a message. Whether it ends the reading or
 * becomes one entry's problem is for the caller to say.
 */
#ifndef WISHLIST_RECIPE_KEY_H
#define WISHLIST_RECIPE_KEY_H

#include "base/error.h"
#include "wishlist/document.h"
#include "wishlist/recipe.h"

#define TEXTS_MAX ((size_t)64) /* in one list of globs, platforms, keys, included files */

struct mistake {
    enum error_kind kind;
    int line, column;
    char *message; /* owned */
};
void mistake_release(struct mistake *mistake);
#define _cleanup_mistake_ __attribute__((cleanup(mistake_release)))
/* Return -1. */
int mistake_at(struct mistake *m, const struct node *at, enum error_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with an error's kind and message, which is released. */
int mistake_from(struct mistake *m, const struct node *at, const char *key, struct error *err);

/* What a key's value may be. */
enum value_kind {
    VALUE_TEXT = 1 << NODE_TEXT,
    VALUE_LIST = 1 << NODE_LIST,
    VALUE_MAPPING = 1 << NODE_MAPPING,
    VALUE_MAY_BE_EMPTY = 8, /* a text that may be "" */
};

/* Where a key may stand. */
enum key_place {
    IN_VERSION_1 = 1,
    IN_VERSION_2 = 2,
    IN_LIST = 4,
    IN_ENTRY = 8,
    IN_LIMITS = 16,
};

struct key {
    const char *name;
    unsigned places; /* enum key_place */
    unsigned kinds;  /* enum value_kind */
    /* Into *to, which depends on the place; NULL: whoever has the mapping reads it. */
    int (*read)(const struct key *key, const struct node *value, void *to, struct mistake *m);
    size_t offset;     /* of the field in *to */
    const char *words; /* that a text may be: "top|all|none"; NULL: any */
    const char *hint;  /* what to write when it is missing or of another kind */
};

/* A table ends with a row without a name. */
MUST_CHECK int keys_read(const struct key *table, enum key_place place, const struct node *mapping,
                         void *to, struct mistake *m);
/* The mapping's value of a key of the table, checked for its kind; NULL in *out if it is not there,
 * which is a mistake if it is required. */
MUST_CHECK int key_require(const struct key *table, enum key_place place,
                           const struct node *mapping, const char *name, const struct node **out,
                           struct mistake *m);

/* Readers: the field at key->offset is a char *, uint64_t, struct text_list, bool, ... */
int read_text(const struct key *key, const struct node *value, void *to, struct mistake *m);
int read_word(const struct key *key, const struct node *value, void *to, struct mistake *m);
int read_flag(const struct key *key, const struct node *value, void *to, struct mistake *m);
int read_size(const struct key *key, const struct node *value, void *to, struct mistake *m);
int read_duration(const struct key *key, const struct node *value, void *to, struct mistake *m);
int read_count(const struct key *key, const struct node *value, void *to, struct mistake *m);
int read_texts(const struct key *key, const struct node *value, void *to, struct mistake *m);
int read_platforms(const struct key *key, const struct node *value, void *to, struct mistake *m);

/* "a text", "a list", "nothing". */
const char *node_kind_name(const struct node *node);
/* One text, or a list of texts that are not empty: how many, and each. -1 with a mistake. */
MUST_CHECK int texts_of(const struct node *value, const char *key, const char *hint,
                        const struct node **out_items, size_t *out_count, struct mistake *m);

#endif

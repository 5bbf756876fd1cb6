/* What the parts of the recipe reader share (internal to wishlist/recipe*.c). */
#ifndef WISHLIST_RECIPE_READER_H
#define WISHLIST_RECIPE_READER_H

#include "wishlist/recipe.h"
#include "wishlist/recipe_key.h"

/* One file of a recipe, while it is read. */
struct file_reader {
    struct recipe_reader *all;
    size_t file;                        /* number in recipe.files */
    const char *path;                   /* as the loader knows it */
    int version;                        /* 1 or 2 */
    const struct recipe_list *outer;    /* what the including file says of lists; NULL: none does */
    const struct file_reader *includer; /* NULL: the recipe itself */
};

/* The whole of it. */
struct recipe_reader {
    const struct recipe_loader *loader;
    struct recipe *recipe;
    size_t entries;
    void *seen; /* search tree of wishes, by repository, prefix and what is wished */
    struct error *err;
};

/* recipe_list.c: the keys of a recipe and of a list; *to is a struct recipe_list. */
extern const struct key recipe_keys[];
/* What binds lists of an included file: limits and keys, and the prefix goes before its own. */
void recipe_list_bind(struct recipe_list *list, const struct recipe_list *outer, bool own_prefix);
/* Read the keys of `mapping` into *list. */
MUST_CHECK int recipe_list_read(struct file_reader *f, const struct node *mapping,
                                enum key_place place, struct recipe_list *list, struct mistake *m);

/* recipe_entry.c: one entry of a list, without list and file. */
MUST_CHECK int recipe_entry_read(const struct node *entry, int version, struct wish *out,
                                 struct mistake *m);
void wish_release(struct wish *wish);

/* recipe_file.c: a file beside or below another. */
MUST_CHECK int recipe_read_key(struct file_reader *f, const struct node *path,
                               struct recipe_key *out, struct mistake *m);

#endif

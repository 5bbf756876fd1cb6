/*
 * A changeset: everything one revision changes, as an ordered list of directories, files (with
 * where their bytes lie), links, symlinks and devices. It is what the planner makes and what a back
 * end carries out; `--dry-run` prints it and tests compare it.
 *
 * Trees of a million entries are not spelled out: a changeset holds a few small changes and
 * references to trees (layers/stack.h), and gives out one change after the other on a visit.
 *
 * Order and units. A unit is a folder that is new as a whole (a layer, a chain, a flat image): a
 * back end makes it appear at once, or not at all. Changes outside units are small (a directory, a
 * metadata file, a public symlink) and come in the order they were added: public names last.
 *
 * What a changeset never holds, because `cvmfs_server ingest` answers it with silent damage
 * (cvmfs-facts): the same path twice, a path below something that is no directory, an unclean path
 * ("..", "//"), a directory over something else. The first three are checked when a change is
 * added or visited (ERROR_BUG); the last is the planner's to check against the repository.
 */
#ifndef REPOSITORY_CHANGESET_H
#define REPOSITORY_CHANGESET_H

#include "base/error.h"
#include "layers/layer.h"
#include "layers/stack.h"
#include "repository/catalogs.h"
#include "repository/known_files.h"

#include <stdint.h>

enum change_type {
    CHANGE_DIRECTORY, /* new, or new attributes for one that is there */
    CHANGE_FILE,      /* new, or in place of a file */
    CHANGE_LINK,      /* another name for the file (symlink, device, FIFO) at `target` */
    CHANGE_SYMLINK,   /* new, or in place of a symlink */
    CHANGE_CHAR,
    CHANGE_BLOCK,
    CHANGE_FIFO,
};

struct change {
    enum change_type type;
    const char *path;   /* relative to the repository's root */
    const char *target; /* a symlink's text; a link's path in the repository */
    uint32_t mode, uid, gid;
    int64_t mtime;
    uint32_t mtime_nsec;
    uint32_t major, minor;
    uint64_t size;      /* of a file, or a link to one; a file's content is at */
    const void *bytes;  /* in memory; or if that is NULL */
    int fd;             /* in a file, */
    uint64_t offset;    /* from here on */
    const char *xattrs; /* as in struct tar_entry */
    uint32_t xattrs_len;
    /* Of a tree's entry: where it is from, and what is said of it there. NULL: it is ours. */
    const struct layer *layer;
    const struct layer_entry *entry;
};

/* Where the contents of a layer's files are, as seen by a tree that needs them. */
struct layer_source {
    const struct layer *layer;
    /* The published `layerfs` of the layer: files become links into it. NULL: there is none, files
     * carry their content. Owned by the changeset that got it. */
    char *home;
    /* One bit an entry: the file at that path in `home` is not what the index says (somebody else
     * published it, or CernVM-FS keeps it in chunks): carry the content. NULL: none is. Owned. */
    uint8_t *not_linkable;
    /* The layer is new, and of some of its files the content is known: they are links to elsewhere,
     * in `home`, too. Borrowed, or NULL. */
    const struct known_layer *known;
};

struct tree_change {
    const char *root;            /* path of the tree's root */
    const struct stack *stack;   /* borrowed, as are the layers, until the changeset is freed */
    struct tree tree;            /* moved into the changeset */
    struct layer_source *layers; /* one a layer of the stack; moved */
    /* If not NULL, files are links to the same path below this tree, if its layer has no home.
     * Owned. */
    char *mirror;
    struct catalog_places catalogs; /* below the root, where it is large: found when added */
    bool drop_devices; /* leave out character and block devices that the image brings */
    bool fix_perms;    /* the owner may read every file and enter every directory */
};

struct changeset;
struct changeset *changeset_new(void);
void changeset_free(struct changeset *cs);

/* Until changeset_end_unit() everything lies below `root`. */
void changeset_begin_unit(struct changeset *cs, const char *root);
void changeset_end_unit(struct changeset *cs);

/* Directories and files that are ours (not an image's) belong to root and carry the time of the
 * changeset. All strings and bytes are copied. */
MUST_CHECK int changeset_add_directory(struct changeset *cs, const char *path, struct error *err);
MUST_CHECK int changeset_add_file(struct changeset *cs, const char *path, const void *bytes,
                                  size_t len, struct error *err);
/* The same without a copy: `bytes` must stay until the changeset is freed. */
MUST_CHECK int changeset_add_mapped_file(struct changeset *cs, const char *path, const void *bytes,
                                         size_t len, struct error *err);
MUST_CHECK int changeset_add_symlink(struct changeset *cs, const char *path, const char *target,
                                     struct error *err);
/* Any change that another changeset gives out. Content that lies in a file is read into memory: of
 * small files only (ERROR_BUG). */
MUST_CHECK int changeset_add_copy(struct changeset *cs, const struct change *change,
                                  struct error *err);
/* A deletion for overlay file systems: a character device 0:0. */
MUST_CHECK int changeset_add_whiteout(struct changeset *cs, const char *path, struct error *err);
/* The marker that makes a directory a nested catalog of CernVM-FS. */
MUST_CHECK int changeset_add_catalog(struct changeset *cs, const char *dir, struct error *err);
/* A tree with a catalog at its root, and more below if it is large. *tree is taken over, on failure
 * too. */
MUST_CHECK int changeset_add_tree(struct changeset *cs, struct tree_change *tree,
                                  struct error *err);

/* What layer sources of the trees borrow: freed with the changeset. Once. */
void changeset_keep_known_files(struct changeset *cs, struct known_files *known);

/* The tree with that root, or NULL. */
const struct tree_change *changeset_find_tree(const struct changeset *cs, const char *root);
bool changeset_is_empty(const struct changeset *cs);
/* Whether a small change for this path has been added. */
bool changeset_has(const struct changeset *cs, const char *path);

struct changeset_counts {
    uint64_t directories, files, links, symlinks, devices; /* FIFOs are devices here */
    uint64_t content_bytes; /* of files: what CernVM-FS has to hash */
    uint64_t xattrs;        /* entries with extended attributes */
};
/* Visits everything. */
MUST_CHECK int changeset_count(const struct changeset *cs, struct changeset_counts *out,
                               struct error *err);

struct changeset_visitor {
    /* Any of them may be NULL. `change` and what it points to are good for the call only. */
    int (*change)(void *arg, const struct change *change, struct error *err);
    int (*begin_unit)(void *arg, const char *root, struct error *err);
    int (*end_unit)(void *arg, const char *root, struct error *err);
    void *arg;
};
MUST_CHECK int changeset_visit(const struct changeset *cs, const struct changeset_visitor *visitor,
                               struct error *err);

#endif

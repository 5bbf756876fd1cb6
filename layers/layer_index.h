/*
 * The index of one layer: what its tar holds, one record an entry, sorted by path (path_compare:
 * a directory before everything below it), with attributes and content hashes.
 *
 * It is made once, when the layer is prepared (layers/prepare.h), and is a file that is mapped, not
 * parsed. The same file is published beside the layer, so that later images that stand on the
 * layer need neither its blob nor a walk. Format, all in native little-endian order:
 *
 *     struct layer_index_header
 *     struct layer_entry [entry_count]      the root directory first
 *     names_size bytes                      paths, link targets, extended attributes
 *
 * In an index every entry's parent directories are entries too, each path occurs once, hard links
 * inside the layer have become files that share a `primary`, and deletions are WHITEOUT entries or
 * the OPAQUE flag of a directory (layers/layer_builder.h says how a tar becomes that).
 */
#ifndef LAYERS_LAYER_INDEX_H
#define LAYERS_LAYER_INDEX_H

#include "base/digest.h"
#include "base/error.h"

#include <stdint.h>

enum entry_type {
    ENTRY_DIRECTORY = 1,
    ENTRY_FILE,
    ENTRY_SYMLINK,
    ENTRY_CHAR,
    ENTRY_BLOCK,
    ENTRY_FIFO,
    ENTRY_WHITEOUT,   /* hides the path in the layers below */
    ENTRY_LOWER_LINK, /* hard link to a path of a layer below, which `target` names */
};

enum entry_flags {
    ENTRY_OPAQUE = 1,  /* directory: hides what the layers below hold in it */
    ENTRY_IMPLIED = 2, /* directory that no tar entry names, only paths below it */
};

struct layer_entry {
    uint64_t size;                /* file: bytes */
    uint64_t data_offset;         /* file: where they begin in the layer's data */
    int64_t mtime;                /* seconds since 1970 */
    uint8_t content[SHA256_SIZE]; /* file: its hash */
    uint32_t mtime_nsec;
    uint32_t mode; /* 07777 */
    uint32_t uid, gid;
    uint32_t major, minor;       /* devices */
    uint32_t path, path_len;     /* in the names; no leading slash, "" is the root */
    uint32_t target, target_len; /* symlink: its text; lower link: the path it names */
    uint32_t xattrs, xattrs_len; /* as in struct tar_entry */
    uint32_t primary; /* the first entry that shares this one's inode; itself if none does */
    uint8_t type;     /* enum entry_type */
    uint8_t flags;    /* enum entry_flags */
    uint8_t unused[2];
};

#define LAYER_INDEX_MAGIC "duccidx1"

struct layer_index_header {
    char magic[8];
    uint32_t header_size, entry_size; /* of these structs: another version has other sizes */
    uint64_t entry_count;
    uint64_t names_size;
    uint64_t data_size;       /* bytes of all file contents of the layer */
    uint64_t compressed_size; /* of the blob */
    uint64_t diff_size;       /* of the uncompressed tar */
    uint8_t diff_id[DIGEST_SIZE_MAX];
    uint32_t diff_algorithm; /* enum digest_algorithm */
    uint32_t lower_links;    /* how many entries need the layers below: ENTRY_LOWER_LINK, */
    uint32_t opaque_count;   /* ENTRY_OPAQUE, */
    uint32_t implied_count;  /* ENTRY_IMPLIED */
    uint32_t xattr_count;    /* entries with extended attributes */
    uint32_t dropped_count;  /* .cvmfscatalog and .cvmfsgraft-* that were left out */
    uint32_t whiteout_count; /* ENTRY_WHITEOUT */
    uint32_t unused;
};

struct layer_index {
    const struct layer_index_header *header;
    const struct layer_entry *entries;
    const char *names;
    size_t count;
    void *map;
    size_t map_size;
};

/* Map an index file. ERROR_CORRUPT if it is not one, or of another version, or damaged. With
 * `check_all` every record is checked (an index from outside the spool); else the header only. */
MUST_CHECK int layer_index_open(const char *path, bool check_all, struct layer_index *out,
                                struct error *err);
/* The same for a copy of the file, made in the folder `scratch` and gone with the map; every record
 * is checked. What is mapped is open, and below a CernVM-FS repository nothing may be open while a
 * commit runs. */
MUST_CHECK int layer_index_open_copy(const char *path, const char *scratch, struct layer_index *out,
                                     struct error *err);
/* All of it has been read, and little of it will be again: give the memory back. */
void layer_index_forget_pages(const struct layer_index *index);
MUST_CHECK int layer_index_open_memory(const void *bytes, size_t len, struct layer_index *out,
                                       struct error *err);
void layer_index_release(struct layer_index *index);

/* Borrowed, not NUL-terminated. */
static inline const char *entry_path(const struct layer_index *x, const struct layer_entry *e)
{
    return x->names + e->path;
}

static inline const char *entry_target(const struct layer_index *x, const struct layer_entry *e)
{
    return x->names + e->target;
}

/* The entry of a path, or NULL. */
const struct layer_entry *layer_index_find(const struct layer_index *index, const char *path,
                                           size_t len);
struct digest layer_index_diff_id(const struct layer_index *index);

#endif

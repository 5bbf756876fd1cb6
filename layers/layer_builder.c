#include "layers/layer_builder.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NONE      UINT32_MAX
#define ROOT      0u
#define WH_PREFIX ".wh."
#define WH_META   ".wh..wh."
#define WH_OPAQUE ".wh..wh..opq"

/* A name in a directory. Nodes are never freed singly; a dropped one is unlinked from the table. */
struct node {
    uint32_t parent;
    uint32_t first_child, next_sibling;
    uint32_t inode; /* NONE: no entry, only a whiteout */
    uint32_t name;  /* in builder.names */
    uint16_t name_len;
    uint16_t path_len; /* of the whole path: a symlink can make it longer than the tar's name */
    bool dead;
    bool whiteout; /* the layer hides this name below */
    bool real;     /* it, or something below it, is more than a deletion or a way to one */
    bool covered;  /* a directory above it hides what the layers below have here */
};

struct inode {
    struct layer_entry e; /* path unset */
    uint32_t index;       /* of the first entry written with it; NONE before */
};

struct layer_builder {
    struct node *nodes;
    size_t node_count, node_capacity;
    struct inode *inodes;
    size_t inode_count, inode_capacity;
    struct buf names;  /* node names, link targets, extended attributes */
    uint32_t *table;   /* open addressing over (parent, name) -> node; NONE is free */
    size_t table_size; /* a power of two */
    size_t table_used; /* dead nodes included */
    uint32_t dropped;
};

/* ---- the tree ---- */

static size_t hash_name(uint32_t parent, const char *name, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u ^ parent;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)name[i]) * 0x100000001b3u;
    h ^= h >> 29;
    return (size_t)(h * 0x9e3779b97f4a7c15u >> 20);
}

static size_t find_slot(const struct layer_builder *b, uint32_t parent, const char *name,
                        size_t len)
{
    size_t slot = hash_name(parent, name, len) & (b->table_size - 1);
    for (; b->table[slot] != NONE; slot = (slot + 1) & (b->table_size - 1)) {
        const struct node *n = &b->nodes[b->table[slot]];
        if (n->parent == parent && !n->dead && n->name_len == len &&
            memcmp(b->names.data + n->name, name, len) == 0)
            break;
    }
    return slot;
}

static void grow_table(struct layer_builder *b)
{
    free(b->table);
    b->table_size = b->table_size ? b->table_size * 2 : 1024;
    b->table = xmalloc(b->table_size * sizeof *b->table);
    memset(b->table, 0xff, b->table_size * sizeof *b->table);
    b->table_used = 0;
    for (uint32_t i = 1; i < b->node_count; i++) {
        const struct node *n = &b->nodes[i];
        if (n->dead)
            continue;
        b->table[find_slot(b, n->parent, b->names.data + n->name, n->name_len)] = i;
        b->table_used++;
    }
}

static uint32_t find_child(const struct layer_builder *b, uint32_t parent, const char *name,
                           size_t len)
{
    return b->table[find_slot(b, parent, name, len)];
}

static int add_bytes(struct layer_builder *b, const char *bytes, size_t len, uint32_t *out,
                     struct error *err)
{
    if (b->names.len + len > UINT32_MAX / 2)
        return error_set(err, ERROR_LIMIT, "more than 2 GiB of names in one layer");
    *out = (uint32_t)b->names.len;
    buf_add(&b->names, bytes, len);
    return 0;
}

static int add_child(struct layer_builder *b, uint32_t parent, const char *name, size_t len,
                     uint32_t *out, struct error *err)
{
    if (b->node_count >= LIMIT_LAYER_ENTRIES)
        return error_set(err, ERROR_LIMIT, "more than %zu entries in one layer",
                         LIMIT_LAYER_ENTRIES);
    size_t above = b->nodes[parent].path_len;
    size_t path_len = above ? above + 1 + len : len;
    if (path_len > LIMIT_PATH_BYTES)
        return error_set(err, ERROR_LIMIT, "its path is %zu bytes long (limit %zu)", path_len,
                         LIMIT_PATH_BYTES);
    struct node n = {.parent = parent,
                     .path_len = (uint16_t)path_len,
                     .first_child = NONE,
                     .next_sibling = b->nodes[parent].first_child,
                     .inode = NONE,
                     .name_len = (uint16_t)len};
    if (add_bytes(b, name, len, &n.name, err) < 0)
        return -1;
    ARRAY_GROW(b->nodes, b->node_count, b->node_capacity);
    uint32_t id = (uint32_t)b->node_count++;
    b->nodes[id] = n;
    b->nodes[parent].first_child = id;
    if (++b->table_used * 3 > b->table_size * 2)
        grow_table(b);
    else
        b->table[find_slot(b, parent, name, len)] = id;
    *out = id;
    return 0;
}

/* Everything below a node that stops being a directory. Iterative: depth is not ours to choose. */
static void drop_children(struct layer_builder *b, uint32_t top)
{
    uint32_t at = b->nodes[top].first_child;
    while (at != NONE) {
        struct node *n = &b->nodes[at];
        if (n->first_child != NONE) {
            uint32_t child = n->first_child;
            n->first_child = NONE;
            at = child;
            continue;
        }
        n->dead = true;
        at = n->next_sibling;
        uint32_t parent = n->parent;
        while (at == NONE && parent != top) {
            b->nodes[parent].dead = true;
            at = b->nodes[parent].next_sibling;
            parent = b->nodes[parent].parent;
        }
    }
    b->nodes[top].first_child = NONE;
}

static uint32_t new_inode(struct layer_builder *b, const struct layer_entry *e)
{
    ARRAY_GROW(b->inodes, b->inode_count, b->inode_capacity);
    uint32_t id = (uint32_t)b->inode_count++;
    b->inodes[id] = (struct inode){.e = *e, .index = NONE};
    return id;
}

static struct layer_entry *entry_of(struct layer_builder *b, uint32_t node)
{
    uint32_t inode = b->nodes[node].inode;
    return inode == NONE ? NULL : &b->inodes[inode].e;
}

/* A directory that no entry names gets these until one does. */
static const struct layer_entry implied_directory = {
    .type = ENTRY_DIRECTORY, .flags = ENTRY_IMPLIED, .mode = 0755};

struct layer_builder *layer_builder_new(void)
{
    struct layer_builder *b = xcalloc(1, sizeof *b);
    b->names = (struct buf)BUF_INIT;
    grow_table(b);
    ARRAY_GROW(b->nodes, b->node_count, b->node_capacity);
    b->nodes[b->node_count++] = (struct node){.parent = NONE,
                                              .first_child = NONE,
                                              .next_sibling = NONE,
                                              .inode = new_inode(b, &implied_directory)};
    return b;
}

void layer_builder_free(struct layer_builder *b)
{
    if (!b)
        return;
    free(b->nodes);
    free(b->inodes);
    free(b->table);
    buf_release(&b->names);
    free(b);
}

/* ---- names ---- */

/* Lexical cleaning; *out gets "a/b/c" without a leading slash, "" for the root. */
static int clean_name(const char *name, const char *what, struct buf *out, struct error *err)
{
    for (const char *p = name; *p;) {
        size_t len = strcspn(p, "/");
        if (len == 2 && memcmp(p, "..", 2) == 0) {
            if (out->len == 0)
                return error_set(err, ERROR_PARSE, "%s leaves the layer's root", what);
            char *slash = strrchr(out->data, '/');
            buf_truncate(out, slash ? (size_t)(slash - out->data) : 0);
        } else if (len > 0 && !(len == 1 && *p == '.')) {
            if (len > LIMIT_NAME_BYTES)
                return error_set(err, ERROR_LIMIT, "%s has a component of %zu bytes (limit %zu)",
                                 what, len, LIMIT_NAME_BYTES);
            if (out->len > 0)
                buf_addc(out, '/');
            buf_add(out, p, len);
        }
        p += len;
        while (*p == '/')
            p++;
    }
    if (out->len > LIMIT_PATH_BYTES)
        return error_set(err, ERROR_LIMIT, "%s is %zu bytes long (limit %zu)", what, out->len,
                         LIMIT_PATH_BYTES);
    return 0;
}

static void node_path(const struct layer_builder *b, uint32_t node, struct buf *out)
{
    if (node == ROOT)
        return;
    const struct node *n = &b->nodes[node];
    node_path(b, n->parent, out);
    if (out->len > 0)
        buf_addc(out, '/');
    buf_add(out, b->names.data + n->name, n->name_len);
}

struct walk {
    struct buf rest; /* what is still to be walked, components joined by '/' */
    size_t at;
    int hops;
    uint32_t node; /* where we are: a directory */
};

/* Put a symlink's text in front of the rest of the walk. */
static int follow(struct layer_builder *b, struct walk *w, const struct layer_entry *link,
                  struct error *err)
{
    if (++w->hops > LIMIT_SYMLINK_HOPS)
        return error_set(err, ERROR_PARSE, "leads through more than %d symlinks",
                         LIMIT_SYMLINK_HOPS);
    struct buf rest = BUF_INIT;
    buf_add(&rest, b->names.data + link->target, link->target_len);
    if (rest.data[0] == '/')
        w->node = ROOT;
    buf_addc(&rest, '/');
    buf_adds(&rest, w->rest.data + w->at);
    buf_release(&w->rest);
    w->rest = rest;
    w->at = 0;
    return 0;
}

static bool is_cvmfs_instruction(const char *name, size_t len)
{
    return (len == 13 && memcmp(name, ".cvmfscatalog", 13) == 0) ||
           (len >= 12 && memcmp(name, ".cvmfsgraft-", 12) == 0);
}

/* One directory component. 1: done; 0: it does not exist and `make` is false; -1. */
static int step_into(struct layer_builder *b, struct walk *w, const char *name, size_t len,
                     bool make, struct error *err)
{
    if (len == 0 || (len == 1 && *name == '.'))
        return 1;
    if (len == 2 && memcmp(name, "..", 2) == 0) { /* only out of a symlink: stops at the root */
        if (w->node != ROOT)
            w->node = b->nodes[w->node].parent;
        return 1;
    }
    if (len > LIMIT_NAME_BYTES)
        return error_set(err, ERROR_LIMIT, "leads through a component of %zu bytes (limit %zu)",
                         len, LIMIT_NAME_BYTES);
    uint32_t child = find_child(b, w->node, name, len);
    if (child == NONE || b->nodes[child].inode == NONE) {
        if (!make)
            return 0;
        /* In the entry's own name it would have been dropped: a symlink leads here. */
        if (is_cvmfs_instruction(name, len))
            return error_set(err, ERROR_PARSE, "leads to %s, which is no name for a file here",
                             name);
        if (child == NONE && add_child(b, w->node, name, len, &child, err) < 0)
            return -1;
        b->nodes[child].inode = new_inode(b, &implied_directory);
    }
    const struct layer_entry *e = entry_of(b, child);
    if (e->type == ENTRY_SYMLINK)
        return follow(b, w, e, err) < 0 ? -1 : 1;
    if (e->type != ENTRY_DIRECTORY) {
        _cleanup_buf_ struct buf path = BUF_INIT;
        node_path(b, child, &path);
        _cleanup_free_ char *q = quoted_bytes(path.data, path.len);
        return error_set(err, ERROR_PARSE, "lies below %s, which is not a directory", q);
    }
    w->node = child;
    return 1;
}

/*
 * The directory that holds the last component of a cleaned path. 1, with *out_name pointing into
 * `path`; 0 when a directory is missing and `make` is false: then *out_missing (if not NULL) is
 * the path with the symlinks walked so far resolved; -1.
 */
static int find_parent(struct layer_builder *b, const char *path, bool make, uint32_t *out_parent,
                       const char **out_name, struct buf *out_missing, struct error *err)
{
    const char *slash = strrchr(path, '/');
    *out_name = slash ? slash + 1 : path;
    struct walk w = {.rest = BUF_INIT, .node = ROOT};
    if (slash)
        buf_add(&w.rest, path, (size_t)(slash - path));
    int result = 1;
    while (result == 1 && w.at < w.rest.len) {
        size_t len = strcspn(w.rest.data + w.at, "/");
        size_t start = w.at;
        w.at += len + (w.rest.data[w.at + len] == '/');
        _cleanup_free_ char *name = xstrndup(w.rest.data + start, len);
        result = step_into(b, &w, name, len, make, err);
        if (result == 0 && out_missing) {
            node_path(b, w.node, out_missing);
            buf_addf(out_missing, "/%s/%s/%s", name, w.rest.data + w.at, *out_name);
        }
    }
    *out_parent = w.node;
    buf_release(&w.rest);
    return result;
}

/* ---- adding ---- */

/* Whether the entry is to be left out: an instruction to CernVM-FS, or something below one or
 * below a whiteout's own name (aufs kept its hard links there). */
static bool is_dropped(const char *path)
{
    for (const char *p = path; *p;) {
        size_t len = strcspn(p, "/");
        bool last = p[len] == '\0';
        if (is_cvmfs_instruction(p, len) || (!last && starts_with(p, WH_PREFIX)))
            return true;
        p += len + !last;
    }
    return false;
}

static int add_whiteout(struct layer_builder *b, uint32_t parent, const char *name,
                        struct error *err)
{
    size_t len = strlen(name);
    if (len == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return error_set(err, ERROR_PARSE, "a whiteout that names no entry");
    if (is_cvmfs_instruction(name, len)) { /* hides what was dropped below */
        b->dropped++;
        return 0;
    }
    uint32_t node = find_child(b, parent, name, len);
    if (node == NONE && add_child(b, parent, name, len, &node, err) < 0)
        return -1;
    b->nodes[node].whiteout = true;
    return 0;
}

static int fill_entry(struct layer_builder *b, const struct tar_entry *t,
                      const struct content *content, struct layer_entry *e, struct error *err)
{
    static const uint8_t types[] = {
        [TAR_FILE] = ENTRY_FILE,   [TAR_SYMLINK] = ENTRY_SYMLINK,     [TAR_CHAR] = ENTRY_CHAR,
        [TAR_BLOCK] = ENTRY_BLOCK, [TAR_DIRECTORY] = ENTRY_DIRECTORY, [TAR_FIFO] = ENTRY_FIFO};
    *e = (struct layer_entry){.type = types[t->type],
                              .mode = t->type == TAR_SYMLINK ? 0777 : t->mode,
                              .uid = t->uid,
                              .gid = t->gid,
                              .mtime = t->mtime,
                              .mtime_nsec = t->mtime_nsec,
                              .major = t->major,
                              .minor = t->minor};
    if (t->type == TAR_FILE) {
        e->size = content->size;
        e->data_offset = content->offset;
        memcpy(e->content, content->hash, SHA256_SIZE);
    }
    if (t->type == TAR_SYMLINK) {
        e->target_len = (uint32_t)strlen(t->link);
        if (e->target_len == 0 || e->target_len > LIMIT_PATH_BYTES)
            return error_set(err, e->target_len ? ERROR_LIMIT : ERROR_PARSE,
                             "a symlink whose text has %u bytes (expected 1 to %zu)", e->target_len,
                             LIMIT_PATH_BYTES);
        if (add_bytes(b, t->link, e->target_len, &e->target, err) < 0)
            return -1;
    }
    e->xattrs_len = t->xattrs ? (uint32_t)t->xattrs->len : 0;
    return e->xattrs_len ? add_bytes(b, t->xattrs->data, e->xattrs_len, &e->xattrs, err) : 0;
}

/* Give a name another inode; over a directory, what was below goes. */
static void replace_entry(struct layer_builder *b, uint32_t node, uint32_t inode)
{
    const struct layer_entry *old = entry_of(b, node);
    if (old && old->type == ENTRY_DIRECTORY)
        drop_children(b, node);
    b->nodes[node].inode = inode;
}

static int put(struct layer_builder *b, uint32_t parent, const char *name,
               const struct layer_entry *e, struct error *err)
{
    uint32_t node = *name ? find_child(b, parent, name, strlen(name)) : ROOT;
    if (node == NONE && add_child(b, parent, name, strlen(name), &node, err) < 0)
        return -1;
    struct layer_entry *old = entry_of(b, node);
    if (node == ROOT && e->type != ENTRY_DIRECTORY)
        return error_set(err, ERROR_PARSE, "the root can only be a directory");
    if (old && old->type == ENTRY_DIRECTORY && e->type == ENTRY_DIRECTORY) {
        uint8_t opaque = old->flags & ENTRY_OPAQUE;
        *old = *e;
        old->flags |= opaque;
        return 0;
    }
    struct layer_entry fresh = *e;
    if (old && e->type == ENTRY_DIRECTORY)
        fresh.flags |= ENTRY_OPAQUE; /* what it replaces had hidden everything below that name */
    replace_entry(b, node, new_inode(b, &fresh));
    return 0;
}

/* The node of a hard link's target in this layer: 1; 0 and its path if it must be below; -1. */
static int find_link_target(struct layer_builder *b, const char *link, uint32_t *out_node,
                            struct buf *out_path, struct error *err)
{
    _cleanup_buf_ struct buf clean = BUF_INIT;
    _cleanup_free_ char *q = quoted(link);
    _cleanup_free_ char *what = xasprintf("hard-link target %s", q);
    if (clean_name(link, what, &clean, err) < 0)
        return -1;
    uint32_t parent;
    const char *name;
    int found = find_parent(b, clean.data, false, &parent, &name, out_path, err);
    if (found < 0)
        return error_wrap(err, "%s", what);
    if (found == 0)
        return 0;
    uint32_t node = *name ? find_child(b, parent, name, strlen(name)) : ROOT;
    if (node == NONE || b->nodes[node].inode == NONE) {
        node_path(b, parent, out_path);
        buf_addf(out_path, "/%s", name);
        return 0;
    }
    if (entry_of(b, node)->type == ENTRY_DIRECTORY)
        return error_set(err, ERROR_PARSE, "%s is a directory", what);
    *out_node = node;
    return 1;
}

static int add_hard_link(struct layer_builder *b, uint32_t parent, const char *name,
                         const struct tar_entry *t, struct error *err)
{
    uint32_t target = NONE;
    _cleanup_buf_ struct buf path = BUF_INIT, lower = BUF_INIT;
    int found = find_link_target(b, t->link, &target, &path, err);
    if (found < 0)
        return -1;
    if (found == 0) {
        struct layer_entry e = {.type = ENTRY_LOWER_LINK};
        if (clean_name(path.data, "hard-link target", &lower, err) < 0 ||
            add_bytes(b, lower.data, lower.len, &e.target, err) < 0)
            return -1;
        e.target_len = (uint32_t)lower.len;
        return put(b, parent, name, &e, err);
    }
    if (!*name)
        return error_set(err, ERROR_PARSE, "the root can only be a directory");
    uint32_t node = find_child(b, parent, name, strlen(name));
    if (node == target)
        return error_set(err, ERROR_PARSE, "a hard link to itself");
    if (node == NONE && add_child(b, parent, name, strlen(name), &node, err) < 0)
        return -1;
    uint32_t inode = b->nodes[target].inode;
    replace_entry(b, node, inode);
    return 0;
}

static int add_cleaned(struct layer_builder *b, const char *path, const struct tar_entry *t,
                       const struct content *content, struct error *err)
{
    uint32_t parent = ROOT;
    const char *name = path;
    if (find_parent(b, path, true, &parent, &name, NULL, err) < 0)
        return -1;
    if (strcmp(name, WH_OPAQUE) == 0) {
        entry_of(b, parent)->flags |= ENTRY_OPAQUE;
        return 0;
    }
    if (starts_with(name, WH_META)) /* aufs' own bookkeeping */
        return 0;
    if (starts_with(name, WH_PREFIX))
        return add_whiteout(b, parent, name + strlen(WH_PREFIX), err);
    if (t->type == TAR_CHAR && t->major == 0 && t->minor == 0)
        return add_whiteout(b, parent, name, err);
    if (t->type == TAR_HARD_LINK)
        return add_hard_link(b, parent, name, t, err);
    struct layer_entry e;
    if (fill_entry(b, t, content, &e, err) < 0)
        return -1;
    return put(b, parent, name, &e, err);
}

int layer_builder_add(struct layer_builder *b, const struct tar_entry *t,
                      const struct content *content, struct error *err)
{
    _cleanup_buf_ struct buf path = BUF_INIT;
    int result = 0;
    if (t->type == TAR_OTHER) /* as Podman and umoci do: what it means cannot be known */
        result = error_set(err, ERROR_UNSUPPORTED,
                           "tar entries of type 0x%02x are not known (expected a file, directory, "
                           "link, device or FIFO)",
                           (unsigned)(unsigned char)t->typeflag);
    if (result == 0)
        result = clean_name(t->name, "its name", &path, err);
    if (result == 0 && is_dropped(path.data)) {
        b->dropped++;
        return 0;
    }
    if (result == 0)
        result = add_cleaned(b, path.data, t, content, err);
    if (result < 0) {
        _cleanup_free_ char *q = quoted(t->name);
        error_wrap(err, "entry %s", q);
    }
    return result;
}

/* ---- writing ---- */

struct writer {
    struct layer_builder *b;
    struct layer_index_header *h;
    FILE *out;
    struct buf path; /* of the directory under way */
    uint64_t names;  /* bytes of names placed so far */
    uint32_t count;
    bool names_pass;
};

static int by_name(const void *x, const void *y, void *arg)
{
    const struct layer_builder *b = arg;
    const struct node *m = &b->nodes[*(const uint32_t *)x], *n = &b->nodes[*(const uint32_t *)y];
    size_t len = m->name_len < n->name_len ? m->name_len : n->name_len;
    int order = memcmp(b->names.data + m->name, b->names.data + n->name, len);
    return order ? order : (int)m->name_len - (int)n->name_len;
}

/* The live children of a directory, sorted. Owned; *out_count of them. */
static uint32_t *sorted_children(struct layer_builder *b, uint32_t dir, size_t *out_count)
{
    size_t count = 0;
    for (uint32_t c = b->nodes[dir].first_child; c != NONE; c = b->nodes[c].next_sibling)
        count += !b->nodes[c].dead;
    uint32_t *children = xmalloc(count * sizeof *children);
    size_t i = 0;
    for (uint32_t c = b->nodes[dir].first_child; c != NONE; c = b->nodes[c].next_sibling)
        if (!b->nodes[c].dead)
            children[i++] = c;
    if (count > 1)
        qsort_r(children, count, sizeof *children, by_name, b);
    *out_count = count;
    return children;
}

static void count_entry(struct layer_index_header *h, const struct layer_entry *e)
{
    h->lower_links += e->type == ENTRY_LOWER_LINK;
    h->whiteout_count += e->type == ENTRY_WHITEOUT;
    h->opaque_count += (e->flags & ENTRY_OPAQUE) != 0;
    h->implied_count += (e->flags & ENTRY_IMPLIED) != 0;
    h->xattr_count += e->xattrs_len > 0;
}

static void place(struct writer *w, uint32_t *start, uint32_t len)
{
    *start = (uint32_t)w->names;
    w->names += len;
}

/* The record of the node whose path is w->path. */
static void write_record(struct writer *w, const struct node *n)
{
    struct layer_entry e = {.type = ENTRY_WHITEOUT};
    struct inode *inode = n->inode == NONE ? NULL : &w->b->inodes[n->inode];
    if (inode) {
        e = inode->e;
        if (inode->index == NONE)
            inode->index = w->count;
    }
    if (e.type == ENTRY_DIRECTORY && n->whiteout)
        e.flags |= ENTRY_OPAQUE;
    e.primary = inode ? inode->index : w->count;
    e.path_len = (uint32_t)w->path.len;
    place(w, &e.path, e.path_len);
    place(w, &e.target, e.target_len);
    place(w, &e.xattrs, e.xattrs_len);
    count_entry(w->h, &e);
    fwrite(&e, sizeof e, 1, w->out);
    w->count++;
}

static void write_names(struct writer *w, const struct node *n)
{
    fwrite(w->path.data, 1, w->path.len, w->out);
    if (n->inode == NONE)
        return;
    const struct layer_entry *e = &w->b->inodes[n->inode].e;
    fwrite(w->b->names.data + e->target, 1, e->target_len, w->out);
    fwrite(w->b->names.data + e->xattrs, 1, e->xattrs_len, w->out);
}

struct frame {
    uint32_t *children;
    size_t count, at;
    size_t path_len; /* of the directory */
};

static void visit(struct writer *w, uint32_t node)
{
    const struct node *n = &w->b->nodes[node];
    if (w->names_pass)
        write_names(w, n);
    else
        write_record(w, n);
}

/* Depth first, siblings in order, without recursion. */
static void walk_sorted(struct writer *w)
{
    struct frame *stack = NULL;
    size_t depth = 0, capacity = 0;
    buf_truncate(&w->path, 0);
    visit(w, ROOT);
    ARRAY_GROW(stack, depth, capacity);
    stack[0] = (struct frame){0};
    stack[0].children = sorted_children(w->b, ROOT, &stack[0].count);
    depth = 1;
    while (depth > 0) {
        struct frame *f = &stack[depth - 1];
        buf_truncate(&w->path, f->path_len);
        if (f->at == f->count) {
            free(f->children);
            depth--;
            continue;
        }
        uint32_t node = f->children[f->at++];
        const struct node *n = &w->b->nodes[node];
        if (w->path.len > 0)
            buf_addc(&w->path, '/');
        buf_add(&w->path, w->b->names.data + n->name, n->name_len);
        visit(w, node);
        if (n->first_child == NONE)
            continue;
        ARRAY_GROW(stack, depth, capacity);
        stack[depth] = (struct frame){.path_len = w->path.len};
        stack[depth].children = sorted_children(w->b, node, &stack[depth].count);
        depth++;
    }
    free(stack);
}

/* A directory that only deletions below it imply, and that is deleted itself, is a deletion. What
 * only deletes, where a directory above it hides everything already, is nothing. */
static void fold_deletions(struct layer_builder *b)
{
    for (uint32_t id = (uint32_t)b->node_count; id-- > 1;) { /* children come after parents */
        struct node *n = &b->nodes[id];
        const struct layer_entry *e = entry_of(b, id);
        n->real |= !n->dead && e && !(e->flags & ENTRY_IMPLIED);
        if (!n->dead && n->real)
            b->nodes[n->parent].real = true;
        if (e && n->whiteout && !n->real) {
            n->inode = NONE;
            n->first_child = NONE;
        }
    }
    for (uint32_t id = 1; id < b->node_count; id++) {
        struct node *n = &b->nodes[id], *parent = &b->nodes[n->parent];
        const struct layer_entry *above = entry_of(b, n->parent);
        n->covered = parent->covered || parent->whiteout || (above && above->flags & ENTRY_OPAQUE);
        n->dead |= n->covered && !n->real;
    }
}

int layer_builder_write(struct layer_builder *b, struct layer_index_header *header, int fd,
                        struct error *err)
{
    int copy = dup(fd);
    _cleanup_fclose_ FILE *out = copy < 0 ? NULL : fdopen(copy, "w");
    if (!out)
        return error_set_errno(err, ERROR_IO, errno, "cannot write the layer's index");
    setvbuf(out, NULL, _IOFBF, 1 << 20);
    fold_deletions(b);
    struct writer w = {.b = b, .h = header, .out = out, .path = BUF_INIT};
    fwrite(header, sizeof *header, 1, out); /* its place; written again below */
    walk_sorted(&w);
    uint64_t names = w.names;
    w.names_pass = true;
    walk_sorted(&w);
    buf_release(&w.path);
    if (names > UINT32_MAX)
        return error_set(err, ERROR_LIMIT, "more than 4 GiB of paths in one layer");

    memcpy(header->magic, LAYER_INDEX_MAGIC, sizeof header->magic);
    header->header_size = sizeof *header;
    header->entry_size = sizeof(struct layer_entry);
    header->entry_count = w.count;
    header->names_size = names;
    header->dropped_count = b->dropped;
    rewind(out);
    fwrite(header, sizeof *header, 1, out);
    if (fflush(out) != 0 || ferror(out))
        return error_set_errno(err, ERROR_IO, errno, "cannot write the layer's index");
    return 0;
}

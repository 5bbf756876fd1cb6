#include "repository/changeset.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"

#include <errno.h>
#include <search.h>
#include <string.h>
#include <sys/stat.h>

enum step_type {
    STEP_CHANGE,
    STEP_TREE,
    STEP_BEGIN_UNIT,
    STEP_END_UNIT,
};

struct step {
    enum step_type type;
    char *path; /* of the change, the tree's root, or the unit */
    struct change change;
    char *target; /* owned copies of what `change` points to */
    void *bytes;
    char *xattrs;
    struct tree_change tree;
};

struct changeset {
    struct step *steps;
    size_t count, capacity;
    void *paths; /* a search tree (tsearch) of the small changes' and trees' paths */
    int64_t time;
    const char *unit; /* borrowed from the step; NULL outside units */
    struct known_files *known;
};

struct changeset *changeset_new(void)
{
    struct changeset *cs = xcalloc(1, sizeof *cs);
    cs->time = clock_now();
    return cs;
}

static void ignore_node(void *node)
{
    (void)node; /* the steps own the strings */
}

static void release_sources(struct tree_change *t)
{
    for (size_t i = 0; t->layers && i < t->stack->count; i++) {
        free(t->layers[i].home);
        free(t->layers[i].not_linkable);
    }
    free(t->layers);
    free(t->mirror);
    catalog_places_release(&t->catalogs);
    tree_release(&t->tree);
}

void changeset_free(struct changeset *cs)
{
    if (!cs)
        return;
    tdestroy(cs->paths, ignore_node);
    for (size_t i = 0; i < cs->count; i++) {
        struct step *s = &cs->steps[i];
        if (s->type == STEP_TREE)
            release_sources(&s->tree);
        free(s->path);
        free(s->target);
        free(s->bytes);
        free(s->xattrs);
    }
    free(cs->steps);
    known_files_free(cs->known);
    free(cs);
}

void changeset_keep_known_files(struct changeset *cs, struct known_files *known)
{
    cs->known = known;
}

static struct step *add_step(struct changeset *cs, enum step_type type, const char *path)
{
    ARRAY_GROW(cs->steps, cs->count, cs->capacity);
    struct step *s = &cs->steps[cs->count++];
    *s = (struct step){.type = type, .path = xstrdup(path), .change.fd = -1};
    return s;
}

void changeset_begin_unit(struct changeset *cs, const char *root)
{
    cs->unit = add_step(cs, STEP_BEGIN_UNIT, root)->path;
}

void changeset_end_unit(struct changeset *cs)
{
    add_step(cs, STEP_END_UNIT, cs->unit);
    cs->unit = NULL;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(a, b);
}

bool changeset_has(const struct changeset *cs, const char *path)
{
    return tfind(path, (void *const *)&cs->paths, compare_paths) != NULL;
}

/* A new path of a small change or of a tree's root. */
static int claim(struct changeset *cs, const char *path, struct error *err)
{
    size_t unit = cs->unit ? strlen(cs->unit) : 0;
    if (!path_is_clean(path))
        return error_set(err, ERROR_BUG, "changeset: path \"%s\" is not clean", path);
    if (changeset_has(cs, path))
        return error_set(err, ERROR_BUG, "changeset: path \"%s\" occurs twice", path);
    if (cs->unit && (strncmp(path, cs->unit, unit) != 0 || (path[unit] && path[unit] != '/')))
        return error_set(err, ERROR_BUG, "changeset: path \"%s\" is outside its unit", path);
    return 0;
}

static struct step *add_claimed(struct changeset *cs, enum step_type type, const char *path)
{
    struct step *s = add_step(cs, type, path);
    if (!tsearch(s->path, &cs->paths, compare_paths))
        abort(); /* out of memory */
    return s;
}

static int add_change(struct changeset *cs, const struct change *change, struct error *err)
{
    if (claim(cs, change->path, err) < 0)
        return -1;
    struct step *s = add_claimed(cs, STEP_CHANGE, change->path);
    s->change = *change;
    s->change.path = s->path;
    s->change.mtime = cs->time;
    if (change->target)
        s->change.target = s->target = xstrdup(change->target);
    if (change->bytes) {
        s->bytes = xmalloc(change->size + 1);
        memcpy(s->bytes, change->bytes, change->size);
        s->change.bytes = s->bytes;
    }
    return 0;
}

/* Content that lies in a file, into memory. */
static int bring_content(struct step *s, const struct change *change, struct error *err)
{
    if (change->size > LIMIT_CHANGE_COPY_BYTES)
        return error_set(err, ERROR_BUG, "changeset: the content of \"%s\" is in a file",
                         change->path);
    s->bytes = xmalloc(change->size + 1);
    s->change.bytes = s->bytes;
    s->change.fd = -1;
    if (file_pread_all(change->fd, s->bytes, change->size, (off_t)change->offset) < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot read its content", change->path);
    return 0;
}

int changeset_add_copy(struct changeset *cs, const struct change *change, struct error *err)
{
    if (add_change(cs, change, err) < 0)
        return -1;
    struct step *s = &cs->steps[cs->count - 1];
    s->change.mtime = change->mtime;
    s->change.layer = NULL;
    s->change.entry = NULL;
    if (change->xattrs_len) {
        s->xattrs = xmalloc(change->xattrs_len);
        memcpy(s->xattrs, change->xattrs, change->xattrs_len);
    }
    s->change.xattrs = s->xattrs;
    return change->type == CHANGE_FILE && !change->bytes ? bring_content(s, change, err) : 0;
}

int changeset_add_directory(struct changeset *cs, const char *path, struct error *err)
{
    struct change c = {.type = CHANGE_DIRECTORY, .path = path, .mode = 0755, .fd = -1};
    return add_change(cs, &c, err);
}

int changeset_add_file(struct changeset *cs, const char *path, const void *bytes, size_t len,
                       struct error *err)
{
    struct change c = {
        .type = CHANGE_FILE, .path = path, .mode = 0644, .size = len, .bytes = bytes, .fd = -1};
    return add_change(cs, &c, err);
}

int changeset_add_mapped_file(struct changeset *cs, const char *path, const void *bytes, size_t len,
                              struct error *err)
{
    struct change c = {.type = CHANGE_FILE, .path = path, .mode = 0644, .size = len, .fd = -1};
    if (add_change(cs, &c, err) < 0)
        return -1;
    cs->steps[cs->count - 1].change.bytes = bytes;
    return 0;
}

int changeset_add_symlink(struct changeset *cs, const char *path, const char *target,
                          struct error *err)
{
    struct change c = {
        .type = CHANGE_SYMLINK, .path = path, .target = target, .mode = 0777, .fd = -1};
    return add_change(cs, &c, err);
}

int changeset_add_whiteout(struct changeset *cs, const char *path, struct error *err)
{
    struct change c = {.type = CHANGE_CHAR, .path = path, .fd = -1};
    return add_change(cs, &c, err);
}

int changeset_add_catalog(struct changeset *cs, const char *dir, struct error *err)
{
    _cleanup_free_ char *path = path_join(dir, ".cvmfscatalog");
    return changeset_add_file(cs, path, "", 0, err);
}

int changeset_add_tree(struct changeset *cs, struct tree_change *tree, struct error *err)
{
    if (claim(cs, tree->root, err) < 0) {
        release_sources(tree);
        return -1;
    }
    struct step *s = add_claimed(cs, STEP_TREE, tree->root);
    s->tree = *tree;
    s->tree.root = s->path;
    catalog_places_find(tree->stack, &tree->tree, CATALOG_MAX_ENTRIES, CATALOG_MIN_ENTRIES,
                        &s->tree.catalogs);
    return 0;
}

const struct tree_change *changeset_find_tree(const struct changeset *cs, const char *root)
{
    for (size_t i = 0; i < cs->count; i++)
        if (cs->steps[i].type == STEP_TREE && strcmp(cs->steps[i].path, root) == 0)
            return &cs->steps[i].tree;
    return NULL;
}

bool changeset_is_empty(const struct changeset *cs)
{
    return cs->count == 0;
}

/* ---- visiting ---- */

struct tree_visit {
    const struct tree_change *t;
    const struct changeset_visitor *v;
    struct buf path, target;
};

static void set_path(struct buf *out, const char *root, const char *path, size_t len)
{
    buf_truncate(out, 0);
    buf_adds(out, root);
    if (len > 0) {
        buf_addc(out, '/');
        buf_add(out, path, len);
    }
}

/* The path in the repository whose content the node's file shares; NULL if it carries its own. */
static const char *link_target(struct tree_visit *w, const struct tree_node *n)
{
    const struct tree_change *t = w->t;
    const struct layer_source *source = &t->layers[n->source_layer];
    const struct layer_index *index = &source->layer->index;
    const struct layer_entry *e = &index->entries[n->source_entry];
    const struct layer_entry *primary = &index->entries[e->primary];
    size_t len;
    if (source->home) {
        if (source->not_linkable && source->not_linkable[e->primary / 8] & 1 << e->primary % 8)
            return NULL;
        if (source->known && known_layer_path(source->known, e->primary, &w->target))
            return w->target.data;
        set_path(&w->target, source->home, entry_path(index, primary), primary->path_len);
        /* In the layer's own tree the first name of a file is the file. */
        return strcmp(w->target.data, w->path.data) == 0 ? NULL : w->target.data;
    }
    if (!t->mirror || !digest_is_set(&source->layer->blob))
        return NULL;
    const char *path = node_path(t->stack, n, &len);
    set_path(&w->target, t->mirror, path, len);
    return w->target.data;
}

static int visit_file(struct tree_visit *w, const struct tree_node *n, struct change *c,
                      struct error *err)
{
    const struct layer_source *source = &w->t->layers[n->source_layer];
    const struct layer_entry *e = node_source(w->t->stack, n);
    /* A link shares the attributes of its target: a file with others needs its own content. */
    bool own_attributes = w->t->fix_perms && !(e->mode & S_IRUSR);
    c->size = e->size;
    c->target = own_attributes ? NULL : link_target(w, n);
    if (own_attributes)
        c->mode |= S_IRUSR;
    if (c->target) {
        c->type = CHANGE_LINK;
        return 0;
    }
    if (source->layer->data_fd < 0)
        return error_set(err, ERROR_BUG, "the content of layer %s is not in the spool",
                         digest_text(&source->layer->blob).s);
    c->type = CHANGE_FILE;
    c->fd = source->layer->data_fd;
    c->offset = e->data_offset;
    return 0;
}

static int describe_node(struct tree_visit *w, const struct tree_node *n, struct change *c,
                         struct error *err)
{
    static const enum change_type types[] = {
        [ENTRY_DIRECTORY] = CHANGE_DIRECTORY, [ENTRY_FILE] = CHANGE_FILE,
        [ENTRY_SYMLINK] = CHANGE_SYMLINK,     [ENTRY_CHAR] = CHANGE_CHAR,
        [ENTRY_BLOCK] = CHANGE_BLOCK,         [ENTRY_FIFO] = CHANGE_FIFO};
    size_t len;
    const char *path = node_path(w->t->stack, n, &len);
    set_path(&w->path, w->t->root, path, len);
    const struct layer_entry *e = node_source(w->t->stack, n);
    if (!e) { /* a deletion: what both overlay implementations take as a whiteout */
        *c = (struct change){.type = CHANGE_CHAR, .path = w->path.data, .fd = -1};
        return 0;
    }
    const struct layer_index *index = w->t->stack->layers[n->source_layer].index;
    *c = (struct change){.type = types[e->type],
                         .path = w->path.data,
                         .mode = e->mode,
                         .uid = e->uid,
                         .gid = e->gid,
                         .mtime = e->mtime,
                         .mtime_nsec = e->mtime_nsec,
                         .major = e->major,
                         .minor = e->minor,
                         .fd = -1,
                         .xattrs = index->names + e->xattrs,
                         .xattrs_len = e->xattrs_len,
                         .layer = w->t->layers[n->source_layer].layer,
                         .entry = e};
    if (e->type == ENTRY_FILE)
        return visit_file(w, n, c, err);
    if (e->type == ENTRY_DIRECTORY && w->t->fix_perms)
        c->mode |= S_IRUSR | S_IXUSR;
    if (e->type == ENTRY_SYMLINK) {
        buf_truncate(&w->target, 0);
        buf_add(&w->target, entry_target(index, e), e->target_len);
        c->target = w->target.data;
    }
    return 0;
}

/* Devices that the image brings; deletions have no source. */
static bool is_left_out(const struct tree_change *t, const struct tree_node *n)
{
    const struct layer_entry *e = t->drop_devices ? node_source(t->stack, n) : NULL;
    return e && (e->type == ENTRY_CHAR || e->type == ENTRY_BLOCK);
}

/* The marker that makes a directory, the one just visited, a nested catalog. */
static int visit_catalog(struct tree_visit *w, const struct tree_node *dir, struct error *err)
{
    buf_adds(&w->path, "/.cvmfscatalog");
    struct change c = {.type = CHANGE_FILE,
                       .path = w->path.data,
                       .mode = 0644,
                       .mtime = node_source(w->t->stack, dir)->mtime,
                       .bytes = "",
                       .fd = -1};
    return w->v->change(w->v->arg, &c, err);
}

static int visit_tree(const struct tree_change *t, const struct changeset_visitor *v,
                      struct error *err)
{
    struct tree_visit w = {.t = t, .v = v, .path = BUF_INIT, .target = BUF_INIT};
    const struct catalog_places *catalogs = &t->catalogs;
    size_t next_catalog = 0;
    int result = 0;
    for (size_t i = 0; result == 0 && i < t->tree.count; i++) {
        const struct tree_node *n = &t->tree.nodes[i];
        struct change c;
        if (is_left_out(t, n))
            continue;
        result = describe_node(&w, n, &c, err);
        if (result == 0)
            result = v->change(v->arg, &c, err);
        bool catalog = next_catalog < catalogs->count && catalogs->nodes[next_catalog] == i;
        next_catalog += catalog;
        if (result == 0 && (i == 0 || catalog))
            result = visit_catalog(&w, n, err);
    }
    buf_release(&w.path);
    buf_release(&w.target);
    return result;
}

int changeset_visit(const struct changeset *cs, const struct changeset_visitor *v,
                    struct error *err)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < cs->count; i++) {
        const struct step *s = &cs->steps[i];
        if (s->type == STEP_CHANGE && v->change)
            result = v->change(v->arg, &s->change, err);
        else if (s->type == STEP_TREE && v->change)
            result = visit_tree(&s->tree, v, err);
        else if (s->type == STEP_BEGIN_UNIT && v->begin_unit)
            result = v->begin_unit(v->arg, s->path, err);
        else if (s->type == STEP_END_UNIT && v->end_unit)
            result = v->end_unit(v->arg, s->path, err);
    }
    return result;
}

static int count_change(void *arg, const struct change *c, struct error *err)
{
    struct changeset_counts *counts = arg;
    (void)err;
    uint64_t *const by_type[] = {[CHANGE_DIRECTORY] = &counts->directories,
                                 [CHANGE_FILE] = &counts->files,
                                 [CHANGE_LINK] = &counts->links,
                                 [CHANGE_SYMLINK] = &counts->symlinks,
                                 [CHANGE_CHAR] = &counts->devices,
                                 [CHANGE_BLOCK] = &counts->devices,
                                 [CHANGE_FIFO] = &counts->devices};
    ++*by_type[c->type];
    counts->content_bytes += c->type == CHANGE_FILE ? c->size : 0;
    counts->xattrs += c->xattrs_len > 0;
    return 0;
}

int changeset_count(const struct changeset *cs, struct changeset_counts *out, struct error *err)
{
    *out = (struct changeset_counts){0};
    struct changeset_visitor v = {.change = count_change, .arg = out};
    return changeset_visit(cs, &v, err);
}

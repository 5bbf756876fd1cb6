#include "layers/stack.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"

#include <string.h>

void tree_release(struct tree *tree)
{
    free(tree->nodes);
    *tree = (struct tree){0};
}

static void append(struct tree *tree, struct tree_node node)
{
    ARRAY_GROW(tree->nodes, tree->count, tree->capacity);
    tree->nodes[tree->count++] = node;
}

static const struct layer_entry *entry_at(const struct stack *s, size_t layer, size_t entry)
{
    return &s->layers[layer].index->entries[entry];
}

static const char *path_at(const struct stack *s, size_t layer, size_t entry, size_t *len)
{
    const struct layer_entry *e = entry_at(s, layer, entry);
    *len = e->path_len;
    return entry_path(s->layers[layer].index, e);
}

/* Whether `path` lies below the directory `dir` (the root is ""). */
static bool is_below(const char *path, size_t len, const char *dir, size_t dir_len)
{
    if (dir_len == 0)
        return len > 0;
    return len > dir_len && path[dir_len] == '/' && memcmp(path, dir, dir_len) == 0;
}

/* ---- the k-way merge ---- */

/* A directory the merge stands in: what layers below `floor` hold in it is hidden. */
struct scope {
    const char *path;
    size_t len;
    size_t floor;
};

struct merge {
    const struct stack *stack;
    size_t *heap;   /* layers with entries left, as a binary heap */
    size_t *cursor; /* each layer's next entry */
    size_t heap_count;
    struct scope *scopes;
    size_t depth, capacity;
    size_t *same; /* layers that hold the path under way, the top one first */
};

/* By path; of the same path the top layer first. */
static bool comes_before(const struct merge *m, size_t a, size_t b)
{
    size_t a_len, b_len;
    const char *x = path_at(m->stack, a, m->cursor[a], &a_len);
    const char *y = path_at(m->stack, b, m->cursor[b], &b_len);
    int order = path_compare(x, a_len, y, b_len);
    return order < 0 || (order == 0 && a > b);
}

static void sift_down(struct merge *m, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= m->heap_count)
            return;
        if (child + 1 < m->heap_count && comes_before(m, m->heap[child + 1], m->heap[child]))
            child++;
        if (!comes_before(m, m->heap[child], m->heap[at]))
            return;
        size_t t = m->heap[at];
        m->heap[at] = m->heap[child];
        m->heap[child] = t;
        at = child;
    }
}

static void advance_top(struct merge *m)
{
    size_t layer = m->heap[0];
    if (++m->cursor[layer] == m->stack->layers[layer].index->count)
        m->heap[0] = m->heap[--m->heap_count];
    sift_down(m, 0);
}

/* The layers that hold the next path. Their entries are cursor - 1 afterwards. */
static size_t take_next_path(struct merge *m)
{
    size_t count = 0, len;
    const char *path = path_at(m->stack, m->heap[0], m->cursor[m->heap[0]], &len);
    while (m->heap_count > 0) {
        size_t layer = m->heap[0], other_len;
        const char *other = path_at(m->stack, layer, m->cursor[layer], &other_len);
        if (other_len != len || memcmp(other, path, len) != 0)
            break;
        m->same[count++] = layer;
        advance_top(m);
    }
    return count;
}

static const struct resolved_link *find_link(const struct stack_layer *layer, uint32_t entry)
{
    size_t low = 0, high = layer->link_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (layer->links[middle].entry < entry)
            low = middle + 1;
        else
            high = middle;
    }
    return &layer->links[low];
}

/* A node for an entry that stands for itself, or for the file it links to. */
static struct tree_node plain_node(const struct stack *s, size_t layer, uint32_t entry)
{
    struct tree_node n = {.path_entry = entry,
                          .path_layer = (uint16_t)layer,
                          .source_entry = entry,
                          .source_layer = (uint16_t)layer};
    if (entry_at(s, layer, entry)->type == ENTRY_LOWER_LINK) {
        const struct resolved_link *link = find_link(&s->layers[layer], entry);
        n.source_entry = link->source_entry;
        n.source_layer = link->source_layer;
    }
    return n;
}

static void push_scope(struct merge *m, const char *path, size_t len, size_t floor)
{
    ARRAY_GROW(m->scopes, m->depth, m->capacity);
    m->scopes[m->depth++] = (struct scope){path, len, floor};
}

/*
 * Decide what stands at the path that `count` layers (m->same) hold, and how far down one can see
 * below it.
 */
static void merge_path(struct merge *m, size_t count, struct tree *out)
{
    size_t top = m->same[0], len;
    uint32_t entry = (uint32_t)(m->cursor[top] - 1);
    const char *path = path_at(m->stack, top, entry, &len);
    while (m->depth > 0 &&
           !is_below(path, len, m->scopes[m->depth - 1].path, m->scopes[m->depth - 1].len))
        m->depth--;
    size_t floor = m->depth > 0 ? m->scopes[m->depth - 1].floor : 0;
    if (top < floor)
        return; /* all of them are hidden */

    const struct layer_entry *e = entry_at(m->stack, top, entry);
    if (e->type != ENTRY_DIRECTORY) {
        if (e->type != ENTRY_WHITEOUT)
            append(out, plain_node(m->stack, top, entry));
        /* Nothing below it can be seen from the layers under this one. */
        push_scope(m, path, len, top);
        return;
    }
    struct tree_node node = plain_node(m->stack, top, entry);
    bool implied = e->flags & ENTRY_IMPLIED, opaque = false;
    size_t below = floor;
    /* Down to where nothing more can be seen; for an implied directory's attributes further, to
     * the directory that it extends, opaque or not. */
    for (size_t i = 0; i < count && m->same[i] >= floor && (!opaque || implied); i++) {
        size_t layer = m->same[i];
        uint32_t at = (uint32_t)(m->cursor[layer] - 1);
        const struct layer_entry *lower = entry_at(m->stack, layer, at);
        if (!opaque && (lower->type != ENTRY_DIRECTORY || (lower->flags & ENTRY_OPAQUE)))
            below = layer;
        if (lower->type != ENTRY_DIRECTORY)
            break;
        if (implied && !(lower->flags & ENTRY_IMPLIED)) {
            node.source_layer = (uint16_t)layer;
            node.source_entry = at;
            implied = false;
        }
        opaque |= (lower->flags & ENTRY_OPAQUE) != 0;
    }
    append(out, node);
    push_scope(m, path, len, below);
}

void stack_merge(const struct stack *stack, size_t count, struct tree *out)
{
    *out = (struct tree){0};
    struct merge m = {.stack = stack,
                      .heap = xcalloc(count, sizeof *m.heap),
                      .cursor = xcalloc(count, sizeof *m.cursor),
                      .same = xcalloc(count, sizeof *m.same)};
    for (size_t i = 0; i < count; i++)
        m.heap[m.heap_count++] = i; /* all begin at the root: the top layer goes first */
    for (size_t i = m.heap_count; i-- > 0;)
        sift_down(&m, i);
    while (m.heap_count > 0) {
        size_t same = take_next_path(&m);
        merge_path(&m, same, out);
    }
    free(m.heap);
    free(m.cursor);
    free(m.same);
    free(m.scopes);
}

/* ---- lookup ---- */

const struct tree_node *tree_find(const struct stack *s, const struct tree *tree, const char *path,
                                  size_t len)
{
    size_t low = 0, high = tree->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2, other_len;
        const char *other = node_path(s, &tree->nodes[middle], &other_len);
        int order = path_compare(other, other_len, path, len);
        if (order == 0)
            return &tree->nodes[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void append_component(struct buf *path, const char *name, size_t len)
{
    if (len == 0 || (len == 1 && *name == '.'))
        return;
    if (len == 2 && memcmp(name, "..", 2) == 0) {
        char *slash = strrchr(path->data, '/');
        buf_truncate(path, slash ? (size_t)(slash - path->data) : 0);
        return;
    }
    if (path->len > 0)
        buf_addc(path, '/');
    buf_add(path, name, len);
}

const struct tree_node *tree_find_following(const struct stack *s, const struct tree *tree,
                                            const char *path, size_t len)
{
    _cleanup_buf_ struct buf at = BUF_INIT, rest = BUF_INIT;
    buf_add(&rest, path, len);
    for (int hops = 0;;) {
        size_t n = strcspn(rest.data, "/");
        bool last = rest.data[n] == '\0';
        append_component(&at, rest.data, n);
        const struct tree_node *node = tree_find(s, tree, at.data, at.len);
        if (!node || last)
            return node;
        _cleanup_buf_ struct buf next = BUF_INIT;
        const struct layer_entry *e = node_source(s, node);
        if (e->type == ENTRY_SYMLINK) {
            if (++hops > LIMIT_SYMLINK_HOPS)
                return NULL;
            const char *target = entry_target(s->layers[node->source_layer].index, e);
            append_component(&at, "..", 2);
            if (*target == '/')
                buf_truncate(&at, 0);
            buf_add(&next, target, e->target_len);
            buf_addc(&next, '/');
        }
        buf_adds(&next, rest.data + n + 1);
        buf_release(&rest);
        rest = next;
        next = (struct buf)BUF_INIT;
        if (rest.len > 4 * LIMIT_PATH_BYTES)
            return NULL;
    }
}

/* ---- links into lower layers ---- */

static int resolve_link(struct stack *s, size_t k, uint32_t entry, const struct tree *below,
                        struct resolved_link *out, struct error *err)
{
    const struct layer_index *index = s->layers[k].index;
    const struct layer_entry *e = &index->entries[entry];
    const struct tree_node *node =
        tree_find_following(s, below, entry_target(index, e), e->target_len);
    const struct layer_entry *source = node ? node_source(s, node) : NULL;
    if (!source || source->type == ENTRY_DIRECTORY) {
        _cleanup_free_ char *link = quoted_bytes(entry_path(index, e), e->path_len);
        _cleanup_free_ char *target = quoted_bytes(entry_target(index, e), e->target_len);
        return error_set(err, ERROR_PARSE, "entry %s: hard link to %s, which %s", link, target,
                         source ? "is a directory"
                                : "neither this layer (before the link) nor those below have");
    }
    *out = (struct resolved_link){entry, node->source_entry, node->source_layer};
    return 0;
}

static int resolve_links(struct stack *s, size_t k, struct error *err)
{
    struct stack_layer *layer = &s->layers[k];
    size_t wanted = layer->index->header->lower_links;
    if (wanted == 0)
        return 0;
    layer->links = xcalloc(wanted, sizeof *layer->links);
    struct tree below;
    stack_merge(s, k, &below);
    int result = 0;
    for (size_t i = 0; result == 0 && i < layer->index->count && layer->link_count < wanted; i++) {
        if (layer->index->entries[i].type == ENTRY_LOWER_LINK)
            result =
                resolve_link(s, k, (uint32_t)i, &below, &layer->links[layer->link_count++], err);
    }
    tree_release(&below);
    return result;
}

int stack_init(struct stack *out, const struct layer_index *const *indexes, size_t count,
               size_t *out_bad, struct error *err)
{
    struct stack s = {.layers = xcalloc(count, sizeof *s.layers), .count = count};
    *out_bad = count;
    if (count > LIMIT_LAYERS + 1) {
        stack_release(&s);
        return error_set(err, ERROR_LIMIT, "%zu layers (limit %zu)", count, LIMIT_LAYERS);
    }
    for (size_t k = 0; k < count; k++)
        s.layers[k].index = indexes[k];
    for (size_t k = 0; k < count; k++) {
        if (resolve_links(&s, k, err) < 0) {
            *out_bad = k;
            stack_release(&s);
            return -1;
        }
    }
    *out = s;
    return 0;
}

void stack_release(struct stack *s)
{
    for (size_t k = 0; k < s->count; k++)
        free(s->layers[k].links);
    free(s->layers);
    *s = (struct stack){0};
}

/* ---- one layer in overlay form ---- */

struct overlay {
    const struct stack *stack;
    size_t k;
    const struct tree *below;
    struct tree *out;
    /* The layer's directories around the path under way. `floor` is 1 where everything below is
     * hidden (in or under an opaque directory), else 0. */
    struct scope *scopes;
    size_t depth, capacity;
    /* Where the lower tree is: */
    size_t at;
    const char *skip; /* a lower path whose children need no deletion of their own, */
    size_t skip_len;  /* SIZE_MAX: none */
};

static void leave_scopes(struct overlay *o, const char *path, size_t len)
{
    while (o->depth > 0 &&
           !is_below(path, len, o->scopes[o->depth - 1].path, o->scopes[o->depth - 1].len))
        o->depth--;
}

static bool hidden_here(const struct overlay *o)
{
    return o->depth > 0 && o->scopes[o->depth - 1].floor;
}

/* A lower path that the layer does not bring: hide it if it stands in an opaque directory. */
static void pass_lower(struct overlay *o, const struct tree_node *lower, const char *path,
                       size_t len)
{
    if (o->skip_len != SIZE_MAX && is_below(path, len, o->skip, o->skip_len))
        return;
    o->skip_len = SIZE_MAX;
    leave_scopes(o, path, len);
    if (!hidden_here(o))
        return;
    append(o->out, (struct tree_node){.path_entry = lower->path_entry,
                                      .path_layer = lower->path_layer,
                                      .source_layer = NODE_IS_WHITEOUT});
    o->skip = path;
    o->skip_len = len;
}

/* All lower paths before the given one. Returns the lower node of just this path, or NULL. */
static const struct tree_node *pass_lower_until(struct overlay *o, const char *path, size_t len)
{
    while (o->at < o->below->count) {
        const struct tree_node *lower = &o->below->nodes[o->at];
        size_t lower_len;
        const char *lower_path = node_path(o->stack, lower, &lower_len);
        int order = path ? path_compare(lower_path, lower_len, path, len) : -1;
        if (order > 0)
            break;
        o->at++;
        if (order == 0)
            return lower;
        pass_lower(o, lower, lower_path, lower_len);
    }
    return NULL;
}

static bool parent_exists_below(const struct overlay *o, const char *path, size_t len)
{
    size_t parent = len;
    while (parent > 0 && path[parent] != '/')
        parent--;
    const struct tree_node *node = tree_find(o->stack, o->below, path, parent);
    return node && node_source(o->stack, node)->type == ENTRY_DIRECTORY;
}

static void pass_entry(struct overlay *o, uint32_t entry)
{
    size_t len;
    const char *path = path_at(o->stack, o->k, entry, &len);
    const struct layer_entry *e = entry_at(o->stack, o->k, entry);
    const struct tree_node *lower = pass_lower_until(o, path, len);
    leave_scopes(o, path, len);
    struct tree_node node = plain_node(o->stack, o->k, entry);
    if (lower && e->type != ENTRY_DIRECTORY) {
        /* Whatever the lower entry holds is covered by this one. */
        o->skip = path;
        o->skip_len = len;
    }
    if (e->type == ENTRY_WHITEOUT) {
        node.source_layer = NODE_IS_WHITEOUT;
        if (lower || parent_exists_below(o, path, len))
            append(o->out, node);
        return;
    }
    if (e->type == ENTRY_DIRECTORY) {
        bool lower_directory = lower && node_source(o->stack, lower)->type == ENTRY_DIRECTORY;
        if ((e->flags & ENTRY_IMPLIED) && lower_directory && !hidden_here(o)) {
            node.source_layer = lower->source_layer;
            node.source_entry = lower->source_entry;
        }
        bool opaque = (e->flags & ENTRY_OPAQUE) || hidden_here(o);
        ARRAY_GROW(o->scopes, o->depth, o->capacity);
        o->scopes[o->depth++] = (struct scope){path, len, opaque};
    }
    append(o->out, node);
}

void stack_layer_tree(const struct stack *stack, size_t k, struct tree *out)
{
    *out = (struct tree){0};
    struct tree below;
    stack_merge(stack, k, &below);
    struct overlay o = {.stack = stack, .k = k, .below = &below, .out = out, .skip_len = SIZE_MAX};
    for (size_t i = 0; i < stack->layers[k].index->count; i++)
        pass_entry(&o, (uint32_t)i);
    (void)pass_lower_until(&o, NULL, 0);
    free(o.scopes);
    tree_release(&below);
}

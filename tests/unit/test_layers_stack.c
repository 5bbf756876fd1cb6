/*
 * layers/stack.h: merged trees and layers in overlay form. After the cases that are spelled out,
 * thousands of random stacks are compared with two naive models: layers applied one after another
 * to a list of paths, and overlayfs' own rules over the layer trees.
 */
#include "layer_maker.h"

#include "layers/stack.h"

#include <stdlib.h>

#define LAYERS_MAX 6

struct stacked {
    struct layer layers[LAYERS_MAX];
    size_t count;
    struct stack stack;
    size_t bad; /* of stack_init() */
};

static int stack_up(struct stacked *s, struct error *err)
{
    const struct layer_index *indexes[LAYERS_MAX];
    for (size_t i = 0; i < s->count; i++)
        indexes[i] = &s->layers[i].index;
    return stack_init(&s->stack, indexes, s->count, &s->bad, err);
}

static void stacked_release(struct stacked *s)
{
    stack_release(&s->stack);
    for (size_t i = 0; i < s->count; i++)
        layer_release(&s->layers[i]);
}

/* Layers stand between '|', the lowest first. */
static void make_layers(struct stacked *s, const char *text)
{
    *s = (struct stacked){.count = 0};
    for (const char *p = text;;) {
        size_t len = strcspn(p, "|");
        _cleanup_free_ char *one = xstrndup(p, len);
        assert_true(s->count < LAYERS_MAX);
        s->layers[s->count] = make_layer(one, (unsigned)s->count);
        s->count++;
        if (!p[len])
            return;
        p += len + 1;
    }
}

static void list_tree(struct buf *out, const struct stacked *s, const struct tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        const struct tree_node *n = &tree->nodes[i];
        const struct layer_entry *e = node_source(&s->stack, n);
        size_t len;
        const char *path = node_path(&s->stack, n, &len);
        if (e)
            list_source(out, path, len, &s->layers[n->source_layer], e);
        else
            buf_addf(out, "w %.*s", (int)len, path);
        buf_addc(out, '\n');
    }
}

struct expected_stack {
    const char *layers;
    const char *merged;   /* without the root; NULL: of no interest */
    const char *top_tree; /* of the top layer */
};

static void expect_tree(const char *what, const struct stacked *s, struct tree *tree,
                        const char *expected)
{
    _cleanup_buf_ struct buf listing = BUF_INIT;
    list_tree(&listing, s, tree);
    assert_true(starts_with(listing.data, "d ."));
    assert_same_text(what, strchr(listing.data, '\n') + 1, expected);
    tree_release(tree);
}

static void expect_stack(const struct expected_stack *row)
{
    struct stacked s;
    struct tree tree;
    _cleanup_error_ struct error err = ERROR_INIT;
    make_layers(&s, row->layers);
    assert_ok(stack_up(&s, &err), &err);
    if (row->merged) {
        stack_merge(&s.stack, s.count, &tree);
        expect_tree(row->layers, &s, &tree, row->merged);
    }
    stack_layer_tree(&s.stack, s.count - 1, &tree);
    expect_tree(row->layers, &s, &tree, row->top_tree);
    stacked_release(&s);
}

#define EXPECT(rows)                                                                               \
    for (size_t i = 0; i < COUNT(rows); i++)                                                       \
    expect_stack(&rows[i])

static void test_stack__merges_and_replaces(void **state)
{
    (void)state;
    static const struct expected_stack rows[] = {
        {"f a 1", "f a 1\n", "f a 1\n"},
        {"f a 1|f b 2", "f a 1\nf b 2\n", "f b 2\n"},
        {"f a 1 0600|f a 2 4755 3:4 @5", "f a 2 4755 3:4 @5\n", "f a 2 4755 3:4 @5\n"},
        {"d d 0700;f d/a 1|d d 0711 @9;f d/b 2", "d d 711 @9\nf d/a 1\nf d/b 2\n",
         "d d 711 @9\nf d/b 2\n"},
        {"d d;f d/a 1|f d 2", "f d 2\n", "f d 2\n"},
        {"d d;f d/a 1|s d t", "s d t\n", "s d t\n"},
        {"f d 1|d d;f d/a 2", "d d\nf d/a 2\n", "d d\nf d/a 2\n"},
        {"s d e;d e;f e/a 1|d d;f d/b 2", "d d\nf d/b 2\nd e\nf e/a 1\n", "d d\nf d/b 2\n"},
        {"d d;f d/a 1|f d 2|d d;f d/b 3", "d d\nf d/b 3\n", "d d\nf d/b 3\n"},
        {"d d;f d/a 1;d d-;f d-/x 1|f d 2", "f d 2\nd d-\nf d-/x 1\n", "f d 2\n"},
        {"|f a 1|", "f a 1\n", ""},
        {"c a 1,3;p b|b a 7,0", "b a 7,0\np b\n", "b a 7,0\n"},
    };
    EXPECT(rows);
}

static void test_stack__whiteouts(void **state)
{
    (void)state;
    static const struct expected_stack rows[] = {
        {"f a 1;f b 1|w a", "f b 1\n", "w a\n"},
        {"d d;f d/a 1;d d/e;f d/e/x 1|w d", "", "w d\n"},
        {"d d;f d/a 1|w d|d d;f d/b 2", "d d\nf d/b 2\n", "d d\nf d/b 2\n"},
        {"f a 1|w a|f a 2", "f a 2\n", "f a 2\n"},
        {"d d;f d/a 1;f d/b 1|d d;w d/a", "d d\nf d/b 1\n", "d d\nw d/a\n"},
        {"f a 1;f a.b 1;f ab 1|w a", "f a.b 1\nf ab 1\n", "w a\n"},
        /* Of nothing: harmless in a directory that is below, too; a ghost in any other. */
        {"f a 1|w b", "f a 1\n", "w b\n"},
        {"d d|d d;w d/b", "d d\n", "d d\nw d/b\n"},
        {"f a 1|d d;w d/b", "f a 1\nd d\n", "d d\n"},
        {"f d 1|d d;w d/b", "d d\n", "d d\n"},
        {"d d;f d/b 1|w d|d d;w d/b", "d d\n", "d d\n"},
        {"d d 0711|w d/b", "d d 711\n", "d d 711\nw d/b\n"},
    };
    EXPECT(rows);
}

static void test_stack__opaque_directories(void **state)
{
    (void)state;
    static const struct expected_stack rows[] = {
        {"d d;f d/a 1;f d/b 1|d d 0700;o d;f d/c 2", "d d 700\nf d/c 2\n",
         "d d 700\nw d/a\nw d/b\nf d/c 2\n"},
        {"d d;f d/a 1|d d;o d;f d/a 2", "d d\nf d/a 2\n", "d d\nf d/a 2\n"},
        {"d d;d d/e;f d/e/a 1;f d/e/b 1|d d;o d;d d/e;f d/e/c 2", "d d\nd d/e\nf d/e/c 2\n",
         "d d\nd d/e\nw d/e/a\nw d/e/b\nf d/e/c 2\n"},
        {"d d;d d/e;f d/e/a 1|d d;o d", "d d\n", "d d\nw d/e\n"},
        {"d d;d d/e;f d/e/a 1|d d;o d;f d/e 2", "d d\nf d/e 2\n", "d d\nf d/e 2\n"},
        {"d d;f d/e 1|d d;o d;d d/e;f d/e/x 2", "d d\nd d/e\nf d/e/x 2\n",
         "d d\nd d/e\nf d/e/x 2\n"},
        /* A whiteout and a directory of the same name. */
        {"d d;f d/a 1|w d;d d;f d/b 2", "d d\nf d/b 2\n", "d d\nw d/a\nf d/b 2\n"},
        /* The root, and a directory between others. */
        {"f a 1;d d;f d/b 1|o .;d d;f d/c 2", "d d\nf d/c 2\n", "w a\nd d\nw d/b\nf d/c 2\n"},
        {"d a;d a/b;f a/b/x 1;f a/y 1|d a;d a/b;o a/b;f a/b/z 2",
         "d a\nd a/b\nf a/b/z 2\nf a/y 1\n", "d a\nd a/b\nw a/b/x\nf a/b/z 2\n"},
        /* What was deleted before needs no deletion. */
        {"d d;f d/a 1;f d/b 1|d d;w d/a|d d;o d", "d d\n", "d d\nw d/b\n"},
        {"d d;f d/a 1|d d;o d|d d;f d/b 2", "d d\nf d/b 2\n", "d d\nf d/b 2\n"},
        {"d d;f d/a 1|f d 1|d d;o d;f d/b 2", "d d\nf d/b 2\n", "d d\nf d/b 2\n"},
        {"d d;f d/a 1;f d- 1|d d;o d", "d d\nf d- 1\n", "d d\nw d/a\n"},
        {"o d;f d/a 1", "d d\nf d/a 1\n", "d d\nf d/a 1\n"},
        {"d d;f d/a 1|o d;w d/a;w d/zz", "d d\n", "d d\nw d/a\n"},
    };
    EXPECT(rows);
}

/* umoci: a directory that no entry of the layer names keeps its attributes. */
static void test_stack__implied_directories(void **state)
{
    (void)state;
    static const struct expected_stack rows[] = {
        {"d tmp 1777 3:4 @5|f tmp/a 1", "d tmp 1777 3:4 @5\nf tmp/a 1\n",
         "d tmp 1777 3:4 @5\nf tmp/a 1\n"},
        {"d tmp 1777 @5|f tmp/a 1|f tmp/b 1", "d tmp 1777 @5\nf tmp/a 1\nf tmp/b 1\n",
         "d tmp 1777 @5\nf tmp/b 1\n"},
        {"d tmp 1777 @5|w tmp/a", "d tmp 1777 @5\n", "d tmp 1777 @5\nw tmp/a\n"},
        {"d d 0711 1:2 @5;f d/x 1|o d", "d d 711 1:2 @5\n", "d d 711 1:2 @5\nw d/x\n"},
        {"d d 0711;f d/x 1|o d|f d/y 1", "d d 711\nf d/y 1\n", "d d 711\nf d/y 1\n"},
        {"f tmp 1|f tmp/a 1", "d tmp\nf tmp/a 1\n", "d tmp\nf tmp/a 1\n"},
        {"d tmp 0711|w tmp|f tmp/a 1", "d tmp\nf tmp/a 1\n", "d tmp\nf tmp/a 1\n"},
        {"d tmp 0711|f tmp 1|f tmp/a 1", "d tmp\nf tmp/a 1\n", "d tmp\nf tmp/a 1\n"},
        {"f a/x 1|d a 0700|f a/y 1", "d a 700\nf a/x 1\nf a/y 1\n", "d a 700\nf a/y 1\n"},
    };
    EXPECT(rows);
}

static void test_stack__links_into_lower_layers(void **state)
{
    (void)state;
    static const struct expected_stack rows[] = {
        {"f a 1 4755 3:4 @5|l b a", "f a 1 4755 3:4 @5\nf b 1 4755 3:4 @5\n",
         "f b 1 4755 3:4 @5\n"},
        {"f a 1|f a 2|l b a", "f a 2\nf b 2\n", "f b 2\n"},
        {"f a 1|w a;l b a", "f b 1\n", "w a\nf b 1\n"},
        {"f a 1|l b a|l c b", "f a 1\nf b 1\nf c 1\n", "f c 1\n"},
        {"f a 1|l b a;f a 2", "f a 2\nf b 1\n", "f a 2\nf b 1\n"},
        {"d d;f d/a 1;s s d|l b s/a", "f b 1\nd d\nf d/a 1\ns s d\n", "f b 1\n"},
        {"d d;f d/a 1;s s /d;s t s|l b t/a", NULL, "f b 1\n"},
        {"d d;d d/e;f a 1;s d/s ../a|l b d/s", NULL, "s b ../a\n"}, /* the symlink itself */
        {"d d;f d/a 1;s s ../../d|l b s/a", NULL, "f b 1\n"},
        {"d d;f d/a 1|s d2 d;l b d2/a", NULL, "f b 1\ns d2 d\n"},
        {"p a;c c 1,3|l b a;l d c", "p a\np b\nc c 1,3\nc d 1,3\n", "p b\nc d 1,3\n"},
    };
    EXPECT(rows);
}

static void test_stack__links_that_lead_nowhere(void **state)
{
    (void)state;
    static const struct {
        const char *layers, *says;
        size_t layer;
    } rows[] = {
        {"l b a", "entry \"b\": hard link to \"a\", which neither this layer", 0},
        {"f x 1|l b a", "entry \"b\": hard link to \"a\", which neither this layer", 1},
        {"f a 1|w a|l b a", "entry \"b\": hard link to \"a\", which neither", 2},
        {"d a;f a/x 1|d a;o a|l b a/x", "entry \"b\": hard link to \"a/x\"", 2},
        {"d a|l b a", "hard link to \"a\", which is a directory", 1},
        {"f a 1|l b a/x", "hard link to \"a/x\", which neither", 1},
        {"s a b;s b a|l c a/x", "hard link to \"a/x\", which neither", 1},
        {"f a 1|l b a;l c d", "entry \"c\"", 1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stacked s;
        _cleanup_error_ struct error err = ERROR_INIT;
        make_layers(&s, rows[i].layers);
        assert_fails(rows[i].layers, stack_up(&s, &err), &err, ERROR_PARSE, rows[i].says);
        assert_int_equal(s.bad, rows[i].layer);
        stacked_release(&s);
    }
}

static void test_stack__find(void **state)
{
    (void)state;
    struct stacked s;
    struct tree tree;
    _cleanup_error_ struct error err = ERROR_INIT;
    make_layers(&s,
                "d d;d d/e;f d/e/x 1;s s d/e;s abs /d/e;s up ../../d;s loop loop;s dots .|f a 1");
    assert_ok(stack_up(&s, &err), &err);
    stack_merge(&s.stack, s.count, &tree);
    static const struct {
        const char *path;
        bool plain, following;
    } rows[] = {
        {"", true, true},      {"d/e/x", true, true},    {"s", true, true},
        {"s/x", false, true},  {"abs/x", false, true},   {"up/e/x", false, true},
        {"loop", true, true},  {"loop/x", false, false}, {"dots/dots/a", false, true},
        {"a/x", false, false}, {"d/e/y", false, false},  {"zz", false, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len = strlen(rows[i].path);
        if ((tree_find(&s.stack, &tree, rows[i].path, len) != NULL) != rows[i].plain ||
            (tree_find_following(&s.stack, &tree, rows[i].path, len) != NULL) != rows[i].following)
            fail_msg("%s", rows[i].path);
    }
    tree_release(&tree);
    stacked_release(&s);
}

/* ---- the naive model of a merged tree ---- */

#define PATHS_MAX 512

struct place {
    const char *path;
    size_t len;
    size_t layer; /* where the source is */
    const struct layer_entry *source;
};

struct model {
    struct place places[PATHS_MAX];
    size_t count;
};

static bool is_at_or_below(const struct place *p, const char *path, size_t len, bool at)
{
    if (p->len == len)
        return at && memcmp(p->path, path, len) == 0;
    return p->len > len && (len == 0 || (memcmp(p->path, path, len) == 0 && p->path[len] == '/'));
}

static struct place *model_find(struct model *m, const char *path, size_t len)
{
    for (size_t i = 0; i < m->count; i++)
        if (is_at_or_below(&m->places[i], path, len, true) && m->places[i].len == len)
            return &m->places[i];
    return NULL;
}

static void model_remove(struct model *m, const char *path, size_t len, bool itself)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++)
        if (!is_at_or_below(&m->places[i], path, len, itself))
            m->places[kept++] = m->places[i];
    m->count = kept;
}

/* Follow symlinks on the way, not at the end; NULL if there is nothing. */
static struct place *model_follow(struct model *m, const struct stacked *s, const char *path,
                                  int hops)
{
    char at[4096] = "";
    if (hops > 40)
        return NULL;
    for (const char *p = path;;) {
        size_t len = strcspn(p, "/");
        char *slash = strrchr(at, '/');
        if (len == 2 && memcmp(p, "..", 2) == 0)
            *(slash ? slash : at) = '\0';
        else if (len > 0 && !(len == 1 && *p == '.'))
            snprintf(at + strlen(at), sizeof at - strlen(at), "%s%.*s", *at ? "/" : "", (int)len,
                     p);
        struct place *found = model_find(m, at, strlen(at));
        if (!found || !p[len])
            return found;
        if (found->source->type == ENTRY_SYMLINK) {
            const char *text = entry_target(&s->layers[found->layer].index, found->source);
            slash = strrchr(at, '/');
            *(slash ? slash : at) = '\0';
            _cleanup_free_ char *next =
                xasprintf("%s/%.*s/%s", *text == '/' ? "" : at, (int)found->source->target_len,
                          text, p + len + 1);
            return model_follow(m, s, next, hops + 1);
        }
        p += len + 1;
    }
}

static void model_put(struct model *m, const struct layer_index *x, size_t layer,
                      const struct layer_entry *e, const struct place *source)
{
    const char *path = entry_path(x, e);
    struct place *old = model_find(m, path, e->path_len);
    bool both = old && old->source->type == ENTRY_DIRECTORY && e->type == ENTRY_DIRECTORY;
    if (both && e->flags & ENTRY_IMPLIED)
        return; /* keeps its attributes */
    struct place place = {path, e->path_len, source ? source->layer : layer,
                          source ? source->source : e};
    if (both) {
        *old = place;
        return;
    }
    model_remove(m, path, e->path_len, true);
    assert_true(m->count < PATHS_MAX);
    m->places[m->count++] = place;
}

/* One layer on top. False if a link of it leads nowhere. */
static bool model_apply(struct model *m, const struct stacked *s, size_t layer)
{
    struct model *lower = xmalloc(sizeof *lower);
    *lower = *m;
    const struct layer_index *x = &s->layers[layer].index;
    bool good = true;
    for (size_t i = 0; i < x->count; i++) {
        const struct layer_entry *e = &x->entries[i];
        if (e->type == ENTRY_WHITEOUT || e->flags & ENTRY_OPAQUE)
            model_remove(m, entry_path(x, e), e->path_len, e->type == ENTRY_WHITEOUT);
    }
    for (size_t i = 0; i < x->count && good; i++) {
        const struct layer_entry *e = &x->entries[i];
        const struct place *source = NULL;
        if (e->type == ENTRY_WHITEOUT)
            continue;
        if (e->type == ENTRY_LOWER_LINK) {
            _cleanup_free_ char *target = xstrndup(entry_target(x, e), e->target_len);
            source = model_follow(lower, s, target, 0);
            good = source && source->source->type != ENTRY_DIRECTORY;
        }
        if (good)
            model_put(m, x, layer, e, source);
    }
    free(lower);
    return good;
}

static int by_path(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return path_compare(x->path, x->len, y->path, y->len);
}

static void list_model(struct buf *out, const struct stacked *s, struct model *m)
{
    qsort(m->places, m->count, sizeof *m->places, by_path);
    for (size_t i = 0; i < m->count; i++) {
        const struct place *p = &m->places[i];
        list_source(out, p->path, p->len, &s->layers[p->layer], p->source);
        buf_addc(out, '\n');
    }
}

/* ---- the naive model of overlayfs ---- */

struct overlay_model {
    const struct stacked *s;
    struct tree trees[LAYERS_MAX];
    struct buf *out;
    const char *ghost; /* a whiteout that a listing would show; owned */
};

/* Whether `path` stands directly in `dir`. */
static bool is_child(const char *path, size_t len, const char *dir, size_t dir_len)
{
    if (len <= dir_len || (dir_len && (memcmp(path, dir, dir_len) || path[dir_len] != '/')))
        return false;
    const char *name = path + dir_len + (dir_len > 0);
    return !memchr(name, '/', (size_t)(path + len - name)) && len > 0;
}

static void overlay_look(struct overlay_model *o, const bool *parents, const char *path,
                         size_t len);

/* The next name in a directory behind `last`, over all layers that take part in it. */
static bool next_child(const struct overlay_model *o, const bool *in, const char *dir,
                       size_t dir_len, const char **path, size_t *len)
{
    const char *best = NULL;
    size_t best_len = 0;
    for (size_t k = 0; k < o->s->count; k++)
        for (size_t i = 0; in[k] && i < o->trees[k].count; i++) {
            size_t n;
            const char *p = node_path(&o->s->stack, &o->trees[k].nodes[i], &n);
            if (!is_child(p, n, dir, dir_len) || (*path && path_compare(p, n, *path, *len) <= 0) ||
                (best && path_compare(p, n, best, best_len) >= 0))
                continue;
            best = p;
            best_len = n;
        }
    *path = best;
    *len = best_len;
    return best != NULL;
}

/* A directory that the layers `in` share; its attributes are those of the top one. */
static void overlay_directory(struct overlay_model *o, const bool *in, const char *dir,
                              size_t dir_len)
{
    const char *path = NULL;
    size_t len = 0;
    while (next_child(o, in, dir, dir_len, &path, &len))
        overlay_look(o, in, path, len);
}

static void overlay_look(struct overlay_model *o, const bool *parents, const char *path, size_t len)
{
    bool in[LAYERS_MAX] = {false};
    size_t parent_count = 0, found = 0;
    for (size_t k = 0; k < o->s->count; k++)
        parent_count += parents[k];
    for (size_t k = o->s->count; k-- > 0;) {
        const struct tree_node *n =
            parents[k] ? tree_find(&o->s->stack, &o->trees[k], path, len) : NULL;
        if (!n)
            continue;
        const struct layer_entry *e = node_source(&o->s->stack, n);
        if (!e && parent_count == 1 && !o->ghost)
            o->ghost = xstrndup(path, len);
        if (!e || (found && e->type != ENTRY_DIRECTORY))
            break;
        if (!found++) {
            list_source(o->out, path, len, &o->s->layers[n->source_layer], e);
            buf_addc(o->out, '\n');
        }
        if (e->type != ENTRY_DIRECTORY)
            break;
        in[k] = true;
    }
    if (found)
        overlay_directory(o, in, path, len);
}

static void list_overlay(struct buf *out, const struct stacked *s, char **ghost)
{
    struct overlay_model o = {.s = s, .out = out};
    bool all[LAYERS_MAX];
    for (size_t k = 0; k < s->count; k++) {
        stack_layer_tree(&s->stack, k, &o.trees[k]);
        all[k] = true;
    }
    overlay_look(&o, all, "", 0);
    for (size_t k = 0; k < s->count; k++)
        tree_release(&o.trees[k]);
    *ghost = (char *)(uintptr_t)o.ghost;
}

/* ---- random stacks ---- */

static void add_random_path(struct buf *out)
{
    for (size_t n = 1 + random_below(3); n > 0; n--) {
        buf_addc(out, "abc"[random_below(3)]);
        if (n > 1)
            buf_addc(out, '/');
    }
}

static void add_random_text(struct buf *out)
{
    static const char *const starts[] = {"", "/", "../", "../../", "./"};
    buf_adds(out, starts[random_below(COUNT(starts))]);
    add_random_path(out);
}

static void add_random_line(struct buf *out, unsigned number)
{
    char type = "ddddddffffffsswwwoolll"[random_below(22)];
    buf_addf(out, "%c ", type);
    if (type == 'o' && random_below(6) == 0)
        buf_addc(out, '.');
    else
        add_random_path(out);
    if (type == 'd')
        buf_addf(out, " 0%o", 0700 + (unsigned)random_below(64));
    if (type == 'f')
        buf_addf(out, " c%u", number);
    if (type == 's' || type == 'l') {
        buf_addc(out, ' ');
        add_random_text(out);
    }
}

/* A layer of lines that each are good; those that are not, the builder refuses, and stays good. */
static struct layer random_layer(struct buf *log, unsigned number)
{
    struct making m = making_new();
    buf_adds(log, "|");
    for (size_t n = random_below(12); n > 0; n--) {
        _cleanup_buf_ struct buf line = BUF_INIT;
        _cleanup_error_ struct error err = ERROR_INIT;
        add_random_line(&line, number * 100 + (unsigned)n);
        if (making_add(&m, line.data, &err) == 0)
            buf_addf(log, "%s;", line.data);
        else if (err.kind != ERROR_PARSE)
            fail_msg("%s: %s", line.data, err.message);
    }
    return making_finish(&m, number);
}

static void compare_prefixes(const struct stacked *s, const char *log)
{
    struct model *m = xcalloc(1, sizeof *m);
    for (size_t k = 0; k < s->count; k++) {
        _cleanup_buf_ struct buf got = BUF_INIT, expected = BUF_INIT;
        struct tree tree;
        assert_true(model_apply(m, s, k));
        list_model(&expected, s, m);
        stack_merge(&s->stack, k + 1, &tree);
        list_tree(&got, s, &tree);
        tree_release(&tree);
        assert_same_text(log, got.data, expected.data);
    }
    free(m);
}

static void compare_overlay(const struct stacked *s, const char *log)
{
    _cleanup_buf_ struct buf merged = BUF_INIT, stacked = BUF_INIT;
    _cleanup_free_ char *ghost = NULL;
    struct tree tree;
    stack_merge(&s->stack, s->count, &tree);
    list_tree(&merged, s, &tree);
    tree_release(&tree);
    list_overlay(&stacked, s, &ghost);
    assert_same_text(log, stacked.data, merged.data);
    if (ghost)
        fail_msg("%s: a listing shows the deletion of %s", log, ghost);
}

static bool model_accepts(const struct stacked *s)
{
    struct model *m = xcalloc(1, sizeof *m);
    bool good = true;
    for (size_t k = 0; good && k < s->count; k++)
        good = model_apply(m, s, k);
    free(m);
    return good;
}

static void test_stack__random_stacks_agree_with_the_models(void **state)
{
    (void)state;
    size_t accepted = 0, refused = 0;
    for (random_state = 42; accepted < 3000;) {
        struct stacked s = {.count = 1 + random_below(LAYERS_MAX)};
        _cleanup_buf_ struct buf log = BUF_INIT;
        _cleanup_error_ struct error err = ERROR_INIT;
        for (size_t k = 0; k < s.count; k++)
            s.layers[k] = random_layer(&log, (unsigned)k + 1);
        int rc = stack_up(&s, &err);
        if ((rc == 0) != model_accepts(&s))
            fail_msg("%s: %s, the model does not", log.data, rc == 0 ? "accepted" : err.message);
        if (rc == 0) {
            compare_prefixes(&s, log.data);
            compare_overlay(&s, log.data);
        }
        accepted += rc == 0;
        refused += rc < 0;
        stacked_release(&s);
    }
    print_message("%zu stacks agree, %zu are refused by both\n", accepted, refused);
    assert_true(refused > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stack__merges_and_replaces),
        cmocka_unit_test(test_stack__whiteouts),
        cmocka_unit_test(test_stack__opaque_directories),
        cmocka_unit_test(test_stack__implied_directories),
        cmocka_unit_test(test_stack__links_into_lower_layers),
        cmocka_unit_test(test_stack__links_that_lead_nowhere),
        cmocka_unit_test(test_stack__find),
        cmocka_unit_test(test_stack__random_stacks_agree_with_the_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

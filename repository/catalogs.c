#include "repository/catalogs.h"

#include "base/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A directory, and how many entries its catalog would have if it began one. */
struct subtree {
    uint32_t node;
    uint32_t weight;
};

/* One that the pass is in. */
struct open_directory {
    const char *path;
    size_t len;
    uint32_t node;
    size_t entries;        /* itself, and what lies directly in it and is no directory */
    size_t first_finished; /* its subdirectories, among the finished ones */
};

struct cutting {
    size_t max_entries, min_entries;
    struct catalog_places *places;
    struct open_directory *open; /* from the root down */
    size_t depth, open_capacity;
    struct subtree *finished; /* below open directories, which have not been added up yet */
    size_t finished_count, finished_capacity;
};

void catalog_places_release(struct catalog_places *places)
{
    free(places->nodes);
    *places = (struct catalog_places){0};
}

static int by_weight(const void *a, const void *b)
{
    const struct subtree *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->node < y->node ? -1 : x->node > y->node;
}

static void cut(struct cutting *c, uint32_t node)
{
    struct catalog_places *p = c->places;
    ARRAY_GROW(p->nodes, p->count, p->capacity);
    p->nodes[p->count++] = node;
}

/* All of the innermost open directory has been seen. */
static void finish_directory(struct cutting *c)
{
    const struct open_directory *d = &c->open[--c->depth];
    struct subtree *below = c->finished + d->first_finished;
    size_t count = c->finished_count - d->first_finished, weight = d->entries;
    for (size_t i = 0; i < count; i++)
        weight += below[i].weight;
    if (weight > c->max_entries && count > 0)
        qsort(below, count, sizeof *below, by_weight);
    for (size_t i = 0; i < count && weight > c->max_entries; i++) {
        if (below[i].weight < c->min_entries)
            break;
        cut(c, below[i].node);
        weight -= below[i].weight - 1; /* the directory itself stands in both */
    }
    uint32_t node = d->node;
    c->finished_count = d->first_finished;
    ARRAY_GROW(c->finished, c->finished_count, c->finished_capacity);
    c->finished[c->finished_count++] = (struct subtree){node, (uint32_t)weight};
}

static bool is_in(const struct open_directory *d, const char *path, size_t len)
{
    return d->len == 0 ||
           (len > d->len && path[d->len] == '/' && memcmp(path, d->path, d->len) == 0);
}

static void pass_node(struct cutting *c, const struct stack *stack, const struct tree *tree,
                      size_t i)
{
    size_t len;
    const struct tree_node *n = &tree->nodes[i];
    const struct layer_entry *e = node_source(stack, n);
    const char *path = node_path(stack, n, &len);
    while (c->depth > 0 && !is_in(&c->open[c->depth - 1], path, len))
        finish_directory(c);
    if (!e || e->type != ENTRY_DIRECTORY) {
        c->open[c->depth - 1].entries++;
        return;
    }
    ARRAY_GROW(c->open, c->depth, c->open_capacity);
    c->open[c->depth++] = (struct open_directory){.path = path,
                                                  .len = len,
                                                  .node = (uint32_t)i,
                                                  .entries = 1,
                                                  .first_finished = c->finished_count};
}

static int by_number(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

void catalog_places_find(const struct stack *stack, const struct tree *tree, size_t max_entries,
                         size_t min_entries, struct catalog_places *out)
{
    struct cutting c = {.max_entries = max_entries, .min_entries = min_entries, .places = out};
    *out = (struct catalog_places){0};
    if (tree->count <= max_entries)
        return;
    for (size_t i = 0; i < tree->count; i++)
        pass_node(&c, stack, tree, i);
    while (c.depth > 0)
        finish_directory(&c);
    if (out->count > 0)
        qsort(out->nodes, out->count, sizeof *out->nodes, by_number);
    free(c.open);
    free(c.finished);
}

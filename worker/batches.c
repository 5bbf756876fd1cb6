#include "worker/batches.h"

#include "base/memory.h"

#include <string.h>

/* ---- adding ---- */

static int compare_wishes(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;
    int by_registry = strcmp(x->ref.registry, y->ref.registry);
    return by_registry ? by_registry : strcmp(x->ref.repository, y->ref.repository);
}

static struct batch *append(struct batches *b, struct order *order, const char *registry)
{
    struct batch *batch = xcalloc(1, sizeof *batch);
    batch->order = order_ref(order);
    order_begin_batch(order);
    batch->registry = xstrdup(registry);
    if (b->last)
        b->last->next = batch;
    else
        b->first = batch;
    b->last = batch;
    return batch;
}

static bool belongs(const struct batch *batch, const struct wanted *wish)
{
    if (!batch || strcmp(batch->registry, wish->ref.registry) != 0)
        return false;
    size_t n = batch->wanted.count;
    return n < BATCH_WISHES_MAX ||
           strcmp(batch->wanted.items[n - 1].ref.repository, wish->ref.repository) == 0;
}

void batches_add(struct batches *b, struct order *order, struct wanted_list *wanted)
{
    struct batch *batch = NULL;
    if (wanted->count > 0)
        qsort(wanted->items, wanted->count, sizeof *wanted->items, compare_wishes);
    for (size_t i = 0; i < wanted->count; i++) {
        struct wanted *wish = &wanted->items[i];
        if (!belongs(batch, wish))
            batch = append(b, order, wish->ref.registry);
        struct wanted_list *to = &batch->wanted;
        ARRAY_GROW(to->items, to->count, to->capacity);
        to->items[to->count++] = *wish;
    }
    free(wanted->items);
    *wanted = (struct wanted_list){0};
}

/* ---- taking ---- */

static bool same_lane(const struct batch *x, const struct batch *y)
{
    return x->order->urgency == y->order->urgency && strcmp(x->registry, y->registry) == 0;
}

/* Whether no earlier batch of its lane is left: the first of a lane is the one that may run. */
static bool leads_lane(const struct batches *b, const struct batch *batch)
{
    for (const struct batch *x = b->first; x != batch; x = x->next)
        if (same_lane(x, batch))
            return false;
    return true;
}

struct batch *batches_next(struct batches *b, bool events_only)
{
    struct batch *best = NULL;
    for (struct batch *x = b->first; x; x = x->next) {
        if (x->running || (events_only && x->order->urgency != URGENCY_EVENT) ||
            (best && best->order->urgency <= x->order->urgency) || !leads_lane(b, x))
            continue;
        best = x;
    }
    if (best)
        best->running = true;
    return best;
}

void batch_free(struct batch *batch)
{
    wanted_release(&batch->wanted);
    free(batch->registry);
    order_end_batch(batch->order);
    order_unref(batch->order);
    free(batch);
}

void batches_end(struct batches *b, struct batch *batch)
{
    struct batch **link = &b->first, *before = NULL;
    while (*link != batch) {
        before = *link;
        link = &before->next;
    }
    *link = batch->next;
    if (b->last == batch)
        b->last = before;
}

size_t batches_count(const struct batches *b)
{
    size_t n = 0;
    for (const struct batch *x = b->first; x; x = x->next)
        n++;
    return n;
}

size_t batches_lanes(const struct batches *b)
{
    size_t n = 0;
    for (const struct batch *x = b->first; x; x = x->next)
        n += leads_lane(b, x);
    return n;
}

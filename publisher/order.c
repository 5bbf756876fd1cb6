#include "publisher/order.h"

#include "base/memory.h"

static struct platform *copy_platforms(const struct platform *from, size_t count)
{
    struct platform *to = xcalloc(count, sizeof *to);
    for (size_t i = 0; i < count; i++) {
        to[i].os = from[i].os ? xstrdup(from[i].os) : NULL;
        to[i].architecture = from[i].architecture ? xstrdup(from[i].architecture) : NULL;
        to[i].variant = from[i].variant ? xstrdup(from[i].variant) : NULL;
    }
    return to;
}

struct order *order_new(const struct order_options *o)
{
    struct order *order = xcalloc(1, sizeof *order);
    *order = (struct order){.references = 1,
                            .access = access_ref(o->access),
                            .policy = *o->policy,
                            .platforms = copy_platforms(o->platforms, o->platform_count),
                            .platform_count = o->platform_count,
                            .urgency = o->urgency,
                            .again = o->again,
                            .ended = o->ended,
                            .arg = o->arg};
    return order;
}

struct order *order_ref(struct order *order)
{
    atomic_fetch_add(&order->references, 1);
    return order;
}

void order_unref(struct order *order)
{
    if (!order || atomic_fetch_sub(&order->references, 1) > 1)
        return;
    if (order->ended)
        order->ended(order->arg);
    for (size_t i = 0; i < order->platform_count; i++)
        platform_release(&order->platforms[i]);
    free(order->platforms);
    access_unref(order->access);
    free(order);
}

#include "worker/order.h"

#include "base/memory.h"

static struct platform *copy_platforms(const struct platform *from, size_t count)
{
    struct platform *to = xcalloc(count, sizeof *to);
    for (size_t i = 0; i < count; i++)
        platform_copy(&to[i], &from[i]);
    return to;
}

/* A rule for whatever the order publishes. */
static void add_signatures(struct order *order, const struct recipe_list *list)
{
    if (list->key_count == 0)
        return;
    struct site_rule *rule =
        site_add_rule(&order->signatures, list->name ? list->name : "signature", "*", "its list");
    for (size_t i = 0; i < list->key_count; i++)
        site_rule_add_key(rule, list->keys[i].path, list->keys[i].pem);
}

static void take_list(struct order *order, const struct recipe_list *list)
{
    order->prefix = list->prefix ? xstrdup(list->prefix) : NULL;
    order->image_size_max = list->image_size_max;
    order->tags_max = list->tags_max;
    add_signatures(order, list);
}

struct order *order_new(const struct order_options *o)
{
    struct order *order = xcalloc(1, sizeof *order);
    *order = (struct order){.references = 1,
                            .access = access_ref(o->access),
                            .policy = *o->policy,
                            .platforms = copy_platforms(o->platforms, o->platform_count),
                            .platform_count = o->platform_count,
                            .names = o->names ? name_set_ref(o->names) : name_set_new(),
                            .urgency = o->urgency,
                            .again = o->again,
                            .heeds_pauses = o->heeds_pauses,
                            .resolved = o->resolved,
                            .ended = o->ended,
                            .arg = o->arg};
    if (o->list)
        take_list(order, o->list);
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
    free(order->prefix);
    site_rules_release(&order->signatures);
    name_set_unref(order->names);
    access_unref(order->access);
    free(order);
}

void order_begin_batch(struct order *order)
{
    atomic_fetch_add(&order->unresolved, 1);
}

void order_end_batch(struct order *order)
{
    if (atomic_fetch_sub(&order->unresolved, 1) == 1 && order->resolved)
        order->resolved(order->arg);
}

#include "worker/wanted_names.h"

#include "base/memory.h"
#include "base/path.h"
#include "worker/expand.h"

#define THREADS 16

void wanted_names_release(struct wanted_names *n)
{
    string_list_release(&n->names);
    for (size_t i = 0; i < n->unknown_count; i++) {
        free(n->unknown[i].entry);
        free(n->unknown[i].place);
        error_release(&n->unknown[i].error);
    }
    free(n->unknown);
    *n = (struct wanted_names){0};
}

/* Wishes that are expanded together: one list's, with the same platforms. */
struct together {
    const struct recipe *recipe;
    const struct recipe_list *list;
    struct wanted_list wanted;
    const struct wish **wishes; /* one for each that is wanted */
};

static bool go_together(const struct wish *a, const struct wish *b)
{
    return a == b || (a->list == b->list && a->platforms.count + b->platforms.count == 0);
}

static void collect(struct together *t, size_t first, bool *taken)
{
    const struct wish *wishes = t->recipe->wishes, *like = &wishes[first];
    for (size_t i = first; i < t->recipe->wish_count; i++) {
        if (taken[i] || !go_together(&wishes[i], like))
            continue;
        struct reference ref;
        reference_copy(&ref, &wishes[i].ref);
        t->wishes[t->wanted.count] = &wishes[i];
        wanted_add(&t->wanted, &ref, wishes[i].selector, NULL);
        taken[i] = true;
    }
}

static void add_unknown(const struct together *t, const struct wish *wish, struct error *why,
                        struct wanted_names *out)
{
    ARRAY_GROW(out->unknown, out->unknown_count, out->unknown_capacity);
    struct unknown_wish *u = &out->unknown[out->unknown_count++];
    *u = (struct unknown_wish){.entry = xstrdup(wish->text),
                               .place = recipe_wish_place(t->recipe, wish)};
    error_move(&u->error, why);
}

static void take(const struct together *t, const struct wish *wish, struct expansion *x,
                 struct wanted_names *out)
{
    if (x->error.kind != ERROR_NONE)
        add_unknown(t, wish, &x->error, out);
    for (size_t i = 0; i < x->count; i++) {
        _cleanup_free_ char *name = reference_name(&x->refs[i]);
        _cleanup_free_ char *public = path_join(t->list->prefix ? t->list->prefix : "", name);
        string_list_take(&out->names, xasprintf("%s\n%s", t->list->repository, public));
    }
    expansion_release(x);
}

static void expand_together(struct wanted_names_source *source, struct together *t,
                            struct wanted_names *out)
{
    static struct platform usual = {.os = (char *)(uintptr_t) "linux",
                                    .architecture = (char *)(uintptr_t) "amd64"};
    const struct wish *first = t->wishes[0];
    const struct platform_list *own = &first->platforms, *all = &t->list->platforms;
    struct plan_target nowhere = {0};
    struct expansion *expansions = xcalloc(t->wanted.count, sizeof *expansions);
    struct resolve_options options = {.client = source->access->client,
                                      .target = &nowhere,
                                      .platforms = &usual,
                                      .platform_count = 1,
                                      .site = &source->access->config.site,
                                      .prefix = t->list->prefix,
                                      .tags_max = t->list->tags_max,
                                      .times = source->times,
                                      .threads = THREADS,
                                      .again = true};
    if (own->count + all->count > 0) {
        options.platforms = own->count ? own->items : all->items;
        options.platform_count = own->count ? own->count : all->count;
    }
    expand(&options, &t->wanted, &source->lists, expansions);
    for (size_t i = 0; i < t->wanted.count; i++)
        take(t, t->wishes[i], &expansions[i], out);
    free(expansions);
}

void wanted_names_find(struct wanted_names_source *source, const struct recipe *recipe,
                       const bool *left_out, struct wanted_names *out)
{
    bool *taken = xcalloc(recipe->wish_count + 1, sizeof *taken);
    *out = (struct wanted_names){0};
    for (size_t i = 0; i < recipe->wish_count; i++)
        taken[i] = left_out[i];
    for (size_t i = 0; i < recipe->wish_count; i++) {
        if (taken[i])
            continue;
        struct together t = {.recipe = recipe,
                             .list = &recipe->lists[recipe->wishes[i].list],
                             .wishes = xcalloc(recipe->wish_count, sizeof(struct wish *))};
        collect(&t, i, taken);
        expand_together(source, &t, out);
        wanted_release(&t.wanted);
        free(t.wishes);
    }
    free(taken);
    string_list_sort(&out->names);
}

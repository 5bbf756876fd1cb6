#include "worker/wishes.h"

#include "base/log.h"
#include "base/memory.h"
#include "wishlist/repository.h"

#include <string.h>

static void release_platforms(struct platform *platforms, size_t count)
{
    for (size_t i = 0; i < count; i++)
        platform_release(&platforms[i]);
    free(platforms);
}

void wishes_release(struct wishes *w)
{
    for (size_t i = 0; i < w->count; i++) {
        struct wish_group *g = &w->groups[i];
        free(g->repository);
        release_platforms(g->platforms, g->platform_count);
        recipe_list_release(&g->list);
        name_set_unref(g->names);
        wanted_release(&g->wanted);
    }
    for (size_t i = 0; i < w->list_count; i++)
        wished_list_release(&w->lists[i]);
    free(w->lists);
    for (size_t i = 0; i < w->failed_count; i++) {
        free(w->failed[i].name);
        error_release(&w->failed[i].error);
    }
    free(w->groups);
    free(w->failed);
    *w = (struct wishes){0};
}

/* ---- platforms ---- */

static void copy_platforms(struct wish_group *g, const struct platform *from, size_t count)
{
    g->platforms = xcalloc(count, sizeof *g->platforms);
    for (g->platform_count = 0; g->platform_count < count; g->platform_count++)
        platform_copy(&g->platforms[g->platform_count], &from[g->platform_count]);
}

static void set_platforms(struct wish_group *g, const struct wish_settings *settings,
                          const struct platform_list *list)
{
    static const struct platform usual = {.os = (char *)(uintptr_t) "linux",
                                          .architecture = (char *)(uintptr_t) "amd64"};
    if (settings->platform_count > 0)
        copy_platforms(g, settings->platforms, settings->platform_count);
    else if (list && list->count > 0)
        copy_platforms(g, list->items, list->count);
    else
        copy_platforms(g, &usual, 1);
}

/* ---- groups ---- */

/* Of the groups before it for the same repository. */
static struct name_set *names_for(const struct wishes *w, const char *repository)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->groups[i].repository, repository) == 0)
            return name_set_ref(w->groups[i].names);
    return name_set_new();
}

static struct wish_group *add_group(struct wishes *w, const char *repository,
                                    const struct wish_settings *settings)
{
    struct name_set *names = names_for(w, repository);
    ARRAY_GROW(w->groups, w->count, w->capacity);
    struct wish_group *g = &w->groups[w->count++];
    *g = (struct wish_group){.repository = xstrdup(repository),
                             .policy = settings->policy,
                             .interval = settings->interval,
                             .names = names};
    return g;
}

void wishes_copy_groups(struct wishes *to, const struct wishes *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct wish_group *g = &from->groups[i];
        struct wish_settings settings = {.policy = g->policy, .interval = g->interval};
        struct wish_group *copy = add_group(to, g->repository, &settings);
        copy_platforms(copy, g->platforms, g->platform_count);
        recipe_list_copy(&copy->list, &g->list);
        for (size_t k = 0; k < g->wanted.count; k++)
            wanted_copy(&copy->wanted, &g->wanted.items[k]);
    }
}

/* What the list says of how to publish. Its words are known to be good, but not that they go
 * together. */
static int take_policy(struct wish_group *g, const struct recipe *recipe,
                       const struct recipe_list *list, struct error *err)
{
    for (int i = 0; i < RECIPE_POLICIES; i++) {
        const char *name = recipe_policy_name((enum recipe_policy)i), *value = list->policies[i];
        if (value && policy_set(&g->policy, name, value, err) < 0)
            return error_wrap(err, "%s:%d: key %s", recipe->files[list->file].path, list->line,
                              name);
    }
    return policy_finish(&g->policy, err) == 0
               ? 0
               : error_wrap(err, "%s:%d", recipe->files[list->file].path, list->line);
}

static int add_list(struct wishes *w, const struct recipe *recipe, const struct recipe_list *list,
                    const struct wish *like, const struct wish_settings *settings,
                    struct error *err)
{
    const char *repository = settings->repository ? settings->repository : list->repository;
    struct wish_group *g = add_group(w, repository, settings);
    recipe_list_copy(&g->list, list);
    uint64_t interval = like->interval ? like->interval : list->interval;
    if (g->interval == 0)
        g->interval = interval;
    if (repository_check(repository, err) < 0 || take_policy(g, recipe, list, err) < 0)
        return -1;
    set_platforms(g, settings, like->platforms.count ? &like->platforms : &list->platforms);
    return 0;
}

static bool same_platforms(const struct platform_list *a, const struct platform_list *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        _cleanup_free_ char *x = platform_text(&a->items[i]), *y = platform_text(&b->items[i]);
        same = strcmp(x, y) == 0;
    }
    return same;
}

static bool go_together(const struct wish *a, const struct wish *b)
{
    return a->list == b->list && a->interval == b->interval &&
           same_platforms(&a->platforms, &b->platforms);
}

struct order_options wish_group_order(const struct wish_group *g, struct access *access)
{
    return (struct order_options){.access = access,
                                  .policy = &g->policy,
                                  .platforms = g->platforms,
                                  .platform_count = g->platform_count,
                                  .list = &g->list,
                                  .names = g->names,
                                  .urgency = URGENCY_POLL};
}

/* ---- recipes ---- */

void wishes_add_failure(struct wishes *w, const char *what, struct error *why)
{
    ARRAY_GROW(w->failed, w->failed_count, w->failed_capacity);
    struct result *r = &w->failed[w->failed_count++];
    *r = (struct result){.outcome = OUTCOME_FAILED, .name = xstrdup(what)};
    error_move(&r->error, why);
}

static void take_problems(struct wishes *w, const struct recipe *recipe)
{
    for (size_t i = 0; i < recipe->problem_count; i++) {
        const struct recipe_problem *problem = &recipe->problems[i];
        if (problem->severity == PROBLEM_WARNING) {
            _cleanup_free_ char *text = recipe_problem_text(recipe, problem);
            log_warning("%s", text);
            continue;
        }
        _cleanup_free_ char *place = xasprintf("%s:%d:%d", recipe->files[problem->file].path,
                                               problem->line, problem->column);
        struct error why = ERROR_INIT;
        error_set(&why, ERROR_PARSE, "%s", problem->message);
        wishes_add_failure(w, place, &why);
    }
}

static void take_wish(struct wish_group *g, const struct recipe *recipe, const struct wish *wish)
{
    _cleanup_free_ char *origin = recipe_wish_place(recipe, wish);
    struct reference ref;
    reference_copy(&ref, &wish->ref);
    wanted_add(&g->wanted, &ref, wish->selector, origin);
    _cleanup_free_ char *text = wished_entry_text(&recipe->lists[wish->list], wish);
    wanted_set_entry(&g->wanted, recipe->files[wish->file].path, text);
}

/* One group: the wish that is `like` all in it, and those behind it that go together with it. */
static int add_like(struct wishes *w, const struct recipe *recipe, size_t first, bool *taken,
                    const struct wish_settings *settings, struct error *err)
{
    const struct wish *like = &recipe->wishes[first];
    if (add_list(w, recipe, &recipe->lists[like->list], like, settings, err) < 0)
        return -1;
    for (size_t i = first; i < recipe->wish_count; i++) {
        const struct wish *wish = &recipe->wishes[i];
        if (taken[i] || !go_together(wish, like))
            continue;
        taken[i] = true;
        take_wish(&w->groups[w->count - 1], recipe, wish);
    }
    return 0;
}

int wishes_add_recipe(struct wishes *w, const struct recipe *recipe,
                      const struct wish_settings *settings, struct error *err)
{
    bool *taken = xcalloc(recipe->wish_count + 1, sizeof *taken);
    size_t suspended = 0;
    int result = 0;
    take_problems(w, recipe);
    for (size_t i = 0; i < recipe->wish_count; i++)
        suspended += taken[i] = recipe->wishes[i].suspended;
    for (size_t list = 0; list < recipe->list_count; list++)
        for (int own = 1; own >= 0; own--)
            for (size_t i = 0; result == 0 && i < recipe->wish_count; i++)
                if (!taken[i] && recipe->wishes[i].list == list &&
                    (recipe->wishes[i].platforms.count > 0) == own)
                    result = add_like(w, recipe, i, taken, settings, err);
    free(taken);
    if (suspended > 0)
        log_info("%zu entr%s suspended: what is published stays as it is", suspended,
                 suspended == 1 ? "y is" : "ies are");
    if (result == 0)
        wished_lists_add_recipe(w, recipe, settings);
    return result;
}

int wishes_add_images(struct wishes *w, char *const *images, size_t count,
                      const struct wish_settings *settings, struct error *err)
{
    struct wish_group *g = add_group(w, settings->repository, settings);
    if (repository_check(g->repository, err) < 0 || policy_finish(&g->policy, err) < 0)
        return -1;
    set_platforms(g, settings, NULL);
    for (size_t i = 0; i < count; i++) {
        struct reference ref = {0};
        if (reference_parse(images[i], REFERENCE_TAG_PATTERN | REFERENCE_TAG_GLOB, &ref, err) < 0)
            return -1;
        bool one = !ref.tag || digest_is_set(&ref.digest);
        struct selector *selector = one ? NULL : selector_of_glob(ref.tag);
        int rc = selector ? selector_check(selector, err) : 0;
        wanted_add(&g->wanted, &ref, selector, NULL);
        wanted_set_entry(&g->wanted, LIST_COMMAND_LINE, images[i]);
        selector_free(selector);
        if (rc < 0)
            return -1;
    }
    wished_lists_add_images(w, g->repository, &g->wanted);
    return 0;
}

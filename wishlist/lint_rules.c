/* The rules of wishlist/lint.h. */
#include "base/memory.h"
#include "wishlist/glob.h"
#include "wishlist/lint.h"

#include <stdlib.h>
#include <string.h>

/* Of one repository: beyond, only the first are compared with each other. */
#define COMPARED_MAX 1000

struct linter {
    const struct recipe *recipe;
    const struct lint_fresh *fresh;
    struct lint *out;
    char **names; /* of each wish: where it publishes, and its repository in one spelling */
    size_t *order;
};

static void add_about(struct linter *l, enum lint_severity severity, const char *rule, size_t wish,
                      char *message)
{
    const struct wish *w = &l->recipe->wishes[wish];
    lint_add(l->out, severity, rule, l->recipe->files[w->file].path, w->line, w->column, w->text,
             message);
}

static void find_problems(struct linter *l)
{
    const struct recipe *r = l->recipe;
    for (size_t i = 0; i < r->problem_count; i++) {
        const struct recipe_problem *p = &r->problems[i];
        if (!l->fresh->problems[i])
            continue;
        bool error = p->severity == PROBLEM_ERROR || p->repeated;
        lint_add(l->out, error ? LINT_ERROR : LINT_WARNING, p->repeated ? "duplicate" : "syntax",
                 r->files[p->file].path, p->line, p->column, p->entry ? p->entry : "",
                 xstrdup(p->message));
    }
}

static void find_refused(struct linter *l, const struct site *site)
{
    for (size_t i = 0; site && i < l->recipe->wish_count; i++) {
        _cleanup_error_ struct error why = ERROR_INIT;
        if (l->fresh->wishes[i] && site_check(site, &l->recipe->wishes[i].ref, &why) < 0)
            add_about(l, LINT_ERROR, "registry", i, xstrdup(why.message));
    }
}

/* Registries in one spelling, each once. */
struct registry_names {
    char **items;
    size_t count, capacity;
};

/* false: it was there. */
static bool add_registry(struct registry_names *names, const struct wish *w)
{
    char *name = registry_canonical(w->ref.registry);
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], name) == 0) {
            free(name);
            return false;
        }
    }
    ARRAY_GROW(names->items, names->count, names->capacity);
    names->items[names->count++] = name;
    return true;
}

/* A mistyped registry is most often one that nobody has used. Said at the first entry that does;
 * not if the site's rules know all that are right. */
static void find_new_registries(struct linter *l, const struct site *site)
{
    const struct recipe *before = l->fresh->before;
    struct registry_names known = {0};
    if (!before || before->wish_count == 0 || (site && site->allow.count > 0))
        return;
    for (size_t i = 0; i < before->wish_count; i++)
        add_registry(&known, &before->wishes[i]);
    for (size_t i = 0; i < l->recipe->wish_count; i++)
        if (l->fresh->wishes[i] && add_registry(&known, &l->recipe->wishes[i]))
            add_about(l, LINT_WARNING, "registry", i,
                      xasprintf("%s is a registry that no entry has used before; is that its name?",
                                l->recipe->wishes[i].ref.registry));
    for (size_t i = 0; i < known.count; i++)
        free(known.items[i]);
    free(known.items);
}

/* A glob of which nothing but signs and a 'v' is fixed. */
static bool takes_everything(const char *glob)
{
    return glob_is_pattern(glob) && glob[strspn(glob, "*?v._-")] == '\0';
}

static bool is_unbounded(const struct recipe_list *list, const struct selector *s)
{
    bool broad = s->globs.count == 0 && !s->regex && !s->semver;
    for (size_t i = 0; i < s->globs.count; i++)
        broad |= takes_everything(s->globs.items[i]);
    return broad && !s->newest && !s->newer_than && !list->tags_max && !s->regex && !s->semver;
}

static void find_unbounded(struct linter *l)
{
    for (size_t i = 0; i < l->recipe->wish_count; i++) {
        const struct wish *w = &l->recipe->wishes[i];
        if (!l->fresh->wishes[i] || !w->selector ||
            !is_unbounded(&l->recipe->lists[w->list], w->selector))
            continue;
        add_about(l, LINT_WARNING, "unbounded", i,
                  xasprintf("%s selects every tag of the repository, now and later; name what is "
                            "needed (\"2.*\"), or bound it with newest, newer_than or a limit on "
                            "tags (recipes of version 2)",
                            w->text));
    }
}

/* ---- Docker Hub ---- */

static bool is_docker_hub(const struct wish *w)
{
    _cleanup_free_ char *canonical = registry_canonical(w->ref.registry);
    return strcmp(canonical, "docker.io") == 0;
}

/* How often, and where first among those that are looked at. */
struct spelling {
    const char *name;
    size_t uses, first_fresh;
};

static void count_spelling(struct spelling *list, size_t *count, size_t max, const char *name,
                           size_t wish, bool fresh)
{
    size_t i = 0;
    while (i < *count && strcmp(list[i].name, name) != 0)
        i++;
    if (i == max)
        return;
    if (i == *count)
        list[(*count)++] = (struct spelling){name, 0, SIZE_MAX};
    list[i].uses++;
    if (fresh && list[i].first_fresh == SIZE_MAX)
        list[i].first_fresh = wish;
}

static void find_spellings(struct linter *l)
{
    struct spelling list[8];
    size_t count = 0, usual = 0;
    for (size_t i = 0; i < l->recipe->wish_count; i++)
        if (is_docker_hub(&l->recipe->wishes[i]))
            count_spelling(list, &count, 8, l->recipe->wishes[i].ref.registry, i,
                           l->fresh->wishes[i]);
    for (size_t i = 1; i < count; i++)
        usual = list[i].uses > list[usual].uses ? i : usual;
    for (size_t i = 0; i < count; i++) {
        if (i == usual || list[i].first_fresh == SIZE_MAX)
            continue;
        add_about(l, LINT_WARNING, "docker-hub", list[i].first_fresh,
                  xasprintf("Docker Hub is called %s here (by %zu entr%s), and %s by %zu: images "
                            "get their public names from it; use one",
                            list[i].name, list[i].uses, list[i].uses == 1 ? "y" : "ies",
                            list[usual].name, list[usual].uses));
    }
}

/* ---- two entries ---- */

/* Without what else is asked of it, does the selector take the tag? */
static bool takes_tag(const struct wish *pattern, const char *tag)
{
    const struct selector *s = pattern->selector;
    struct selector names = *s;
    struct selector_input input = {.tags = &tag, .count = 1};
    _cleanup_error_ struct error ignored = ERROR_INIT;
    const char **taken = NULL;
    size_t count = 0;
    names.newest = 0; /* it may be among them */
    names.newer_than = 0;
    if (selector_run(&names, &input, &taken, &count, &ignored) < 0)
        count = 0;
    free(taken);
    return count > 0;
}

static bool globs_only(const struct selector *s)
{
    return s->globs.count > 0 && !s->regex && !s->semver && s->exclude.count == 0;
}

static bool share_a_glob(const struct selector *a, const struct selector *b)
{
    for (size_t i = 0; i < a->globs.count; i++)
        for (size_t j = 0; j < b->globs.count; j++)
            if (glob_overlap(a->globs.items[i], b->globs.items[j]))
                return true;
    return false;
}

/* Both of one repository. What cannot be told from the texts alone is left alone. */
static bool may_overlap(const struct wish *a, const struct wish *b)
{
    if (a->selector && b->selector)
        return globs_only(a->selector) && globs_only(b->selector) &&
               share_a_glob(a->selector, b->selector);
    const struct wish *pattern = a->selector ? a : b, *plain = a->selector ? b : a;
    return pattern->selector && plain->ref.tag && !digest_is_set(&plain->ref.digest) &&
           takes_tag(pattern, plain->ref.tag);
}

/* Under two names of one registry, which the reader of recipes takes for two images. */
static bool is_same_image(const struct wish *a, const struct wish *b)
{
    return !a->selector && !b->selector && strcmp(a->ref.registry, b->ref.registry) != 0 &&
           digest_equal(&a->ref.digest, &b->ref.digest) && a->ref.tag && b->ref.tag &&
           strcmp(a->ref.tag, b->ref.tag) == 0;
}

static void compare_pair(struct linter *l, size_t first, size_t second)
{
    /* The finding stands at the later one, unless only the earlier one is new. */
    bool at_second = l->fresh->wishes[second];
    size_t at = at_second ? second : first, other = at_second ? first : second;
    const struct wish *a = &l->recipe->wishes[first], *b = &l->recipe->wishes[second];
    if (!l->fresh->wishes[first] && !at_second)
        return;
    _cleanup_free_ char *place = recipe_wish_place(l->recipe, &l->recipe->wishes[other]);
    if (is_same_image(a, b))
        add_about(l, LINT_ERROR, "duplicate", at,
                  xasprintf("the same image as %s (%s), under another name of the registry",
                            l->recipe->wishes[other].text, place));
    else if (may_overlap(a, b))
        add_about(l, LINT_WARNING, "overlap", at,
                  xasprintf("%s and %s (%s) can select the same tag; one of them would do, or "
                            "exclude it in one",
                            l->recipe->wishes[at].text, l->recipe->wishes[other].text, place));
}

static int compare_names(const void *a, const void *b, void *arg)
{
    const struct linter *l = arg;
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    int order = strcmp(l->names[x], l->names[y]);
    return order ? order : (x > y) - (x < y);
}

static char *name_of(const struct recipe *recipe, const struct wish *w)
{
    const struct recipe_list *list = &recipe->lists[w->list];
    _cleanup_free_ char *canonical = reference_canonical(&w->ref);
    return xasprintf("%s\n%s\n%s", list->repository, list->prefix ? list->prefix : "", canonical);
}

static void find_pairs(struct linter *l)
{
    size_t count = l->recipe->wish_count;
    l->names = xcalloc(count + 1, sizeof *l->names);
    l->order = xcalloc(count + 1, sizeof *l->order);
    for (size_t i = 0; i < count; i++) {
        l->names[i] = name_of(l->recipe, &l->recipe->wishes[i]);
        l->order[i] = i;
    }
    qsort_r(l->order, count, sizeof *l->order, compare_names, l);
    for (size_t start = 0, end; start < count; start = end) {
        for (end = start + 1;
             end < count && strcmp(l->names[l->order[start]], l->names[l->order[end]]) == 0;)
            end++;
        for (size_t i = start; i < end && i < start + COMPARED_MAX; i++)
            for (size_t j = i + 1; j < end && j < start + COMPARED_MAX; j++)
                compare_pair(l, l->order[i], l->order[j]);
    }
    for (size_t i = 0; i < count; i++)
        free(l->names[i]);
    free(l->names);
    free(l->order);
}

void lint_recipe(const struct recipe *recipe, const struct lint_fresh *fresh,
                 const struct site *site, struct lint *out)
{
    struct linter l = {.recipe = recipe, .fresh = fresh, .out = out};
    find_problems(&l);
    find_refused(&l, site);
    find_new_registries(&l, site);
    find_unbounded(&l);
    find_spellings(&l);
    find_pairs(&l);
}

#include "wishlist/difference.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/quantity.h"

#include <search.h>
#include <string.h>

const char *difference_word(enum difference_kind kind)
{
    static const char *const words[] = {[DIFFERENCE_ADDED] = "added",
                                        [DIFFERENCE_REMOVED] = "removed",
                                        [DIFFERENCE_SUSPENDED] = "suspended",
                                        [DIFFERENCE_RESUMED] = "resumed",
                                        [DIFFERENCE_SETTING] = "changed"};
    return words[kind];
}

void differences_release(struct differences *d)
{
    for (size_t i = 0; i < d->count; i++) {
        struct difference *x = &d->items[i];
        free(x->repository);
        free(x->prefix);
        free(x->entry);
        free(x->place);
        free(x->before);
        free(x->after);
    }
    free(d->items);
    free(d->old_touched);
    free(d->new_touched);
    *d = (struct differences){0};
}

/* ---- settings ---- */

/* Of a wish, as text; NULL: not said. Owned. */
typedef char *setting_text(const struct recipe_list *list, const struct wish *wish, int number);

static char *policy_text(const struct recipe_list *list, const struct wish *wish, int number)
{
    (void)wish;
    return list->policies[number] ? xstrdup(list->policies[number]) : NULL;
}

static char *platforms_text(const struct recipe_list *list, const struct wish *wish, int number)
{
    (void)number;
    const struct platform_list *platforms =
        wish->platforms.count ? &wish->platforms : &list->platforms;
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < platforms->count; i++) {
        _cleanup_free_ char *text = platform_text(&platforms->items[i]);
        buf_addf(&out, "%s%s", i ? ", " : "", text);
    }
    return platforms->count ? buf_take(&out) : NULL;
}

static char *interval_text(const struct recipe_list *list, const struct wish *wish, int number)
{
    (void)number;
    uint64_t seconds = wish->interval ? wish->interval : list->interval;
    return seconds ? xstrdup(duration_text(seconds).s) : NULL;
}

/* To the byte: two limits that look alike must not be the same. */
static char *image_size_text(const struct recipe_list *list, const struct wish *wish, int number)
{
    (void)wish;
    (void)number;
    return list->image_size_max ? xasprintf("%llu bytes", (unsigned long long)list->image_size_max)
                                : NULL;
}

static char *tags_text(const struct recipe_list *list, const struct wish *wish, int number)
{
    (void)wish;
    (void)number;
    return list->tags_max ? xasprintf("%llu", (unsigned long long)list->tags_max) : NULL;
}

/* A key is what it says, under whatever path. */
static char *signature_text(const struct recipe_list *list, const struct wish *wish, int number)
{
    (void)wish;
    (void)number;
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < list->key_count; i++) {
        const char *pem = list->keys[i].pem;
        struct digest digest = digest_of(DIGEST_SHA256, pem, strlen(pem));
        buf_addf(&out, "%skey %.19s", i ? ", " : "", digest_text(&digest).s);
    }
    return list->key_count ? buf_take(&out) : NULL;
}

static char *scheme_text(const struct recipe_list *list, const struct wish *wish, int number)
{
    (void)list;
    (void)number;
    return xstrdup(wish->ref.plain_http ? "http" : "https");
}

static char *owner_text(const struct recipe_list *list, const struct wish *wish, int number)
{
    (void)wish;
    (void)number;
    return list->owner ? xstrdup(list->owner) : NULL;
}

static char *contact_text(const struct recipe_list *list, const struct wish *wish, int number)
{
    (void)wish;
    (void)number;
    return list->contact ? xstrdup(list->contact) : NULL;
}

static const struct {
    const char *name;
    setting_text *text;
    int number;
    bool touches; /* what is selected depends on it */
} settings[] = {
    {"chains", policy_text, RECIPE_CHAINS, false},
    {"podman", policy_text, RECIPE_PODMAN, false},
    {"flat", policy_text, RECIPE_FLAT, false},
    {"layers", policy_text, RECIPE_LAYERS, false},
    {"xattrs", policy_text, RECIPE_XATTRS, false},
    {"devices", policy_text, RECIPE_DEVICES, false},
    {"fix_perms", policy_text, RECIPE_FIX_PERMS, false},
    {"chunk_above", policy_text, RECIPE_CHUNK_ABOVE, false},
    {"platforms", platforms_text, 0, true},
    {"interval", interval_text, 0, false},
    {"limits.image_size", image_size_text, 0, false},
    {"limits.tags", tags_text, 0, true},
    {"signature", signature_text, 0, false},
    {"scheme", scheme_text, 0, false},
    {"owner", owner_text, 0, false},
    {"contact", contact_text, 0, false},
};
#define SETTINGS (sizeof settings / sizeof *settings)

/* ---- entries ---- */

struct keyed {
    char *key;
    size_t number; /* of the wish */
};

struct side {
    const struct recipe *recipe;
    struct keyed *entries; /* one a wish */
    void *by_key;          /* tsearch() */
    bool *touched;
};

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static void side_init(struct side *side, const struct recipe *recipe)
{
    *side = (struct side){.recipe = recipe,
                          .entries = xcalloc(recipe->wish_count + 1, sizeof *side->entries),
                          .touched = xcalloc(recipe->wish_count + 1, sizeof *side->touched)};
    for (size_t i = 0; i < recipe->wish_count; i++) {
        const struct recipe_list *list = &recipe->lists[recipe->wishes[i].list];
        _cleanup_free_ char *wished = wish_key(&recipe->wishes[i]);
        side->entries[i] = (struct keyed){
            xasprintf("%s\n%s\n%s", list->repository, list->prefix ? list->prefix : "", wished), i};
        if (!tsearch(&side->entries[i], &side->by_key, compare_keyed))
            abort(); /* out of memory, as everywhere */
    }
}

static void ignore_node(void *node)
{
    (void)node;
}

static void side_release(struct side *side)
{
    tdestroy(side->by_key, ignore_node);
    for (size_t i = 0; i < side->recipe->wish_count; i++)
        free(side->entries[i].key);
    free(side->entries);
}

/* The wish of the other side that is the same; NULL if there is none. */
static const struct wish *find_same(const struct side *other, const struct keyed *entry)
{
    struct keyed **found = tfind(entry, &other->by_key, compare_keyed);
    return found ? &other->recipe->wishes[(*found)->number] : NULL;
}

static const struct recipe_list *list_of(const struct side *side, const struct wish *wish)
{
    return &side->recipe->lists[wish->list];
}

/* ---- finding ---- */

static struct difference *add(struct differences *out, enum difference_kind kind,
                              const struct side *side, size_t number)
{
    const struct wish *wish = &side->recipe->wishes[number];
    const struct recipe_list *list = list_of(side, wish);
    ARRAY_GROW(out->items, out->count, out->capacity);
    struct difference *d = &out->items[out->count++];
    *d = (struct difference){.kind = kind,
                             .repository = xstrdup(list->repository),
                             .prefix = list->prefix ? xstrdup(list->prefix) : NULL,
                             .entry = xstrdup(wish->text),
                             .place = recipe_wish_place(side->recipe, wish),
                             .entries = 1};
    return d;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Of so many settings only: recipes with more different ones are no longer read by people. */
#define LOOK_BACK 200

/* The one that says the same of an earlier entry; NULL if there is none. */
static struct difference *find_setting(struct differences *out, const struct recipe_list *list,
                                       const char *setting, const char *before, const char *after)
{
    size_t end = out->count > LOOK_BACK ? out->count - LOOK_BACK : 0;
    for (size_t i = out->count; i-- > end;) {
        struct difference *d = &out->items[i];
        if (d->setting == setting && same(d->before, before) && same(d->after, after) &&
            strcmp(d->repository, list->repository) == 0 && same(d->prefix, list->prefix))
            return d;
    }
    return NULL;
}

static void compare_settings(struct differences *out, struct side *old, const struct wish *was,
                             struct side *new, size_t number)
{
    const struct wish *is = &new->recipe->wishes[number];
    const struct recipe_list *list = list_of(new, is);
    for (size_t i = 0; i < SETTINGS; i++) {
        char *before = settings[i].text(list_of(old, was), was, settings[i].number);
        char *after = settings[i].text(list, is, settings[i].number);
        bool differs = !same(before, after);
        struct difference *d =
            differs ? find_setting(out, list, settings[i].name, before, after) : NULL;
        if (d) {
            d->entries++;
        } else if (differs) {
            d = add(out, DIFFERENCE_SETTING, new, number);
            d->setting = settings[i].name;
            d->before = TAKE_PTR(before);
            d->after = TAKE_PTR(after);
        }
        if (differs && settings[i].touches) {
            old->touched[was - old->recipe->wishes] = true;
            new->touched[number] = true;
        }
        free(before);
        free(after);
    }
}

static void find_lone(struct differences *out, enum difference_kind kind, struct side *of,
                      const struct side *other)
{
    for (size_t i = 0; i < of->recipe->wish_count; i++) {
        if (find_same(other, &of->entries[i]))
            continue;
        add(out, kind, of, i);
        of->touched[i] = true;
    }
}

static void find_switched(struct differences *out, enum difference_kind kind,
                          const struct side *old, const struct side *new)
{
    for (size_t i = 0; i < new->recipe->wish_count; i++) {
        const struct wish *was = find_same(old, &new->entries[i]);
        bool suspended = new->recipe->wishes[i].suspended;
        if (was && was->suspended != suspended && suspended == (kind == DIFFERENCE_SUSPENDED))
            add(out, kind, new, i);
    }
}

void differences_find(const struct recipe *old_recipe, const struct recipe *new_recipe,
                      struct differences *out)
{
    struct side old, new;
    *out = (struct differences){0};
    side_init(&old, old_recipe);
    side_init(&new, new_recipe);
    find_lone(out, DIFFERENCE_ADDED, &new, &old);
    find_lone(out, DIFFERENCE_REMOVED, &old, &new);
    find_switched(out, DIFFERENCE_SUSPENDED, &old, &new);
    find_switched(out, DIFFERENCE_RESUMED, &old, &new);
    for (size_t i = 0; i < new_recipe->wish_count; i++) {
        const struct wish *was = find_same(&old, &new.entries[i]);
        if (was)
            compare_settings(out, &old, was, &new, i);
    }
    out->old_touched = old.touched;
    out->new_touched = new.touched;
    side_release(&old);
    side_release(&new);
}

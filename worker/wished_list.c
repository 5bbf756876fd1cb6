/* The lists that wishes come from, as the state database keeps them. */
#include "base/memory.h"
#include "base/path.h"
#include "worker/wishes.h"

#include <string.h>

void wished_list_release(struct wished_list *list)
{
    for (size_t i = 0; i < list->entry_count; i++) {
        free(list->entries[i].text);
        free(list->plain[i]);
    }
    free(list->repository);
    free(list->url);
    free(list->revision);
    free(list->contact);
    free(list->entries);
    free(list->plain);
    *list = (struct wished_list){0};
}

/* The one of this place; a new one if there is none. */
static struct wished_list *find(struct wishes *w, const char *repository, const char *url)
{
    for (size_t i = 0; i < w->list_count; i++)
        if (strcmp(w->lists[i].repository, repository) == 0 && strcmp(w->lists[i].url, url) == 0)
            return &w->lists[i];
    ARRAY_GROW(w->lists, w->list_count, w->list_capacity);
    struct wished_list *list = &w->lists[w->list_count++];
    *list = (struct wished_list){.repository = xstrdup(repository), .url = xstrdup(url)};
    return list;
}

static struct list_entry *add_entry(struct wished_list *list, const char *text, char *plain)
{
    size_t plain_capacity = list->entry_capacity;
    ARRAY_GROW(list->plain, list->entry_count, plain_capacity);
    ARRAY_GROW(list->entries, list->entry_count, list->entry_capacity);
    list->plain[list->entry_count] = plain;
    struct list_entry *entry = &list->entries[list->entry_count++];
    *entry = (struct list_entry){.text = xstrdup(text)};
    return entry;
}

static struct wished_list *find_file(struct wishes *w, const struct recipe *recipe,
                                     const struct recipe_list *list, size_t file,
                                     const struct wish_settings *settings)
{
    const struct recipe_file *f = &recipe->files[file];
    const char *contact = list->contact ? list->contact : list->owner;
    struct wished_list *found =
        find(w, settings->repository ? settings->repository : list->repository, f->path);
    if (f->revision && !found->revision)
        found->revision = xstrdup(f->revision);
    if (contact && !found->contact)
        found->contact = xstrdup(contact);
    return found;
}

char *wished_entry_text(const struct recipe_list *list, const struct wish *wish)
{
    return list->prefix ? xasprintf("%s (below %s)", wish->text, list->prefix)
                        : xstrdup(wish->text);
}

void wished_lists_add_recipe(struct wishes *w, const struct recipe *recipe,
                             const struct wish_settings *settings)
{
    /* A list without entries asks for nothing any more: that is to be known, too. */
    for (size_t i = 0; i < recipe->list_count; i++)
        find_file(w, recipe, &recipe->lists[i], recipe->lists[i].file, settings);
    for (size_t i = 0; i < recipe->wish_count; i++) {
        const struct wish *wish = &recipe->wishes[i];
        const struct recipe_list *of = &recipe->lists[wish->list];
        _cleanup_free_ char *name = reference_name(&wish->ref);
        char *plain = wish->selector ? NULL : path_join(of->prefix ? of->prefix : "", name);
        struct wished_list *list = find_file(w, recipe, of, wish->file, settings);
        _cleanup_free_ char *text = wished_entry_text(of, wish);
        struct list_entry *entry = add_entry(list, text, plain);
        entry->line = wish->line;
        entry->column = wish->column;
        entry->suspended = wish->suspended;
    }
}

void wished_lists_add_images(struct wishes *w, const char *repository,
                             const struct wanted_list *images)
{
    struct wished_list *list = find(w, repository, LIST_COMMAND_LINE);
    for (size_t i = 0; i < images->count; i++) {
        const struct wanted *image = &images->items[i];
        add_entry(list, image->entry, image->selector ? NULL : reference_name(&image->ref));
    }
}

#include "wishlist/lint.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

const char *lint_severity_name(enum lint_severity severity)
{
    static const char *const names[] = {
        [LINT_NOTE] = "note", [LINT_WARNING] = "warning", [LINT_ERROR] = "error"};
    return names[severity];
}

void lint_release(struct lint *lint)
{
    for (size_t i = 0; i < lint->count; i++) {
        free(lint->items[i].path);
        free(lint->items[i].message);
        free(lint->items[i].entry);
    }
    free(lint->items);
    *lint = (struct lint){0};
}

void lint_add(struct lint *lint, enum lint_severity severity, const char *rule, const char *path,
              int line, int column, const char *entry, char *message)
{
    ARRAY_GROW(lint->items, lint->count, lint->capacity);
    lint->items[lint->count++] =
        (struct lint_finding){severity, rule, xstrdup(path), line, column, message, xstrdup(entry)};
}

void lint_add_file_error(struct lint *lint, const char *path, const struct error *why)
{
    const char *message = why->message;
    int line = 1, column = 1, used = 0;
    size_t len = strlen(path);
    if (strncmp(message, path, len) == 0 &&
        sscanf(message + len, ":%d:%d: %n", &line, &column, &used) == 2 && used > 0)
        message += len + (size_t)used;
    lint_add(lint, LINT_ERROR, "syntax", path, line, column, "", xstrdup(message));
}

static int compare_findings(const void *a, const void *b)
{
    const struct lint_finding *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    order = order ? order : x->line - y->line;
    order = order ? order : x->column - y->column;
    order = order ? order : strcmp(x->rule, y->rule);
    return order ? order : strcmp(x->message, y->message);
}

void lint_sort(struct lint *lint)
{
    if (lint->count > 0)
        qsort(lint->items, lint->count, sizeof *lint->items, compare_findings);
}

size_t lint_count(const struct lint *lint, enum lint_severity severity)
{
    size_t n = 0;
    for (size_t i = 0; i < lint->count; i++)
        n += lint->items[i].severity == severity;
    return n;
}

/* ---- what is new ---- */

/* An entry: what it says and where it publishes. */
struct written {
    char *text;
    bool *fresh; /* NULL: of the recipe before */
};

struct written_list {
    struct written *items;
    size_t count;
};

/* All entries, in no order. `fresh` NULL for the recipe before. */
static struct written_list written_of(const struct recipe *recipe, struct lint_fresh *fresh)
{
    struct written_list list = {
        xcalloc(recipe->wish_count + recipe->problem_count + 1, sizeof *list.items), 0};
    for (size_t i = 0; i < recipe->wish_count; i++) {
        const struct wish *w = &recipe->wishes[i];
        const struct recipe_list *l = &recipe->lists[w->list];
        list.items[list.count++] = (struct written){
            xasprintf("%s\n%s\n%s", w->text, l->repository, l->prefix ? l->prefix : ""),
            fresh ? &fresh->wishes[i] : NULL};
    }
    for (size_t i = 0; i < recipe->problem_count; i++) {
        const struct recipe_problem *p = &recipe->problems[i];
        list.items[list.count++] =
            (struct written){xasprintf("%s\n%s", p->entry ? p->entry : p->message,
                                       p->repeated ? "repeated" : "problem"),
                             fresh ? &fresh->problems[i] : NULL};
    }
    return list;
}

static int compare_written(const void *a, const void *b)
{
    const struct written *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    /* Equal ones in the order of the file: the last ones are the new ones. */
    return order ? order : (x->fresh > y->fresh) - (x->fresh < y->fresh);
}

static void sort_written(struct written_list *list)
{
    if (list->count > 0)
        qsort(list->items, list->count, sizeof *list->items, compare_written);
}

static void release_written(struct written_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].text);
    free(list->items);
}

void lint_compare(const struct recipe *recipe, const struct recipe *before, struct lint_fresh *out)
{
    static const struct recipe nothing = RECIPE_INIT;
    *out = (struct lint_fresh){xcalloc(recipe->wish_count + 1, sizeof *out->wishes),
                               xcalloc(recipe->problem_count + 1, sizeof *out->problems), before};
    struct written_list now = written_of(recipe, out);
    struct written_list then = written_of(before ? before : &nothing, NULL);
    sort_written(&now);
    sort_written(&then);
    for (size_t i = 0, j = 0; i < now.count; i++) {
        int order = -1;
        while (j < then.count && (order = strcmp(now.items[i].text, then.items[j].text)) > 0)
            j++;
        bool known = j < then.count && order == 0;
        *now.items[i].fresh = !known;
        j += known;
    }
    release_written(&now);
    release_written(&then);
}

void lint_fresh_release(struct lint_fresh *fresh)
{
    free(fresh->wishes);
    free(fresh->problems);
    *fresh = (struct lint_fresh){0};
}

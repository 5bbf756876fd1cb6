/* Recipes are proposed by people we do not know: any bytes give a recipe or an error. A line
 * "%% NAME" begins a further file, which the ones before may include. */
#include "base/memory.h"
#include "wishlist/difference.h"
#include "wishlist/glob.h"
#include "wishlist/lint.h"
#include "wishlist/recipe.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* ---- files ---- */

struct bytes {
    const char *data;
    size_t len;
};

/* The end of the file that begins at `p`: a line "%% …", or the end of all. */
static const char *file_end(const char *p, const char *end)
{
    for (; p < end; p++) {
        if (end - p > 3 && memcmp(p, "%% ", 3) == 0)
            return p;
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p)
            return end;
    }
    return end;
}

static int read_file(void *arg, const char *path, size_t max_bytes, struct buf *out,
                     struct error *err)
{
    const struct bytes *all = arg;
    const char *end = all->data + all->len, *name = "recipe.yaml";
    size_t name_len = strlen(name);
    for (const char *p = all->data;;) {
        const char *stop = file_end(p, end);
        if (strlen(path) == name_len && memcmp(path, name, name_len) == 0) {
            if ((size_t)(stop - p) > max_bytes)
                return error_set(err, ERROR_LIMIT, "%s: too large", path);
            buf_add(out, p, (size_t)(stop - p));
            return 0;
        }
        if (stop == end)
            return error_set(err, ERROR_NOT_FOUND, "%s: no such file", path);
        name = stop + 3;
        const char *newline = memchr(name, '\n', (size_t)(end - name));
        p = newline ? newline + 1 : end;
        name_len = (size_t)((newline ? newline : end) - name);
    }
}

/* ---- what was read ---- */

static void check_wish(const struct recipe *recipe, const struct wish *wish)
{
    static const char *const tags[] = {"1.2.3", "1.2.3-slim", "latest", "v2", "2024-05-01"};
    struct selector_input input = {.tags = tags, .count = sizeof tags / sizeof *tags};
    struct error ignored = ERROR_INIT;
    const char **picked;
    size_t count;
    check(wish->line > 0 && wish->column > 0 && wish->ref.registry && wish->ref.repository);
    check(wish->list < recipe->list_count && wish->file < recipe->file_count);
    check(recipe->lists[wish->list].repository);
    _cleanup_free_ char *key = wish_key(wish);
    check(*key);
    if (!wish->selector || selector_needs_created(wish->selector))
        return;
    if (selector_run(wish->selector, &input, &picked, &count, &ignored) < 0) {
        check(ignored.kind == ERROR_LIMIT);
        error_release(&ignored);
        return;
    }
    check(count <= input.count);
    free(picked);
}

/* Nothing is new in a recipe that is compared with itself. */
static void check_lint(const struct recipe *recipe)
{
    const struct recipe *before[] = {NULL, recipe};
    for (size_t i = 0; i < 2; i++) {
        _cleanup_lint_ struct lint lint = {0};
        struct lint_fresh fresh;
        lint_compare(recipe, before[i], &fresh);
        lint_recipe(recipe, &fresh, NULL, &lint);
        lint_sort(&lint);
        lint_fresh_release(&fresh);
        check(before[i] ? lint.count == 0 : lint.count >= recipe->problem_count);
        for (size_t k = 0; k < lint.count; k++)
            check(lint.items[k].line > 0 && *lint.items[k].path && *lint.items[k].message);
    }
}

static void check_recipe(const struct recipe *recipe)
{
    check(recipe->file_count > 0);
    for (size_t i = 0; i < recipe->wish_count; i++)
        check_wish(recipe, &recipe->wishes[i]);
    for (size_t i = 0; i < recipe->problem_count; i++) {
        _cleanup_free_ char *text = recipe_problem_text(recipe, &recipe->problems[i]);
        check(*text);
    }
    _cleanup_differences_ struct differences none;
    differences_find(recipe, recipe, &none);
    check(none.count == 0);
    check_lint(recipe);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_recipe_ struct recipe recipe = RECIPE_INIT;
    struct bytes all = {(const char *)data, size};
    struct recipe_loader loader = {.base = "", .read = read_file, .arg = &all};
    if (recipe_load(&loader, "recipe.yaml", &recipe, &err) == 0)
        check_recipe(&recipe);
    else
        check(err.kind == ERROR_PARSE || err.kind == ERROR_LIMIT || err.kind == ERROR_UNSUPPORTED ||
              err.kind == ERROR_NOT_FOUND);
    return 0;
}

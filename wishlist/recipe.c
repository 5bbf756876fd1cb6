#include "wishlist/recipe.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "wishlist/folder.h"
#include "wishlist/recipe_reader.h"

#include <string.h>

/* ---- from files ---- */

/* The recipe itself is whatever the operator named; what it includes lies beside or below it. */
struct folder {
    const char *path;   /* "." for the current one */
    const char *recipe; /* the recipe's name in it */
    const char *given;  /* and its path as it was given */
};

static int read_in_folder(void *arg, const char *path, size_t max_bytes, struct buf *out,
                          struct error *err)
{
    const struct folder *folder = arg;
    if (strcmp(path, folder->recipe) == 0)
        return file_read(folder->given, max_bytes, out, err);
    return folder_read(folder->path, path, max_bytes, out, err);
}

int recipe_read(const char *path, struct recipe *out, struct error *err)
{
    _cleanup_free_ char *at = folder_of(path);
    _cleanup_free_ char *base =
        xasprintf("%.*s", (int)(path_name(path) - path), path); /* with its slash */
    struct folder folder = {at, path_name(path), path};
    struct recipe_loader loader = {.base = base, .read = read_in_folder, .arg = &folder};
    return recipe_load(&loader, folder.recipe, out, err);
}

/* ---- from memory ---- */

static int read_bytes_once(void *arg, const char *path, size_t max_bytes, struct buf *out,
                           struct error *err)
{
    struct buf *bytes = arg;
    (void)max_bytes;
    if (!bytes->data)
        return error_set(err, ERROR_NOT_FOUND, "%s: there are no files beside this text", path);
    buf_add(out, bytes->data, bytes->len);
    bytes->data = NULL;
    return 0;
}

int recipe_parse(const char *path, const char *bytes, size_t len, struct recipe *out,
                 struct error *err)
{
    struct buf text = {.data = (char *)bytes, .len = len};
    struct recipe_loader loader = {.base = "", .read = read_bytes_once, .arg = &text};
    return recipe_load(&loader, path, out, err);
}

/* ---- life cycle ---- */

static void free_problem(struct recipe_problem *problem)
{
    free(problem->message);
    free(problem->entry);
}

void recipe_release(struct recipe *recipe)
{
    for (size_t i = 0; i < recipe->file_count; i++) {
        free(recipe->files[i].path);
        free(recipe->files[i].revision);
    }
    for (size_t i = 0; i < recipe->list_count; i++)
        recipe_list_release(&recipe->lists[i]);
    for (size_t i = 0; i < recipe->wish_count; i++)
        wish_release(&recipe->wishes[i]);
    for (size_t i = 0; i < recipe->problem_count; i++)
        free_problem(&recipe->problems[i]);
    free(recipe->files);
    free(recipe->lists);
    free(recipe->wishes);
    free(recipe->problems);
    *recipe = (struct recipe)RECIPE_INIT;
}

size_t recipe_error_count(const struct recipe *recipe)
{
    size_t n = 0;
    for (size_t i = 0; i < recipe->problem_count; i++)
        n += recipe->problems[i].severity == PROBLEM_ERROR;
    return n;
}

char *recipe_problem_text(const struct recipe *recipe, const struct recipe_problem *problem)
{
    return xasprintf("%s:%d:%d: %s", recipe->files[problem->file].path, problem->line,
                     problem->column, problem->message);
}

char *recipe_wish_place(const struct recipe *recipe, const struct wish *wish)
{
    return xasprintf("%s:%d", recipe->files[wish->file].path, wish->line);
}

/* Recipes are proposed by people we do not know: any bytes give a recipe or an error. */
#include "base/memory.h"
#include "wishlist/glob.h"
#include "wishlist/recipe.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_recipe(const struct recipe *recipe)
{
    check(recipe->file_count > 0 && recipe->lists[0].repository);
    for (size_t i = 0; i < recipe->wish_count; i++) {
        const struct wish *wish = &recipe->wishes[i];
        check(wish->line > 0 && wish->column > 0 && wish->ref.registry && wish->ref.repository);
        if (wish->ref.tag)
            glob_match(wish->ref.tag, "1.2.3-slim");
    }
    for (size_t i = 0; i < recipe->problem_count; i++) {
        _cleanup_free_ char *text = recipe_problem_text(recipe, &recipe->problems[i]);
        check(*text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_recipe_ struct recipe recipe = RECIPE_INIT;
    if (recipe_parse("fuzz", (const char *)data, size, &recipe, &err) == 0)
        check_recipe(&recipe);
    else
        check(err.kind == ERROR_PARSE || err.kind == ERROR_LIMIT || err.kind == ERROR_UNSUPPORTED);
    return 0;
}

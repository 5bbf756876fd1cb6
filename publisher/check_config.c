#include "publisher/check_config.h"

#include "base/memory.h"
#include "config/access.h"

#include <stdio.h>

/* How many entries are wrong; -1 if the list cannot be read. */
static int check_file(const struct configured_list *l, struct error *err)
{
    _cleanup_recipe_ struct recipe recipe = RECIPE_INIT;
    if (recipe_read(l->source, &recipe, err) < 0)
        return error_wrap(err, "list %s", l->name);
    for (size_t i = 0; i < recipe.problem_count; i++) {
        _cleanup_free_ char *text = recipe_problem_text(&recipe, &recipe.problems[i]);
        printf("%s\n", text);
    }
    printf("list %s: %zu entries\n", l->name, recipe.wish_count);
    return (int)recipe_error_count(&recipe);
}

static int check_lists(const struct config *config, struct error *err)
{
    int wrong = 0;
    for (size_t i = 0; i < config->list_count; i++) {
        const struct configured_list *l = &config->lists[i];
        if (source_is_url(l->source)) {
            printf("list %s: not a file, and not asked\n", l->name);
            continue;
        }
        int entries = check_file(l, err);
        if (entries < 0)
            return -1;
        wrong += entries;
    }
    return wrong;
}

static int check_web(const struct configured_web *web, struct error *err)
{
    struct web_settings settings = {0};
    if (!web->on || configured_web_open(web, &settings, err) < 0)
        return web->on ? -1 : 0;
    printf("web: %zu senders, refreshing by hand is %s\n", settings.senders.count,
           settings.token ? "on" : "off");
    web_settings_release(&settings);
    return 0;
}

enum exit_status check_config_command(const char *config, const char *authfile, struct error *err)
{
    struct access *access;
    if (access_open(config, authfile, &access, err) < 0)
        return EXIT_USAGE;
    int wrong = check_web(&access->config.web, err);
    if (wrong == 0)
        wrong = check_lists(&access->config, err);
    if (wrong >= 0)
        printf("%s: %zu lists, %d wrong entries\n", config ? config : CONFIG_DEFAULT_PATH,
               access->config.list_count, wrong);
    access_unref(access);
    return wrong < 0 ? EXIT_USAGE : wrong > 0 ? EXIT_SOME_FAILED : EXIT_OK;
}

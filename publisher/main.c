/* The program: options, signals, and what each command does with the rooms below. */
#include "base/buf.h"
#include "base/cancel.h"
#include "base/log.h"
#include "base/memory.h"
#include "publisher/access.h"
#include "publisher/check_commands.h"
#include "publisher/commands_registry.h"
#include "publisher/convert.h"
#include "publisher/options.h"
#include "wishlist/recipe.h"
#include "wishlist/repository.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void on_signal(int number)
{
    (void)number;
    cancel_request();
}

static void set_up_process(void)
{
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &stop, NULL); /* a second one ends us at once */
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL); /* a writer learns it from write() */
    /* Deep trees are removed with a descriptor a level. */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int fail(enum exit_status status, const struct error *err)
{
    fprintf(stderr, "ducc: %s\n", err->message);
    return (int)status;
}

/* ---- what is wanted ---- */

struct wishes {
    struct wanted_list wanted;
    struct result *failed; /* entries that could not be understood */
    size_t failed_count;
    char *repository;
    struct platform *platforms;
    size_t platform_count;
};

static void wishes_release(struct wishes *w)
{
    wanted_release(&w->wanted);
    free(w->failed); /* the report took what they hold */
    free(w->repository);
    for (size_t i = 0; i < w->platform_count; i++)
        platform_release(&w->platforms[i]);
    free(w->platforms);
}

static void take_problems(struct wishes *w, const struct recipe *recipe)
{
    w->failed = xcalloc(recipe->problem_count, sizeof *w->failed);
    for (size_t i = 0; i < recipe->problem_count; i++) {
        const struct recipe_problem *problem = &recipe->problems[i];
        if (problem->severity == PROBLEM_WARNING) {
            _cleanup_free_ char *text = recipe_problem_text(recipe, problem);
            log_warning("%s", text);
            continue;
        }
        struct result *r = &w->failed[w->failed_count++];
        r->outcome = OUTCOME_FAILED;
        r->name = xasprintf("%s:%d:%d", recipe->files[problem->file].path, problem->line,
                            problem->column);
        error_set(&r->error, ERROR_PARSE, "%s", problem->message);
    }
}

/* What the list says of how to publish. Its words are known to be good, but not that they go
 * together. */
static int take_policy(const struct recipe *recipe, const struct recipe_list *list,
                       struct policy *policy, struct error *err)
{
    for (int i = 0; i < RECIPE_POLICIES; i++) {
        const char *name = recipe_policy_name((enum recipe_policy)i), *value = list->policies[i];
        if (value && policy_set(policy, name, value, err) < 0)
            return error_wrap(err, "%s:%d: key %s", recipe->files[list->file].path, list->line,
                              name);
    }
    return 0;
}

static int read_recipe(struct wishes *w, const char *path, const char *repository,
                       struct policy *policy, struct error *err)
{
    _cleanup_recipe_ struct recipe recipe = RECIPE_INIT;
    if (recipe_read(path, &recipe, err) < 0)
        return -1;
    for (size_t i = 0; i < recipe.wish_count; i++)
        if (recipe.list_count != 1 || strchr(recipe.wishes[i].text, ' ') ||
            recipe.wishes[i].suspended)
            return error_set(err, ERROR_UNSUPPORTED, "%s: not all of version 2 can be done yet",
                             path);
    if (recipe.list_count != 1)
        return error_set(err, ERROR_UNSUPPORTED, "%s: more than one list, or none", path);
    struct recipe_list *list = &recipe.lists[0];
    if (take_policy(&recipe, list, policy, err) < 0)
        return -1;
    w->repository = xstrdup(repository ? repository : list->repository);
    w->platforms = TAKE_PTR(list->platforms.items);
    w->platform_count = list->platforms.count;
    list->platforms.count = 0;
    take_problems(w, &recipe);
    for (size_t i = 0; i < recipe.wish_count; i++) {
        struct wish *wish = &recipe.wishes[i];
        _cleanup_free_ char *origin = recipe_wish_place(&recipe, wish);
        wanted_add(&w->wanted, &wish->ref, wish->selector != NULL, origin);
    }
    return 0;
}

static int read_images(struct wishes *w, char *const *images, size_t count, const char *repository,
                       struct error *err)
{
    w->repository = xstrdup(repository);
    for (size_t i = 0; i < count; i++) {
        struct reference ref = {0};
        if (reference_parse(images[i], REFERENCE_TAG_PATTERN, &ref, err) < 0)
            return -1;
        wanted_add(&w->wanted, &ref, ref.tag && strchr(ref.tag, '*'), NULL);
    }
    return 0;
}

/* One argument is a recipe, unless --repo is there to go with images; then it may still be the
 * file of one. */
static bool is_recipe(const struct options *o)
{
    if (o->argument_count != 1 || o->command != COMMAND_CONVERT)
        return false;
    return !o->repository || access(o->arguments[0], F_OK) == 0;
}

static int read_wishes(struct options *o, struct wishes *w, struct error *err)
{
    int result;
    if (is_recipe(o))
        result = read_recipe(w, o->arguments[0], o->repository, &o->convert.policy, err);
    else if (o->command == COMMAND_CONVERT_SINGLE)
        result = read_images(w, o->arguments, 1, o->arguments[1], err);
    else if (o->repository)
        result = read_images(w, o->arguments, o->argument_count, o->repository, err);
    else
        return error_set(err, ERROR_PARSE,
                         "convert wants one recipe, or --repo REPO with images; see ducc convert "
                         "--help");
    if (result < 0 || policy_finish(&o->convert.policy, err) < 0)
        return -1;
    return repository_check(w->repository, err);
}

/* --platform before what the recipe says, and linux/amd64 if neither says anything. */
static int choose_platforms(const struct options *o, struct wishes *w, struct error *err)
{
    static const char *usual[] = {"linux/amd64"};
    if (o->platform_count == 0 && w->platform_count > 0)
        return 0;
    const char *const *texts = o->platform_count ? o->platforms : usual;
    size_t count = o->platform_count ? o->platform_count : 1;
    for (size_t i = 0; i < w->platform_count; i++)
        platform_release(&w->platforms[i]);
    free(w->platforms);
    w->platforms = xcalloc(count, sizeof *w->platforms);
    for (w->platform_count = 0; w->platform_count < count; w->platform_count++)
        if (platform_parse(texts[w->platform_count], &w->platforms[w->platform_count], err) < 0)
            return -1;
    return 0;
}

static int run_convert(struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct wishes w = {0};
    struct convert_options *c = &o->convert;
    struct access *access = NULL;
    int status;
    if (access_open(o->config, o->authfile, &access, &err) < 0 || read_wishes(o, &w, &err) < 0 ||
        choose_platforms(o, &w, &err) < 0) {
        for (size_t i = 0; i < w.failed_count; i++) {
            free(w.failed[i].name);
            error_release(&w.failed[i].error);
        }
        status = fail(EXIT_USAGE, &err);
    } else {
        c->worker.repository = w.repository;
        c->platforms = w.platforms;
        c->platform_count = w.platform_count;
        c->access = access;
        c->worker.json = o->json;
        c->form = o->json ? REPORT_JSON : isatty(STDERR_FILENO) ? REPORT_TERMINAL : REPORT_LINES;
        if (!c->worker.spool_base)
            c->worker.spool_base = getenv("DUCC_TMP_DIR");
        status = (int)convert(c, &w.wanted, w.failed, w.failed_count, &err);
        if (err.kind != ERROR_NONE)
            status = fail((enum exit_status)status, &err);
    }
    wishes_release(&w);
    access_unref(access);
    return status;
}

static int run_check(const struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct check_options c = {.repository = o->arguments[0],
                              .state_dir = o->convert.worker.state_dir,
                              .layers = o->arguments + 1,
                              .layer_count = o->argument_count - 1,
                              .json = o->json,
                              .dry_run = o->convert.worker.dry_run};
    enum exit_status status =
        o->command == COMMAND_VERIFY ? verify_command(&c, &err) : repair_command(&c, &err);
    return err.kind != ERROR_NONE ? fail(status, &err) : (int)status;
}

static int run_question(const struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    enum exit_status status = o->command == COMMAND_CHECK_SYNTAX
                                  ? check_image_syntax_command(o, &err)
                              : o->command == COMMAND_TAGS ? tags_command(o, &err)
                                                           : download_manifest_command(o, &err);
    return err.kind != ERROR_NONE ? fail(status, &err) : (int)status;
}

static int print_help(const struct options *o)
{
    enum command command = o->command;
    struct options about = {0};
    _cleanup_error_ struct error err = ERROR_INIT;
    if (command == COMMAND_HELP && o->argument_count == 1) {
        char *argv[] = {(char *)"ducc", o->arguments[0], (char *)"--help", NULL};
        if (options_parse(argv, &about, &err) < 0)
            return fail(EXIT_USAGE, &err);
        command = about.command;
        options_release(&about);
    }
    _cleanup_free_ char *text = options_help(command);
    fputs(text, stdout);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    (void)argc;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct options o = {0};
    set_up_process();
    if (options_parse(argv, &o, &err) < 0)
        return fail(EXIT_USAGE, &err);
    log_set_level(o.log_level);
    int status = EXIT_OK;
    if (o.help || o.command == COMMAND_HELP)
        status = print_help(&o);
    else if (o.command == COMMAND_VERSION)
        printf("ducc %s\n", DUCC_VERSION);
    else if (o.command == COMMAND_VERIFY || o.command == COMMAND_REPAIR)
        status = run_check(&o);
    else if (o.command & (COMMAND_CHECK_SYNTAX | COMMAND_TAGS | COMMAND_DOWNLOAD_MANIFEST))
        status = run_question(&o);
    else
        status = run_convert(&o);
    options_release(&o);
    return status;
}

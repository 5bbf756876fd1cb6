/* The program: options, signals, and what each command does with the rooms below. */
#include "base/buf.h"
#include "base/cancel.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/access.h"
#include "publisher/check_commands.h"
#include "publisher/check_config.h"
#include "publisher/commands_diff.h"
#include "publisher/commands_lint.h"
#include "publisher/commands_plan.h"
#include "publisher/commands_registry.h"
#include "publisher/convert.h"
#include "publisher/deletion.h"
#include "config/notifier.h"
#include "publisher/options.h"
#include "publisher/recipe_source.h"
#include "worker/rebuild.h"
#include "publisher/status.h"
#include "publisher/service.h"
#include "publisher/verify_commands.h"
#include "worker/wishes.h"
#include "wishlist/git_fetch.h"
#include "wishlist/recipe.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void on_signal(int number)
{
    (void)number;
    cancel_request();
}

static void on_hangup(int number)
{
    (void)number;
    service_reload();
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

/* One argument is a recipe, unless --repo is there to go with images; then it may still be the file
 * of one, or in a git repository. */
static bool is_recipe(const struct options *o)
{
    if (o->argument_count != 1 || o->command != COMMAND_CONVERT)
        return false;
    return !o->repository || starts_with(o->arguments[0], "git+") ||
           access(o->arguments[0], F_OK) == 0;
}

static int read_recipe(const struct options *o, const struct wish_settings *settings,
                       struct wishes *out, struct error *err)
{
    const char *where = o->arguments[0];
    _cleanup_recipe_ struct recipe recipe = RECIPE_INIT;
    _cleanup_error_ struct error stale = ERROR_INIT;
    if (recipe_from(where, o->convert.worker.state_dir, &o->convert.access->config, &recipe, &stale,
                    err) < 0)
        return -1;
    if (stale.kind != ERROR_NONE)
        wishes_add_failure(out, where, &stale);
    return wishes_add_recipe(out, &recipe, settings, err);
}

static int read_wishes(const struct options *o, struct wish_settings *settings, struct wishes *out,
                       struct error *err)
{
    if (is_recipe(o))
        return read_recipe(o, settings, out, err);
    size_t images = o->argument_count;
    if (o->command == COMMAND_CONVERT_SINGLE)
        settings->repository = o->arguments[--images];
    if (!settings->repository)
        return error_set(err, ERROR_PARSE,
                         "convert wants one recipe, or --repo REPO with images; see ducc convert "
                         "--help");
    return wishes_add_images(out, o->arguments, images, settings, err);
}

static int parse_platforms(const struct options *o, struct platform *out, size_t *out_count,
                           struct error *err)
{
    for (*out_count = 0; *out_count < o->platform_count; ++*out_count)
        if (platform_parse(o->platforms[*out_count], &out[*out_count], err) < 0)
            return -1;
    return 0;
}

static int choose_wishes(const struct options *o, struct wishes *out, struct error *err)
{
    struct platform *platforms = xcalloc(o->platform_count, sizeof *platforms);
    struct wish_settings settings = {
        .repository = o->repository, .policy = o->convert.policy, .platforms = platforms};
    int result = parse_platforms(o, platforms, &settings.platform_count, err);
    if (result == 0)
        result = read_wishes(o, &settings, out, err);
    for (size_t i = 0; i < settings.platform_count; i++)
        platform_release(&platforms[i]);
    free(platforms);
    return result;
}

static enum report_form choose_form(const struct options *o)
{
    return o->json ? REPORT_JSON : isatty(STDERR_FILENO) ? REPORT_TERMINAL : REPORT_LINES;
}

/* A dry run does nothing that anybody would have to be told of. */
static int open_notifier(const struct options *o, struct access *access, struct notifier **out,
                         struct error *err)
{
    *out = o->convert.worker.dry_run ? NULL : notifier_new(o->notification_file);
    return *out ? notifier_aim(*out, access, err) : 0;
}

static int run_convert(struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_wishes_ struct wishes wishes = {0};
    struct convert_options *c = &o->convert;
    enum exit_status status = EXIT_USAGE;
    int opened = access_open(o->config, o->authfile, &c->access, &err);
    if (opened == 0)
        service_settings_apply(&c->access->config.service, &c->worker);
    if (opened == 0 && choose_wishes(o, &wishes, &err) == 0 &&
        open_notifier(o, c->access, &c->worker.notifier, &err) == 0) {
        c->worker.json = o->json;
        c->worker.history = c->access->config.history;
        c->form = choose_form(o);
        status = convert(c, &wishes, &err);
    }
    notifier_free(c->worker.notifier);
    access_unref(c->access);
    return err.kind != ERROR_NONE ? fail(status, &err) : (int)status;
}

static int run_plan(const struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct platform *platforms = xcalloc(o->platform_count, sizeof *platforms);
    struct plan_options p = {.recipes = o->arguments,
                             .recipe_count = o->argument_count,
                             .config = o->config,
                             .authfile = o->authfile,
                             .settings = {.repository = o->repository,
                                          .policy = o->convert.policy,
                                          .platforms = platforms},
                             .json = o->json};
    enum exit_status status = EXIT_USAGE;
    if (parse_platforms(o, platforms, &p.settings.platform_count, &err) == 0)
        status = plan_command(&p, &err);
    for (size_t i = 0; i < p.settings.platform_count; i++)
        platform_release(&platforms[i]);
    free(platforms);
    return err.kind != ERROR_NONE ? fail(status, &err) : (int)status;
}

static int run_diff(const struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct diff_options d = {.old = o->arguments[0],
                             .new = o->arguments[1],
                             .config = o->config,
                             .authfile = o->authfile,
                             .offline = o->offline,
                             .json = o->json};
    enum exit_status status = diff_command(&d, &err);
    return err.kind != ERROR_NONE ? fail(status, &err) : (int)status;
}

static int run_service(struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct platform *platforms = xcalloc(o->platform_count, sizeof *platforms);
    struct service_options s = {.mode = o->command == COMMAND_POLL   ? SERVICE_POLL
                                        : o->command == COMMAND_LOOP ? SERVICE_LOOP
                                                                     : SERVICE_DAEMON,
                                .config = o->config,
                                .authfile = o->authfile,
                                .recipe = o->command == COMMAND_LOOP ? o->arguments[0] : NULL,
                                .settings = {.repository = o->repository,
                                             .policy = o->convert.policy,
                                             .platforms = platforms,
                                             .interval = o->interval},
                                .convert = &o->convert,
                                .notification_file = o->notification_file,
                                .log_given = o->log_given};
    struct sigaction reload = {.sa_handler = on_hangup, .sa_flags = SA_RESTART};
    sigaction(SIGHUP, &reload, NULL);
    o->convert.worker.json = o->json;
    /* A service has no end at which a display would become a list. */
    o->convert.form = s.mode == SERVICE_POLL ? choose_form(o)
                      : o->json              ? REPORT_JSON
                                             : REPORT_LINES;
    enum exit_status status = EXIT_USAGE;
    if (parse_platforms(o, platforms, &s.settings.platform_count, &err) == 0)
        status = service_run(&s, &err);
    for (size_t i = 0; i < s.settings.platform_count; i++)
        platform_release(&platforms[i]);
    free(platforms);
    return err.kind != ERROR_NONE ? fail(status, &err) : (int)status;
}

static int run_check_config(const struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    enum exit_status status = check_config_command(o->config, o->authfile, &err);
    return err.kind != ERROR_NONE ? fail(status, &err) : (int)status;
}

/* Where the state is: --state-dir, or what the configuration says. *config owns the text. */
static int find_state_dir(struct options *o, struct config *config, struct error *err)
{
    const int needs_it = COMMAND_STATUS | COMMAND_WHY | COMMAND_REBUILD_STATE | COMMAND_VERIFY |
                         COMMAND_REPAIR | COMMAND_ADOPT;
    if (o->help || o->convert.worker.state_dir || !((int)o->command & needs_it))
        return 0;
    if (config_read(o->config, config, err) < 0)
        return -1;
    o->convert.worker.state_dir = config->service.state_dir;
    return 0;
}

static int run_layers_check(const struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct check_options c = {.repository = o->arguments[0],
                              .state_dir = o->convert.worker.state_dir,
                              .layers = o->arguments + 1,
                              .layer_count = o->argument_count - 1,
                              .json = o->json,
                              .dry_run = o->convert.worker.dry_run};
    enum exit_status status = o->command == COMMAND_VERIFY ? verify_layers_command(&c, &err)
                                                           : repair_layers_command(&c, &err);
    return err.kind != ERROR_NONE ? fail(status, &err) : (int)status;
}

static int run_check(struct options *o)
{
    if (o->layers)
        return run_layers_check(o);
    _cleanup_error_ struct error err = ERROR_INIT;
    struct verify_command_options v = {.repository = o->arguments[0],
                                       .images = o->arguments + 1,
                                       .image_count = o->argument_count - 1,
                                       .config = o->config,
                                       .authfile = o->authfile,
                                       .convert = &o->convert,
                                       .content = o->content,
                                       .against_registry = o->against_registry,
                                       .dry_run = o->convert.worker.dry_run,
                                       .json = o->json};
    enum exit_status status = o->command == COMMAND_VERIFY   ? verify_command(&v, &err)
                              : o->command == COMMAND_REPAIR ? repair_command(&v, &err)
                                                             : adopt_command(&v, &err);
    return err.kind != ERROR_NONE ? fail(status, &err) : (int)status;
}

/* What is given on the command line wins. */
static int64_t grace_seconds(const struct options *o, const struct retention_rules *rules)
{
    if (o->given_grace)
        return (int64_t)o->grace_days * 86400;
    return rules->has_grace ? rules->grace_seconds : GRACE_SECONDS;
}

static enum exit_status take_away(const struct options *o, const struct config *config,
                                  struct notifier *notifier, struct error *err)
{
    const char *state_dir = o->convert.worker.state_dir;
    struct deletion_options d = {.repository = o->repository,
                                 .state_dir = state_dir ? state_dir : config->service.state_dir,
                                 .rules = &config->deletion,
                                 .grace_seconds = grace_seconds(o, &config->deletion),
                                 .notifier = notifier,
                                 .limit = o->limit,
                                 .names = o->arguments,
                                 .name_count = o->argument_count,
                                 .now = o->now,
                                 .cvmfs_gc = o->cvmfs_gc,
                                 .dry_run = o->convert.worker.dry_run,
                                 .json = o->json};
    if (o->command == COMMAND_REMOVE)
        return remove_command(&d, err);
    if (o->command == COMMAND_RESTORE)
        return restore_command(&d, err);
    d.repository = o->arguments[0];
    return gc_command(&d, err);
}

static int run_deletion(const struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct access *access = NULL;
    struct notifier *notifier = NULL;
    enum exit_status status = EXIT_USAGE;
    if (access_open_config(o->config, &access, &err) == 0 &&
        open_notifier(o, access, &notifier, &err) == 0)
        status = take_away(o, &access->config, notifier, &err);
    notifier_free(notifier);
    access_unref(access);
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

static int run_lint(const struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    enum exit_status status = lint_command(o, &err);
    return err.kind != ERROR_NONE ? fail(status, &err) : (int)status;
}

static int run_show(const struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct status_options s = {.state_dir = o->convert.worker.state_dir,
                               .repository = o->repository,
                               .list = o->list,
                               .failed_only = o->failed,
                               .json = o->json,
                               .images = (const char *const *)o->arguments,
                               .image_count = o->argument_count};
    enum exit_status status =
        o->command == COMMAND_WHY ? why_command(&s, &err) : status_command(&s, &err);
    return err.kind != ERROR_NONE ? fail(status, &err) : (int)status;
}

static int run_rebuild(const struct options *o)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    enum exit_status status = rebuild_command(o->convert.worker.state_dir, o->arguments,
                                              o->argument_count, o->json, &err);
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
    _cleanup_free_ char *text = o->manual ? options_manual(DUCC_VERSION) : options_help(command);
    fputs(text, stdout);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct options o = {0};
    if (argc == 2 && strcmp(argv[1], SOURCE_GIT_FETCH) == 0)
        git_fetch_main(); /* a child of ours: no command of anybody's */
    set_up_process();
    if (options_parse(argv, &o, &err) < 0)
        return fail(EXIT_USAGE, &err);
    log_set_level(o.log_level);
    if (!o.convert.worker.spool_base)
        o.convert.worker.spool_base = getenv("DUCC_TMP_DIR");
    struct config config = {0};
    if (find_state_dir(&o, &config, &err) < 0)
        return fail(EXIT_USAGE, &err);
    int status = EXIT_OK;
    if (o.help || o.command == COMMAND_HELP)
        status = print_help(&o);
    else if (o.command == COMMAND_VERSION)
        printf("ducc %s\n", DUCC_VERSION);
    else if (o.command & (COMMAND_VERIFY | COMMAND_REPAIR | COMMAND_ADOPT))
        status = run_check(&o);
    else if (o.command & (COMMAND_GC | COMMAND_REMOVE | COMMAND_RESTORE))
        status = run_deletion(&o);
    else if (o.command == COMMAND_LINT)
        status = run_lint(&o);
    else if (o.command & (COMMAND_CHECK_SYNTAX | COMMAND_TAGS | COMMAND_DOWNLOAD_MANIFEST))
        status = run_question(&o);
    else if (o.command & (COMMAND_STATUS | COMMAND_WHY))
        status = run_show(&o);
    else if (o.command == COMMAND_REBUILD_STATE)
        status = run_rebuild(&o);
    else if (o.command & (COMMAND_POLL | COMMAND_LOOP | COMMAND_DAEMON))
        status = run_service(&o);
    else if (o.command == COMMAND_DIFF)
        status = run_diff(&o);
    else if (o.command == COMMAND_PLAN)
        status = run_plan(&o);
    else if (o.command == COMMAND_CHECK_CONFIG)
        status = run_check_config(&o);
    else
        status = run_convert(&o);
    config_release(&config);
    options_release(&o);
    return status;
}

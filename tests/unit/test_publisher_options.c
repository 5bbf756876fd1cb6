/* publisher/options.h */
#include "check.h"

#include "publisher/options.h"

/* Words at blanks; the command's name is put before them. Borrows from `text`. */
static void split_words(char *text, char **argv, size_t max)
{
    static char program[] = "ducc";
    size_t count = 0;
    char *state = NULL;
    argv[count++] = program;
    for (char *word = strtok_r(text, " ", &state); word; word = strtok_r(NULL, " ", &state)) {
        assert_true(count < max - 1);
        argv[count++] = word;
    }
    argv[count] = NULL;
}

/* What was understood, as text: the command, its arguments, and all that is not the default. */
static void describe(const struct options *o, struct buf *out)
{
    const struct convert_options *c = &o->convert;
    static const char *const chains[] = {"", " chains=all", " chains=none"};
    buf_addf(out, "%d", (int)o->command);
    for (size_t i = 0; i < o->argument_count; i++)
        buf_addf(out, " %s", o->arguments[i]);
    assert_null(o->arguments[o->argument_count]);
    buf_adds(out, o->help ? " help" : "");
    buf_adds(out, o->json ? " json" : "");
    buf_adds(out, o->log_level == LOG_DEBUG ? " verbose" : "");
    buf_adds(out, o->log_level == LOG_WARNING ? " quiet" : "");
    buf_adds(out, chains[c->policy.chains]);
    buf_adds(out, c->policy.skip_flat ? " skip-flat" : "");
    buf_adds(out, c->policy.skip_layers ? " skip-layers" : "");
    buf_adds(out, c->policy.podman == PODMAN_NONE ? " no-podman" : "");
    buf_adds(out, c->again ? " again" : "");
    buf_adds(out, c->worker.dry_run ? " dry-run" : "");
    if (o->repository)
        buf_addf(out, " repo=%s", o->repository);
    for (size_t i = 0; i < o->platform_count; i++)
        buf_addf(out, " platform=%s", o->platforms[i]);
    if (c->worker.state_dir)
        buf_addf(out, " state=%s", c->worker.state_dir);
    if (c->worker.spool_base)
        buf_addf(out, " spool=%s", c->worker.spool_base);
    if (c->worker.spool_limit)
        buf_addf(out, " limit=%llu", (unsigned long long)c->worker.spool_limit);
    if (c->worker.jobs)
        buf_addf(out, " jobs=%zu", c->worker.jobs);
}

static void test_options__understood(void **state)
{
    (void)state;
    static const struct {
        const char *words, *meaning;
    } rows[] = {
        {"", "8"},
        {"--help", "8 help"},
        {"-h", "8 help"},
        {"help convert", "8 convert"},
        {"version", "4"},
        {"convert a.yaml", "1 a.yaml"},
        {"convert --repo /srv a b", "1 a b repo=/srv"},
        {"convert --repo=/srv a", "1 a repo=/srv"},
        {"--repo /srv convert a", "1 a repo=/srv"}, /* options may stand anywhere */
        {"convert a --repo /srv", "1 a repo=/srv"},
        {"convert --chains all a", "1 a chains=all"},
        {"convert --chains=none a", "1 a chains=none"},
        {"convert --chains top a", "1 a"},
        {"convert -s -g a", "1 a skip-flat again"},
        {"convert -sg a", "1 a skip-flat again"},
        {"convert -j 3 a", "1 a jobs=3"},
        {"convert -j3 a", "1 a jobs=3"},
        {"convert -vj3 a", "1 a verbose jobs=3"},
        {"convert -t /x a", "1 a spool=/x"},
        {"convert --temporary-dir /x a", "1 a spool=/x"},
        {"convert --state-dir /s --dry-run --json -q a", "1 a json quiet dry-run state=/s"},
        {"convert --platform linux/arm64/v8 a", "1 a platform=linux/arm64/v8"},
        {"convert --spool-limit 500 a", "1 a limit=500"},
        {"convert --spool-limit 20G a", "1 a limit=20000000000"},
        {"convert --spool-limit 1K a", "1 a limit=1000"},
        {"convert --spool-limit 2T a", "1 a limit=2000000000000"},
        {"convert -- --repo", "1 --repo"},
        {"convert -", "1 -"},
        {"convert --repo= a", "1 a repo="},
        {"convert --help", "1 help"},
        {"convert-single-image a b", "2 a b"},
        /* The Go tool's */
        {"convert -f -i a", "1 a"},
        {"convert -p a", "1 a no-podman"},
        {"convert -n file a", "1 a"},
        {"convert-single-image -u me -r 3 --thin-image-name t a b", "2 a b"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        _cleanup_buf_ struct buf got = BUF_INIT;
        _cleanup_free_ char *text = xstrdup(rows[i].words);
        char *argv[20];
        struct options o;
        split_words(text, argv, COUNT(argv));
        if (options_parse(argv, &o, &err) < 0)
            fail_msg("%s: %s", rows[i].words, err.message);
        describe(&o, &got);
        assert_same_text(rows[i].words, got.data, rows[i].meaning);
        options_release(&o);
    }
}

static void test_options__refused(void **state)
{
    (void)state;
    static const struct {
        const char *words, *says;
    } rows[] = {
        {"frobnicate", "unknown command \"frobnicate\"; see ducc --help"},
        {"convert --frob a", "unknown option \"--frob\""},
        {"convert -X a", "unknown option \"-X\""},
        {"convert -sX a", "unknown option \"-sX\""},
        {"convert --rep /x a", "unknown option \"--rep\""}, /* no guessing */
        {"convert --repox /x a", "unknown option \"--repox\""},
        {"convert", "usage: ducc convert [options] RECIPE"},
        {"convert-single-image a", "usage: ducc convert-single-image"},
        {"convert-single-image a b c", "usage: ducc convert-single-image"},
        {"version a", "usage: ducc version"},
        {"help a b", "usage: ducc help"},
        {"convert a --repo", "option --repo wants a value: REPO"},
        {"convert a -j", "option --jobs wants a value: N"},
        {"convert --json=yes a", "option --json takes no value"},
        {"convert --jobs 0 a", "option --jobs: \"0\" is not a number from 1 to 256"},
        {"convert --jobs 257 a", "option --jobs: \"257\" is not"},
        {"convert --jobs -1 a", "option --jobs: \"-1\" is not"},
        {"convert --jobs 3x a", "option --jobs: \"3x\" is not"},
        {"convert --jobs 99999999999999999999 a", "is not a number from 1 to 256"},
        {"convert --spool-limit 0 a", "option --spool-limit: \"0\" is not a size"},
        {"convert --spool-limit x a", "is not a size such as 500000000 or 20G"},
        {"convert --spool-limit 5GB a", "\"5GB\" is not a size"},
        {"convert --spool-limit -5 a", "\"-5\" is not a size"},
        {"convert --spool-limit 99999999999999999999 a", "is not a size"},
        {"convert --spool-limit 99999999999T a", "is not a size"},
        {"convert --spool-limit= a", "\"\" is not a size"},
        {"convert --chains some a", "option --chains: \"some\" is not top"},
        {"convert --podman x a", "option --podman: \"x\" is not"},
        {"version --repo x", "ducc version has no option --repo"},
        {"convert-single-image --repo x a b", "ducc convert-single-image has no option --repo"},
        {"--dry-run", "ducc help has no option --dry-run"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        _cleanup_free_ char *text = xstrdup(rows[i].words);
        char *argv[20];
        struct options o;
        split_words(text, argv, COUNT(argv));
        assert_fails(rows[i].words, options_parse(argv, &o, &err), &err, ERROR_PARSE, rows[i].says);
    }
}

/* A program may be started without even its own name. */
static void test_options__no_words_at_all(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    char *argv[] = {NULL};
    struct options o;
    assert_ok(options_parse(argv, &o, &err), &err);
    assert_int_equal(o.command, COMMAND_HELP);
    options_release(&o);
}

static void test_options__help_names_what_there_is(void **state)
{
    (void)state;
    static const struct {
        enum command command;
        const char *says;
    } rows[] = {
        {COMMAND_HELP, "ducc convert RECIPE | --repo REPO IMAGE..."},
        {COMMAND_HELP, "Exit status:"},
        {COMMAND_CONVERT, "--repo REPO"},
        {COMMAND_CONVERT, "-t, --spool DIR"},
        {COMMAND_CONVERT, "--dry-run"},
        {COMMAND_CONVERT_SINGLE, "Usage: ducc convert-single-image [options] IMAGE REPO"},
        {COMMAND_VERSION, "-h, --help"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        _cleanup_free_ char *help = options_help(rows[i].command);
        if (!strstr(help, rows[i].says))
            fail_msg("\"%s\" is not in\n%s", rows[i].says, help);
        for (const char *p = help; *p; p += strcspn(p, "\n") + (p[strcspn(p, "\n")] == '\n'))
            if (strcspn(p, "\n") > 130)
                fail_msg("a line of %zu bytes: %.60s...", strcspn(p, "\n"), p);
    }
    _cleanup_free_ char *single = options_help(COMMAND_CONVERT_SINGLE);
    assert_null(strstr(single, "--repo"));
}

int main(void)
{
    log_set_level(LOG_ERROR); /* the Go tool's options are warned of */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options__understood),
        cmocka_unit_test(test_options__refused),
        cmocka_unit_test(test_options__no_words_at_all),
        cmocka_unit_test(test_options__help_names_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

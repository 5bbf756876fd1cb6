/*
 * layers/apptainer.h: the scripts are written to a temporary directory and run by every shell that
 * is there. What they start is this program itself, which prints the arguments or the
 * environment it got, each ended by a NUL.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/path.h"
#include "base/process.h"
#include "layers/apptainer.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

#define PRINT_ARGS "DUCC_TEST_PRINT=args"
#define PRINT_ENV  "DUCC_TEST_PRINT=env"

static char self[4096];
static char root[] = "/tmp/ducc-apptainer-XXXXXX";

static const char *const shells[][3] = {{"dash"}, {"bash"}, {"bash", "--posix"}, {"busybox", "sh"}};
#define SHELL_COUNT (sizeof shells / sizeof shells[0])

static bool shell_is_there(const char *const *shell)
{
    _cleanup_free_ char *find = xasprintf("command -v %s", shell[0]);
    int status = 1;
    _cleanup_error_ struct error err = ERROR_INIT;
    const char *const argv[] = {"sh", "-c", find, NULL};
    assert_int_equal(
        process_run(&(struct process_options){.argv = argv}, &status, NULL, NULL, &err), 0);
    if (status != 0) {
        print_message("%s is not installed: not tested with it\n", shell[0]);
        assert_null(getenv("CI")); /* there, a skipped shell is a failure */
    }
    return status == 0;
}

struct run {
    struct buf output, messages;
    int status;
};

/* SHELL SCRIPT ARGUMENTS... */
static struct run run_script(const char *const *shell, const char *print, const char *script,
                             const char *const *args)
{
    const char *argv[32] = {shell[0]};
    size_t n = 1;
    if (shell[1])
        argv[n++] = shell[1];
    argv[n++] = script;
    while (args && *args)
        argv[n++] = *args++;
    const char *const set_env[] = {print, NULL};
    struct run run = {.output = BUF_INIT, .messages = BUF_INIT};
    _cleanup_error_ struct error err = ERROR_INIT;
    struct process_options o = {.argv = argv, .set_env = set_env, .keep_stdout = true};
    if (process_run(&o, &run.status, &run.output, &run.messages, &err) < 0)
        fail_msg("%s", err.message);
    return run;
}

static void run_release(struct run *run)
{
    buf_release(&run->output);
    buf_release(&run->messages);
}

/* Write the files below `root`, with the absolute paths in them led there. */
static void write_file(const struct apptainer_file *f)
{
    _cleanup_free_ char *path = path_join(root, f->path);
    _cleanup_error_ struct error err = ERROR_INIT;
    if (f->type == APPTAINER_DIR) {
        assert_int_equal(dir_make(path, 0755, &err), 0);
    } else if (f->type == APPTAINER_SYMLINK) {
        unlink(path);
        assert_int_equal(symlink(f->target, path), 0);
    } else {
        _cleanup_buf_ struct buf b = BUF_INIT;
        const char *p = f->content, *found;
        for (; (found = strstr(p, "/.singularity.d")); p = found + strlen("/.singularity.d")) {
            buf_add(&b, p, (size_t)(found - p));
            buf_addf(&b, "%s/.singularity.d", root);
        }
        buf_adds(&b, p);
        assert_int_equal(file_write(path, b.data, b.len, f->mode, &err), 0);
    }
}

static char *none[] = {NULL};

static void write_files(struct image_config *config)
{
    if (!config->env)
        config->env = none;
    if (!config->entrypoint)
        config->entrypoint = none;
    if (!config->cmd)
        config->cmd = none;
    if (!config->label_names)
        config->label_names = config->label_values = none;
    struct digest digest = digest_of(DIGEST_SHA256, "", 0);
    struct apptainer_files files;
    apptainer_files(config, "quay.io/a/b:1", &digest, &files);
    for (size_t i = 0; i < files.count; i++)
        write_file(&files.items[i]);
    apptainer_files_release(&files);
}

static char *script_path(const char *name)
{
    return xasprintf("%s/.singularity.d/%s", root, name);
}

static void add_words(struct buf *b, const char *const *words)
{
    for (; words && *words; words++)
        buf_add(b, *words, strlen(*words) + 1);
}

/* Everything that a shell could take apart. */
#define NASTY                                                                                      \
    "", " ", "two words", "it's", "\"", "'", "''", "$HOME", "${HOME}", "$(echo no)", "`echo no`",  \
        "a\nb", "\n", "\\", "\\n", "*", "~", "a;b", "a&b", "#x", "-n", "--", "-c", "a=b", "\t",    \
        "!!", "\xc3\xa9\x01\x7f"

static void check_argv(const char *const *entrypoint, const char *const *cmd,
                       const char *const *args)
{
    const char *full_entrypoint[32] = {NULL}, *full_cmd[32] = {NULL}, *full_args[32] = {NULL};
    /* The program to run stands first in whatever comes first. */
    const char **first = entrypoint ? full_entrypoint : NULL;
    size_t n = 0;
    if (first)
        full_entrypoint[n++] = self;
    for (; entrypoint && *entrypoint; entrypoint++)
        full_entrypoint[n++] = *entrypoint;
    n = 0;
    if (cmd && !first)
        full_cmd[n++] = self;
    for (const char *const *p = cmd; p && *p; p++)
        full_cmd[n++] = *p;
    n = 0;
    if (args && !first)
        full_args[n++] = self;
    for (const char *const *p = args; p && *p; p++)
        full_args[n++] = *p;

    struct image_config config = {.entrypoint = (char **)full_entrypoint, .cmd = (char **)full_cmd};
    write_files(&config);
    _cleanup_buf_ struct buf expected = BUF_INIT;
    add_words(&expected, full_entrypoint);
    add_words(&expected, *full_args ? full_args : full_cmd);
    _cleanup_free_ char *runscript = script_path("runscript");
    _cleanup_free_ char *action = script_path("actions/run");
    for (size_t s = 0; s < SHELL_COUNT; s++) {
        if (!shell_is_there(shells[s]))
            continue;
        for (int through_action = 0; through_action < 2; through_action++) {
            struct run run =
                run_script(shells[s], PRINT_ARGS, through_action ? action : runscript, full_args);
            if (run.status != 0 || run.output.len != expected.len ||
                memcmp(run.output.data, expected.data, expected.len) != 0) {
                _cleanup_free_ char *want = quoted_bytes(expected.data, expected.len);
                _cleanup_free_ char *got = quoted_bytes(run.output.data, run.output.len);
                fail_msg("%s: status %d\nexpected %s\n     got %s\n%s", shells[s][0], run.status,
                         want, got, run.messages.data);
            }
            run_release(&run);
        }
    }
}

static void test_apptainer__runscript_joins_as_docker_does(void **state)
{
    (void)state;
    static const char *const nasty[] = {NASTY, NULL};
    static const char *const some[] = {"x", "$1 \"$@\"", NULL};
    static const char *const empty[] = {NULL};
    static const struct {
        const char *const *entrypoint, *const *cmd, *const *args;
    } table[] = {
        {empty, NULL, NULL}, {nasty, NULL, NULL}, {NULL, nasty, NULL}, {NULL, NULL, nasty},
        {nasty, some, NULL}, {some, nasty, NULL}, {some, nasty, some}, {some, some, nasty},
        {NULL, some, nasty}, {some, NULL, nasty},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        check_argv(table[i].entrypoint, table[i].cmd, table[i].args);
}

static void test_apptainer__arguments_are_not_split(void **state)
{
    (void)state;
    static const char *const nasty[] = {NASTY};
    static const char *const entrypoint[] = {"-e", NULL};
    for (size_t i = 0; i < sizeof nasty / sizeof nasty[0]; i++)
        check_argv(entrypoint, NULL, (const char *const[]){nasty[i], NULL});
}

static bool holds(const struct buf *environment, const char *entry)
{
    size_t len = strlen(entry) + 1;
    for (size_t at = 0; at < environment->len; at += strlen(environment->data + at) + 1)
        if (environment->len - at >= len && memcmp(environment->data + at, entry, len) == 0)
            return true;
    return false;
}

/* The environment that `actions/exec` gives to a program. */
static struct run run_exec(const char *const *shell)
{
    _cleanup_free_ char *action = script_path("actions/exec");
    struct run run = run_script(shell, PRINT_ENV, action, (const char *const[]){self, NULL});
    if (run.status != 0)
        fail_msg("%s: status %d: %s", shell[0], run.status, run.messages.data);
    return run;
}

static void test_apptainer__environment_holds_the_exact_bytes(void **state)
{
    (void)state;
    static const char *const values[] = {NASTY};
    char *env[sizeof values / sizeof values[0] + 8];
    size_t n = 0;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        env[n++] = xasprintf("V%zu=%s", i, values[i]);
    size_t owned = n;
    env[n++] = (char *)"lower_1=a=b==";
    env[n++] = (char *)"IFS=0/. ";
    env[n++] = (char *)"script=x";
    env[n++] = (char *)"PATH=/usr/bin:/bin:/a b";
    env[n++] = (char *)"LD_LIBRARY_PATH=/opt/x";
    env[n] = NULL;
    struct image_config config = {.env = env};
    write_files(&config);
    for (size_t s = 0; s < SHELL_COUNT; s++) {
        if (!shell_is_there(shells[s]))
            continue;
        struct run run = run_exec(shells[s]);
        for (size_t i = 0; i < n; i++)
            if (!holds(&run.output, env[i]))
                fail_msg("%s: not in the environment: %s", shells[s][0], env[i]);
        assert_null(memmem(run.output.data, run.output.len, "ducc_env_", 9));
        assert_string_equal(run.messages.data, "");
        run_release(&run);
    }
    for (size_t i = 0; i < owned; i++)
        free(env[i]);
}

static void test_apptainer__names_that_sh_cannot_export(void **state)
{
    (void)state;
    static const char *const env[] = {"a-b=1",
                                      "x;touch$IFS/tmp/ducc-pwned=1",
                                      "a\necho pwned\n=1",
                                      "\xc3\xa9=1",
                                      "1x=1",
                                      "=1",
                                      "",
                                      "a b=1",
                                      "$(echo pwned >&2)=1",
                                      "UID=abc",
                                      "EUID=7",
                                      "PPID=x",
                                      "OPTIND=y",
                                      "SHELLOPTS=z",
                                      "BASHOPTS=z",
                                      "SRANDOM=z",
                                      "HISTCMD=z",
                                      "NO_VALUE",
                                      "LAST=reached",
                                      NULL};
    struct image_config config = {.env = (char **)env};
    write_files(&config);
    for (size_t s = 0; s < SHELL_COUNT; s++) {
        if (!shell_is_there(shells[s]))
            continue;
        struct run run = run_exec(shells[s]);
        assert_true(holds(&run.output, "LAST=reached"));
        assert_true(holds(&run.output, "NO_VALUE="));
        if (strcmp(shells[s][0], "dash") == 0)
            assert_true(holds(&run.output, "UID=abc"));
        assert_string_equal(run.messages.data, "");
        assert_null(memmem(run.output.data, run.output.len, "pwned", 5));
        run_release(&run);
    }
    assert_int_equal(access("/tmp/ducc-pwned", F_OK), -1);
}

static void test_apptainer__host_libraries_are_appended_when_there(void **state)
{
    (void)state;
    struct image_config config = {.env = (char *[]){(char *)"LD_LIBRARY_PATH=/opt/x", NULL}};
    write_files(&config);
    _cleanup_free_ char *library = script_path("libs/libcuda.so.1");
    _cleanup_free_ char *entry = xasprintf("LD_LIBRARY_PATH=/opt/x:%s/.singularity.d/libs", root);
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_int_equal(file_write(library, "", 0, 0644, &err), 0);
    for (size_t s = 0; s < SHELL_COUNT; s++) {
        if (!shell_is_there(shells[s]))
            continue;
        struct run run = run_exec(shells[s]);
        assert_true(holds(&run.output, entry));
        run_release(&run);
    }
    unlink(library);
}

static void test_apptainer__paths_from_outside(void **state)
{
    (void)state;
    struct image_config config = {.env = (char *[]){(char *)"PATH=/image", NULL}};
    write_files(&config);
    setenv("SING_USER_DEFINED_PREPEND_PATH", "/before", 1);
    setenv("SING_USER_DEFINED_APPEND_PATH", "/behind it", 1);
    for (size_t s = 0; s < SHELL_COUNT; s++) {
        if (!shell_is_there(shells[s]))
            continue;
        struct run run = run_exec(shells[s]);
        assert_true(holds(&run.output, "PATH=/before:/image:/behind it"));
        assert_null(memmem(run.output.data, run.output.len, "SING_USER", 9));
        run_release(&run);
    }
    unsetenv("SING_USER_DEFINED_PREPEND_PATH");
    unsetenv("SING_USER_DEFINED_APPEND_PATH");
}

static void test_apptainer__actions_without_their_script(void **state)
{
    (void)state;
    static const struct {
        const char *action;
        int status;
        const char *message;
    } table[] = {{"actions/run", 1, "no run script"},
                 {"actions/start", 1, "no start script"},
                 {"actions/test", 0, "no test script"}};
    struct image_config config = {0};
    write_files(&config);
    _cleanup_free_ char *runscript = script_path("runscript");
    _cleanup_free_ char *startscript = script_path("startscript");
    unlink(runscript);
    unlink(startscript);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        _cleanup_free_ char *action = script_path(table[i].action);
        struct run run = run_script(shells[1], PRINT_ARGS, action, NULL);
        assert_int_equal(run.status, table[i].status);
        assert_non_null(strstr(run.messages.data, table[i].message));
        run_release(&run);
    }
}

static void test_apptainer__shell_of_the_users_choice(void **state)
{
    (void)state;
    struct image_config config = {0};
    write_files(&config);
    _cleanup_free_ char *action = script_path("actions/shell");
    setenv("SINGULARITY_SHELL", self, 1);
    _cleanup_buf_ struct buf expected = BUF_INIT;
    add_words(&expected, (const char *const[]){self, "-c", "a b", NULL});
    struct run run =
        run_script(shells[0], PRINT_ARGS, action, (const char *const[]){"-c", "a b", NULL});
    assert_int_equal(run.output.len, expected.len);
    assert_memory_equal(run.output.data, expected.data, expected.len);
    run_release(&run);
    unsetenv("SINGULARITY_SHELL");
    run = run_script(shells[0], PRINT_ARGS, action, (const char *const[]){"-c", "echo $0-", NULL});
    assert_true(ends_with(run.output.data, "sh-\n"));
    run_release(&run);
}

/* Neither entry point nor command: a shell, which reads its standard input. */
static void test_apptainer__runscript_of_an_empty_image_starts_a_shell(void **state)
{
    (void)state;
    struct image_config config = {0};
    write_files(&config);
    _cleanup_free_ char *runscript = script_path("runscript");
    for (size_t s = 0; s < SHELL_COUNT; s++) {
        if (!shell_is_there(shells[s]))
            continue;
        struct run run = run_script(shells[s], PRINT_ARGS, runscript, NULL);
        assert_int_equal(run.status, 0);
        assert_int_equal(run.output.len, 0);
        run_release(&run);
    }
}

static void test_apptainer__files_are_ordered_and_complete(void **state)
{
    (void)state;
    struct image_config config = {
        .env = none, .entrypoint = none, .cmd = none, .label_names = none, .label_values = none};
    struct digest digest = digest_of(DIGEST_SHA256, "", 0);
    struct apptainer_files files, again;
    apptainer_files(&config, "quay.io/a/b:1", &digest, &files);
    apptainer_files(&config, "quay.io/a/b:1", &digest, &again);
    for (size_t i = 0; i < files.count; i++) {
        const struct apptainer_file *f = &files.items[i];
        assert_true(path_is_clean(f->path));
        assert_int_equal(f->type == APPTAINER_FILE, f->content != NULL);
        assert_int_equal(f->type == APPTAINER_SYMLINK, f->target != NULL);
        assert_int_equal(f->len, again.items[i].len);
        if (f->content)
            assert_memory_equal(f->content, again.items[i].content, f->len);
        if (i > 0)
            assert_true(path_compare(f[-1].path, strlen(f[-1].path), f->path, strlen(f->path)) < 0);
        _cleanup_free_ char *parent = path_parent(f->path);
        bool seen = *parent == '\0';
        for (size_t k = 0; k < i; k++)
            seen |= strcmp(files.items[k].path, parent) == 0;
        assert_true(seen);
    }
    apptainer_files_release(&files);
    apptainer_files_release(&again);
}

static void test_apptainer__labels(void **state)
{
    (void)state;
    struct image_config config = {
        .env = none,
        .entrypoint = none,
        .cmd = none,
        .label_names = (char *[]){(char *)"z\"", (char *)"ch.cern.ducc.source",
                                  (char *)"org.label-schema.schema-version", NULL},
        .label_values = (char *[]){(char *)"a\n\xc3\xa9", (char *)"forged", (char *)"0.9", NULL},
    };
    struct digest digest = digest_of(DIGEST_SHA256, "", 0);
    struct apptainer_files files;
    apptainer_files(&config, "quay.io/a/b:1", &digest, &files);
    static const char *const table[][2] = {
        {"z\"", "a\n\xc3\xa9"},
        {"ch.cern.ducc.source", "quay.io/a/b:1"},
        {"ch.cern.ducc.digest",
         "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"org.label-schema.schema-version", "0.9"},
        {"org.label-schema.usage.singularity.deffile.bootstrap", "docker"},
        {"org.label-schema.usage.singularity.deffile.from", "quay.io/a/b:1"},
    };
    for (size_t i = 0; i < files.count; i++) {
        if (strcmp(files.items[i].path, ".singularity.d/labels.json") != 0)
            continue;
        _cleanup_error_ struct error err = ERROR_INIT;
        _cleanup_json_ json_t *labels =
            json_parse("labels", files.items[i].content, files.items[i].len, 1 << 20, &err);
        assert_non_null(labels);
        assert_int_equal(json_object_size(labels), sizeof table / sizeof table[0]);
        for (size_t k = 0; k < sizeof table / sizeof table[0]; k++)
            assert_string_equal(json_string_value(json_object_get(labels, table[k][0])),
                                table[k][1]);
    }
    apptainer_files_release(&files);
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    return tree_remove(root, &err);
}

static int print(char **words)
{
    for (; *words; words++)
        fwrite(*words, 1, strlen(*words) + 1, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    const char *wanted = getenv("DUCC_TEST_PRINT");
    if (wanted)
        return print(strcmp(wanted, "args") == 0 ? argv : environ);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apptainer__runscript_joins_as_docker_does),
        cmocka_unit_test(test_apptainer__arguments_are_not_split),
        cmocka_unit_test(test_apptainer__environment_holds_the_exact_bytes),
        cmocka_unit_test(test_apptainer__names_that_sh_cannot_export),
        cmocka_unit_test(test_apptainer__host_libraries_are_appended_when_there),
        cmocka_unit_test(test_apptainer__paths_from_outside),
        cmocka_unit_test(test_apptainer__actions_without_their_script),
        cmocka_unit_test(test_apptainer__shell_of_the_users_choice),
        cmocka_unit_test(test_apptainer__runscript_of_an_empty_image_starts_a_shell),
        cmocka_unit_test(test_apptainer__files_are_ordered_and_complete),
        cmocka_unit_test(test_apptainer__labels),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}

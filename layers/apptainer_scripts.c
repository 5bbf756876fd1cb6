#include "layers/apptainer_scripts.h"

#include "base/buf.h"

#include <stdbool.h>
#include <string.h>

#define SHEBANG "#!/bin/sh\n"

/* A line of script a line. */
/* clang-format off */

/* `.` with a name that holds a slash does not search PATH. */
#define BEGIN_ACTION                                                                               \
    SHEBANG                                                                                        \
    "for ducc_env_file in /.singularity.d/env/*.sh; do\n"                                          \
    "    if [ -f \"$ducc_env_file\" ] && [ -r \"$ducc_env_file\" ]; then\n"                        \
    "        . \"$ducc_env_file\"\n"                                                               \
    "    fi\n"                                                                                     \
    "done\n"                                                                                       \
    "unset ducc_env_file\n"                                                                        \
    "\n"

/* No `exec --`: dash takes the dashes for the command. */
const char apptainer_action_exec[] =
    BEGIN_ACTION
    "exec \"$@\"\n";

const char apptainer_action_run[] =
    BEGIN_ACTION
    "if [ -x /.singularity.d/runscript ]; then\n"
    "    exec /.singularity.d/runscript \"$@\"\n"
    "fi\n"
    "echo 'This image has no run script (/.singularity.d/runscript).' >&2\n"
    "exit 1\n";

/* bash --norc: the start-up file would be that of the user's home outside. */
const char apptainer_action_shell[] =
    BEGIN_ACTION
    "if [ -n \"${APPTAINER_SHELL:-${SINGULARITY_SHELL:-}}\" ]; then\n"
    "    exec \"${APPTAINER_SHELL:-${SINGULARITY_SHELL:-}}\" \"$@\"\n"
    "elif [ -x /bin/bash ]; then\n"
    "    exec /bin/bash --norc \"$@\"\n"
    "elif [ -x /bin/sh ]; then\n"
    "    exec /bin/sh \"$@\"\n"
    "fi\n"
    "echo 'This image has no shell (/bin/bash or /bin/sh).' >&2\n"
    "exit 1\n";

const char apptainer_action_start[] =
    BEGIN_ACTION
    "if [ -x /.singularity.d/startscript ]; then\n"
    "    exec /.singularity.d/startscript \"$@\"\n"
    "fi\n"
    "echo 'This image has no start script (/.singularity.d/startscript).' >&2\n"
    "exit 1\n";

const char apptainer_action_test[] =
    BEGIN_ACTION
    "if [ -x /.singularity.d/test ]; then\n"
    "    exec /.singularity.d/test \"$@\"\n"
    "fi\n"
    "echo 'This image has no test script (/.singularity.d/test): nothing was tested.' >&2\n"
    "exit 0\n";

/* Only if unset: an empty PATH in the image's configuration is its author's. */
const char apptainer_env_base[] =
    SHEBANG "if [ -z \"${PATH+set}\" ]; then\n"
            "    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
            "fi\n"
            "export PATH\n";

const char apptainer_env_environment[] = SHEBANG
    "# Apptainer's place for %environment. The image's own is in 10-docker2singularity.sh.\n";

const char apptainer_env_apps[] = SHEBANG
    "# Apptainer's place for the variables of SCIF applications. A container image has none.\n";

/* SING_USER_DEFINED_*: how Apptainer hands over APPTAINERENV_PATH, APPTAINERENV_PREPEND_PATH and
 * APPTAINERENV_APPEND_PATH. /.singularity.d/libs is where it puts libraries of the host (--nv,
 * --rocm): empty otherwise, and then LD_LIBRARY_PATH stays as the image has it. */
const char apptainer_env_runtimevars[] = SHEBANG
    "PATH=\"${SING_USER_DEFINED_PREPEND_PATH:+$SING_USER_DEFINED_PREPEND_PATH:}${PATH:-}\"\n"
    "PATH=\"${PATH}${SING_USER_DEFINED_APPEND_PATH:+:$SING_USER_DEFINED_APPEND_PATH}\"\n"
    "PATH=\"${SING_USER_DEFINED_PATH:-$PATH}\"\n"
    "export PATH\n"
    "unset SING_USER_DEFINED_PATH SING_USER_DEFINED_PREPEND_PATH SING_USER_DEFINED_APPEND_PATH\n"
    "\n"
    "for ducc_env_lib in /.singularity.d/libs/*; do\n"
    "    if [ -e \"$ducc_env_lib\" ]; then\n"
    "        case \":${LD_LIBRARY_PATH:-}:\" in\n"
    "        *:/.singularity.d/libs:*) ;;\n"
    "        *) LD_LIBRARY_PATH=\"${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/.singularity.d/libs\" ;;\n"
    "        esac\n"
    "        export LD_LIBRARY_PATH\n"
    "        break\n"
    "    fi\n"
    "done\n"
    "unset ducc_env_lib\n";

const char apptainer_startscript[] =
    SHEBANG "# A container image says what to run, not what to start as a service: nothing.\n";

/* clang-format on */

/* Variables that one of the shells keeps read-only, or as a number: where it does, assigning to
 * them ends the script, and with it the container. */
static bool belongs_to_shell(const char *name, size_t len)
{
    static const char *const names[] = {"BASHOPTS",  "BASH_VERSINFO", "EUID", "GID",
                                        "HISTCMD",   "OPTIND",        "PPID", "RANDOM",
                                        "SHELLOPTS", "SRANDOM",       "UID"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return true;
    return false;
}

/* POSIX.1-2017, "Name": no locale here, so no isalpha(). */
static bool is_shell_name(const char *name, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    if (len == 0 || !strchr(letters, name[0]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!strchr(letters, name[i]) && (name[i] < '0' || name[i] > '9'))
            return false;
    return true;
}

static void add_assignment(struct buf *b, const char *entry, size_t name_len)
{
    buf_adds(b, "export ");
    buf_add(b, entry, name_len);
    buf_addc(b, '=');
    buf_add_shell_word(b, entry[name_len] ? entry + name_len + 1 : "");
}

static void add_export(struct buf *b, const char *entry)
{
    size_t len = strcspn(entry, "=");
    if (!is_shell_name(entry, len)) {
        buf_adds(b, "# not a name that sh can export: ");
        buf_add_quoted(b, entry, len); /* no newline gets through to end the comment */
    } else if (belongs_to_shell(entry, len)) {
        buf_adds(b, "("); /* try it where it does no harm */
        add_assignment(b, entry, len);
        buf_adds(b, ") 2>/dev/null && ");
        add_assignment(b, entry, len);
    } else {
        add_assignment(b, entry, len);
    }
    buf_addc(b, '\n');
}

char *apptainer_env_image(const struct image_config *config)
{
    struct buf b = BUF_INIT;
    buf_adds(&b, SHEBANG);
    for (char **e = config->env; *e; e++)
        add_export(&b, *e);
    return buf_take(&b);
}

static void add_words(struct buf *b, const char *command, char *const *words)
{
    buf_adds(b, command);
    for (; *words; words++) {
        buf_addc(b, ' ');
        buf_add_shell_word(b, *words);
    }
}

/* Variables that a shell sets or unsets when it starts, this script's own included: what the image
 * says of them is said again, last. The words below are quoted, so IFS does not touch them. */
static void restore_shell_variables(struct buf *b, char *const *env)
{
    static const char *const names[] = {"IFS=", "PS1=", "PS2=", "PS4="};
    for (; *env; env++) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (!starts_with(*env, names[i]))
                continue;
            buf_addf(b, "export %s", names[i]);
            buf_add_shell_word(b, *env + strlen(names[i]));
            buf_addc(b, '\n');
        }
    }
}

char *apptainer_runscript(const struct image_config *config)
{
    struct buf b = BUF_INIT;
    buf_adds(&b, SHEBANG);
    if (*config->cmd) {
        buf_adds(&b, "if [ \"$#\" -eq 0 ]; then\n");
        add_words(&b, "    set --", config->cmd);
        buf_adds(&b, "\nfi\n");
    } else if (!*config->entrypoint) {
        buf_adds(&b, "if [ \"$#\" -eq 0 ] && [ -x /bin/bash ]; then\n"
                     "    set -- /bin/bash\n"
                     "elif [ \"$#\" -eq 0 ]; then\n"
                     "    set -- /bin/sh\n"
                     "fi\n");
    }
    restore_shell_variables(&b, config->env);
    add_words(&b, "exec", config->entrypoint);
    buf_adds(&b, " \"$@\"\n");
    return buf_take(&b);
}

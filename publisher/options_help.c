/* What the tables of options and commands tell: the help, and the manual page. */
#include "base/buf.h"
#include "base/memory.h"
#include "publisher/options_table.h"

#include <string.h>

static const struct command_spec *spec_of(enum command command)
{
    for (size_t i = 0; i < command_spec_count; i++)
        if (command_specs[i].command == command)
            return &command_specs[i];
    return NULL;
}

/* ---- help ---- */

#define HELP_COLUMN 30
#define HELP_WIDTH  100

static void add_option_help(struct buf *out, const struct option_spec *s)
{
    size_t start = out->len;
    if (s->letter)
        buf_addf(out, "  -%c, --%s", s->letter, s->name);
    else
        buf_addf(out, "      --%s", s->name);
    if (s->value)
        buf_addf(out, " %s", s->value);
    if (out->len - start > HELP_COLUMN - 2) {
        buf_addc(out, '\n');
        start = out->len;
    }
    buf_addf(out, "%*s", (int)(HELP_COLUMN - (out->len - start)), "");
    size_t column = HELP_COLUMN;
    for (const char *word = s->help; *word;) {
        size_t len = strcspn(word, " ");
        if (column + len > HELP_WIDTH) {
            buf_addf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        buf_add(out, word, len);
        column += len + 1;
        word += len;
        if (*word == ' ') {
            word++;
            buf_addc(out, ' ');
        }
    }
    buf_addc(out, '\n');
}

/* Those without a text: of the Go tool. */
static void add_old_options(struct buf *out, enum command command)
{
    const char *before = "\nAccepted for the sake of the Go tool's scripts, without effect: -";
    for (size_t i = 0; i < option_spec_count; i++) {
        const struct option_spec *s = &option_specs[i];
        if (s->help || !s->letter || !(s->commands & (int)command))
            continue;
        buf_addf(out, "%s%c", before, s->letter);
        before = ", -";
    }
    buf_adds(out, *before == ',' ? ".\n" : "");
}

char *options_help(enum command command)
{
    struct buf out = BUF_INIT;
    if (command == COMMAND_HELP) {
        buf_adds(&out, "ducc publishes container images on CernVM-FS.\n\nCommands:\n");
        for (size_t i = 0; i < command_spec_count; i++)
            buf_addf(&out, "  ducc %s %s\n      %s\n", command_specs[i].name,
                     command_specs[i].arguments, command_specs[i].help);
        buf_adds(&out, "\nIMAGE is [http://|https://]REGISTRY/REPOSITORY[:TAG][@DIGEST]; the tag "
                       "may hold '*'.\nREPO is the name of a CernVM-FS repository, or a directory "
                       "that starts with / or .\n\nExit status: 0 all wishes hold; 1 some failed, "
                       "the others are published;\n2 wrong usage or recipe, nothing done; 3 the "
                       "repository cannot be used.\n\nSee ducc COMMAND --help for options.\n");
        return buf_take(&out);
    }
    const struct command_spec *c = spec_of(command);
    buf_addf(&out, "Usage: ducc %s [options] %s\n%s\n\nOptions:\n", c->name, c->arguments, c->help);
    for (size_t i = 0; i < option_spec_count; i++)
        if ((option_specs[i].commands & (int)command) && option_specs[i].help)
            add_option_help(&out, &option_specs[i]);
    add_old_options(&out, command);
    return buf_take(&out);
}

/* ---- the manual page, in the macros of man(7) ---- */

#define MANUAL_DATE "2026-11-21" /* of what is said here */

/* Without what roff would take for its own. */
static void add_roff(struct buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '-' || *p == '\\')
            buf_addc(out, '\\');
        if ((*p == '.' || *p == '\'') && (p == text || p[-1] == '\n'))
            buf_adds(out, "\\&");
        buf_addc(out, *p);
        if (*p == '\\')
            buf_addc(out, 'e');
    }
}

/* One line a sentence of text, as roff wants it. */
static void add_sentences(struct buf *out, const char *text)
{
    _cleanup_free_ char *copy = xstrdup(text);
    for (char *start = copy; start;) {
        char *end = strstr(start, ". ");
        if (end)
            end[1] = '\0';
        add_roff(out, start);
        buf_addc(out, '\n');
        start = end ? end + 2 : NULL;
    }
}

static void add_commands(struct buf *out)
{
    for (size_t i = 0; i < command_spec_count; i++) {
        buf_adds(out, ".TP\n\\fB");
        add_roff(out, command_specs[i].name);
        buf_adds(out, *command_specs[i].arguments ? "\\fR " : "\\fR");
        add_roff(out, command_specs[i].arguments);
        buf_addc(out, '\n');
        add_sentences(out, command_specs[i].help);
    }
}

/* "With convert, plan.", or nothing for an option of all commands. */
static void add_where(struct buf *out, const struct option_spec *s)
{
    const char *before = "With ";
    for (size_t i = 0; s->commands != ALL_COMMANDS && i < command_spec_count; i++) {
        if (!(s->commands & (int)command_specs[i].command))
            continue;
        buf_adds(out, before);
        add_roff(out, command_specs[i].name);
        before = ", ";
    }
    buf_adds(out, s->commands == ALL_COMMANDS ? "" : ".\n");
}

static void add_options(struct buf *out)
{
    for (size_t i = 0; i < option_spec_count; i++) {
        const struct option_spec *s = &option_specs[i];
        if (!s->help)
            continue;
        buf_adds(out, ".TP\n\\fB");
        if (s->letter)
            buf_addf(out, "\\-%c\\fR, \\fB", s->letter);
        buf_adds(out, "\\-\\-");
        add_roff(out, s->name);
        buf_adds(out, "\\fR");
        if (s->value) {
            buf_addc(out, ' ');
            add_roff(out, s->value);
        }
        buf_addc(out, '\n');
        add_roff(out, s->help);
        buf_adds(out, ".\n");
        add_where(out, s);
    }
}

char *options_manual(const char *version)
{
    struct buf out = BUF_INIT;
    buf_addf(&out, ".TH DUCC 1 " MANUAL_DATE " \"ducc %s\"\n", version);
    buf_adds(&out, ".SH NAME\nducc \\- publish container images on CernVM\\-FS\n"
                   ".SH SYNOPSIS\n.B ducc\n.I command\n[options] [arguments]\n"
                   ".SH DESCRIPTION\nIMAGE is "
                   "[http://|https://]REGISTRY/REPOSITORY[:TAG][@DIGEST]; the tag may hold '*'.\n"
                   "REPO is the name of a CernVM\\-FS repository, or a directory that starts with "
                   "/ or a dot.\nRECIPE is a file, a URL, or a file of a git repository; see\n"
                   ".BR recipe (5).\n.SH COMMANDS\n");
    add_commands(&out);
    buf_adds(&out, ".SH OPTIONS\n");
    add_options(&out);
    buf_adds(&out, ".SH EXIT STATUS\n.TP\n0\nAll wishes hold.\n.TP\n1\nSome failed, the others are "
                   "published.\n.TP\n2\nWrong usage, or a wrong recipe: nothing is done.\n.TP\n3\n"
                   "The repository cannot be used.\n"
                   ".SH FILES\n.TP\n.I /etc/ducc/ducc.yaml\nThe operator's configuration.\n"
                   ".TP\n.I /var/lib/ducc\nWhat is kept between runs, for root.\n"
                   ".SH SEE ALSO\n.BR recipe (5)\n");
    return buf_take(&out);
}

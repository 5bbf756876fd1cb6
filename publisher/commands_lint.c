#include "publisher/commands_lint.h"

#include "base/digest.h"
#include "base/json.h"
#include "base/memory.h"
#include "config/access.h"
#include "publisher/lint_online.h"
#include "wishlist/git_tree.h"
#include "wishlist/lint.h"

#include <string.h>

/* ---- forms ---- */

static void print_text(const struct lint *lint)
{
    for (size_t i = 0; i < lint->count; i++) {
        const struct lint_finding *f = &lint->items[i];
        printf("%s:%d:%d: %s: %s [%s]\n", f->path, f->line, f->column,
               lint_severity_name(f->severity), f->message, f->rule);
    }
    size_t errors = lint_count(lint, LINT_ERROR), warnings = lint_count(lint, LINT_WARNING);
    printf("%zu error%s, %zu warning%s\n", errors, errors == 1 ? "" : "s", warnings,
           warnings == 1 ? "" : "s");
}

static void print_json(json_t *value)
{
    _cleanup_json_ json_t *owned = value;
    _cleanup_free_ char *text = json_text(owned);
    printf("%s\n", text);
}

static void print_findings(const struct lint *lint)
{
    json_t *list = json_array();
    for (size_t i = 0; i < lint->count; i++) {
        const struct lint_finding *f = &lint->items[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:s}", "severity",
                                              lint_severity_name(f->severity), "rule", f->rule,
                                              "path", f->path, "line", f->line, "column", f->column,
                                              "entry", f->entry, "message", f->message));
    }
    print_json(json_pack("{s:o, s:I, s:I}", "findings", list, "errors",
                         (json_int_t)lint_count(lint, LINT_ERROR), "warnings",
                         (json_int_t)lint_count(lint, LINT_WARNING)));
}

/* Workflow commands: what ends a line or a property is written %XX, else a message could hold a
 * command of its own. */
static void print_escaped(const char *text, bool property)
{
    for (const char *p = text; *p; p++) {
        if (*p == '%' || *p == '\r' || *p == '\n' || (property && (*p == ':' || *p == ',')))
            printf("%%%02X", (unsigned)(unsigned char)*p);
        else
            putchar(*p);
    }
}

static void print_github(const struct lint *lint)
{
    static const char *const commands[] = {
        [LINT_NOTE] = "notice", [LINT_WARNING] = "warning", [LINT_ERROR] = "error"};
    for (size_t i = 0; i < lint->count; i++) {
        const struct lint_finding *f = &lint->items[i];
        printf("::%s file=", commands[f->severity]);
        print_escaped(f->path, true);
        printf(",line=%d,col=%d,title=", f->line, f->column);
        print_escaped(f->rule, true);
        printf("::");
        print_escaped(f->message, false);
        putchar('\n');
    }
}

/* Code Quality reports: a finding is the same one as long as its fingerprint is. */
static void print_gitlab(const struct lint *lint)
{
    static const char *const severities[] = {
        [LINT_NOTE] = "info", [LINT_WARNING] = "minor", [LINT_ERROR] = "major"};
    json_t *list = json_array();
    for (size_t i = 0; i < lint->count; i++) {
        const struct lint_finding *f = &lint->items[i];
        _cleanup_free_ char *same =
            xasprintf("%s\n%s\n%s\n%s", f->rule, f->path, f->entry, *f->entry ? "" : f->message);
        struct digest d = digest_of(DIGEST_SHA256, same, strlen(same));
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:{s:i}}}", "description",
                                        f->message, "check_name", f->rule, "fingerprint",
                                        digest_hex(&d).s, "severity", severities[f->severity],
                                        "location", "path", f->path, "lines", "begin", f->line));
    }
    print_json(list);
}

static const struct {
    const char *name;
    void (*print)(const struct lint *lint);
} formats[] = {{"text", print_text},
               {"json", print_findings},
               {"github", print_github},
               {"gitlab", print_gitlab}};
#define FORMAT_COUNT (sizeof formats / sizeof *formats)

static int find_format(const char *name, size_t *out, struct error *err)
{
    for (*out = 0; *out < FORMAT_COUNT; ++*out)
        if (!name || strcmp(formats[*out].name, name) == 0)
            return 0;
    _cleanup_free_ char *q = quoted(name);
    return error_set(err, ERROR_PARSE, "option --format: %s is not text, json, github or gitlab",
                     q);
}

/* ---- the recipe as it was ---- */

struct before {
    struct git_place place;
    char *folder; /* of the recipe in the tree, with its slash */
};

static int read_before(void *arg, const char *path, size_t max_bytes, struct buf *out,
                       struct error *err)
{
    const struct before *b = arg;
    _cleanup_free_ char *full = xasprintf("%s%s", b->folder, path);
    return git_tree_read(b->place.repository, b->place.commit, full, max_bytes, out, err);
}

/* A recipe that was not there, or was none, had no entries. */
static int load_before(const char *path, const char *revision, struct recipe *out,
                       struct error *err)
{
    struct before b = {0};
    _cleanup_error_ struct error why = ERROR_INIT;
    if (git_place_of(path, revision, &b.place, err) < 0)
        return error_wrap(err, "%s", path);
    const char *name = strrchr(b.place.path, '/');
    name = name ? name + 1 : b.place.path;
    b.folder = xstrndup(b.place.path, (size_t)(name - b.place.path));
    struct recipe_loader loader = {.base = "", .read = read_before, .arg = &b};
    if (recipe_load(&loader, name, out, &why) < 0)
        log_debug("%s: before: %s", path, why.message);
    free(b.folder);
    git_place_release(&b.place);
    return 0;
}

/* ---- the command ---- */

static int look_at(const char *path, const struct options *o, const struct access *access,
                   struct lint *out, struct error *err)
{
    _cleanup_recipe_ struct recipe recipe = RECIPE_INIT, before = RECIPE_INIT;
    _cleanup_error_ struct error why = ERROR_INIT;
    struct lint_fresh fresh;
    if (o->since && load_before(path, o->since, &before, err) < 0)
        return -1;
    if (recipe_read(path, &recipe, &why) < 0) {
        if (why.kind == ERROR_NOT_FOUND || why.kind == ERROR_IO) {
            error_move(err, &why);
            return -1;
        }
        lint_add_file_error(out, path, &why);
        return 0;
    }
    lint_compare(&recipe, o->since ? &before : NULL, &fresh);
    lint_recipe(&recipe, &fresh, &access->config.site, out);
    if (o->online)
        lint_online(&recipe, &fresh, access->client, out);
    lint_fresh_release(&fresh);
    return 0;
}

enum exit_status lint_command(const struct options *o, struct error *err)
{
    struct access *access = NULL;
    _cleanup_lint_ struct lint lint = {0};
    size_t format;
    int rc = find_format(o->format, &format, err);
    if (rc == 0)
        rc = access_open(o->config, o->authfile, &access, err);
    for (size_t i = 0; rc == 0 && i < o->argument_count; i++)
        rc = look_at(o->arguments[i], o, access, &lint, err);
    access_unref(access);
    if (rc < 0)
        return EXIT_USAGE;
    lint_sort(&lint);
    formats[format].print(&lint);
    bool wrong =
        lint_count(&lint, LINT_ERROR) > 0 || (o->strict && lint_count(&lint, LINT_WARNING) > 0);
    return wrong ? EXIT_SOME_FAILED : EXIT_OK;
}

#include "publisher/commands_diff.h"

#include "base/json.h"
#include "base/memory.h"
#include "config/access.h"
#include "publisher/recipe_source.h"
#include "worker/wanted_names.h"
#include "wishlist/difference.h"

#include <string.h>

struct diff {
    const struct diff_options *o;
    struct access *access;
    struct recipe old, new;
    struct differences differences;
    struct wanted_names old_names, new_names;
    struct string_list wanted, unwanted; /* names that become so: "REPOSITORY\nNAME" */
};

static void diff_release(struct diff *d)
{
    string_list_release(&d->wanted);
    string_list_release(&d->unwanted);
    wanted_names_release(&d->old_names);
    wanted_names_release(&d->new_names);
    differences_release(&d->differences);
    recipe_release(&d->old);
    recipe_release(&d->new);
    access_unref(d->access);
}

/* ---- names ---- */

/* Whose tags and where to: entries that have it in common can ask for the same names. */
static char *scope_of(const struct recipe *recipe, const struct wish *wish)
{
    const struct recipe_list *list = &recipe->lists[wish->list];
    return xasprintf("%s\n%s\n%s/%s", list->repository, list->prefix ? list->prefix : "",
                     wish->ref.registry, wish->ref.repository);
}

static void add_scopes(const struct recipe *recipe, const bool *touched, struct string_list *out)
{
    for (size_t i = 0; i < recipe->wish_count; i++)
        if (touched[i])
            string_list_take(out, scope_of(recipe, &recipe->wishes[i]));
}

static void find_names(struct wanted_names_source *source, const struct recipe *recipe,
                       const struct string_list *scopes, struct wanted_names *out)
{
    bool *left_out = xcalloc(recipe->wish_count + 1, sizeof *left_out);
    for (size_t i = 0; i < recipe->wish_count; i++) {
        _cleanup_free_ char *scope = scope_of(recipe, &recipe->wishes[i]);
        left_out[i] = !string_list_has(scopes, scope);
    }
    wanted_names_find(source, recipe, left_out, out);
    free(left_out);
}

/* What `of` has and `other` has not; each once. */
static void subtract(const struct string_list *of, const struct string_list *other,
                     struct string_list *out)
{
    for (size_t i = 0; i < of->count; i++)
        if ((i == 0 || strcmp(of->items[i], of->items[i - 1]) != 0) &&
            !string_list_has(other, of->items[i]))
            string_list_add(out, of->items[i]);
}

/* An entry of the old list that selects nothing asks for nothing; in the new one it is a mistake.
 */
static void forget_empty(struct wanted_names *names)
{
    size_t kept = 0;
    for (size_t i = 0; i < names->unknown_count; i++) {
        struct unknown_wish u = names->unknown[i];
        if (u.error.kind == ERROR_NOT_FOUND) {
            free(u.entry);
            free(u.place);
            error_release(&u.error);
        } else {
            names->unknown[kept++] = u;
        }
    }
    names->unknown_count = kept;
}

static void compare_names(struct diff *d)
{
    _cleanup_string_list_ struct string_list scopes = STRING_LIST_INIT;
    struct wanted_names_source source = {.access = d->access, .times = creation_times_new()};
    add_scopes(&d->old, d->differences.old_touched, &scopes);
    add_scopes(&d->new, d->differences.new_touched, &scopes);
    string_list_sort(&scopes);
    find_names(&source, &d->old, &scopes, &d->old_names);
    find_names(&source, &d->new, &scopes, &d->new_names);
    forget_empty(&d->old_names);
    subtract(&d->new_names.names, &d->old_names.names, &d->wanted);
    subtract(&d->old_names.names, &d->new_names.names, &d->unwanted);
    creation_times_free(source.times);
    tag_lists_release(&source.lists);
}

/* ---- text ---- */

static void print_difference(const struct difference *d)
{
    if (d->kind != DIFFERENCE_SETTING) {
        printf("%-9s  %s\n", difference_word(d->kind), d->entry);
        printf("           %s, for %s%s%s\n", d->place, d->repository, d->prefix ? " below " : "",
               d->prefix ? d->prefix : "");
        return;
    }
    printf("%-9s  %s: %s, was %s\n", difference_word(d->kind), d->setting,
           d->after ? d->after : "not said", d->before ? d->before : "not said");
    printf("           %s: %s", d->place, d->entry);
    if (d->entries > 1)
        printf(", and %zu more entries", d->entries - 1);
    printf("\n");
}

static void print_names(const char *word, const struct string_list *names)
{
    for (size_t i = 0; i < names->count; i++) {
        int repository = (int)strcspn(names->items[i], "\n");
        printf("%-9s  %s\n           in %.*s\n", word, names->items[i] + repository + 1, repository,
               names->items[i]);
    }
}

static void print_unknown(const struct wanted_names *names)
{
    for (size_t i = 0; i < names->unknown_count; i++)
        printf("%-9s  %s\n           %s: %s\n", "not known", names->unknown[i].entry,
               names->unknown[i].place, names->unknown[i].error.message);
}

static size_t count_kind(const struct differences *d, enum difference_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < d->count; i++)
        n += d->items[i].kind == kind;
    return n;
}

static void print_sum(const struct diff *d)
{
    const struct differences *x = &d->differences;
    printf("entries: %zu added, %zu removed, %zu suspended, %zu resumed; %zu settings changed",
           count_kind(x, DIFFERENCE_ADDED), count_kind(x, DIFFERENCE_REMOVED),
           count_kind(x, DIFFERENCE_SUSPENDED), count_kind(x, DIFFERENCE_RESUMED),
           count_kind(x, DIFFERENCE_SETTING));
    if (d->o->offline)
        printf("\n");
    else
        printf("; names: %zu become wanted, %zu unwanted\n", d->wanted.count, d->unwanted.count);
}

static void print_text(const struct diff *d)
{
    for (size_t i = 0; i < d->new.problem_count; i++) {
        _cleanup_free_ char *text = recipe_problem_text(&d->new, &d->new.problems[i]);
        printf("%-9s  %s\n", d->new.problems[i].severity == PROBLEM_ERROR ? "wrong" : "warning",
               text);
    }
    for (size_t i = 0; i < d->differences.count; i++)
        print_difference(&d->differences.items[i]);
    print_names("wanted", &d->wanted);
    print_names("unwanted", &d->unwanted);
    print_unknown(&d->old_names);
    print_unknown(&d->new_names);
    print_sum(d);
}

/* ---- JSON ---- */

static json_t *text_json(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *difference_json(const struct difference *d)
{
    json_t *o = json_pack("{s:s, s:s, s:o, s:s, s:s}", "change", difference_word(d->kind),
                          "repository", d->repository, "prefix", text_json(d->prefix), "entry",
                          d->entry, "place", d->place);
    if (d->kind == DIFFERENCE_SETTING) {
        json_object_set_new(o, "setting", json_string(d->setting));
        json_object_set_new(o, "before", text_json(d->before));
        json_object_set_new(o, "after", text_json(d->after));
        json_object_set_new(o, "entries", json_integer((json_int_t)d->entries));
    }
    return o;
}

static json_t *names_json(const struct string_list *names)
{
    json_t *list = json_array();
    for (size_t i = 0; i < names->count; i++) {
        size_t repository = strcspn(names->items[i], "\n");
        json_array_append_new(list,
                              json_pack("{s:s%, s:s}", "repository", names->items[i], repository,
                                        "image", names->items[i] + repository + 1));
    }
    return list;
}

static void add_unknown_json(json_t *list, const struct wanted_names *names)
{
    for (size_t i = 0; i < names->unknown_count; i++) {
        const struct unknown_wish *u = &names->unknown[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "entry", u->entry, "place",
                                              u->place, "kind", error_kind_name(u->error.kind),
                                              "message", u->error.message));
    }
}

static json_t *problems_json(const struct recipe *recipe)
{
    json_t *list = json_array();
    for (size_t i = 0; i < recipe->problem_count; i++) {
        const struct recipe_problem *p = &recipe->problems[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i, s:s}", "severity",
                                              p->severity == PROBLEM_ERROR ? "error" : "warning",
                                              "path", recipe->files[p->file].path, "line", p->line,
                                              "column", p->column, "message", p->message));
    }
    return list;
}

static json_t *side_json(const struct recipe *recipe)
{
    return json_pack("{s:s, s:o}", "path", recipe->files[0].path, "revision",
                     text_json(recipe->files[0].revision));
}

static void print_json(const struct diff *d)
{
    json_t *changes = json_array(), *unknown = json_array();
    for (size_t i = 0; i < d->differences.count; i++)
        json_array_append_new(changes, difference_json(&d->differences.items[i]));
    add_unknown_json(unknown, &d->old_names);
    add_unknown_json(unknown, &d->new_names);
    _cleanup_json_ json_t *all = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "old", side_json(&d->old), "new", side_json(&d->new),
        "changes", changes, "wanted", d->o->offline ? json_null() : names_json(&d->wanted),
        "unwanted", d->o->offline ? json_null() : names_json(&d->unwanted), "not_known", unknown,
        "problems", problems_json(&d->new));
    _cleanup_free_ char *text = json_text(all);
    printf("%s\n", text);
}

/* ---- the command ---- */

static int read_both(struct diff *d, struct error *err)
{
    if (access_open(d->o->config, d->o->authfile, &d->access, err) < 0 ||
        recipe_look(d->o->old, &d->access->config, &d->old, err) < 0)
        return -1;
    return recipe_look(d->o->new, &d->access->config, &d->new, err);
}

enum exit_status diff_command(const struct diff_options *o, struct error *err)
{
    struct diff d = {.o = o, .old = RECIPE_INIT, .new = RECIPE_INIT};
    enum exit_status status = EXIT_USAGE;
    if (read_both(&d, err) == 0) {
        differences_find(&d.old, &d.new, &d.differences);
        if (!o->offline)
            compare_names(&d);
        if (o->json)
            print_json(&d);
        else
            print_text(&d);
        size_t unknown = d.old_names.unknown_count + d.new_names.unknown_count;
        status = unknown + recipe_error_count(&d.new) > 0 ? EXIT_SOME_FAILED : EXIT_OK;
    }
    diff_release(&d);
    return status;
}

#include "wishlist/recipe.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "wishlist/document.h"
#include "wishlist/repository.h"

#include <search.h>
#include <string.h>

/* The keys of version 1; where a text goes in struct recipe. */
static const struct key {
    const char *name;
    enum node_kind kind;
    bool required;
    size_t text_offset; /* 0: the key is read by a function of its own */
    const char *hint;   /* what to write when it is missing or of another type */
} keys[] = {
    {"version", NODE_TEXT, true, 0, "write \"version: 1\""},
    {"user", NODE_TEXT, false, offsetof(struct recipe, user), "write one name"},
    {"cvmfs_repo", NODE_TEXT, true, offsetof(struct recipe, repository),
     "write the repository's name, as in \"cvmfs_repo: unpacked.cern.ch\""},
    {"output_format", NODE_TEXT, false, offsetof(struct recipe, output_format), "write one text"},
    {"chains", NODE_TEXT, false, offsetof(struct recipe, chains), "write top, all or none"},
    {"podman", NODE_TEXT, false, offsetof(struct recipe, podman), "write layers, merged or none"},
    {"xattrs", NODE_TEXT, false, offsetof(struct recipe, xattrs), "write keep or drop"},
    {"devices", NODE_TEXT, false, offsetof(struct recipe, devices), "write keep or drop"},
    {"fix_perms", NODE_TEXT, false, offsetof(struct recipe, fix_perms), "write yes or no"},
    {"chunk_above", NODE_TEXT, false, offsetof(struct recipe, chunk_above),
     "write a size, as in \"chunk_above: 50M\""},
    {"platforms", NODE_LIST, false, 0, "write a list of OS/ARCH[/VARIANT]"},
    {"input", NODE_LIST, true, 0, "write a list of images, one \"- IMAGE\" a line"},
};
#define KEY_COUNT (sizeof keys / sizeof keys[0])

struct recipe_reader {
    const char *path;
    struct recipe *recipe;
    void *seen; /* search tree of struct seen, by name */
    struct error *err;
};

/* A public name and where it was wished first. */
struct seen {
    char *name;
    const char *text; /* borrowed from the wish's node */
    int line;
};

static int fail_at(struct recipe_reader *r, const struct node *at, enum error_kind kind,
                   const char *message)
{
    return error_set(r->err, kind, "%s:%d:%d: %s", r->path, at->line, at->column, message);
}

static void add_problem(struct recipe *recipe, enum problem_severity severity,
                        const struct node *at, char *message)
{
    ARRAY_GROW(recipe->problems, recipe->problem_count, recipe->problem_capacity);
    recipe->problems[recipe->problem_count++] = (struct recipe_problem){
        .severity = severity, .line = at->line, .column = at->column, .message = message};
}

/* How many single letters to change, drop or add to make one word of the other (Levenshtein);
 * words longer than any key count as far away. */
static size_t word_distance(const char *a, const char *b)
{
    size_t row[32];
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len >= 32 || b_len >= 32)
        return 32;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t add_or_drop = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            row[j] = change < add_or_drop ? change : add_or_drop;
        }
    }
    return row[b_len];
}

static int unknown_key(struct recipe_reader *r, const struct node *key)
{
    const char *nearest = NULL;
    size_t best = 3; /* two typing errors at most */
    for (size_t i = 0; i < KEY_COUNT; i++) {
        size_t distance = word_distance(key->text, keys[i].name);
        if (distance < best) {
            best = distance;
            nearest = keys[i].name;
        }
    }
    struct buf b = BUF_INIT;
    buf_adds(&b, "unknown key ");
    buf_add_quoted(&b, key->text, strlen(key->text));
    if (nearest) {
        buf_addf(&b, "; did you mean \"%s\"?", nearest);
    } else {
        buf_adds(&b, "; a recipe of version 1 has the keys");
        for (size_t i = 0; i < KEY_COUNT; i++)
            buf_addf(&b, "%s %s", i ? "," : "", keys[i].name);
    }
    int result = fail_at(r, key, ERROR_PARSE, b.data);
    buf_release(&b);
    return result;
}

static const char *kind_name(const struct node *node)
{
    if (node->kind == NODE_TEXT)
        return *node->text || node->quoted ? "a text" : "nothing";
    return node->kind == NODE_LIST ? "a list" : "a mapping";
}

static int check_required(struct recipe_reader *r, const struct node *root, const struct key *key)
{
    const struct node *value = node_get(root, key->name);
    if (!value && !key->required)
        return 0;
    _cleanup_free_ char *message = NULL;
    if (!value) {
        message = xasprintf("key \"%s\" is missing; %s", key->name, key->hint);
        return fail_at(r, root, ERROR_PARSE, message);
    }
    bool empty = value->kind == NODE_TEXT && !*value->text;
    if (value->kind == key->kind && !(empty && key->required))
        return 0;
    message = xasprintf("key \"%s\": expected %s, found %s; %s", key->name,
                        key->kind == NODE_LIST ? "a list" : "a text", kind_name(value), key->hint);
    return fail_at(r, value, ERROR_PARSE, message);
}

static int check_keys(struct recipe_reader *r, const struct node *root)
{
    for (size_t i = 0; i < root->count; i += 2) {
        bool known = false;
        for (size_t k = 0; k < KEY_COUNT; k++)
            known |= strcmp(root->items[i].text, keys[k].name) == 0;
        if (!known)
            return unknown_key(r, &root->items[i]);
    }
    for (size_t k = 0; k < KEY_COUNT; k++)
        if (check_required(r, root, &keys[k]) < 0)
            return -1;
    return 0;
}

/* Before all else: another version may have other keys and other types. */
static int check_version(struct recipe_reader *r, const struct node *root)
{
    if (check_required(r, root, &keys[0]) < 0)
        return -1;
    const struct node *value = node_get(root, "version");
    if (strcmp(value->text, "1") == 0)
        return 0;
    _cleanup_free_ char *q = quoted(value->text);
    bool later = strspn(value->text, "0123456789.") == strlen(value->text);
    _cleanup_free_ char *message =
        later ? xasprintf("recipe version %.20s is not supported yet; this program reads version 1",
                          value->text)
              : xasprintf("key \"version\": expected the number 1, found %s", q);
    return fail_at(r, value, later ? ERROR_UNSUPPORTED : ERROR_PARSE, message);
}

static void take_texts(struct recipe_reader *r, const struct node *root)
{
    for (size_t k = 0; k < KEY_COUNT; k++) {
        const struct node *value = node_get(root, keys[k].name);
        if (value && keys[k].text_offset > 0)
            *(char **)((char *)r->recipe + keys[k].text_offset) = xstrdup(value->text);
    }
}

static int take_repository(struct recipe_reader *r, const struct node *root)
{
    struct error why = ERROR_INIT;
    if (repository_check(r->recipe->repository, &why) == 0)
        return 0;
    _cleanup_free_ char *message = xasprintf("key \"cvmfs_repo\": %s", why.message);
    error_release(&why);
    return fail_at(r, node_get(root, "cvmfs_repo"), ERROR_PARSE, message);
}

static int take_platforms(struct recipe_reader *r, const struct node *list)
{
    struct recipe *recipe = r->recipe;
    if (!list)
        return 0;
    recipe->platforms = xcalloc(list->count + 1, sizeof *recipe->platforms);
    for (size_t i = 0; i < list->count; i++) {
        const struct node *item = &list->items[i];
        struct error why = ERROR_INIT;
        if (item->kind == NODE_TEXT &&
            platform_parse(item->text, &recipe->platforms[i], &why) == 0) {
            recipe->platform_count++;
            continue;
        }
        _cleanup_free_ char *message =
            xasprintf("key \"platforms\": %s",
                      why.message ? why.message : "expected a list of OS/ARCH[/VARIANT]");
        error_release(&why);
        return fail_at(r, item, ERROR_PARSE, message);
    }
    return 0;
}

static int compare_seen(const void *a, const void *b)
{
    return strcmp(((const struct seen *)a)->name, ((const struct seen *)b)->name);
}

static void free_seen(void *p)
{
    free(((struct seen *)p)->name);
    free(p);
}

/* The entry that wished for the same public name before, or NULL: then it is remembered. */
static const struct seen *seen_before(struct recipe_reader *r, const struct reference *ref,
                                      const struct node *entry)
{
    struct seen *s = xmalloc(sizeof *s);
    *s = (struct seen){reference_name(ref), entry->text, entry->line};
    struct seen **found = tsearch(s, &r->seen, compare_seen);
    if (!found)
        abort(); /* out of memory, as everywhere */
    if (*found == s)
        return NULL;
    free_seen(s);
    return *found;
}

static void take_reference(struct recipe_reader *r, const struct node *entry, struct reference *ref)
{
    const struct seen *first = seen_before(r, ref, entry);
    if (first) {
        const char *other = strcmp(first->text, entry->text) == 0 ? "" : " in another spelling";
        add_problem(r->recipe, PROBLEM_WARNING, entry,
                    xasprintf("%s is wished for a second time; line %d has it already%s",
                              first->name, first->line, other));
        reference_release(ref);
        return;
    }
    struct recipe *recipe = r->recipe;
    ARRAY_GROW(recipe->wishes, recipe->wish_count, recipe->wish_capacity);
    recipe->wishes[recipe->wish_count++] =
        (struct wish){.ref = *ref,
                      .is_pattern = ref->tag && strchr(ref->tag, '*'),
                      .text = xstrdup(entry->text),
                      .line = entry->line,
                      .column = entry->column};
}

static void take_entry(struct recipe_reader *r, const struct node *entry)
{
    if (entry->kind != NODE_TEXT) {
        add_problem(r->recipe, PROBLEM_ERROR, entry,
                    xasprintf("an entry must be a text, REGISTRY/REPOSITORY:TAG, not %s "
                              "(entries with selectors are not supported yet)",
                              kind_name(entry)));
        return;
    }
    if (!*entry->text) {
        add_problem(r->recipe, PROBLEM_ERROR, entry,
                    xstrdup("an entry is empty; write REGISTRY/REPOSITORY:TAG or remove it"));
        return;
    }
    struct reference ref = {0};
    struct error why = ERROR_INIT;
    if (reference_parse(entry->text, REFERENCE_TAG_PATTERN, &ref, &why) < 0) {
        _cleanup_free_ char *q = quoted(entry->text);
        add_problem(r->recipe, PROBLEM_ERROR, entry, xasprintf("entry %s: %s", q, why.message));
    } else {
        take_reference(r, entry, &ref);
    }
    error_release(&why);
}

static int take_input(struct recipe_reader *r, const struct node *input)
{
    if (input->count > LIMIT_RECIPE_ENTRIES) {
        _cleanup_free_ char *message =
            xasprintf("key \"input\": %zu entries, more than the %zu that are accepted",
                      input->count, LIMIT_RECIPE_ENTRIES);
        return fail_at(r, input, ERROR_LIMIT, message);
    }
    if (input->count == 0)
        add_problem(r->recipe, PROBLEM_WARNING, input, xstrdup("the list of images is empty"));
    for (size_t i = 0; i < input->count; i++)
        take_entry(r, &input->items[i]);
    tdestroy(r->seen, free_seen);
    r->seen = NULL;
    return 0;
}

static int read_root(struct recipe_reader *r, const struct node *root)
{
    if (root->kind != NODE_MAPPING) {
        _cleanup_free_ char *message =
            xasprintf("expected a mapping with the keys version, cvmfs_repo and input, found %s",
                      kind_name(root));
        return fail_at(r, root, ERROR_PARSE, message);
    }
    if (check_version(r, root) < 0 || check_keys(r, root) < 0)
        return -1;
    take_texts(r, root);
    if (take_repository(r, root) < 0 || take_platforms(r, node_get(root, "platforms")) < 0)
        return -1;
    return take_input(r, node_get(root, "input"));
}

int recipe_parse(const char *path, const char *bytes, size_t len, struct recipe *out,
                 struct error *err)
{
    _cleanup_node_ struct node root = {0};
    if (document_read(path, bytes, len, &root, err) < 0)
        return -1;
    struct recipe recipe = RECIPE_INIT;
    recipe.path = xstrdup(path);
    struct recipe_reader r = {.path = path, .recipe = &recipe, .err = err};
    if (read_root(&r, &root) < 0) {
        recipe_release(&recipe);
        return -1;
    }
    *out = recipe;
    return 0;
}

int recipe_read(const char *path, struct recipe *out, struct error *err)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    if (file_read(path, LIMIT_RECIPE_BYTES, &bytes, err) < 0)
        return -1;
    return recipe_parse(path, bytes.data, bytes.len, out, err);
}

void recipe_release(struct recipe *recipe)
{
    for (size_t i = 0; i < recipe->wish_count; i++) {
        reference_release(&recipe->wishes[i].ref);
        free(recipe->wishes[i].text);
    }
    for (size_t i = 0; i < recipe->problem_count; i++)
        free(recipe->problems[i].message);
    for (size_t i = 0; i < recipe->platform_count; i++)
        platform_release(&recipe->platforms[i]);
    free(recipe->platforms);
    free(recipe->wishes);
    free(recipe->problems);
    free(recipe->path);
    free(recipe->user);
    free(recipe->repository);
    free(recipe->output_format);
    free(recipe->chains);
    free(recipe->podman);
    free(recipe->xattrs);
    free(recipe->devices);
    free(recipe->fix_perms);
    free(recipe->chunk_above);
    *recipe = (struct recipe)RECIPE_INIT;
}

size_t recipe_error_count(const struct recipe *recipe)
{
    size_t n = 0;
    for (size_t i = 0; i < recipe->problem_count; i++)
        n += recipe->problems[i].severity == PROBLEM_ERROR;
    return n;
}

char *recipe_problem_text(const struct recipe *recipe, const struct recipe_problem *problem)
{
    return xasprintf("%s:%d:%d: %s", recipe->path, problem->line, problem->column,
                     problem->message);
}

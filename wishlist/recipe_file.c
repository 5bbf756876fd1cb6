/* Files: the recipe, what it includes, and in what order they say something. */
#include "wishlist/recipe_reader.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"

#include <search.h>
#include <string.h>

/* ---- paths ---- */

/* `path` as written in the file `from`, from the loader's folder; NULL if it leads out of it. */
static char *resolve(const char *from, const char *path)
{
    struct buf out = BUF_INIT;
    _cleanup_free_ char *folder = path_parent(from);
    _cleanup_free_ char *joined = path_join(folder, path);
    for (const char *p = joined; *p; p += strspn(p, "/")) {
        size_t len = strcspn(p, "/");
        const char *slash = out.len ? strrchr(out.data, '/') : NULL;
        bool up = len == 2 && memcmp(p, "..", 2) == 0;
        if (up && out.len == 0) {
            buf_release(&out);
            return NULL;
        }
        if (up)
            buf_truncate(&out, slash ? (size_t)(slash - out.data) : 0);
        else if (!(len == 1 && *p == '.'))
            buf_addf(&out, "%s%.*s", out.len ? "/" : "", (int)len, p);
        p += len;
    }
    return buf_take(&out);
}

/* A file that the file `f` names. Its path is owned. */
static int read_named(struct file_reader *f, const struct node *path, const char *key, size_t max,
                      char **out_path, struct buf *bytes, struct mistake *m)
{
    const struct recipe_loader *loader = f->all->loader;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *q = quoted(path->text);
    if (path->text[0] == '/' || strstr(path->text, "://"))
        return mistake_at(m, path, ERROR_PARSE,
                          "key \"%s\": %s: expected a path relative to this file", key, q);
    _cleanup_free_ char *resolved = resolve(f->path, path->text);
    if (!resolved || !*resolved)
        return mistake_at(m, path, ERROR_PARSE,
                          "key \"%s\": %s leads out of the folder that the recipe is read from",
                          key, q);
    if (loader->read(loader->arg, resolved, max, bytes, &err) < 0)
        return mistake_from(m, path, key, &err);
    *out_path = TAKE_PTR(resolved);
    return 0;
}

/* Owned. */
static char *shown_path(const struct recipe_loader *loader, const char *path)
{
    return xasprintf("%s%s%s", loader->base, path, loader->behind ? loader->behind : "");
}

int recipe_read_key(struct file_reader *f, const struct node *path, struct recipe_key *out,
                    struct mistake *m)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    _cleanup_free_ char *resolved = NULL;
    if (read_named(f, path, "signature", LIMIT_PUBLIC_KEY_BYTES, &resolved, &bytes, m) < 0)
        return -1;
    *out =
        (struct recipe_key){shown_path(f->all->loader, resolved), xstrndup(bytes.data, bytes.len)};
    return 0;
}

/* ---- wishes ---- */

/* Of the problem, all but what it says of the file. Its strings are taken over. */
static void add_problem(struct file_reader *f, struct recipe_problem problem)
{
    struct recipe *recipe = f->all->recipe;
    problem.file = f->file;
    ARRAY_GROW(recipe->problems, recipe->problem_count, recipe->problem_capacity);
    recipe->problems[recipe->problem_count++] = problem;
}

/* What is wished where, and by which wish first. */
struct seen {
    char *key;
    size_t wish;
};

static int compare_seen(const void *a, const void *b)
{
    return strcmp(((const struct seen *)a)->key, ((const struct seen *)b)->key);
}

static void free_seen(void *p)
{
    free(((struct seen *)p)->key);
    free(p);
}

/* The wish that wants the same in the same place, or NULL: then it is remembered, as the next one.
 */
static const struct wish *seen_before(struct recipe_reader *r, const struct recipe_list *list,
                                      const char *key)
{
    struct seen *s = xmalloc(sizeof *s);
    *s = (struct seen){
        xasprintf("%s\n%s\n%s", list->repository, list->prefix ? list->prefix : "", key),
        r->recipe->wish_count};
    struct seen **found = tsearch(s, &r->seen, compare_seen);
    if (!found)
        abort(); /* out of memory, as everywhere */
    if (*found == s)
        return NULL;
    free_seen(s);
    return &r->recipe->wishes[(*found)->wish];
}

static void warn_of_repeated(struct file_reader *f, const struct wish *wish, const char *key,
                             const struct wish *first)
{
    const struct recipe *recipe = f->all->recipe;
    const char *spelling = strcmp(first->text, wish->text) == 0 ? "" : " in another spelling";
    _cleanup_free_ char *file =
        first->file == f->file ? xstrdup("") : xasprintf("%s, ", recipe->files[first->file].path);
    add_problem(
        f, (struct recipe_problem){
               .severity = PROBLEM_WARNING,
               .repeated = true,
               .line = wish->line,
               .column = wish->column,
               .message = xasprintf("%s is wished for a second time; %sline %d has it already%s",
                                    key, file, first->line, spelling),
               .entry = xstrdup(wish->text)});
}

static void take_entry(struct file_reader *f, const struct node *entry)
{
    struct recipe *recipe = f->all->recipe;
    struct mistake mistake = {0};
    struct wish wish;
    if (recipe_entry_read(entry, f->version, &wish, &mistake) < 0) {
        const char *text = entry->kind == NODE_TEXT ? entry->text : mistake.message;
        add_problem(f, (struct recipe_problem){.severity = PROBLEM_ERROR,
                                               .line = mistake.line,
                                               .column = mistake.column,
                                               .message = mistake.message,
                                               .entry = xstrdup(text)});
        return;
    }
    wish.file = f->file;
    wish.list = recipe->list_count - 1;
    _cleanup_free_ char *key = wish_key(&wish);
    const struct wish *first = seen_before(f->all, &recipe->lists[wish.list], key);
    if (first) {
        warn_of_repeated(f, &wish, key, first);
        wish_release(&wish);
        return;
    }
    ARRAY_GROW(recipe->wishes, recipe->wish_count, recipe->wish_capacity);
    recipe->wishes[recipe->wish_count++] = wish;
}

/* ---- lists ---- */

/* The entries of a list whose keys have been read. */
static int take_images(struct file_reader *f, const char *key, const struct node *images,
                       const struct recipe_list *terms, struct mistake *m)
{
    struct recipe *recipe = f->all->recipe;
    if (!terms->repository)
        return mistake_at(m, images, ERROR_PARSE,
                          "nothing says which repository these images go to; write \"%s: NAME\"",
                          f->version == 1 ? "cvmfs_repo" : "repository");
    if (images->count > LIMIT_RECIPE_ENTRIES - f->all->entries)
        return mistake_at(m, images, ERROR_LIMIT,
                          "key \"%s\": %zu entries, more than the %zu that are accepted%s", key,
                          f->all->entries + images->count, LIMIT_RECIPE_ENTRIES,
                          f->all->entries ? " of all lists together" : "");
    f->all->entries += images->count;
    if (images->count == 0)
        add_problem(f, (struct recipe_problem){.severity = PROBLEM_WARNING,
                                               .line = images->line,
                                               .column = images->column,
                                               .message = xstrdup("the list of images is empty")});
    ARRAY_GROW(recipe->lists, recipe->list_count, recipe->list_capacity);
    recipe_list_copy(&recipe->lists[recipe->list_count++], terms);
    for (size_t i = 0; i < images->count; i++)
        take_entry(f, &images->items[i]);
    return 0;
}

static int read_include(struct file_reader *f, const struct node *paths,
                        const struct recipe_list *terms, struct mistake *m);

static int take_lists(struct file_reader *f, const struct node *lists,
                      const struct recipe_list *defaults, struct mistake *m);

/* The keys that bring images, in the order in which they stand. */
static int take_content(struct file_reader *f, const struct node *mapping,
                        const struct recipe_list *terms, struct mistake *m)
{
    for (size_t i = 0; i + 1 < mapping->count; i += 2) {
        const char *key = mapping->items[i].text;
        const struct node *value = &mapping->items[i + 1];
        int rc = 0;
        if (strcmp(key, "input") == 0 || strcmp(key, "images") == 0)
            rc = take_images(f, key, value, terms, m);
        else if (strcmp(key, "include") == 0)
            rc = read_include(f, value, terms, m);
        else if (strcmp(key, "lists") == 0)
            rc = take_lists(f, value, terms, m);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static bool has_content(const struct node *mapping)
{
    return node_get(mapping, "input") || node_get(mapping, "images") ||
           node_get(mapping, "include") || node_get(mapping, "lists");
}

static int take_list(struct file_reader *f, const struct node *list,
                     const struct recipe_list *defaults, struct mistake *m)
{
    if (list->kind != NODE_MAPPING)
        return mistake_at(m, list, ERROR_PARSE,
                          "key \"lists\": expected a mapping with the key images, found %s",
                          node_kind_name(list));
    if (!has_content(list))
        return mistake_at(m, list, ERROR_PARSE,
                          "this list has no images; write \"images:\" or \"include:\"");
    struct recipe_list terms;
    recipe_list_copy(&terms, defaults);
    int rc = recipe_list_read(f, list, IN_LIST, &terms, m);
    if (rc == 0)
        rc = take_content(f, list, &terms, m);
    recipe_list_release(&terms);
    return rc;
}

static int take_lists(struct file_reader *f, const struct node *lists,
                      const struct recipe_list *defaults, struct mistake *m)
{
    if (lists->count > LIMIT_RECIPE_LISTS)
        return mistake_at(m, lists, ERROR_LIMIT, "key \"lists\": more than %zu lists",
                          LIMIT_RECIPE_LISTS);
    for (size_t i = 0; i < lists->count; i++)
        if (take_list(f, &lists->items[i], defaults, m) < 0)
            return -1;
    return 0;
}

/* ---- files ---- */

/* Before all else: another version may have other keys and other types. */
static int read_version(struct file_reader *f, const struct node *root, struct mistake *m)
{
    const struct node *value;
    if (key_require(recipe_keys, IN_VERSION_1, root, "version", &value, m) < 0)
        return -1;
    if (strcmp(value->text, "1") == 0 || strcmp(value->text, "2") == 0) {
        f->version = value->text[0] - '0';
        return 0;
    }
    if (strspn(value->text, "0123456789.") == strlen(value->text))
        return mistake_at(m, value, ERROR_UNSUPPORTED,
                          "recipe version %.20s is not supported; this program reads versions 1 "
                          "and 2",
                          value->text);
    _cleanup_free_ char *q = quoted(value->text);
    return mistake_at(m, value, ERROR_PARSE,
                      "key \"version\": expected the number 1 or 2, found %s", q);
}

static int check_required(const struct file_reader *f, const struct node *root, struct mistake *m)
{
    const struct node *ignored;
    if (f->version == 1)
        return key_require(recipe_keys, IN_VERSION_1, root, "cvmfs_repo", &ignored, m) < 0 ||
                       key_require(recipe_keys, IN_VERSION_1, root, "input", &ignored, m) < 0
                   ? -1
                   : 0;
    if (has_content(root))
        return 0;
    return mistake_at(m, root, ERROR_PARSE,
                      "the recipe has no images; write \"images:\", \"lists:\" or \"include:\"");
}

static int read_root(struct file_reader *f, const struct node *root, struct mistake *m)
{
    if (root->kind != NODE_MAPPING)
        return mistake_at(
            m, root, ERROR_PARSE,
            "expected a mapping with the keys version, cvmfs_repo and input, found %s",
            node_kind_name(root));
    if (read_version(f, root, m) < 0)
        return -1;
    struct recipe_list terms = {0};
    if (f->outer)
        recipe_list_copy(&terms, f->outer);
    int rc = recipe_list_read(f, root, f->version == 1 ? IN_VERSION_1 : IN_VERSION_2, &terms, m);
    if (rc == 0)
        rc = check_required(f, root, m);
    if (rc == 0)
        rc = take_content(f, root, &terms, m);
    recipe_list_release(&terms);
    return rc;
}

/* The text of the file `f`, which becomes the recipe's next. */
static int read_bytes(struct file_reader *f, const struct buf *bytes)
{
    struct recipe_reader *r = f->all;
    struct recipe *recipe = r->recipe;
    const char *revision = r->loader->revision;
    _cleanup_node_ struct node root = {0};
    _cleanup_mistake_ struct mistake m = {0};
    f->file = recipe->file_count;
    ARRAY_GROW(recipe->files, recipe->file_count, recipe->file_capacity);
    char *name = shown_path(r->loader, f->path);
    recipe->files[recipe->file_count++] =
        (struct recipe_file){name, revision ? xstrdup(revision) : NULL};
    if (document_read(name, bytes->data, bytes->len, &root, r->err) < 0)
        return -1;
    if (read_root(f, &root, &m) == 0)
        return 0;
    if (m.kind == ERROR_NONE) /* an included file has said what is wrong */
        return -1;
    return error_set(r->err, m.kind, "%s:%d:%d: %s", name, m.line, m.column, m.message);
}

static int check_include(const struct file_reader *f, const struct node *at, const char *path,
                         struct mistake *m)
{
    size_t depth = 0;
    for (const struct file_reader *up = f; up; up = up->includer, depth++)
        if (strcmp(up->path, path) == 0)
            return mistake_at(m, at, ERROR_PARSE, "key \"include\": \"%s\" includes itself%s", path,
                              depth ? ", by way of this file" : "");
    if (depth >= LIMIT_RECIPE_INCLUDE_DEPTH)
        return mistake_at(m, at, ERROR_LIMIT,
                          "key \"include\": more than %zu files inside each other",
                          LIMIT_RECIPE_INCLUDE_DEPTH);
    if (f->all->recipe->file_count >= LIMIT_RECIPE_FILES)
        return mistake_at(m, at, ERROR_LIMIT, "key \"include\": a recipe has %zu files at most",
                          LIMIT_RECIPE_FILES);
    return 0;
}

static int include_one(struct file_reader *f, const struct node *path,
                       const struct recipe_list *terms, struct mistake *m)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    _cleanup_free_ char *resolved = NULL;
    if (read_named(f, path, "include", LIMIT_RECIPE_BYTES, &resolved, &bytes, m) < 0 ||
        check_include(f, path, resolved, m) < 0)
        return -1;
    struct file_reader below = {.all = f->all, .path = resolved, .outer = terms, .includer = f};
    return read_bytes(&below, &bytes);
}

static int read_include(struct file_reader *f, const struct node *paths,
                        const struct recipe_list *terms, struct mistake *m)
{
    const struct node *items;
    size_t count;
    if (texts_of(paths, "include", "write paths of recipes", &items, &count, m) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (include_one(f, &items[i], terms, m) < 0)
            return -1;
    return 0;
}

int recipe_load(const struct recipe_loader *loader, const char *path, struct recipe *out,
                struct error *err)
{
    struct recipe recipe = RECIPE_INIT;
    struct recipe_reader r = {.loader = loader, .recipe = &recipe, .err = err};
    struct file_reader top = {.all = &r, .path = path};
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    int rc = loader->read(loader->arg, path, LIMIT_RECIPE_BYTES, &bytes, err);
    if (rc == 0)
        rc = read_bytes(&top, &bytes);
    tdestroy(r.seen, free_seen);
    if (rc < 0)
        recipe_release(&recipe);
    else
        *out = recipe;
    return rc;
}

#include "repository/removal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "registry/reference.h"
#include "repository/image.h"
#include "repository/mark.h"
#include "repository/planner.h"
#include "repository/published.h"

#include <string.h>

#define RECORD       "removed.json"
#define RECORD_BYTES ((size_t)64 << 10)

static char *removed_folder(const char *name)
{
    return path_join(REMOVED_FOLDER, name);
}

/* ---- what was removed ---- */

void removed_names_release(struct removed_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i].name);
        free(names->items[i].why);
        free(names->items[i].link);
    }
    free(names->items);
    *names = (struct removed_names){0};
}

static int read_record(const struct repository *r, const char *name, struct removed_names *out,
                       struct error *err)
{
    _cleanup_free_ char *folder = removed_folder(name);
    _cleanup_free_ char *path = path_join(folder, RECORD);
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    const char *why, *link;
    uint64_t removed_at;
    if (published_read(r, path, RECORD_BYTES, &bytes, err) < 0)
        return -1;
    _cleanup_json_ json_t *doc = json_parse(path, bytes.data, bytes.len, RECORD_BYTES, err);
    if (!doc || json_get_size(doc, path, "removed_at", &removed_at, err) < 0 ||
        json_get_optional_string(doc, path, "why", &why, err) < 0 ||
        json_get_optional_string(doc, path, "link", &link, err) < 0)
        return -1;
    if (removed_at == 0)
        return error_set(err, ERROR_PARSE, "%s: field \"removed_at\": expected a time", path);
    ARRAY_GROW(out->items, out->count, out->capacity);
    out->items[out->count++] = (struct removed_name){.name = xstrdup(name),
                                                     .why = xstrdup(why ? why : ""),
                                                     .link = link ? xstrdup(link) : NULL,
                                                     .removed_at = (int64_t)removed_at};
    return 0;
}

static int list_below(const struct repository *r, const char *name, struct removed_names *out,
                      struct error *err)
{
    _cleanup_string_list_ struct string_list entries = STRING_LIST_INIT;
    _cleanup_free_ char *folder = removed_folder(name);
    if (published_list(r, folder, &entries, err) < 0)
        return -1;
    if (string_list_has(&entries, RECORD))
        return read_record(r, name, out, err);
    for (size_t i = 0; i < entries.count; i++) {
        mode_t type;
        _cleanup_free_ char *below = path_join(name, entries.items[i]);
        _cleanup_free_ char *path = removed_folder(below);
        if (published_type(r, path, &type, err) < 0 ||
            (S_ISDIR(type) && list_below(r, below, out, err) < 0))
            return -1;
    }
    return 0;
}

int removed_list(const struct repository *r, struct removed_names *out, struct error *err)
{
    struct removed_names names = {0};
    if (list_below(r, "", &names, err) < 0) {
        removed_names_release(&names);
        return -1;
    }
    *out = names;
    return 0;
}

/* ---- Podman's names ---- */

/* Behind the folders of a prefix: a registry's name has a dot or a colon (docs/layout.md). */
static const char *without_prefix(const char *name)
{
    for (const char *p = name;; p += strcspn(p, "/") + 1) {
        size_t len = strcspn(p, "/");
        if (memchr(p, '.', len) || memchr(p, ':', len) || starts_with(p, "localhost/"))
            return p;
        if (p[len] == '\0')
            return name;
    }
}

/* Those of a public name, added to a list. */
static void add_podman_names(const char *name, struct string_list *out)
{
    struct reference ref;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    const char *image = without_prefix(name);
    if (multiarch_plain(name) || reference_parse(image, 0, &ref, &ignored) < 0)
        return;
    char **names = podman_names(ref.registry, ref.repository, image);
    for (char **n = names; *n; n++)
        string_list_add(out, *n);
    podman_names_free(names);
    reference_release(&ref);
}

/* A name of Docker Hub may be Podman's for several public names. */
static void podman_names_of_others(const struct mark *mark, const struct string_list *going,
                                   struct string_list *out)
{
    for (size_t i = 0; i < mark->name_count; i++) {
        const struct mark_name *n = &mark->names[i];
        if (n->removed_at == 0 && !string_list_has(going, n->name))
            add_podman_names(n->name, out);
    }
    string_list_sort(out);
}

static int write_images_list(struct changeset *cs, const struct podman_store *store,
                             struct error *err)
{
    _cleanup_free_ char *text = podman_store_images_text(store);
    return changeset_add_file(cs, PODMAN_IMAGES_JSON, text, strlen(text), err);
}

/* ---- copying documents ---- */

static int ensure_parents(const struct repository *r, struct changeset *cs, const char *path,
                          struct error *err)
{
    struct planner p = {.repository = r, .cs = cs};
    return planner_ensure_parents(&p, path, err);
}

static int copy_document(const struct repository *r, struct changeset *cs, const char *from,
                         const char *to, struct error *err)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    if (published_read(r, from, LIMIT_CONFIG_BYTES_MAX, &bytes, err) < 0 ||
        ensure_parents(r, cs, to, err) < 0)
        return -1;
    return changeset_add_file(cs, to, bytes.data, bytes.len, err);
}

static int copy_documents(const struct repository *r, struct changeset *cs, const char *from,
                          const char *to, struct error *err)
{
    _cleanup_string_list_ struct string_list files = STRING_LIST_INIT;
    if (published_list(r, from, &files, err) < 0)
        return -1;
    for (size_t i = 0; i < files.count; i++) {
        const char *file = files.items[i];
        if (file[0] == '.' || strcmp(file, RECORD) == 0)
            continue;
        _cleanup_free_ char *source = path_join(from, file);
        _cleanup_free_ char *copy = path_join(to, file);
        if (copy_document(r, cs, source, copy, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- taking away ---- */

struct taking {
    struct repository *repository;
    const struct mark *mark;
    struct changeset *cs;
    int64_t now;
    struct string_list going; /* all names, sorted, those below .multiarch among them */
    struct string_list paths; /* what goes of them */
};

static void taking_release(struct taking *t)
{
    changeset_free(t->cs);
    string_list_release(&t->going);
    string_list_release(&t->paths);
}

/* The public name, and what stands for it below .multiarch. */
static bool add_family(const struct mark *mark, const char *name, bool removed,
                       struct string_list *out)
{
    bool found = false;
    for (size_t i = 0; i < mark->name_count; i++) {
        const struct mark_name *n = &mark->names[i];
        if ((n->removed_at != 0) == removed && mark_is_name_of(n, name)) {
            string_list_add(out, n->name);
            found = true;
        }
    }
    return found;
}

static int write_record(struct taking *t, const char *folder, const char *link, const char *why,
                        struct error *err)
{
    _cleanup_free_ char *path = path_join(folder, RECORD);
    _cleanup_json_ json_t *doc = json_pack("{s:I, s:s, s:s}", "removed_at", (json_int_t)t->now,
                                           "removed", clock_text(t->now).s, "why", why);
    if (link)
        json_object_set_new(doc, "link", json_string(link));
    _cleanup_free_ char *text = json_text(doc);
    return changeset_add_file(t->cs, path, text, strlen(text), err);
}

static int take_one(struct taking *t, const char *name, const char *why,
                    struct removal_report *report, struct error *err)
{
    const struct mark_name *known = mark_find_name(t->mark, name);
    _cleanup_free_ char *documents = layout_metadata(name);
    _cleanup_free_ char *folder = removed_folder(name);
    _cleanup_buf_ struct buf link = BUF_INIT;
    mode_t type;
    if (published_type(t->repository, name, &type, err) < 0 ||
        (S_ISLNK(type) && published_readlink(t->repository, name, &link, err) < 0))
        return -1;
    string_list_add(&t->paths, name);
    string_list_add(&t->paths, documents);
    if (!known->has_documents) /* nothing says what it consists of: it cannot come back */
        return 0;
    if (copy_documents(t->repository, t->cs, documents, folder, err) < 0 ||
        write_record(t, folder, S_ISLNK(type) ? link.data : NULL, why, err) < 0)
        return -1;
    report->kept_whole += multiarch_plain(name) == NULL;
    return 0;
}

static int take_podman_names(struct taking *t, struct error *err)
{
    _cleanup_string_list_ struct string_list theirs = STRING_LIST_INIT;
    _cleanup_string_list_ struct string_list names = STRING_LIST_INIT;
    struct podman_store store;
    bool changed = false;
    if (published_podman(t->repository, &store, err) < 0)
        return -1;
    podman_names_of_others(t->mark, &t->going, &theirs);
    for (size_t i = 0; i < t->going.count; i++)
        add_podman_names(t->going.items[i], &names);
    for (size_t i = 0; i < names.count; i++)
        if (!string_list_has(&theirs, names.items[i]))
            changed |= podman_store_remove_name(&store, names.items[i]);
    int result = changed ? write_images_list(t->cs, &store, err) : 0;
    podman_store_release(&store);
    return result;
}

static int remove_paths(struct repository *r, const struct string_list *paths,
                        struct removal_report *report, struct error *err)
{
    if (paths->count == 0)
        return 0;
    report->revisions++;
    return repository_remove_names(r, (const char *const *)paths->items, paths->count, err);
}

static int commit(struct repository *r, const struct changeset *cs, struct removal_report *report,
                  struct error *err)
{
    struct commit_options options = {.what = "removing or restoring names"};
    struct commit_report done;
    if (changeset_is_empty(cs))
        return 0;
    report->revisions++;
    return repository_commit(r, cs, &options, &done, err);
}

/* They go before anything is planned: the folders above them may go with them. */
static int remove_stale(struct taking *t, struct removal_report *report, struct error *err)
{
    _cleanup_string_list_ struct string_list stale = STRING_LIST_INIT;
    for (size_t i = 0; i < t->going.count; i++) {
        _cleanup_free_ char *folder = removed_folder(t->going.items[i]);
        mode_t type;
        if (published_type(t->repository, folder, &type, err) < 0)
            return -1;
        if (type != 0)
            string_list_add(&stale, folder);
    }
    return remove_paths(t->repository, &stale, report, err);
}

static int take_all(struct taking *t, const struct name_removal *removals, size_t count,
                    struct removal_report *report, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!add_family(t->mark, removals[i].name, false, &t->going))
            return error_set(err, ERROR_NOT_FOUND, "%s: there is no such name", removals[i].name);
    string_list_sort(&t->going);
    if (remove_stale(t, report, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        _cleanup_string_list_ struct string_list family = STRING_LIST_INIT;
        add_family(t->mark, removals[i].name, false, &family);
        for (size_t k = 0; k < family.count; k++)
            if (take_one(t, family.items[k], removals[i].why, report, err) < 0)
                return -1;
        report->names++;
    }
    if (take_podman_names(t, err) < 0 || commit(t->repository, t->cs, report, err) < 0)
        return -1;
    return remove_paths(t->repository, &t->paths, report, err);
}

int removal_take(struct repository *r, const struct mark *mark, const struct name_removal *removals,
                 size_t count, int64_t now, struct removal_report *out, struct error *err)
{
    *out = (struct removal_report){0};
    struct taking t = {.repository = r, .mark = mark, .cs = changeset_new(), .now = now};
    int result = take_all(&t, removals, count, out, err);
    taking_release(&t);
    return result;
}

/* ---- bringing back ---- */

struct restoring {
    struct repository *repository;
    const struct mark *mark;
    struct changeset *cs;
    struct removed_names removed;
    struct string_list coming; /* all names, those below .multiarch among them */
};

static const struct removed_name *find_removed(const struct restoring *t, const char *name)
{
    for (size_t i = 0; i < t->removed.count; i++)
        if (strcmp(t->removed.items[i].name, name) == 0)
            return &t->removed.items[i];
    return NULL;
}

static int check_there(const struct restoring *t, const char *name, char *path, struct error *err)
{
    _cleanup_free_ char *owned = path;
    mode_t type;
    if (published_type(t->repository, owned, &type, err) < 0)
        return -1;
    if (!S_ISDIR(type))
        return error_set(err, ERROR_NOT_FOUND,
                         "%s: cannot be restored: %s has been taken away; publish it again", name,
                         owned);
    return 0;
}

/* An image may have been published without layers; but not with some of them. */
static int check_layers(const struct restoring *t, const char *name,
                        const struct published_manifest *m, struct error *err)
{
    bool some = false;
    for (size_t i = 0; i < m->layer_count; i++) {
        _cleanup_free_ char *folder = layout_layer(&m->layers[i].blob);
        mode_t type;
        if (published_type(t->repository, folder, &type, err) < 0)
            return -1;
        some |= type != 0;
    }
    for (size_t i = 0; some && i < m->layer_count; i++)
        if (!m->layers[i].foreign &&
            check_there(t, name, layout_layer(&m->layers[i].blob), err) < 0)
            return -1;
    return 0;
}

static int check_content(const struct restoring *t, const struct removed_name *n, struct error *err)
{
    _cleanup_free_ char *folder = removed_folder(n->name);
    _cleanup_free_ char *path = path_join(folder, "manifest.json");
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    struct published_manifest m;
    if (published_read(t->repository, path, LIMIT_MANIFEST_BYTES_MAX, &bytes, err) < 0 ||
        published_manifest_parse(&bytes, path, &m, err) < 0)
        return -1;
    int result = check_layers(t, n->name, &m, err);
    if (result == 0 && n->link && strstr(n->link, ".flat/"))
        result = check_there(t, n->name, layout_flat(&m.config), err);
    published_manifest_release(&m);
    return result;
}

/* As it was; a link that CVMFS_ARCH decides is shown by CernVM-FS as decided. Owned. */
static char *link_to_write(const struct restoring *t, const struct removed_name *n)
{
    static const char top[] = MULTIARCH_FOLDER "/", variable[] = "$(CVMFS_ARCH:-";
    const char *directory = strstr(n->link, top);
    if (!directory || t->repository->backend == &directory_backend)
        return xstrdup(n->link);
    directory += strlen(top);
    if (starts_with(directory, variable))
        directory += strlen(variable);
    _cleanup_free_ char *name = xstrndup(directory, strcspn(directory, "/)"));
    return multiarch_variant_link(name, n->name);
}

static int restore_one(struct restoring *t, const char *name, struct error *err)
{
    const struct removed_name *n = find_removed(t, name);
    _cleanup_free_ char *folder = removed_folder(name);
    _cleanup_free_ char *documents = layout_metadata(name);
    if (check_content(t, n, err) < 0 ||
        copy_documents(t->repository, t->cs, folder, documents, err) < 0)
        return -1;
    if (!n->link)
        return 0;
    _cleanup_free_ char *link = link_to_write(t, n);
    if (ensure_parents(t->repository, t->cs, name, err) < 0)
        return -1;
    return changeset_add_symlink(t->cs, name, link, err);
}

static int restore_podman_names(struct restoring *t, struct error *err)
{
    _cleanup_string_list_ struct string_list theirs = STRING_LIST_INIT;
    struct podman_store store;
    bool changed = false;
    if (published_podman(t->repository, &store, err) < 0)
        return -1;
    podman_names_of_others(t->mark, &(struct string_list)STRING_LIST_INIT, &theirs);
    for (size_t i = 0; i < t->mark->name_count; i++) {
        const struct mark_name *n = &t->mark->names[i];
        _cleanup_string_list_ struct string_list names = STRING_LIST_INIT;
        if (n->removed_at == 0 || !string_list_has(&t->coming, n->name))
            continue;
        add_podman_names(n->name, &names);
        for (size_t k = 0; k < names.count; k++)
            if (!string_list_has(&theirs, names.items[k]))
                changed |= podman_store_add_name(&store, &n->image, names.items[k]);
    }
    int result = changed ? write_images_list(t->cs, &store, err) : 0;
    podman_store_release(&store);
    return result;
}

static int choose(struct restoring *t, const char *const *names, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (mark_find_name(t->mark, names[i]))
            return error_set(err, ERROR_NOT_FOUND, "%s: is there; there is nothing to restore",
                             names[i]);
        if (!add_family(t->mark, names[i], true, &t->coming))
            return error_set(err, ERROR_NOT_FOUND,
                             "%s: is not among the names that were removed and are still kept",
                             names[i]);
    }
    string_list_sort(&t->coming);
    return 0;
}

static int restore_all(struct restoring *t, struct removal_report *report, struct error *err)
{
    _cleanup_string_list_ struct string_list folders = STRING_LIST_INIT;
    for (size_t i = 0; i < t->coming.count; i++) {
        if (restore_one(t, t->coming.items[i], err) < 0)
            return -1;
        string_list_take(&folders, removed_folder(t->coming.items[i]));
        report->names += multiarch_plain(t->coming.items[i]) == NULL;
    }
    if (restore_podman_names(t, err) < 0 || commit(t->repository, t->cs, report, err) < 0)
        return -1;
    return remove_paths(t->repository, &folders, report, err);
}

int removal_restore(struct repository *r, const struct mark *mark, const char *const *names,
                    size_t count, struct removal_report *out, struct error *err)
{
    *out = (struct removal_report){0};
    struct restoring t = {.repository = r, .mark = mark, .cs = changeset_new()};
    int result = removed_list(r, &t.removed, err);
    if (result == 0)
        result = choose(&t, names, count, err);
    if (result == 0)
        result = restore_all(&t, out, err);
    changeset_free(t.cs);
    removed_names_release(&t.removed);
    string_list_release(&t.coming);
    return result;
}

#include "repository/compare.h"

#include "base/cancel.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "layers/layer.h"
#include "podmanstore/podman_store.h"
#include "repository/mark.h"
#include "repository/multiarch.h"
#include "repository/published.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PER_UNIT_MAX 8 /* findings; a tree that is all wrong is said once, with a number */

struct visit {
    struct compare *compare;
    const char *name;
    const struct string_list *old;
    /* The unit that is being visited. */
    const char *unit; /* NULL: outside units */
    enum unit_kind kind;
    bool missing;
    bool leave;      /* it was seen before: only what differs from image to image */
    bool leave_tree; /* in the old form */
    size_t defects;
    struct string_list expected; /* its paths */
};

/* ---- findings ---- */

static enum finding_kind kind_of(const struct visit *v, const char *path)
{
    if (strcmp(path_name(path), ".cvmfscatalog") == 0)
        return FOUND_CATALOG;
    if (!v->unit)
        return starts_with(path, PODMAN_STORE "/") ? FOUND_PODMAN_FILE
               : starts_with(path, ".metadata/")   ? FOUND_DOCUMENT
               : strstr(path, "/.metadata/")       ? FOUND_BACK_LINK
                                                   : FOUND_NAME;
    static const enum finding_kind kinds[UNIT_KIND_COUNT] = {FOUND_FLAT, FOUND_CHAIN, FOUND_LAYER,
                                                             FOUND_PODMAN_FILE, FOUND_PODMAN_FILE};
    bool beside = v->kind == UNIT_LAYER && strncmp(path + strlen(v->unit), "/layerfs", 8) != 0;
    return beside ? FOUND_LAYER_FILES : kinds[v->kind];
}

static void collect(struct visit *v, enum finding_kind kind, const char *path)
{
    struct compare *c = v->compare;
    bool small = !v->unit || kind == FOUND_CATALOG || kind == FOUND_LAYER_FILES ||
                 kind == FOUND_DELETION || kind == FOUND_BACK_LINK;
    if (!c->collect)
        return;
    if (small && !(v->unit && v->kind != UNIT_LAYER))
        string_list_add(&c->paths, path);
    else if (c->units.count == 0 || strcmp(c->units.items[c->units.count - 1], v->unit) != 0)
        string_list_add(&c->units, v->unit);
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* True the first time. */
static bool note_seen(struct compare *c, const char *path)
{
    char *key = xstrdup(path);
    char **there = tsearch(key, &c->seen, compare_strings);
    if (!there)
        abort(); /* out of memory */
    if (*there == key)
        return true;
    free(key);
    return false;
}

static int found(struct visit *v, enum finding_kind kind, const char *path, const char *text)
{
    collect(v, kind, path);
    if (v->unit ? ++v->defects > PER_UNIT_MAX : !note_seen(v->compare, path))
        return 0;
    findings_add(v->compare->findings, kind, v->name, path, "%s", text);
    return 0;
}

/* ---- files of ours ---- */

static bool same_bytes(const struct change *c, const struct buf *got)
{
    return got->len == c->size && (c->size == 0 || memcmp(got->data, c->bytes, c->size) == 0);
}

static json_t *parse(const char *text, size_t len)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    return json_parse("", text, len, LIMIT_MANIFEST_BYTES, &ignored);
}

/* The time and the sizes may be another image's, or not be there (the Go tool's). */
static bool same_layers_json(const struct change *c, const struct buf *got)
{
    static const char *const fields[] = {"id", "compressed-diff-digest", "diff-digest"};
    _cleanup_json_ json_t *expected = parse(c->bytes, c->size);
    _cleanup_json_ json_t *there = parse(got->data, got->len);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!json_equal(json_object_get(json_array_get(expected, 0), fields[i]),
                        json_object_get(json_array_get(there, 0), fields[i])))
            return false;
    return true;
}

static bool has_origins(const struct change *c, const struct buf *got)
{
    _cleanup_json_ json_t *expected = parse(c->bytes, c->size);
    _cleanup_json_ json_t *there = parse(got->data, got->len);
    size_t i, k;
    json_t *wanted, *item;
    json_array_foreach(json_object_get(expected, "origin"), i, wanted)
    {
        bool has = false;
        json_array_foreach(json_object_get(there, "origin"), k, item)
        {
            has |= json_equal(wanted, item);
        }
        if (!has)
            return false;
    }
    return true;
}

static bool is_list(const char *path)
{
    return strcmp(path, PODMAN_IMAGES_JSON) == 0 || strcmp(path, PODMAN_LAYERS_JSON) == 0;
}

static int check_own_file(struct visit *v, const struct change *c, mode_t type, struct error *err)
{
    _cleanup_buf_ struct buf got = BUF_INIT;
    const char *base = path_name(c->path);
    bool origin = strcmp(base, "origin.json") == 0 && starts_with(c->path, ".layers/");
    enum finding_kind kind = origin ? FOUND_BACK_LINK : kind_of(v, c->path);
    if (v->leave && !origin)
        return 0;
    if (type == 0)
        return found(v, kind, c->path, "it is missing");
    if (is_list(c->path)) /* judged record by record */
        return 0;
    if (strcmp(base, ".cvmfscatalog") == 0)
        return S_ISREG(type) ? 0 : found(v, kind, c->path, "it is no file");
    if (published_read(v->compare->repository, c->path, PODMAN_LIMIT_BYTES, &got, err) < 0) {
        int result = found(v, kind, c->path, err->message);
        error_release(err);
        return result;
    }
    if (origin)
        return has_origins(c, &got) ? 0 : found(v, kind, c->path, "it does not name the image");
    if (strcmp(base, "layers.json") == 0 && v->unit)
        return same_layers_json(c, &got) ? 0 : found(v, kind, c->path, "it is of something else");
    return same_bytes(c, &got) ? 0 : found(v, kind, c->path, "it does not hold what it should");
}

static int check_symlink(struct visit *v, const struct change *c, mode_t type, struct error *err)
{
    _cleanup_buf_ struct buf got = BUF_INIT;
    enum finding_kind kind = kind_of(v, c->path);
    if (type == 0)
        return found(v, kind, c->path, "it is missing");
    if (!S_ISLNK(type))
        return found(v, kind, c->path, "it is no symlink");
    if (published_readlink(v->compare->repository, c->path, &got, err) < 0)
        return -1;
    if (strcmp(got.data, c->target) == 0 ||
        (!c->entry && multiarch_is_resolved(c->target, got.data)))
        return 0;
    _cleanup_free_ char *is = quoted(got.data), *should = quoted(c->target);
    _cleanup_free_ char *text = xasprintf("it leads to %s instead of %s", is, should);
    return found(v, kind, c->path, text);
}

/* ---- entries of trees ---- */

static mode_t type_of(const struct change *c)
{
    static const mode_t types[] = {
        [CHANGE_DIRECTORY] = S_IFDIR, [CHANGE_FILE] = S_IFREG, [CHANGE_LINK] = S_IFREG,
        [CHANGE_SYMLINK] = S_IFLNK,   [CHANGE_CHAR] = S_IFCHR, [CHANGE_BLOCK] = S_IFBLK,
        [CHANGE_FIFO] = S_IFIFO};
    return types[c->type];
}

static bool is_deletion(const struct change *c)
{
    return c->type == CHANGE_CHAR && !c->entry;
}

/* Of Apptainer's files, in a layer made for the image. */
static bool is_apptainers(const struct change *c)
{
    return c->layer && !digest_is_set(&c->layer->blob);
}

/* What differs, or NULL. */
static const char *differing(const struct visit *v, const struct change *c, const struct stat *st)
{
    mode_t mode = st->st_mode & 07777, more = (mode_t)c->mode | S_IRUSR;
    if (S_ISDIR(st->st_mode))
        more |= S_IXUSR;
    bool flat = v->kind == UNIT_FLAT;
    if (c->type != CHANGE_SYMLINK && mode != c->mode && !(flat && mode == more))
        return "its mode is not the image's";
    if (!v->compare->ignore_owners && (st->st_uid != c->uid || st->st_gid != c->gid))
        return "its owner is not the image's";
    if (st->st_mtim.tv_sec != c->mtime)
        return "its time is not the image's";
    if (S_ISREG(st->st_mode) && (uint64_t)st->st_size != c->size)
        return "its size is not the image's";
    bool device = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
    if (device && (major(st->st_rdev) != c->major || minor(st->st_rdev) != c->minor))
        return "it is another device";
    return NULL;
}

/* Layers without an index of ours have no hashes. */
static bool has_hash(const struct layer_entry *e)
{
    static const uint8_t none[SHA256_SIZE];
    return memcmp(e->content, none, sizeof none) != 0;
}

static int hash_file(const struct repository *r, const char *full, const char *what,
                     struct digest *out, struct error *err)
{
    repository_reading_begin(r);
    int fd = open(full, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int result = fd < 0 ? -1 : digest_of_fd(fd, what, out, err);
    if (fd >= 0)
        close(fd);
    repository_reading_end(r);
    return result;
}

static int check_content(struct visit *v, const struct change *c, const char *full,
                         struct error *err)
{
    struct digest got;
    if (!v->compare->content || !has_hash(c->entry))
        return 0;
    _cleanup_free_ char *q = quoted(c->path);
    if (hash_file(v->compare->repository, full, q, &got, err) < 0) {
        error_release(err);
        return found(v, kind_of(v, c->path), c->path, "it cannot be read");
    }
    if (memcmp(got.bytes, c->entry->content, SHA256_SIZE) == 0)
        return 0;
    return found(v, kind_of(v, c->path), c->path, "its content is not the image's");
}

static int check_entry(struct visit *v, const struct change *c, const struct stat *st,
                       const char *full, struct error *err)
{
    enum finding_kind kind = kind_of(v, c->path);
    if ((st->st_mode & S_IFMT) != type_of(c))
        return found(v, kind, c->path,
                     st->st_mode == 0 ? "it is missing" : "it is of another type");
    if (is_apptainers(c))
        return 0;
    const char *what = differing(v, c, st);
    if (what)
        return found(v, kind, c->path, what);
    if (c->type == CHANGE_SYMLINK)
        return check_symlink(v, c, st->st_mode, err);
    return S_ISREG(st->st_mode) ? check_content(v, c, full, err) : 0;
}

static int check_deletion(struct visit *v, const struct change *c, const struct stat *st)
{
    if (S_ISCHR(st->st_mode) && st->st_rdev == 0)
        return 0;
    return found(v, FOUND_DELETION, c->path,
                 "a deletion is missing: what lies below would come back");
}

static bool in_tree(const struct visit *v, const char *path)
{
    return v->unit && (v->kind != UNIT_LAYER || strstr(path + strlen(v->unit), "/layerfs"));
}

/* A folder of ours and its marker are made with what goes into them. */
static int note_missing(struct visit *v, const struct change *c)
{
    if (v->compare->collect && !v->unit)
        string_list_add(&v->compare->paths, c->path);
    return 0;
}

static int check_ours(struct visit *v, const struct change *c, mode_t type, struct error *err)
{
    if (c->type == CHANGE_SYMLINK)
        return v->leave ? 0 : check_symlink(v, c, type, err);
    if (c->type == CHANGE_FILE)
        return check_own_file(v, c, type, err);
    if (type == 0 && !v->unit)
        return note_missing(v, c);
    if (v->leave || S_ISDIR(type))
        return 0;
    return found(v, kind_of(v, c->path), c->path, type ? "it is no directory" : "it is missing");
}

static int check_change(void *arg, const struct change *c, struct error *err)
{
    struct visit *v = arg;
    struct stat st = {0};
    _cleanup_free_ char *full = path_join(v->compare->repository->view, c->path);
    if (cancel_check(err) < 0)
        return -1;
    if (v->missing || (in_tree(v, c->path) && v->leave_tree))
        return 0;
    if (v->unit && !v->leave)
        string_list_add(&v->expected, c->path);
    if (v->leave && c->entry)
        return 0;
    if (repository_lstat(v->compare->repository, full, &st) < 0 && errno != ENOENT &&
        errno != ENOTDIR)
        return found(v, FOUND_UNREADABLE, c->path, strerror(errno));
    if (is_deletion(c))
        return check_deletion(v, c, &st);
    if (!c->entry)
        return check_ours(v, c, st.st_mode & S_IFMT, err);
    bool device = c->type == CHANGE_CHAR || c->type == CHANGE_BLOCK;
    return device && st.st_mode == 0 ? 0 : check_entry(v, c, &st, full, err);
}

/* ---- units ---- */

static int begin_unit(void *arg, const char *root, struct error *err)
{
    struct visit *v = arg;
    struct digest id;
    mode_t type;
    if (!unit_of_path(root, &v->kind, &id))
        return error_set(err, ERROR_BUG, "%s is no unit", root);
    if (published_type(v->compare->repository, root, &type, err) < 0)
        return -1;
    v->unit = root;
    v->defects = 0;
    v->leave = !note_seen(v->compare, root);
    v->leave_tree = v->kind == UNIT_LAYER && string_list_has(v->old, digest_text(&id).s);
    if (type == 0 && !v->leave) {
        found(v, kind_of(v, root), root, "it is missing");
        v->missing = true; /* that says it all */
    }
    return 0;
}

static bool may_be_there(const struct visit *v, const char *path, const struct stat *st)
{
    bool deletion = v->kind == UNIT_LAYER && S_ISCHR(st->st_mode) && st->st_rdev == 0;
    return deletion || strcmp(path_name(path), ".cvmfscatalog") == 0;
}

/* What a tree holds that it should not. */
static int look_for_more(struct visit *v, const char *dir, struct error *err)
{
    _cleanup_string_list_ struct string_list entries = STRING_LIST_INIT;
    if (published_list(v->compare->repository, dir, &entries, err) < 0)
        return -1;
    for (size_t i = 0; i < entries.count; i++) {
        struct stat st;
        _cleanup_free_ char *path = path_join(dir, entries.items[i]);
        _cleanup_free_ char *full = path_join(v->compare->repository->view, path);
        if (repository_lstat(v->compare->repository, full, &st) < 0)
            continue;
        bool known = string_list_has(&v->expected, path);
        if (!known && !may_be_there(v, path, &st))
            found(v, kind_of(v, path), path, "the image has no such thing");
        if (known && S_ISDIR(st.st_mode) && look_for_more(v, path, err) < 0)
            return -1;
    }
    return 0;
}

static int end_unit(void *arg, const char *root, struct error *err)
{
    struct visit *v = arg;
    int result = 0;
    if (!v->leave && !v->leave_tree && !v->missing && v->kind != UNIT_PODMAN_LAYER) {
        string_list_sort(&v->expected);
        _cleanup_free_ char *top =
            v->kind == UNIT_LAYER ? path_join(root, "layerfs") : xstrdup(root);
        result = look_for_more(v, top, err);
    }
    if (v->defects > PER_UNIT_MAX)
        findings_add(v->compare->findings, kind_of(v, root), v->name, root, "and %zu entries more",
                     v->defects - PER_UNIT_MAX);
    string_list_release(&v->expected);
    v->unit = NULL;
    v->leave = v->leave_tree = v->missing = false;
    return result;
}

int compare_image(struct compare *c, const struct changeset *expected, const char *name,
                  const struct string_list *old, struct error *err)
{
    struct visit v = {.compare = c, .name = name, .old = old};
    struct changeset_visitor visitor = {
        .change = check_change, .begin_unit = begin_unit, .end_unit = end_unit, .arg = &v};
    int result = changeset_visit(expected, &visitor, err);
    string_list_release(&v.expected);
    string_list_sort(&c->paths);
    string_list_sort(&c->units);
    return result;
}

void compare_release(struct compare *c)
{
    tdestroy(c->seen, free);
    c->seen = NULL;
    string_list_release(&c->paths);
    string_list_release(&c->units);
}

#include "repository/mark.h"

#include "base/buf.h"
#include "base/cancel.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "repository/image.h"
#include "repository/multiarch.h"
#include "repository/name_walk.h"
#include "repository/published.h"
#include "repository/removal.h"

#include <search.h>
#include <string.h>

/* ---- units ---- */

static const struct {
    const char *word, *folder;
    bool spread; /* over folders of two hex digits */
} kinds[UNIT_KIND_COUNT] = {
    [UNIT_FLAT] = {"flat image", ".flat", true},
    [UNIT_CHAIN] = {"chain", ".chains", true},
    [UNIT_LAYER] = {"layer", ".layers", true},
    [UNIT_PODMAN_IMAGE] = {"Podman image", PODMAN_STORE "/overlay-images", false},
    [UNIT_PODMAN_LAYER] = {"Podman layer", PODMAN_STORE "/overlay", false},
};

const char *unit_kind_word(enum unit_kind kind)
{
    return kinds[kind].word;
}

char *unit_path(enum unit_kind kind, const struct digest *id)
{
    struct digest_text hex = digest_hex(id);
    return kinds[kind].spread ? xasprintf("%s/%.2s/%s", kinds[kind].folder, hex.s, hex.s)
                              : xasprintf("%s/%s", kinds[kind].folder, hex.s);
}

bool unit_of_path(const char *path, enum unit_kind *out_kind, struct digest *out_id)
{
    for (int k = 0; k < UNIT_KIND_COUNT; k++) {
        size_t len = strlen(kinds[k].folder);
        if (strncmp(path, kinds[k].folder, len) != 0 || path[len] != '/')
            continue;
        const char *name = path + len + 1;
        if (kinds[k].spread)
            name += strcspn(name, "/");
        name += *name == '/';
        _cleanup_free_ char *one = xstrndup(name, strcspn(name, "/"));
        if (!digest_of_name(one, out_id))
            continue;
        *out_kind = (enum unit_kind)k;
        return true;
    }
    return false;
}

static int compare_units(const void *a, const void *b)
{
    const struct mark_unit *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->id.algorithm != y->id.algorithm)
        return x->id.algorithm < y->id.algorithm ? -1 : 1;
    return memcmp(x->id.bytes, y->id.bytes, sizeof x->id.bytes);
}

/* The strongest reach first: a name's, then the latest removal. */
static int compare_reach(const void *a, const void *b)
{
    const struct mark_unit *x = a, *y = b;
    int order = compare_units(a, b);
    if (order != 0 || x->held == y->held)
        return order;
    if (x->held == 0 || y->held == 0)
        return x->held == 0 ? -1 : 1;
    return x->held > y->held ? -1 : 1;
}

static const struct mark_unit *find_unit(const struct mark *m, enum unit_kind kind,
                                         const struct digest *id)
{
    struct mark_unit key = {.kind = kind, .id = *id};
    return m->unit_count ? bsearch(&key, m->units, m->unit_count, sizeof *m->units, compare_units)
                         : NULL;
}

enum reach mark_reach(const struct mark *m, enum unit_kind kind, const struct digest *id,
                      int64_t *out_held)
{
    if (kind == UNIT_CHAIN && m->unknown_chains_of)
        return REACH_NAME;
    const struct mark_unit *u = find_unit(m, kind, id);
    if (out_held)
        *out_held = u ? u->held : 0;
    return !u ? REACH_NOTHING : u->held ? REACH_HELD : REACH_NAME;
}

/* ---- marking ---- */

struct marker {
    const struct repository *repository;
    const struct string_list *selected;
    struct mark *mark;
    struct mark_unit *pending; /* found, and not yet among the mark's units */
    size_t pending_count, pending_capacity;
    void *chains_known; /* a search tree (tsearch) of configurations whose chains are marked */
};

static void add_unit(struct marker *w, enum unit_kind kind, const struct digest *id, int64_t held)
{
    ARRAY_GROW(w->pending, w->pending_count, w->pending_capacity);
    w->pending[w->pending_count++] = (struct mark_unit){kind, *id, held};
}

/* What was found joins the units, each of which stays once. */
static void settle_units(struct marker *w)
{
    struct mark *m = w->mark;
    size_t total = m->unit_count + w->pending_count, kept = 0;
    if (w->pending_count == 0)
        return;
    m->units = xreallocarray(m->units, total, sizeof *m->units);
    memcpy(m->units + m->unit_count, w->pending, w->pending_count * sizeof *w->pending);
    w->pending_count = 0;
    qsort(m->units, total, sizeof *m->units, compare_reach);
    for (size_t i = 0; i < total; i++)
        if (kept == 0 || compare_units(&m->units[kept - 1], &m->units[i]) != 0)
            m->units[kept++] = m->units[i];
    m->unit_count = kept;
}

/* ---- names ---- */

static struct mark_name *add_name(struct mark *m, const char *name)
{
    ARRAY_GROW(m->names, m->name_count, m->name_capacity);
    m->names[m->name_count] = (struct mark_name){.name = xstrdup(name)};
    return &m->names[m->name_count++];
}

static int compare_configs(const void *a, const void *b)
{
    const struct mark_unit *x = a, *y = b;
    return x->held != y->held ? (x->held < y->held ? -1 : 1) : memcmp(&x->id, &y->id, sizeof x->id);
}

/* Once for each configuration: twenty tags of an image have the same chains. */
static void mark_chains(struct marker *w, const char *name, const struct published_manifest *p,
                        int64_t held)
{
    struct mark_unit *key = xcalloc(1, sizeof *key);
    *key = (struct mark_unit){.id = p->config, .held = held};
    struct mark_unit **known = tsearch(key, &w->chains_known, compare_configs);
    if (*known != key) {
        free(key);
        return;
    }
    struct digest *chains = xcalloc(p->layer_count + 1, sizeof *chains);
    if (published_chains(w->repository, name, p, chains)) {
        for (size_t i = 0; i < p->layer_count; i++)
            add_unit(w, UNIT_CHAIN, &chains[i], held);
    } else if (!w->mark->unknown_chains_of) {
        w->mark->unknown_chains_of = xstrdup(name);
    }
    free(chains);
}

/* What the manifest in the folder of a name's documents reaches. `name` is as in
 * layout_metadata(). */
static int mark_manifest(struct marker *w, const char *name, int64_t held, struct digest *out_image,
                         struct error *err)
{
    _cleanup_free_ char *folder = layout_metadata(name);
    _cleanup_free_ char *path = path_join(folder, "manifest.json");
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    struct published_manifest p = {0};
    if (cancel_check(err) < 0 ||
        published_read(w->repository, path, LIMIT_MANIFEST_BYTES_MAX, &bytes, err) < 0 ||
        published_manifest_parse(&bytes, path, &p, err) < 0)
        return -1;
    *out_image = p.config;
    add_unit(w, UNIT_FLAT, &p.config, held);
    add_unit(w, UNIT_PODMAN_IMAGE, &p.config, held);
    for (size_t i = 0; i < p.layer_count; i++)
        if (!p.layers[i].foreign)
            add_unit(w, UNIT_LAYER, &p.layers[i].blob, held);
    mark_chains(w, name, &p, held);
    published_manifest_release(&p);
    return 0;
}

/* A folder of documents has them, but no manifest: somebody's damage, and nobody knows of what. */
static int check_no_documents(const char *name, const struct string_list *entries,
                              struct error *err)
{
    static const char *const documents[] = {"config.json", "index.json", "nested.json"};
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
        if (string_list_has(entries, documents[i]))
            return error_set(err, ERROR_CORRUPT, ".metadata/%s: there is %s, but no manifest.json",
                             name, documents[i]);
    return 0;
}

static int mark_documents(void *arg, const char *folder, const struct string_list *entries,
                          bool *out_is_name, struct error *err)
{
    struct marker *w = arg;
    struct digest image;
    if (!string_list_has(entries, "manifest.json"))
        return check_no_documents(folder, entries, err);
    if (mark_manifest(w, folder, 0, &image, err) < 0)
        return -1;
    struct mark_name *n = add_name(w->mark, folder);
    n->image = image;
    n->has_documents = true;
    *out_is_name = true;
    return 0;
}

/* ---- links ---- */

char *link_target(const char *from, const char *text)
{
    _cleanup_free_ char *parent = path_parent(from);
    struct buf path = BUF_INIT;
    buf_adds(&path, parent);
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, "/");
        if (len == 2 && memcmp(p, "..", 2) == 0) {
            char *slash = strrchr(path.data, '/');
            if (path.len == 0) {
                buf_release(&path);
                return NULL;
            }
            buf_truncate(&path, slash ? (size_t)(slash - path.data) : 0);
        } else if (len > 0 && !(len == 1 && *p == '.')) {
            if (path.len > 0)
                buf_addc(&path, '/');
            buf_add(&path, p, len);
        }
        p += len;
        p += *p == '/';
    }
    return buf_take(&path);
}

static int mark_link(void *arg, const char *path, enum unit_kind kind, const struct digest *unit,
                     struct error *err)
{
    struct marker *w = arg;
    (void)err;
    add_unit(w, kind, unit, 0);
    if (kind != UNIT_FLAT)
        return 0;
    struct mark_name *n = add_name(w->mark, path);
    n->image = *unit;
    n->has_link = true;
    return 0;
}

/* ---- names that were removed ---- */

static int compare_names(const void *a, const void *b)
{
    const struct mark_name *x = a, *y = b;
    bool x_removed = x->removed_at != 0, y_removed = y->removed_at != 0;
    return x_removed != y_removed ? (x_removed ? 1 : -1) : strcmp(x->name, y->name);
}

/* Among the first `count`, which are in order. */
static const struct mark_name *find_name(const struct mark *m, size_t count, const char *name)
{
    struct mark_name key = {.name = (char *)name};
    return count ? bsearch(&key, m->names, count, sizeof *m->names, compare_names) : NULL;
}

bool mark_is_name_of(const struct mark_name *n, const char *public_name)
{
    const char *plain = multiarch_plain(n->name);
    return strcmp(plain ? plain : n->name, public_name) == 0;
}

const struct mark_name *mark_find_name(const struct mark *m, const char *name)
{
    return find_name(m, m->name_count, name);
}

bool mark_knows(const struct mark *m, const char *name)
{
    struct mark_name removed = {.name = (char *)name, .removed_at = 1};
    return mark_find_name(m, name) || (m->name_count && bsearch(&removed, m->names, m->name_count,
                                                                sizeof *m->names, compare_names));
}

static int mark_removed(struct marker *w, struct error *err)
{
    struct removed_names removed;
    size_t there = w->mark->name_count;
    if (removed_list(w->repository, &removed, err) < 0)
        return -1;
    int result = 0;
    for (size_t i = 0; result == 0 && i < removed.count; i++) {
        const struct removed_name *r = &removed.items[i];
        _cleanup_free_ char *documents = path_join(path_name(REMOVED_FOLDER), r->name);
        struct digest image;
        /* One that is there again holds nothing. */
        bool selected = w->selected && string_list_has(w->selected, r->name);
        bool stale = find_name(w->mark, there, r->name) != NULL;
        if (stale)
            image = (struct digest){0};
        else
            result = mark_manifest(w, documents, selected ? HELD_BY_SELECTED : r->removed_at,
                                   &image, err);
        if (result < 0)
            break;
        struct mark_name *n = add_name(w->mark, r->name);
        n->image = image;
        n->removed_at = r->removed_at;
        n->is_stale = stale;
        n->is_selected = selected;
    }
    removed_names_release(&removed);
    return result;
}

/* A name comes from its link and from its documents: one record. */
static void settle_names(struct mark *m)
{
    size_t kept = 0;
    if (m->name_count > 1)
        qsort(m->names, m->name_count, sizeof *m->names, compare_names);
    for (size_t i = 0; i < m->name_count; i++) {
        struct mark_name *n = &m->names[i];
        if (kept == 0 || compare_names(&m->names[kept - 1], n) != 0) {
            m->names[kept++] = *n;
            continue;
        }
        struct mark_name *first = &m->names[kept - 1];
        first->image = n->has_documents ? n->image : first->image;
        first->has_documents |= n->has_documents;
        first->has_link |= n->has_link;
        free(n->name);
    }
    m->name_count = kept;
}

/* A link alone does not say which layers its image has; another name's manifest may. */
static int check_described(const struct mark *m, struct error *err)
{
    for (size_t i = 0; i < m->name_count; i++) {
        const struct mark_name *n = &m->names[i];
        if (!n->has_documents && mark_reach(m, UNIT_PODMAN_IMAGE, &n->image, NULL) != REACH_NAME)
            return error_set(err, ERROR_CORRUPT,
                             "%s: the public name leads to %s, and there is no manifest of it: "
                             ".metadata/%s/manifest.json is missing",
                             n->name, digest_text(&n->image).s, n->name);
    }
    return 0;
}

/* ---- Podman's store ---- */

/* What a layer of the store shows: a published layer, or of a merged one a chain. */
static int mark_podman_tree(struct marker *w, const struct digest *id, const json_t *record,
                            int64_t held, struct error *err)
{
    const char *blob = json_string_value(json_object_get(record, "compressed-diff-digest"));
    struct digest tree;
    enum unit_kind kind;
    if (blob) {
        if (digest_parse(blob, &tree, err) < 0)
            return error_wrap(err, PODMAN_LAYERS_JSON ": layer %s", digest_hex(id).s);
        add_unit(w, UNIT_LAYER, &tree, held);
        return 0;
    }
    _cleanup_free_ char *folder = unit_path(UNIT_PODMAN_LAYER, id);
    _cleanup_free_ char *diff = path_join(folder, "diff");
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (published_readlink(w->repository, diff, &text, err) < 0)
        return -1;
    _cleanup_free_ char *target = link_target(diff, text.data);
    if (target && unit_of_path(target, &kind, &tree))
        add_unit(w, kind, &tree, held);
    return 0;
}

/* The layers of an image, from the top to the lowest. */
static int mark_podman_layers(struct marker *w, const char *id, int64_t held, struct error *err)
{
    for (size_t depth = 0; id && depth <= LIMIT_LAYERS; depth++) {
        const json_t *record = json_object_get(w->mark->podman.layers, id);
        struct digest layer;
        if (!digest_of_name(id, &layer))
            return error_set(err, ERROR_PARSE, PODMAN_LAYERS_JSON ": \"%s\" is no layer's id", id);
        if (!record) /* what is not there needs not be kept */
            return 0;
        add_unit(w, UNIT_PODMAN_LAYER, &layer, held);
        if (mark_podman_tree(w, &layer, record, held, err) < 0)
            return -1;
        id = json_string_value(json_object_get(record, "parent"));
    }
    return 0;
}

static int mark_podman_image(struct marker *w, const char *id, const json_t *record,
                             struct error *err)
{
    struct digest image;
    int64_t held = 0;
    if (!digest_of_name(id, &image))
        return error_set(err, ERROR_PARSE, PODMAN_IMAGES_JSON ": \"%s\" is no image's id", id);
    bool named = json_array_size(json_object_get(record, "names")) > 0;
    if (!named && mark_reach(w->mark, UNIT_PODMAN_IMAGE, &image, &held) == REACH_NOTHING)
        return 0;
    held = named ? 0 : held;
    add_unit(w, UNIT_PODMAN_IMAGE, &image, held);
    return mark_podman_layers(w, json_string_value(json_object_get(record, "layer")), held, err);
}

static int mark_podman(struct marker *w, struct error *err)
{
    const char *id;
    json_t *record;
    if (published_podman(w->repository, &w->mark->podman, err) < 0)
        return -1;
    json_object_foreach(w->mark->podman.images, id, record)
    {
        if (mark_podman_image(w, id, record, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- all ---- */

static int mark_all(struct marker *w, struct error *err)
{
    mode_t type;
    if (published_type(w->repository, "", &type, err) < 0)
        return -1;
    if (type == 0)
        return error_set(err, ERROR_NOT_FOUND, "there is nothing at %s", w->repository->view);
    if (name_walk_links(w->repository, mark_link, w, err) < 0 ||
        name_walk_documents(w->repository, mark_documents, w, err) < 0)
        return -1;
    settle_units(w);
    settle_names(w->mark);
    if (check_described(w->mark, err) < 0 || mark_removed(w, err) < 0)
        return -1;
    settle_units(w);
    settle_names(w->mark);
    if (mark_podman(w, err) < 0)
        return -1;
    settle_units(w);
    return 0;
}

int mark_repository(const struct repository *r, const struct string_list *selected,
                    struct mark *out, struct error *err)
{
    struct mark mark = {0};
    struct marker w = {.repository = r, .selected = selected, .mark = &mark};
    int result = mark_all(&w, err);
    tdestroy(w.chains_known, free);
    free(w.pending);
    if (result < 0) {
        mark_release(&mark);
        return error_wrap(err, "%s %s", r->backend->noun, r->name);
    }
    *out = mark;
    return 0;
}

void mark_release(struct mark *m)
{
    for (size_t i = 0; i < m->name_count; i++)
        free(m->names[i].name);
    free(m->names);
    free(m->units);
    free(m->unknown_chains_of);
    podman_store_release(&m->podman);
    *m = (struct mark){0};
}

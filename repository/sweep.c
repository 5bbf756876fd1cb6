#include "repository/sweep.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "layers/layer_index.h"
#include "repository/published.h"
#include "repository/removal.h"

#include <string.h>

#define STEP_FIRST   50
#define STEP_MAX     1000
#define STEP_SECONDS 5.0

void sweep_release(struct sweep *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->units[i].path);
        string_list_release(&s->units[i].links);
    }
    free(s->units);
    string_list_release(&s->folders);
    *s = (struct sweep){0};
}

/* ---- finding ---- */

struct finder {
    const struct repository *repository;
    const struct mark *mark;
    struct sweep *sweep;
};

static void add_unit(struct finder *f, enum unit_kind kind, const struct digest *id, bool recorded)
{
    struct sweep *s = f->sweep;
    int64_t held;
    enum reach reach = mark_reach(f->mark, kind, id, &held);
    if (reach == REACH_NAME)
        return;
    ARRAY_GROW(s->units, s->count, s->capacity);
    s->units[s->count++] = (struct sweep_unit){.kind = kind,
                                               .id = *id,
                                               .path = unit_path(kind, id),
                                               .is_held = reach == REACH_HELD,
                                               .is_selected = held == HELD_BY_SELECTED,
                                               .is_recorded = recorded,
                                               .since = held > 0 ? held : 0};
}

/* The layer's index says how much it holds; without one, what is noted for Podman. */
static void measure_layer(const struct repository *r, struct sweep_unit *u)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_free_ char *file = xasprintf("%s/%s/.metadata/index", r->view, u->path);
    _cleanup_free_ char *json = path_join(u->path, ".metadata/layers.json");
    struct layer_index index;
    repository_reading_begin(r);
    bool has_index = layer_index_open(file, false, &index, &ignored) == 0;
    if (has_index) {
        u->bytes = index.header->data_size;
        u->entries = index.header->entry_count;
        layer_index_release(&index);
    }
    repository_reading_end(r);
    if (has_index)
        return;
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    if (published_read(r, json, LIMIT_MANIFEST_BYTES, &bytes, &ignored) < 0)
        return;
    _cleanup_json_ json_t *list =
        json_parse(json, bytes.data, bytes.len, LIMIT_MANIFEST_BYTES, &ignored);
    json_int_t size = json_integer_value(json_object_get(json_array_get(list, 0), "diff-size"));
    u->bytes = size > 0 ? (uint64_t)size : 0;
}

static int find_in(struct finder *f, const char *folder, enum unit_kind kind, struct error *err)
{
    _cleanup_string_list_ struct string_list entries = STRING_LIST_INIT;
    if (cancel_check(err) < 0 || published_list(f->repository, folder, &entries, err) < 0)
        return -1;
    for (size_t i = 0; i < entries.count; i++) {
        struct digest id;
        size_t before = f->sweep->count;
        if (!digest_of_name(entries.items[i], &id))
            continue; /* not ours */
        add_unit(f, kind, &id, false);
        if (kind == UNIT_LAYER && f->sweep->count > before)
            measure_layer(f->repository, &f->sweep->units[before]);
    }
    return 0;
}

static int find_spread(struct finder *f, const char *folder, enum unit_kind kind, struct error *err)
{
    _cleanup_string_list_ struct string_list entries = STRING_LIST_INIT;
    if (published_list(f->repository, folder, &entries, err) < 0)
        return -1;
    for (size_t i = 0; i < entries.count; i++) {
        _cleanup_free_ char *below = path_join(folder, entries.items[i]);
        if (strlen(entries.items[i]) == 2 && find_in(f, below, kind, err) < 0)
            return -1;
    }
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    const struct sweep_unit *x = a, *y = b;
    return memcmp(x->id.bytes, y->id.bytes, sizeof x->id.bytes);
}

/* Among units that a folder gave: they are in order. */
static struct sweep_unit *find_unit(struct sweep *s, size_t from, size_t to,
                                    const struct digest *id)
{
    struct sweep_unit key = {.id = *id};
    return to > from ? bsearch(&key, s->units + from, to - from, sizeof *s->units, compare_ids)
                     : NULL;
}

/* A record without a folder is no less garbage. */
static void find_records(struct finder *f, const json_t *records, enum unit_kind kind, size_t from)
{
    size_t to = f->sweep->count;
    const char *id;
    json_t *record;
    json_object_foreach((json_t *)records, id, record)
    {
        struct digest digest;
        if (!digest_of_name(id, &digest))
            continue;
        struct sweep_unit *there = find_unit(f->sweep, from, to, &digest);
        if (there)
            there->is_recorded = true;
        else
            add_unit(f, kind, &digest, true);
    }
}

/* ---- short names ---- */

#define LINKS PODMAN_STORE "/overlay/l"

struct link_owner {
    struct podman_link link;
    size_t unit;
};

/* The Podman layers that may go, with their short names. */
struct link_owners {
    struct link_owner *items;
    size_t count;
    size_t from, to; /* where in the units their folders are */
};

static int compare_links(const void *a, const void *b)
{
    const struct link_owner *x = a, *y = b;
    return strcmp(x->link.s, y->link.s);
}

static void collect_owners(const struct sweep *s, size_t from, size_t to, struct link_owners *out)
{
    *out = (struct link_owners){xcalloc(s->count - from + 1, sizeof *out->items), 0, from, to};
    for (size_t i = from; i < s->count; i++)
        out->items[out->count++] = (struct link_owner){podman_link(&s->units[i].id), i};
    if (out->count > 1)
        qsort(out->items, out->count, sizeof *out->items, compare_links);
}

/* Ours are made of the id; the Go tool's lead to it, "../ID/diff". */
static int owner_of_link(struct finder *f, const struct link_owners *owners, const char *name,
                         struct sweep_unit **out, struct error *err)
{
    struct link_owner key = {.unit = 0};
    _cleanup_free_ char *path = path_join(LINKS, name);
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct digest id;
    *out = NULL;
    snprintf(key.link.s, sizeof key.link.s, "%s", name);
    const struct link_owner *found =
        strlen(name) < sizeof key.link.s && owners->count
            ? bsearch(&key, owners->items, owners->count, sizeof key, compare_links)
            : NULL;
    if (found) {
        *out = &f->sweep->units[found->unit];
        return 0;
    }
    if (published_readlink(f->repository, path, &text, err) < 0)
        return -1;
    _cleanup_free_ char *hex = starts_with(text.data, "../")
                                   ? xstrndup(text.data + 3, strcspn(text.data + 3, "/"))
                                   : xstrdup("");
    if (digest_of_name(hex, &id))
        *out = find_unit(f->sweep, owners->from, owners->to, &id);
    return 0;
}

/* Those of layers that stay are told from their ids, without a look at the repository. */
static void links_that_stay(const struct mark *mark, struct string_list *out)
{
    for (size_t i = 0; i < mark->unit_count; i++)
        if (mark->units[i].kind == UNIT_PODMAN_LAYER && mark->units[i].held == 0)
            string_list_add(out, podman_link(&mark->units[i].id).s);
    string_list_sort(out);
}

static int find_links(struct finder *f, const struct link_owners *owners, struct error *err)
{
    _cleanup_string_list_ struct string_list links = STRING_LIST_INIT;
    _cleanup_string_list_ struct string_list stay = STRING_LIST_INIT;
    if (owners->count == 0)
        return 0;
    if (published_list(f->repository, LINKS, &links, err) < 0)
        return -1;
    links_that_stay(f->mark, &stay);
    for (size_t i = 0; i < links.count; i++) {
        struct sweep_unit *owner;
        if (links.items[i][0] == '.' || string_list_has(&stay, links.items[i]))
            continue;
        if (owner_of_link(f, owners, links.items[i], &owner, err) < 0)
            return -1;
        if (owner)
            string_list_take(&owner->links, path_join(LINKS, links.items[i]));
    }
    return 0;
}

/* ---- all of it ---- */

/* A merged layer shows a chain, which only its link names. */
static int find_shown(struct finder *f, struct sweep_unit *u, struct error *err)
{
    const json_t *record = json_object_get(f->mark->podman.layers, digest_hex(&u->id).s);
    const char *blob = json_string_value(json_object_get(record, "compressed-diff-digest"));
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *diff = path_join(u->path, "diff");
    u->shows_kind = UNIT_LAYER;
    if (!record || (blob && digest_parse(blob, &u->shows, &ignored) == 0))
        return 0;
    if (published_readlink(f->repository, diff, &text, err) < 0) {
        if (err->kind != ERROR_NOT_FOUND)
            return -1;
        error_release(err); /* a record without a folder */
        return 0;
    }
    _cleanup_free_ char *target = link_target(diff, text.data);
    if (!target || !unit_of_path(target, &u->shows_kind, &u->shows))
        u->shows = (struct digest){0};
    return 0;
}

static int find_podman(struct finder *f, struct error *err)
{
    struct link_owners owners;
    if (find_in(f, PODMAN_STORE "/overlay-images", UNIT_PODMAN_IMAGE, err) < 0)
        return -1;
    find_records(f, f->mark->podman.images, UNIT_PODMAN_IMAGE, 0);
    size_t from = f->sweep->count;
    if (find_in(f, PODMAN_STORE "/overlay", UNIT_PODMAN_LAYER, err) < 0)
        return -1;
    size_t to = f->sweep->count;
    find_records(f, f->mark->podman.layers, UNIT_PODMAN_LAYER, from);
    collect_owners(f->sweep, from, to, &owners);
    int result = find_links(f, &owners, err);
    free(owners.items);
    for (size_t i = from; result == 0 && i < f->sweep->count; i++)
        result = find_shown(f, &f->sweep->units[i], err);
    return result;
}

int sweep_find(const struct repository *r, const struct mark *mark, struct sweep *out,
               struct error *err)
{
    struct sweep sweep = {.at_once = STEP_FIRST};
    struct finder f = {r, mark, &sweep};
    if (find_podman(&f, err) < 0 || find_spread(&f, ".flat", UNIT_FLAT, err) < 0 ||
        find_spread(&f, ".chains", UNIT_CHAIN, err) < 0 ||
        find_spread(&f, ".layers", UNIT_LAYER, err) < 0) {
        sweep_release(&sweep);
        return error_wrap(err, "%s %s", r->backend->noun, r->name);
    }
    *out = sweep;
    return 0;
}

/* ---- choosing ---- */

/* A time to come is a clock that jumped: it says nothing. */
static bool is_over(int64_t since, const struct sweep_options *o)
{
    return since > 0 && since <= o->now && o->now - since >= o->grace_seconds;
}

static int compare_units(const void *a, const void *b)
{
    const struct sweep_unit *x = *(struct sweep_unit *const *)a,
                            *y = *(struct sweep_unit *const *)b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return memcmp(x->id.bytes, y->id.bytes, sizeof x->id.bytes);
}

struct chooser {
    struct sweep *sweep;
    const struct mark *mark;
    struct sweep_unit **by_id;
};

static struct sweep_unit *look_up(const struct chooser *c, enum unit_kind kind,
                                  const struct digest *id)
{
    struct sweep_unit key = {.kind = kind, .id = *id}, *wanted = &key;
    if (c->sweep->count == 0)
        return NULL;
    struct sweep_unit **found =
        bsearch(&wanted, c->by_id, c->sweep->count, sizeof *c->by_id, compare_units);
    return found ? *found : NULL;
}

static void keep_layers(const struct chooser *c, const char *id)
{
    for (size_t depth = 0; id && depth <= LIMIT_LAYERS; depth++) {
        const json_t *record = json_object_get(c->mark->podman.layers, id);
        struct digest digest;
        struct sweep_unit *layer =
            digest_of_name(id, &digest) ? look_up(c, UNIT_PODMAN_LAYER, &digest) : NULL;
        if (layer)
            layer->is_due = false;
        id = json_string_value(json_object_get(record, "parent"));
    }
}

/* What stays of Podman's store keeps what it needs: an image its layers, a layer those below it and
 * what it shows. */
static void keep_needs(const struct chooser *c)
{
    static const struct {
        enum unit_kind kind;
        const char *field;
    } chains[] = {{UNIT_PODMAN_IMAGE, "layer"}, {UNIT_PODMAN_LAYER, "parent"}};
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < c->sweep->count; i++) {
            const struct sweep_unit *u = &c->sweep->units[i];
            const json_t *records = k == 0 ? c->mark->podman.images : c->mark->podman.layers;
            const json_t *record = json_object_get(records, digest_hex(&u->id).s);
            if (u->kind == chains[k].kind && !u->is_due)
                keep_layers(c, json_string_value(json_object_get(record, chains[k].field)));
        }
    }
    for (size_t i = 0; i < c->sweep->count; i++) {
        const struct sweep_unit *u = &c->sweep->units[i];
        struct sweep_unit *shown = u->kind == UNIT_PODMAN_LAYER && !u->is_due
                                       ? look_up(c, u->shows_kind, &u->shows)
                                       : NULL;
        if (shown)
            shown->is_due = false;
    }
}

static void settle_needs(struct sweep *s, const struct mark *mark)
{
    struct chooser c = {s, mark, xcalloc(s->count + 1, sizeof(struct sweep_unit *))};
    for (size_t i = 0; i < s->count; i++)
        c.by_id[i] = &s->units[i];
    qsort(c.by_id, s->count, sizeof *c.by_id, compare_units);
    keep_needs(&c);
    free(c.by_id);
}

static void choose_folders(struct sweep *s, const struct mark *mark, const struct sweep_options *o)
{
    string_list_release(&s->folders);
    for (size_t i = 0; i < mark->name_count; i++) {
        const struct mark_name *n = &mark->names[i];
        bool over = n->removed_at != 0 && (n->is_stale || is_over(n->removed_at, o));
        if (o->only_selected ? n->is_selected : over)
            string_list_take(&s->folders, path_join(REMOVED_FOLDER, n->name));
    }
}

/* Those behind the limit wait for the next run; they stand behind what needs them. */
static void cut(struct sweep *s, size_t limit)
{
    size_t due = 0;
    for (size_t i = 0; i < s->count; i++) {
        due += s->units[i].is_due;
        if (limit && due > limit)
            s->units[i].is_due = false;
    }
}

void sweep_choose(struct sweep *s, const struct mark *mark, const struct sweep_options *o)
{
    choose_folders(s, mark, o);
    for (size_t i = 0; i < s->count; i++)
        s->units[i].is_due =
            o->only_selected ? s->units[i].is_selected : is_over(s->units[i].since, o);
    settle_needs(s, mark);
    cut(s, o->limit);
}

void sweep_check_again(struct sweep *s, const struct mark *mark, const struct sweep_options *o)
{
    choose_folders(s, mark, o);
    for (size_t i = s->next; i < s->count; i++) {
        struct sweep_unit *u = &s->units[i];
        int64_t held;
        enum reach reach = mark_reach(mark, u->kind, &u->id, &held);
        bool may_go = o->only_selected ? held == HELD_BY_SELECTED : is_over(held, o);
        if (reach == REACH_NAME || (reach == REACH_HELD && !may_go))
            u->is_due = false;
    }
    settle_needs(s, mark);
    s->begun = false; /* the lists may have been written anew */
}

/* ---- carrying out ---- */

static int write_list(struct changeset *cs, const char *path, char *text, struct error *err)
{
    _cleanup_free_ char *owned = text;
    return changeset_add_file(cs, path, owned, strlen(owned), err);
}

static bool drop_records(const struct sweep *s, struct podman_store *store, enum unit_kind kind)
{
    bool changed = false;
    for (size_t i = s->next; i < s->count; i++) {
        const struct sweep_unit *u = &s->units[i];
        if (u->kind == kind && u->is_due)
            changed |= kind == UNIT_PODMAN_IMAGE ? podman_store_remove_image(store, &u->id)
                                                 : podman_store_remove_layer(store, &u->id);
    }
    return changed;
}

/* Images first: no record may name a layer that is not there. */
static int plan_lists(const struct repository *r, const struct sweep *s, struct changeset *cs,
                      struct error *err)
{
    struct podman_store store;
    int result = 0;
    if (published_podman(r, &store, err) < 0)
        return -1;
    if (drop_records(s, &store, UNIT_PODMAN_IMAGE))
        result = write_list(cs, PODMAN_IMAGES_JSON, podman_store_images_text(&store), err);
    if (result == 0 && drop_records(s, &store, UNIT_PODMAN_LAYER))
        result = write_list(cs, PODMAN_LAYERS_JSON, podman_store_layers_text(&store), err);
    podman_store_release(&store);
    return result;
}

static int begin_sweep(struct repository *r, struct sweep *s, struct sweep_report *report,
                       struct error *err)
{
    struct commit_options options = {.what = "taking records out of Podman's lists"};
    struct commit_report done;
    struct changeset *cs = changeset_new();
    int result = 0;
    if (s->folders.count > 0) {
        result = repository_remove_names(r, (const char *const *)s->folders.items, s->folders.count,
                                         err);
        report->folders += s->folders.count;
        report->revisions++;
        string_list_release(&s->folders);
    }
    if (result == 0)
        result = plan_lists(r, s, cs, err);
    if (result == 0 && !changeset_is_empty(cs)) {
        result = repository_commit(r, cs, &options, &done, err);
        report->revisions++;
    }
    changeset_free(cs);
    s->begun = result == 0;
    return result;
}

static void add_path(const struct repository *r, const char *path, struct string_list *out)
{
    mode_t type;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    if (published_type(r, path, &type, &ignored) < 0 || type != 0)
        string_list_add(out, path);
}

/* The trees of the next units, as many as go at once. */
static void next_trees(const struct repository *r, struct sweep *s, struct sweep_report *report,
                       struct string_list *out)
{
    for (; s->next < s->count && out->count < s->at_once; s->next++) {
        const struct sweep_unit *u = &s->units[s->next];
        if (!u->is_due)
            continue;
        for (size_t i = 0; i < u->links.count; i++)
            add_path(r, u->links.items[i], out);
        add_path(r, u->path, out);
        report->units[u->kind]++;
        report->bytes += u->bytes;
    }
}

/* Publishing waits for a step: it takes as long as a commit may. */
static void pace(struct sweep *s, double seconds)
{
    if (seconds < STEP_SECONDS / 2 && s->at_once < STEP_MAX)
        s->at_once *= 2;
    else if (seconds > STEP_SECONDS && s->at_once > 1)
        s->at_once /= 2;
}

static int sweep_trees(struct repository *r, struct sweep *s, struct sweep_report *report,
                       struct error *err)
{
    _cleanup_string_list_ struct string_list paths = STRING_LIST_INIT;
    double start = clock_monotonic();
    next_trees(r, s, report, &paths);
    if (paths.count == 0)
        return 0;
    report->revisions++;
    if (repository_delete(r, (const char *const *)paths.items, paths.count, err) < 0)
        return -1;
    pace(s, clock_monotonic() - start);
    return 0;
}

int sweep_step(struct repository *r, struct sweep *s, struct sweep_report *report, bool *out_done,
               struct error *err)
{
    double start = clock_monotonic();
    bool trees = s->begun; /* the first step is a revision or two already */
    if (cancel_check(err) < 0 || (!trees && begin_sweep(r, s, report, err) < 0) ||
        (trees && sweep_trees(r, s, report, err) < 0))
        return -1;
    *out_done = true;
    for (size_t i = s->next; i < s->count; i++)
        *out_done &= !s->units[i].is_due;
    double seconds = clock_monotonic() - start;
    report->longest_seconds = seconds > report->longest_seconds ? seconds : report->longest_seconds;
    return 0;
}

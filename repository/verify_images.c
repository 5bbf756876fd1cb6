/* verify_repository(): repository/verify.h says what it does. */
#include "repository/verifier.h"

#include "base/cancel.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "repository/mark.h"
#include "repository/multiarch.h"
#include "repository/name_walk.h"
#include "repository/plan.h"
#include "repository/published.h"
#include "repository/removal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STAGING     ".ducc-staging" /* of a directory's commit, */
#define OLD_STAGING ".dirty-chains" /* and of the Go tool */

/* ---- names ---- */

static int find_link(void *arg, const char *path, enum unit_kind kind, const struct digest *unit,
                     struct error *err)
{
    struct verifier *v = arg;
    (void)unit;
    (void)err;
    if (kind == UNIT_FLAT)
        string_list_add(&v->linked, path);
    return 0;
}

static bool has_document(const struct string_list *entries)
{
    static const char *const documents[] = {"manifest.json", "config.json", "index.json"};
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
        if (string_list_has(entries, documents[i]))
            return true;
    return false;
}

static int find_documents(void *arg, const char *folder, const struct string_list *entries,
                          bool *out_is_name, struct error *err)
{
    struct verifier *v = arg;
    (void)err;
    *out_is_name = has_document(entries);
    if (*out_is_name)
        string_list_add(&v->names, folder);
    return 0;
}

static bool is_wanted(const struct verifier *v, const char *name)
{
    const struct string_list *only = v->options->only;
    if (!only)
        return true;
    const char *plain = multiarch_plain(name);
    return string_list_has(only, plain ? plain : name);
}

/* ---- one image ---- */

/* `layer`: what must be taken away before, or "". */
static void needs_registry(struct verifier *v, const char *name, const char *layer)
{
    if (!v->options->mending || multiarch_plain(name))
        return;
    string_list_add(&v->options->mending->names, name);
    string_list_add(&v->options->mending->layers, layer);
}

static void report_failure(struct verifier *v, const char *name, const struct published_image *p,
                           const struct error *why)
{
    static const enum finding_kind kinds[] = {[FAILED_NOTHING] = FOUND_UNREADABLE,
                                              [FAILED_DOCUMENTS] = FOUND_DOCUMENTS,
                                              [FAILED_CONFIG] = FOUND_CONFIGURATION,
                                              [FAILED_LAYER] = FOUND_LAYER,
                                              [FAILED_READING] = FOUND_UNREADABLE};
    _cleanup_free_ char *folder =
        p->failure == FAILED_LAYER ? layout_layer(&p->layer) : layout_metadata(name);
    findings_add(v->findings, kinds[p->failure], name, folder, "%s", why->message);
    /* What is left of a layer would be taken for all of it. */
    if (finding_remedy(kinds[p->failure]) == REMEDY_REGISTRY)
        needs_registry(v, name, p->failure == FAILED_LAYER ? folder : "");
}

/* How the image was published, as far as what is there tells. */
static struct policy policy_of(const struct verifier *v, const struct image *image)
{
    return (struct policy){.chains = v->has_chains ? CHAINS_TOP : CHAINS_NONE,
                           .podman = verify_podman_form(v, image),
                           .skip_layers = !v->has_layers,
                           .skip_flat = !v->has_flat};
}

/* An architecture's image leads its name if the documents in the usual place are its own. */
static void find_leader(struct verifier *v, struct image *image)
{
    _cleanup_buf_ struct buf plain = BUF_INIT;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_free_ char *name = image_public_name(image, 0);
    _cleanup_free_ char *folder = layout_metadata(name);
    _cleanup_free_ char *path = path_join(folder, "manifest.json");
    if (!image->multiarch.directory ||
        published_read(v->repository, path, LIMIT_MANIFEST_BYTES_MAX, &plain, &ignored) < 0)
        return;
    image->multiarch.leads = plain.len == image->manifest.len &&
                             memcmp(plain.data, image->manifest.data, plain.len) == 0;
    if (image->multiarch.leads)
        string_list_add(&v->led, name);
}

/* What adopting adds. */
static bool is_record(const char *path)
{
    return starts_with(path, ".metadata/") ||
           (starts_with(path, ".layers/") && strstr(path, "/.metadata/"));
}

static void add_items(json_t *list, const json_t *from)
{
    size_t i;
    json_t *item;
    json_array_foreach(from, i, item)
    {
        if (!json_array_has(list, item))
            json_array_append(list, item);
    }
}

/* The image joins those that are named there already, or will be. */
static void note_origin(struct verifier *v, const struct change *c)
{
    struct mending *m = v->options->mending;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *wanted =
        json_parse(c->path, c->bytes, c->size, LIMIT_MANIFEST_BYTES, &ignored);
    json_t *list = json_object_get(m->origins, c->path);
    if (!list) {
        list = json_array();
        json_object_set_new(m->origins, c->path, list);
        if (published_read(v->repository, c->path, LIMIT_MANIFEST_BYTES, &text, &ignored) == 0) {
            _cleanup_json_ json_t *there =
                json_parse(c->path, text.data, text.len, LIMIT_MANIFEST_BYTES, &ignored);
            add_items(list, json_object_get(there, "origin"));
        }
    }
    add_items(list, json_object_get(wanted, "origin"));
}

static int copy_change(void *arg, const struct change *c, struct error *err)
{
    struct verifier *v = arg;
    struct mending *m = v->options->mending;
    mode_t type;
    bool unit = v->copying != NULL;
    if (!unit && !string_list_has(&v->compare.paths, c->path))
        return 0;
    if (strcmp(c->path, PODMAN_IMAGES_JSON) == 0 || strcmp(c->path, PODMAN_LAYERS_JSON) == 0) {
        m->podman_changed = true; /* they are written with all images' records */
        return 0;
    }
    if (m->only_records && !is_record(c->path))
        return 0;
    if (starts_with(c->path, ".layers/") && strcmp(path_name(c->path), "origin.json") == 0) {
        note_origin(v, c);
        return 0;
    }
    if (changeset_has(m->changes, c->path))
        return 0;
    if (!unit) {
        if (published_type(v->repository, c->path, &type, err) < 0)
            return -1;
        bool replaces = (S_ISREG(type) && c->type == CHANGE_FILE) ||
                        (S_ISLNK(type) && c->type == CHANGE_SYMLINK);
        if (type != 0 && !replaces && !S_ISDIR(type))
            string_list_add(&m->remove, c->path);
    }
    return changeset_add_copy(m->changes, c, err);
}

static int begin_copy(void *arg, const char *root, struct error *err)
{
    struct verifier *v = arg;
    struct mending *m = v->options->mending;
    mode_t type;
    if (m->only_records || !string_list_has(&v->compare.units, root) ||
        changeset_has(m->changes, root) || starts_with(root, ".layers/"))
        return 0;
    if (published_type(v->repository, root, &type, err) < 0)
        return -1;
    if (type != 0)
        string_list_add(&m->rebuild, root);
    v->copying = root;
    changeset_begin_unit(m->changes, root);
    return 0;
}

static int end_copy(void *arg, const char *root, struct error *err)
{
    struct verifier *v = arg;
    (void)root;
    (void)err;
    if (v->copying)
        changeset_end_unit(v->options->mending->changes);
    v->copying = NULL;
    return 0;
}

/* What of the image has to be put right, from what should be there. */
static int collect_mending(struct verifier *v, const struct changeset *expected, const char *name,
                           struct error *err)
{
    struct changeset_visitor visitor = {
        .change = copy_change, .begin_unit = begin_copy, .end_unit = end_copy, .arg = v};
    for (size_t i = 0; i < v->compare.units.count; i++)
        if (starts_with(v->compare.units.items[i], ".layers/"))
            needs_registry(v, name, v->compare.units.items[i]);
    return changeset_visit(expected, &visitor, err);
}

static int compare_with_plan(struct verifier *v, const char *name, struct published_image *p,
                             struct error *err)
{
    struct policy policy = policy_of(v, &p->image);
    struct podman_lists lists = {0};
    struct plan_target target = {&v->nothing, &policy, &lists, NULL};
    struct plan_summary summary;
    struct image *image = &p->image;
    size_t bad;
    struct changeset *cs = changeset_new();
    int result = plan_group(&target, &image, 1, cs, &summary, &bad, err);
    if (result == 0)
        result = compare_image(&v->compare, cs, name, &v->old, err);
    if (result == 0 && policy.podman != PODMAN_NONE)
        verify_podman_image(v, name, &lists.store);
    if (result == 0 && v->options->mending)
        result = collect_mending(v, cs, name, err);
    string_list_release(&v->compare.paths);
    string_list_release(&v->compare.units);
    podman_lists_release(&lists);
    changeset_free(cs);
    return result;
}

/* Of a repository without layers nothing says what its trees should hold: they must be there. */
static int verify_without_layers(struct verifier *v, const char *name, const struct image *image,
                                 struct error *err)
{
    mode_t type;
    _cleanup_free_ char *flat = layout_flat(&image->config_digest);
    if (!v->has_flat)
        return 0;
    if (published_type(v->repository, flat, &type, err) < 0)
        return -1;
    if (!S_ISDIR(type)) {
        findings_add(v->findings, FOUND_FLAT, name, flat, "it is missing");
        needs_registry(v, name, "");
    } else if (!string_list_has(&v->linked, name) && !image->multiarch.directory) {
        findings_add(v->findings, FOUND_NAME, name, name, "it is missing, or leads elsewhere");
        needs_registry(v, name, "");
    }
    return 0;
}

static int verify_image(struct verifier *v, const char *name, struct error *err)
{
    struct published_image p;
    struct published_image_options options = {v->scratch, v->options->mending != NULL};
    struct error why = ERROR_INIT;
    int result = 0;
    if (cancel_check(err) < 0)
        return -1;
    if (published_image_load(v->repository, name, &options, &p, &why) < 0) {
        v->incomplete = true;
        if (p.failure == FAILED_LAYER && !v->has_layers)
            result = verify_without_layers(v, name, &p.image, err);
        else
            report_failure(v, name, &p, &why);
        error_release(&why);
    } else {
        find_leader(v, &p.image);
        result = compare_with_plan(v, name, &p, err);
    }
    published_image_release(&p);
    return result;
}

/* A name for several architectures is looked at with the one that leads it. */
static bool has_architectures(const struct verifier *v, const char *name)
{
    for (size_t i = 0; i < v->names.count; i++) {
        const char *plain = multiarch_plain(v->names.items[i]);
        if (plain && strcmp(plain, name) == 0)
            return true;
    }
    return false;
}

static int verify_names(struct verifier *v, struct verify_report *report, struct error *err)
{
    for (size_t i = 0; i < v->names.count; i++) {
        const char *name = v->names.items[i];
        if (!is_wanted(v, name))
            continue;
        report->names++;
        if (!has_architectures(v, name) && verify_image(v, name, err) < 0)
            return -1;
    }
    string_list_sort(&v->led);
    for (size_t i = 0; i < v->names.count; i++) {
        const char *name = v->names.items[i];
        if (!is_wanted(v, name) || !has_architectures(v, name) || string_list_has(&v->led, name))
            continue;
        _cleanup_free_ char *folder = layout_metadata(name);
        findings_add(v->findings, FOUND_DOCUMENTS, name, folder,
                     "its manifest is none of its architectures'");
        needs_registry(v, name, "");
    }
    return 0;
}

static int verify_links(struct verifier *v, struct verify_report *report, struct error *err)
{
    for (size_t i = 0; i < v->linked.count; i++) {
        const char *name = v->linked.items[i];
        if (string_list_has(&v->names, name) || !is_wanted(v, name))
            continue;
        struct stat st;
        _cleanup_free_ char *full = path_join(v->repository->view, name);
        _cleanup_free_ char *folder = layout_metadata(name);
        report->names++;
        repository_reading_begin(v->repository);
        bool leads = stat(full, &st) == 0;
        repository_reading_end(v->repository);
        findings_add(v->findings, FOUND_UNDOCUMENTED, name, folder,
                     "there is no manifest.json, so it is not known what the image consists of%s",
                     leads ? "" : "; and the public name leads to nothing");
        v->incomplete = true;
        needs_registry(v, name, "");
    }
    return cancel_check(err);
}

/* ---- what belongs to no image ---- */

static void leftover(struct verifier *v, const char *path, const char *text)
{
    findings_add(v->findings, FOUND_LEFTOVER, NULL, path, "%s", text);
    if (v->options->mending)
        string_list_add(&v->options->mending->rebuild, path);
}

/* By its index: then there are no .wh. files to look for. */
static bool deletes_nothing(const struct verifier *v, const char *path)
{
    _cleanup_free_ char *full = path_join(v->repository->view, path);
    _cleanup_error_ struct error ignored = ERROR_INIT;
    struct layer_index index;
    bool none = false;
    repository_reading_begin(v->repository);
    if (layer_index_open(full, false, &index, &ignored) == 0) {
        none = index.header->whiteout_count + index.header->opaque_count == 0;
        layer_index_release(&index);
    }
    repository_reading_end(v->repository);
    return none;
}

static int look_into_layer(struct verifier *v, const char *path, struct digest *id,
                           struct error *err)
{
    _cleanup_free_ char *layerfs = path_join(path, "layerfs");
    _cleanup_free_ char *index = path_join(path, ".metadata/index");
    mode_t tree, has_index;
    struct layer_findings old = {0};
    if (published_type(v->repository, layerfs, &tree, err) < 0 ||
        published_type(v->repository, index, &has_index, err) < 0)
        return -1;
    if (!S_ISDIR(tree)) {
        leftover(v, path, "a layer's folder without a layer");
        return 0;
    }
    if (has_index && deletes_nothing(v, index))
        return 0;
    if (verify_layers(v->repository, id, 1, &old, err) < 0)
        return -1;
    for (size_t i = 0; i < old.count; i++) {
        string_list_add(&v->old, digest_text(id).s);
        findings_add(v->findings, FOUND_OLD_FORM, NULL, path,
                     "%zu deletions are .wh. files, which the kernel's overlayfs does not know",
                     old.items[i].old_whiteouts);
    }
    layer_findings_release(&old);
    return 0;
}

static int look_into(struct verifier *v, const char *top, struct error *err)
{
    _cleanup_string_list_ struct string_list prefixes = STRING_LIST_INIT;
    if (published_list(v->repository, top, &prefixes, err) < 0)
        return -1;
    for (size_t i = 0; i < prefixes.count; i++) {
        _cleanup_string_list_ struct string_list entries = STRING_LIST_INIT;
        _cleanup_free_ char *folder = path_join(top, prefixes.items[i]);
        if (published_list(v->repository, folder, &entries, err) < 0)
            return -1;
        for (size_t k = 0; k < entries.count; k++) {
            struct digest id;
            _cleanup_free_ char *path = path_join(folder, entries.items[k]);
            if (entries.items[k][0] == '.')
                continue;
            if (!digest_of_name(entries.items[k], &id))
                leftover(v, path, "no name of ours");
            else if (strcmp(top, ".layers") == 0 && look_into_layer(v, path, &id, err) < 0)
                return -1;
        }
    }
    return 0;
}

static int verify_rest(struct verifier *v, struct error *err)
{
    static const char *const stagings[] = {STAGING, OLD_STAGING};
    for (size_t i = 0; i < sizeof stagings / sizeof *stagings; i++) {
        _cleanup_string_list_ struct string_list entries = STRING_LIST_INIT;
        if (published_list(v->repository, stagings[i], &entries, err) < 0)
            return -1;
        if (entries.count > 0)
            leftover(v, stagings[i], "what a run that was cut short was about to publish");
    }
    if (look_into(v, ".layers", err) < 0 || look_into(v, ".chains", err) < 0 ||
        look_into(v, ".flat", err) < 0)
        return -1;
    string_list_sort(&v->old);
    return 0;
}

/* ---- all ---- */

static int has_directory(const struct repository *r, const char *path, bool *out, struct error *err)
{
    mode_t type;
    if (published_type(r, path, &type, err) < 0)
        return -1;
    *out = S_ISDIR(type);
    return 0;
}

static int set_up(struct verifier *v, struct error *err)
{
    const char *tmp = getenv("TMPDIR");
    struct stat st;
    v->scratch = xasprintf("%s/ducc-verify-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(v->scratch)) {
        free(TAKE_PTR(v->scratch));
        return error_set_errno(err, ERROR_IO, errno, "cannot make a folder for temporary files");
    }
    v->nothing = (struct repository){.name = v->repository->name,
                                     .root = path_join(v->scratch, "nothing"),
                                     .view = path_join(v->scratch, "nothing"),
                                     .backend = v->repository->backend};
    v->claimed = json_object();
    v->compare =
        (struct compare){.repository = v->repository,
                         .content = v->options->content,
                         .ignore_owners = stat(v->repository->view, &st) == 0 && st.st_uid != 0 &&
                                          v->repository->backend == &directory_backend,
                         .findings = v->findings,
                         .collect = v->options->mending != NULL};
    if (has_directory(v->repository, ".chains", &v->has_chains, err) < 0 ||
        has_directory(v->repository, ".flat", &v->has_flat, err) < 0 ||
        has_directory(v->repository, ".layers", &v->has_layers, err) < 0 ||
        has_directory(v->repository, PODMAN_STORE, &v->has_podman, err) < 0)
        return -1;
    return dir_make(v->nothing.root, 0700, err);
}

static int verify_all(struct verifier *v, struct verify_report *report, struct error *err)
{
    mode_t type;
    if (published_type(v->repository, "", &type, err) < 0)
        return -1;
    if (type == 0)
        return error_set(err, ERROR_NOT_FOUND, "there is nothing at %s", v->repository->view);
    if (set_up(v, err) < 0 || name_walk_links(v->repository, find_link, v, err) < 0 ||
        name_walk_documents(v->repository, find_documents, v, err) < 0)
        return -1;
    string_list_sort(&v->linked);
    string_list_sort(&v->names);
    if (v->has_podman)
        verify_podman_read(v);
    if (verify_rest(v, err) < 0 || verify_names(v, report, err) < 0 ||
        verify_links(v, report, err) < 0)
        return -1;
    /* Names of images that could not be looked at must not look like nobody's. */
    if (v->has_podman && !v->options->only && !v->incomplete)
        verify_podman_names(v);
    report->layers = v->old.count;
    return 0;
}

int verify_repository(const struct repository *r, const struct verify_options *o,
                      struct findings *out, struct verify_report *out_report, struct error *err)
{
    struct verifier v = {.repository = r, .options = o, .findings = out};
    *out_report = (struct verify_report){0};
    int result = verify_all(&v, out_report, err);
    struct error ignored = ERROR_INIT;
    if (v.scratch && tree_remove(v.scratch, &ignored) < 0)
        error_release(&ignored); /* temporary files, in the place for them */
    compare_release(&v.compare);
    podman_store_release(&v.podman);
    json_decref(v.claimed);
    string_list_release(&v.linked);
    string_list_release(&v.names);
    string_list_release(&v.led);
    string_list_release(&v.old);
    free(v.scratch);
    free(v.nothing.root);
    free(v.nothing.view);
    return result < 0 ? error_wrap(err, "%s %s", r->backend->noun, r->name) : 0;
}

int verify_names_of(const struct repository *r, struct string_list *out, struct error *err)
{
    struct verifier v = {.repository = r};
    int result = name_walk_documents(r, find_documents, &v, err);
    for (size_t i = 0; result == 0 && i < v.names.count; i++)
        if (!multiarch_plain(v.names.items[i]))
            string_list_add(out, v.names.items[i]);
    string_list_sort(out);
    string_list_release(&v.names);
    return result;
}

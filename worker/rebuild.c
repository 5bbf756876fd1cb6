#include "worker/rebuild.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"
#include "worker/beside.h"
#include "registry/manifest.h"
#include "repository/image.h"
#include "repository/multiarch.h"
#include "repository/published.h"
#include "state/names.h"
#include "state/runs.h"
#include "state/state.h"

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 64 /* folders of a name */
#define METADATA  ".metadata"

struct rebuild {
    struct database *db;
    const struct repository *repository;
    const char *key;
    int64_t now;
    size_t names;
};

/* ---- one name ---- */

static bool read_document(const struct rebuild *b, const char *folder, const char *document,
                          struct buf *out)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_free_ char *path = path_join(folder, document);
    return repository_read(b->repository, path, LIMIT_CONFIG_BYTES_MAX, out, &ignored) == 0;
}

/* Sizes and the image's id, as far as the manifest can be read: the Go tool spelled it otherwise.
 */
static void describe(const struct buf *manifest, struct name_publication *out)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    struct manifest m = {0};
    if (manifest_parse(manifest->data, manifest->len, &m, &ignored) < 0)
        return;
    out->image_id = m.config.digest;
    for (size_t i = 0; i < m.layer_count; i++)
        out->bytes += m.layers[i].foreign ? 0 : m.layers[i].blob.size;
    manifest_release(&m);
}

/* "linux/arm64" of the configuration. Owned; NULL if it does not say. */
static char *find_platform(const struct rebuild *b, const char *folder)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    const char *os = NULL, *architecture = NULL, *variant = NULL;
    if (!read_document(b, folder, "config.json", &bytes))
        return NULL;
    _cleanup_json_ json_t *o =
        json_parse("configuration", bytes.data, bytes.len, LIMIT_CONFIG_BYTES_MAX, &ignored);
    if (!o || json_get_optional_string(o, "", "os", &os, &ignored) < 0 || !os ||
        json_get_optional_string(o, "", "architecture", &architecture, &ignored) < 0 ||
        !architecture || json_get_optional_string(o, "", "variant", &variant, &ignored) < 0)
        return NULL;
    struct platform p = {.os = (char *)(uintptr_t)os,
                         .architecture = (char *)(uintptr_t)architecture,
                         .variant = (char *)(uintptr_t)variant};
    return platform_text(&p);
}

/* A name without its public link, whose flat image is there, was removed and can be restored.
 * (Without a flat image there never was a link: --skip-flat.) */
static bool is_removed(const struct rebuild *b, const char *name, const struct digest *image_id)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    mode_t link = 0, tree = 0;
    if (!digest_is_set(image_id))
        return false;
    _cleanup_free_ char *flat = layout_flat(image_id);
    return repository_type(b->repository, name, &link, &ignored) == 0 && link == 0 &&
           repository_type(b->repository, flat, &tree, &ignored) == 0 && tree != 0;
}

/* `folder` holds the documents of one image of the name. */
static int add_name(struct rebuild *b, const char *folder, const char *name, bool leads,
                    struct error *err)
{
    _cleanup_buf_ struct buf manifest = BUF_INIT, index = BUF_INIT;
    if (!read_document(b, folder, "manifest.json", &manifest)) {
        log_warning("%s: cannot be read; the name is left out", folder);
        return 0;
    }
    const struct buf *top = read_document(b, folder, "index.json", &index) ? &index : &manifest;
    _cleanup_free_ char *platform = find_platform(b, folder);
    struct name_publication p = {.digest = digest_of(DIGEST_SHA256, top->data, top->len),
                                 .platform = platform,
                                 .leads = leads};
    describe(&manifest, &p);
    p.bytes_new = 0;
    if (names_confirmed(b->db, b->key, name, &p, err) < 0)
        return -1;
    if (!leads)
        return 0;
    b->names++;
    if (is_removed(b, name, &p.image_id))
        return names_removed(b->db, b->key, name, "found without its public name", b->now, err);
    return 0;
}

/* ---- all names ---- */

static int walk(struct rebuild *b, const char *folder, const char *name, bool leads, int depth,
                struct error *err);

static int walk_entry(struct rebuild *b, const char *entry, const char *folder, const char *name,
                      bool leads, int depth, struct error *err)
{
    _cleanup_free_ char *below = path_join(folder, entry);
    _cleanup_free_ char *below_name = path_join(name, entry);
    mode_t type;
    if (strcmp(entry, "manifest.json") == 0 && *name)
        return add_name(b, folder, name, leads, err);
    if (entry[0] == '.')
        return 0;
    if (repository_type(b->repository, below, &type, err) < 0)
        return -1;
    return S_ISDIR(type) ? walk(b, below, below_name, leads, depth + 1, err) : 0;
}

static int walk(struct rebuild *b, const char *folder, const char *name, bool leads, int depth,
                struct error *err)
{
    _cleanup_string_list_ struct string_list entries = STRING_LIST_INIT;
    if (depth > DEPTH_MAX)
        return error_set_errno(err, ERROR_IO, ELOOP, "%s", folder);
    int result = published_list(b->repository, folder, &entries, err);
    for (size_t i = 0; result == 0 && i < entries.count; i++)
        result = walk_entry(b, entries.items[i], folder, name, leads, depth, err);
    return result;
}

/* .metadata/.multiarch/ARCH/NAME: the images of names that have several. */
static int walk_architectures(struct rebuild *b, struct error *err)
{
    _cleanup_string_list_ struct string_list entries = STRING_LIST_INIT;
    int result = published_list(b->repository, METADATA "/" MULTIARCH_FOLDER, &entries, err);
    for (size_t i = 0; result == 0 && i < entries.count; i++) {
        _cleanup_free_ char *folder =
            xasprintf(METADATA "/" MULTIARCH_FOLDER "/%s", entries.items[i]);
        if (entries.items[i][0] != '.')
            result = walk(b, folder, "", false, 1, err);
    }
    return result;
}

/* What the repository does not hold is not published, whatever the database says. */
static int forget_others(struct rebuild *b, struct error *err)
{
    struct name_records records = {0};
    int result = names_list(b->db, b->key, &records, err);
    for (size_t i = 0; result == 0 && i < records.count; i++) {
        _cleanup_free_ char *folder = layout_metadata(records.items[i].name);
        mode_t type;
        result = repository_type(b->repository, folder, &type, err);
        if (result == 0 && type == 0 && digest_is_set(&records.items[i].published))
            result = names_forget(b->db, b->key, records.items[i].name, err);
    }
    name_records_release(&records);
    return result;
}

int rebuild_names(struct database *db, const struct repository *repository, const char *key,
                  size_t *out_names, struct error *err)
{
    struct rebuild b = {db, repository, key, clock_now(), 0};
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    if (transaction_begin(db, &t, err) < 0 || forget_others(&b, err) < 0 ||
        walk(&b, METADATA, "", true, 0, err) < 0 || walk_architectures(&b, err) < 0 ||
        repository_set_known(db, key, b.now, err) < 0 || transaction_commit(&t, err) < 0)
        return -1;
    *out_names = b.names;
    return 0;
}

/* ---- the command ---- */

/* One that can be used: what cannot be is put aside. */
static int open_sound(const char *state_dir, struct database **out, char **out_aside,
                      struct error *err)
{
    struct database *db = NULL;
    *out_aside = NULL;
    if (database_open(state_dir, DATABASE_WRITE, &db, err) == 0 && database_check(db, err) == 0) {
        *out = db;
        return 0;
    }
    database_free(db);
    if (err->kind != ERROR_CORRUPT && err->kind != ERROR_UNSUPPORTED)
        return -1;
    log_warning("%s", err->message);
    error_release(err);
    if (database_put_aside(state_dir, out_aside, err) < 0)
        return -1;
    return database_open(state_dir, DATABASE_WRITE, out, err);
}

static int rebuild_one(struct database *db, const char *state_dir, const char *name,
                       size_t *out_names, struct error *err)
{
    struct repository *r = NULL;
    struct state state = {.lock_fd = -1};
    mode_t type;
    if (open_beside(name, state_dir, &r, err) < 0)
        return -1;
    int result = repository_type(r, "", &type, err);
    if (result == 0 && type == 0)
        result = error_set(err, ERROR_NOT_FOUND, "%s %s: there is nothing at %s", r->backend->noun,
                           r->name, r->root);
    if (result == 0)
        result = state_open(state_dir, NULL, name, &state, err);
    _cleanup_free_ char *key = repository_key(name);
    if (result == 0)
        result = rebuild_names(db, r, key, out_names, err);
    state_release(&state);
    repository_free(r);
    return result;
}

static void print_result(const char *repository, size_t names, bool json)
{
    if (!json) {
        printf("%s: %zu name%s found published\n", repository, names, names == 1 ? "" : "s");
        return;
    }
    _cleanup_json_ json_t *o = json_pack("{s:s, s:s, s:I}", "event", "rebuilt", "repository",
                                         repository, "names", (json_int_t)names);
    _cleanup_free_ char *text = json_text(o);
    printf("%s\n", text);
}

enum exit_status rebuild_command(const char *state_dir, char *const *repositories, size_t count,
                                 bool json, struct error *err)
{
    _cleanup_database_ struct database *db = NULL;
    _cleanup_free_ char *aside = NULL;
    if (open_sound(state_dir, &db, &aside, err) < 0)
        return EXIT_REPOSITORY;
    if (aside)
        log_warning("the old database is kept as %s", aside);
    for (size_t i = 0; i < count; i++) {
        size_t names;
        if (rebuild_one(db, state_dir, repositories[i], &names, err) < 0)
            return EXIT_REPOSITORY;
        print_result(repositories[i], names, json);
    }
    return EXIT_OK;
}

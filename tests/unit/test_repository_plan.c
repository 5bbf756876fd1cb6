/* repository/plan.h: from images and what a repository holds to a changeset. The repository is a
 * folder; where a second plan matters, the first is committed. */
#include "changeset_maker.h"
#include "tar_maker.h"

#include "base/json.h"
#include "repository/plan.h"

#include <jansson.h>

struct fixture {
    char *root;
    struct repository *repository;
    struct spool spool;
    struct policy policy;
    struct podman_lists podman;
    struct plan_target target;
    struct image images[3];
    size_t count;
};

static void fixture_make(struct fixture *f)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    *f = (struct fixture){.root = new_folder("repository")};
    _cleanup_free_ char *spool = new_folder("spool");
    assert_ok(repository_open(f->root, &f->repository, &err), &err);
    assert_ok(repository_begin(f->repository, "/nowhere", &err), &err);
    assert_ok(spool_open(&f->spool, spool, 0, &err), &err);
    f->policy.podman = PODMAN_NONE;
    f->target = (struct plan_target){f->repository, &f->policy, &f->podman, scratch};
    for (size_t i = 0; i < COUNT(f->images); i++)
        f->images[i].index = f->images[i].manifest = f->images[i].config = (struct buf)BUF_INIT;
}

static void fixture_free(struct fixture *f)
{
    for (size_t i = 0; i < f->count; i++)
        image_release(&f->images[i]);
    podman_lists_release(&f->podman);
    repository_free(f->repository);
    spool_release(&f->spool);
    free(f->root);
}

/* A layer of one file, prepared in the spool if it is not there yet. Its digest, and diff id. */
static struct digest put_layer(struct fixture *f, const char *content, uint64_t *out_size)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf tar = BUF_INIT;
    struct layer layer;
    _cleanup_free_ char *name = xasprintf("file-%s", content);
    put_file(&tar, name, content);
    put_end(&tar);
    struct digest blob = digest_of(DIGEST_SHA256, tar.data, tar.len);
    *out_size = tar.len;
    if (layer_open(&f->spool, &blob, &layer, &err) == 0) {
        layer_release(&layer);
        return blob;
    }
    _cleanup_free_ char *path = spool_blob_path(&f->spool, &blob);
    write_file(path, tar.data, tar.len);
    struct prepare_options options = {.diff_algorithm = DIGEST_SHA256};
    assert_ok(layer_prepare(&f->spool, &blob, &options, &err), &err);
    return blob;
}

static void set_json(struct buf *out, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    buf_adds(out, text);
    free(text);
    json_decref(value);
}

/* An image of layers "a b c" (their content) under a public name; `salt` makes another config. */
static struct image *add_image(struct fixture *f, const char *name, const char *layers,
                               const char *salt)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *words = xstrdup(layers);
    struct image *image = &f->images[f->count++];
    json_t *blobs = json_array(), *diff_ids = json_array();
    char *state = NULL;
    for (char *w = strtok_r(words, " ", &state); w; w = strtok_r(NULL, " ", &state)) {
        uint64_t size;
        struct digest d = put_layer(f, w, &size);
        json_array_append_new(blobs, json_pack("{s:s, s:s, s:I}", "mediaType",
                                               "application/vnd.oci.image.layer.v1.tar", "digest",
                                               digest_text(&d).s, "size", (json_int_t)size));
        json_array_append_new(diff_ids, json_string(digest_text(&d).s));
    }
    set_json(&image->config, json_pack("{s:s, s:s, s:s, s:{s:s, s:o}, s:{}}", "architecture",
                                       "amd64", "os", "linux", "author", salt, "rootfs", "type",
                                       "layers", "diff_ids", diff_ids, "config"));
    struct digest config = digest_of(DIGEST_SHA256, image->config.data, image->config.len);
    set_json(&image->manifest,
             json_pack("{s:i, s:{s:s, s:s, s:I}, s:o}", "schemaVersion", 2, "config", "mediaType",
                       "application/vnd.oci.image.config.v1+json", "digest", digest_text(&config).s,
                       "size", (json_int_t)image->config.len, "layers", blobs));
    image->manifest_digest = digest_of(DIGEST_SHA256, image->manifest.data, image->manifest.len);
    image->names = xcalloc(1, sizeof *image->names);
    image->name_count = image->name_capacity = 1;
    assert_ok(reference_parse(name, 0, &image->names[0], &err), &err);
    assert_ok(image_parse(image, &err), &err);
    assert_ok(image_assemble(image, &f->spool, &err), &err);
    return image;
}

static int plan_some(struct fixture *f, size_t first, size_t count, struct changeset **out,
                     struct plan_summary *summary, size_t *out_bad, struct error *err)
{
    struct image *images[] = {&f->images[first], &f->images[(first + 1) % 3],
                              &f->images[(first + 2) % 3]};
    *out = changeset_new();
    return plan_group(&f->target, images, count, *out, summary, out_bad, err);
}

static struct plan_summary plan_and_commit(struct fixture *f, size_t first, size_t count)
{
    static const struct commit_options plain;
    _cleanup_error_ struct error err = ERROR_INIT;
    struct changeset *cs;
    struct plan_summary summary;
    struct commit_report report;
    size_t bad;
    assert_ok(plan_some(f, first, count, &cs, &summary, &bad, &err), &err);
    assert_int_equal(bad, count);
    assert_ok(repository_commit(f->repository, cs, &plain, &report, &err), &err);
    changeset_free(cs);
    return summary;
}

static void expect_plan_fails(struct fixture *f, const char *what, const char *says)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct changeset *cs;
    struct plan_summary summary;
    size_t bad = 99;
    int rc = plan_some(f, 0, f->count, &cs, &summary, &bad, &err);
    assert_fails(what, rc, &err, ERROR_UNSUPPORTED, says);
    assert_true(bad < f->count);
    changeset_free(cs);
}

static bool is_published(const struct fixture *f, const char *path)
{
    mode_t type;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(repository_type(f->repository, path, &type, &err), &err);
    return type != 0;
}

static size_t count_lines(const char *text, const char *start)
{
    size_t count = 0;
    for (const char *p = text; p; p = (p = strchr(p, '\n')) ? p + 1 : NULL)
        count += starts_with(p, start);
    return count;
}

static void test_plan__an_empty_repository_gets_everything_in_order(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    struct image *image = add_image(&f, "r.example/a/b:1", "one two", "");
    struct changeset *cs;
    struct plan_summary summary;
    size_t bad;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf got = BUF_INIT;
    assert_ok(plan_some(&f, 0, 1, &cs, &summary, &bad, &err), &err);
    assert_ok(list_changeset(cs, &got, &err), &err);
    assert_int_equal(summary.layers_new, 2);
    assert_int_equal(summary.chains_new, 1);
    assert_int_equal(summary.flat_new, 1);
    assert_int_equal(summary.names_new, 1);
    /* Each content once, and each folder's parents and catalogs before it; the name is last. */
    assert_int_equal(count_lines(got.data, "{ .layers/"), 2);
    assert_non_null(strstr(got.data, "/layerfs/file-one =one\n"));
    assert_null(strstr(strstr(got.data, "/file-one =one\n") + 5, "/file-one =one\n"));
    assert_true(starts_with(got.data, "d .layers\nf .layers/.cvmfscatalog =\nd .layers/"));
    static const char *const order[] = {"{ .layers/",    "{ .chains/",    "{ .flat/",
                                        "d .metadata\n", "d r.example\n", "s r.example/a/b:1 -> "};
    const char *at = got.data;
    for (size_t i = 0; i < COUNT(order); i++) {
        at = strstr(at, order[i]);
        if (!at)
            fail_msg("\"%s\" is not in its place in\n%s", order[i], got.data);
    }
    _cleanup_free_ char *flat = layout_flat(&image->config_digest);
    _cleanup_free_ char *link = xasprintf("s r.example/a/b:1 -> ../../%s\n", flat);
    assert_string_equal(at, link);
    changeset_free(cs);
    fixture_free(&f);
}

static void test_plan__a_second_plan_is_empty(void **state)
{
    (void)state;
    struct fixture f;
    struct changeset *cs;
    struct plan_summary summary;
    size_t bad;
    _cleanup_error_ struct error err = ERROR_INIT;
    fixture_make(&f);
    add_image(&f, "r.example/a:1", "one two", "");
    add_image(&f, "r.example/a:2", "one three", "");
    plan_and_commit(&f, 0, 2);
    assert_ok(plan_some(&f, 0, 2, &cs, &summary, &bad, &err), &err);
    assert_true(changeset_is_empty(cs));
    assert_int_equal(summary.layers_new + summary.chains_new + summary.flat_new + summary.names_new,
                     0);
    changeset_free(cs);
    fixture_free(&f);
}

static void test_plan__a_group_shares_what_it_can(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    add_image(&f, "r.example/a:1", "one two", "");
    add_image(&f, "r.example/a:2", "one two", "another config");
    add_image(&f, "r.example/a:3", "one three", "");
    struct plan_summary summary = plan_and_commit(&f, 0, 3);
    assert_int_equal(summary.layers_new, 3);
    assert_int_equal(summary.chains_new, 2);
    assert_int_equal(summary.flat_new, 3);
    assert_int_equal(summary.names_new, 3);
    fixture_free(&f);
}

static void expect_origins(struct fixture *f, const struct digest *blob, size_t count)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *folder = layout_layer(blob);
    _cleanup_free_ char *path = path_join(folder, ".metadata/origin.json");
    assert_ok(repository_read(f->repository, path, 1 << 20, &text, &err), &err);
    json_t *value = json_loadb(text.data, text.len, 0, NULL);
    json_t *list = json_object_get(value, "origin");
    assert_int_equal(json_array_size(list), count);
    for (size_t i = 0; i < f->count; i++)
        for (size_t k = 0, seen = 0; k < count && i < count; k++) {
            seen += strcmp(json_string_value(json_array_get(list, k)),
                           digest_text(&f->images[i].config_digest).s) == 0;
            assert_true(k + 1 < count || seen == 1);
        }
    json_decref(value);
}

static void test_plan__origins_are_joined(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    add_image(&f, "r.example/a:1", "one", "");
    add_image(&f, "r.example/a:2", "one two", "");
    add_image(&f, "r.example/a:3", "one three", "");
    struct digest shared = f.images[0].layers[0].descriptor->blob.digest;
    for (size_t i = 0; i < 3; i++) {
        struct plan_summary summary = plan_and_commit(&f, i, 1);
        assert_int_equal(summary.layers_new, 1);
        expect_origins(&f, &shared, i + 1);
    }
    fixture_free(&f);
}

static void test_plan__a_tag_that_moves(void **state)
{
    (void)state;
    struct fixture f;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf link = BUF_INIT;
    fixture_make(&f);
    add_image(&f, "r.example/a:1", "one", "");
    struct image *moved = add_image(&f, "r.example/a:1", "one two", "");
    plan_and_commit(&f, 0, 1);
    struct plan_summary summary = plan_and_commit(&f, 1, 1);
    assert_int_equal(summary.layers_new, 1);
    assert_int_equal(summary.names_new, 1);
    assert_ok(repository_readlink(f.repository, "r.example/a:1", &link, &err), &err);
    _cleanup_free_ char *flat = layout_flat(&moved->config_digest);
    assert_true(ends_with(link.data, flat));
    _cleanup_buf_ struct buf manifest = BUF_INIT;
    assert_ok(repository_read(f.repository, ".metadata/r.example/a:1/manifest.json", 1 << 20,
                              &manifest, &err),
              &err);
    assert_string_equal(manifest.data, moved->manifest.data); /* byte for byte */
    fixture_free(&f);
}

static void test_plan__policies(void **state)
{
    (void)state;
    static const struct {
        struct policy policy;
        size_t layers, chains, flat, names;
    } rows[] = {
        {{.podman = PODMAN_NONE, .chains = CHAINS_ALL}, 3, 3, 1, 1},
        {{.podman = PODMAN_NONE, .chains = CHAINS_NONE}, 3, 0, 1, 1},
        {{.podman = PODMAN_NONE, .skip_flat = true}, 3, 1, 0, 0},
        {{.podman = PODMAN_NONE, .skip_layers = true}, 0, 1, 1, 1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture f;
        struct image_needs needs;
        _cleanup_error_ struct error err = ERROR_INIT;
        fixture_make(&f);
        f.policy = rows[i].policy;
        struct image *image = add_image(&f, "r.example/a:1", "one two three", "");
        assert_ok(plan_read_podman(&f.target, &err), &err);
        assert_ok(plan_needs(&f.target, image, &needs, &err), &err);
        assert_true(needs.content && needs.names);
        struct plan_summary s = plan_and_commit(&f, 0, 1);
        assert_int_equal(s.layers_new, rows[i].layers);
        assert_int_equal(s.chains_new, rows[i].chains);
        assert_int_equal(s.flat_new, rows[i].flat);
        assert_int_equal(s.names_new, rows[i].names);
        assert_int_equal(is_published(&f, ".layers"), rows[i].layers > 0);
        assert_ok(plan_needs(&f.target, image, &needs, &err), &err);
        assert_false(needs.content || needs.names);
        fixture_free(&f);
    }
}

static void test_plan__what_stands_in_the_way_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool directory;
        const char *says;
    } rows[] = {
        {"r.example", false, "repository/r.example is no directory"},
        {"r.example/a:1", true, "repository/r.example/a:1 is no symlink"},
        {"r.example/a:1", false, "repository/r.example/a:1 is no symlink"},
        {".layers", false, "repository/.layers is no directory"},
        {".flat", false, "repository/.flat is no directory"},
        {".metadata/r.example", false, ".metadata/r.example is no directory"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture f;
        _cleanup_error_ struct error err = ERROR_INIT;
        fixture_make(&f);
        add_image(&f, "r.example/a:1", "one", "");
        _cleanup_free_ char *path = path_join(f.root, rows[i].path);
        _cleanup_free_ char *parent = path_parent(path);
        assert_ok(dir_make(rows[i].directory ? path : parent, 0755, &err), &err);
        if (!rows[i].directory)
            write_file(path, "x", 1);
        expect_plan_fails(&f, rows[i].path, rows[i].says);
        fixture_free(&f);
    }
}

/* A layer that somebody else published: what differs from the index is not linked to. */
static void test_plan__foreign_layers_are_checked_file_by_file(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        bool linkable;
    } rows[] = {{"same", true},  {"size", false},    {"mode", false},
                {"time", false}, {"missing", false}, {"directory", false}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture f;
        _cleanup_error_ struct error err = ERROR_INIT;
        fixture_make(&f);
        struct image_layer *l = &add_image(&f, "r.example/a:1", "one", "")->layers[0];
        plan_and_commit(&f, 0, 1);
        _cleanup_free_ char *folder = layout_layer(&l->layer.blob);
        _cleanup_free_ char *file = xasprintf("%s/%s/layerfs/file-one", f.root, folder);
        struct timespec times[2] = {{0, 0}, {0, 0}};
        if (strcmp(rows[i].what, "size") == 0)
            assert_int_equal(truncate(file, 1), 0);
        if (strcmp(rows[i].what, "mode") == 0)
            assert_int_equal(chmod(file, 0600), 0);
        if (strcmp(rows[i].what, "missing") == 0 || strcmp(rows[i].what, "directory") == 0)
            assert_int_equal(unlink(file), 0);
        else if (strcmp(rows[i].what, "time") != 0)
            assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
        else
            RUN("touch", file);
        if (strcmp(rows[i].what, "directory") == 0)
            assert_int_equal(mkdir(file, 0644), 0);
        assert_ok(plan_check_links(f.repository, l, &err), &err);
        bool linkable = !(l->not_linkable && l->not_linkable[0] & 1 << 1);
        if (linkable != rows[i].linkable)
            fail_msg("%s: %s", rows[i].what, linkable ? "linkable" : "not linkable");
        fixture_free(&f);
    }
}

/* ---- the Podman store's lists ---- */

static char *images_json(const struct fixture *f)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct buf text = BUF_INIT;
    assert_ok(repository_read(f->repository, PODMAN_IMAGES_JSON, PODMAN_LIMIT_BYTES, &text, &err),
              &err);
    return buf_take(&text);
}

static void assert_names(const struct fixture *f, const char *has, const char *has_not)
{
    _cleanup_free_ char *text = images_json(f);
    if (!strstr(text, has) || (has_not && strstr(text, has_not)))
        fail_msg("expected %s and not %s: %s", has, has_not ? has_not : "(anything)", text);
}

/* One image for two lists: its content and Podman's name once, a public name in each prefix. */
static void test_plan__prefixes(void **state)
{
    (void)state;
    static const char *const prefixes[] = {NULL, "atlas/prod"};
    static const char *const links[] = {"../", "../../../"};
    struct fixture f;
    _cleanup_error_ struct error err = ERROR_INIT;
    fixture_make(&f);
    f.policy.podman = PODMAN_LAYERS;
    for (size_t i = 0; i < 2; i++) {
        struct image *image = add_image(&f, "r.example/a:1", "one two", "");
        image->prefix = prefixes[i] ? xstrdup(prefixes[i]) : NULL;
    }
    struct plan_summary summary = plan_and_commit(&f, 0, 2);
    assert_int_equal(summary.layers_new, 2);
    assert_int_equal(summary.flat_new, 1);
    assert_int_equal(summary.names_new, 2);
    for (size_t i = 0; i < 2; i++) {
        _cleanup_buf_ struct buf link = BUF_INIT, manifest = BUF_INIT;
        _cleanup_free_ char *name = image_public_name(&f.images[i], 0);
        _cleanup_free_ char *flat = layout_flat(&f.images[i].config_digest);
        _cleanup_free_ char *expected = path_join(links[i], flat);
        _cleanup_free_ char *metadata = xasprintf(".metadata/%s/manifest.json", name);
        assert_ok(repository_readlink(f.repository, name, &link, &err), &err);
        assert_string_equal(link.data, expected);
        assert_ok(repository_read(f.repository, metadata, 1 << 20, &manifest, &err), &err);
        assert_string_equal(manifest.data, f.images[i].manifest.data);
    }
    assert_true(is_published(&f, "atlas/prod/r.example/a:1"));
    assert_names(&f, "\"r.example/a:1\"", "atlas");
    fixture_free(&f);
}

/* One parse a run, however many groups there are: the lists are the same objects. */
static void test_plan__podman_lists_are_parsed_once(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    f.policy.podman = PODMAN_LAYERS;
    add_image(&f, "r.example/a:1", "one", "");
    add_image(&f, "r.example/a:2", "one two", "");
    plan_and_commit(&f, 0, 1);
    _cleanup_json_ json_t *first = json_incref(f.podman.store.images);
    plan_and_commit(&f, 1, 1);
    assert_ptr_equal(f.podman.store.images, first);
    assert_names(&f, "r.example/a:1", NULL);
    assert_names(&f, "r.example/a:2", NULL);
    fixture_free(&f);
}

/* What a plan put into the lists is gone if it was not committed, or failed half-way. */
static void test_plan__podman_lists_are_those_that_are_published(void **state)
{
    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        struct fixture f;
        struct changeset *cs;
        struct plan_summary summary;
        size_t bad;
        _cleanup_error_ struct error err = ERROR_INIT;
        fixture_make(&f);
        f.policy.podman = PODMAN_LAYERS;
        add_image(&f, "r.example/a:1", "one", "");
        add_image(&f, "r.example/b:1", "two", "");
        add_image(&f, "r.example/c:1", "two", "salt");
        plan_and_commit(&f, 0, 1);
        if (fails) {
            _cleanup_free_ char *folder = path_join(f.root, "r.example/b:1");
            assert_int_equal(mkdir(folder, 0755), 0); /* seen after the lists were changed */
        }
        assert_int_equal(plan_some(&f, 1, 1, &cs, &summary, &bad, &err), -fails);
        changeset_free(cs);
        plan_and_commit(&f, 2, 1);
        assert_names(&f, "r.example/a:1", "r.example/b:1");
        assert_names(&f, "r.example/c:1", "r.example/b:1");
        fixture_free(&f);
    }
}

static void test_plan__podman_lists_that_somebody_else_wrote(void **state)
{
    (void)state;
    static const char others[] = "[{\"id\":\"other\",\"names\":[\"r.example/other:1\"]}]";
    struct fixture f;
    fixture_make(&f);
    f.policy.podman = PODMAN_LAYERS;
    add_image(&f, "r.example/a:1", "one", "");
    add_image(&f, "r.example/b:1", "two", "");
    plan_and_commit(&f, 0, 1);
    _cleanup_free_ char *path = path_join(f.root, PODMAN_IMAGES_JSON);
    write_file(path, others, strlen(others));
    plan_and_commit(&f, 1, 1);
    assert_names(&f, "r.example/other:1", "r.example/a:1");
    assert_names(&f, "r.example/b:1", NULL);
    fixture_free(&f);
}

/* A broken list is an error for those who would write it, and nothing to those who do not. */
static void test_plan__broken_podman_lists(void **state)
{
    (void)state;
    for (enum podman_policy mode = PODMAN_LAYERS; mode <= PODMAN_NONE; mode++) {
        struct fixture f;
        fixture_make(&f);
        f.policy.podman = PODMAN_LAYERS;
        add_image(&f, "r.example/a:1", "one", "");
        add_image(&f, "r.example/b:1", "two", "");
        plan_and_commit(&f, 0, 1);
        _cleanup_free_ char *path = path_join(f.root, PODMAN_IMAGES_JSON);
        write_file(path, "[{]", 3);
        f.policy.podman = mode;
        if (mode == PODMAN_NONE) {
            assert_int_equal(plan_and_commit(&f, 1, 1).names_new, 1);
        } else {
            _cleanup_error_ struct error err = ERROR_INIT;
            assert_fails("broken list", plan_read_podman(&f.target, &err), &err, ERROR_PARSE,
                         PODMAN_IMAGES_JSON ": line 1");
        }
        fixture_free(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan__an_empty_repository_gets_everything_in_order),
        cmocka_unit_test(test_plan__a_second_plan_is_empty),
        cmocka_unit_test(test_plan__a_group_shares_what_it_can),
        cmocka_unit_test(test_plan__origins_are_joined),
        cmocka_unit_test(test_plan__a_tag_that_moves),
        cmocka_unit_test(test_plan__prefixes),
        cmocka_unit_test(test_plan__policies),
        cmocka_unit_test(test_plan__what_stands_in_the_way_is_said),
        cmocka_unit_test(test_plan__foreign_layers_are_checked_file_by_file),
        cmocka_unit_test(test_plan__podman_lists_are_parsed_once),
        cmocka_unit_test(test_plan__podman_lists_are_those_that_are_published),
        cmocka_unit_test(test_plan__podman_lists_that_somebody_else_wrote),
        cmocka_unit_test(test_plan__broken_podman_lists),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

/* The two lists of the Podman store: what is read, added, moved and written. */
#include "check.h"

#include "base/json.h"
#include "podmanstore/podman_store.h"

static struct buf text_of(const char *text)
{
    struct buf b = BUF_INIT;
    buf_adds(&b, text);
    return b;
}

static int parse(const char *images, const char *layers, struct podman_store *out,
                 struct error *err)
{
    _cleanup_buf_ struct buf i = text_of(images);
    _cleanup_buf_ struct buf l = text_of(layers);
    return podman_store_parse(&i, &l, out, err);
}

static struct podman_store store_of(const char *images, const char *layers)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct podman_store store;
    assert_ok(parse(images, layers, &store, &err), &err);
    return store;
}

static struct digest id_of(const char *seed)
{
    return digest_of(DIGEST_SHA256, seed, strlen(seed));
}

static void assert_images(const struct podman_store *store, const char *expected)
{
    _cleanup_free_ char *text = podman_store_images_text(store);
    assert_same_text("images.json", text, expected);
}

/* ---- reading ---- */

static void test_podman_store__empty_lists(void **state)
{
    (void)state;
    static const char *const empty[] = {"", "[]", " [ ]\n"};
    for (size_t i = 0; i < COUNT(empty); i++) {
        struct podman_store store = store_of(empty[i], empty[i]);
        assert_images(&store, "[]");
        podman_store_release(&store);
    }
}

static void test_podman_store__bad_lists(void **state)
{
    (void)state;
    static const struct {
        const char *images, *layers, *says;
    } bad[] = {
        {"{", "[]", "images.json"},
        {"[]", "{", "layers.json"},
        {"{}", "[]", "images.json: expected a list"},
        {"[]", "{\"a\":1}", "layers.json: expected a list"},
        {"[1]", "[]", "images.json: entry 0: expected an object"},
        {"[]", "[{\"id\":\"a\"},[]]", "layers.json: entry 1: expected an object"},
        {"[{}]", "[]", "\"id\""},
        {"[{\"id\":7}]", "[]", "\"id\""},
        {"[{\"id\":null}]", "[]", "\"id\""},
        {"[] x", "[]", "images.json"},
        {"[]", "[{\"id\":\"a\",\"id\":\"b\"}]", "layers.json"},
        {"[{\"id\":\"a\\u0000b\"}]", "[]", "images.json"},
        {"[\xff]", "[]", "images.json"},
        {"[\"", "[]", "images.json"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        struct podman_store store = {0};
        int rc = parse(bad[i].images, bad[i].layers, &store, &err);
        assert_fails(bad[i].images, rc, &err, ERROR_PARSE, bad[i].says);
        assert_null(store.images); /* outputs are written on success only */
    }
}

static void test_podman_store__odd_records_stay_as_they_are(void **state)
{
    (void)state;
    static const char *const odd[] = {
        "[{\"id\":\"short\",\"names\":null,\"own-field\":{\"deep\":[1,2.5,true]}}]",
        "[{\"id\":\"\",\"names\":[7,null,\"a\"]}]",
        "[{\"names\":\"no list\",\"id\":\"z\"},{\"id\":\"a\",\"big-data-sizes\":[]}]",
    };
    for (size_t i = 0; i < COUNT(odd); i++) {
        struct podman_store store = store_of(odd[i], "[]");
        assert_images(&store, odd[i]);
        podman_store_release(&store);
    }
}

/* The Go tool's list holds a layer as often as it was published. */
static void test_podman_store__a_record_twice_is_kept_once(void **state)
{
    (void)state;
    struct podman_store store = store_of("[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"a\"}]",
                                         "[{\"id\":\"l\",\"x\":1},{\"id\":\"l\",\"x\":2}]");
    assert_images(&store, "[{\"id\":\"a\"},{\"id\":\"b\"}]");
    _cleanup_free_ char *layers = podman_store_layers_text(&store);
    assert_string_equal(layers, "[{\"id\":\"l\",\"x\":2}]");
    podman_store_release(&store);
}

/* ---- layers ---- */

static struct podman_layer layer_of(const char *seed)
{
    return (struct podman_layer){.id = id_of(seed),
                                 .blob = id_of("blob"),
                                 .compressed_size = 10,
                                 .diff_id = id_of("diff"),
                                 .diff_size = 2048,
                                 .compression = COMPRESSION_NONE,
                                 .created = "2020-01-01T00:00:00Z"};
}

static void assert_layers(const struct podman_store *store, const char *const *fields)
{
    _cleanup_free_ char *text = podman_store_layers_text(store);
    for (; *fields; fields++)
        if (!strstr(text, *fields))
            fail_msg("no %s in %s", *fields, text);
}

static void test_podman_store__layer_fields(void **state)
{
    (void)state;
    static const uint32_t uids[] = {0, 7, UINT32_MAX - 1}, gids[] = {3000000000};
    struct podman_store store = store_of("", "");
    struct podman_layer layer = layer_of("one");
    assert_false(podman_store_has_layer(&store, &layer.id));
    podman_store_add_layer(&store, &layer);
    assert_true(podman_store_has_layer(&store, &layer.id));
    _cleanup_free_ char *plain = podman_store_layers_text(&store);
    assert_null(strstr(plain, "compression")); /* containers/storage leaves a zero out */
    assert_null(strstr(plain, "parent"));
    assert_null(strstr(plain, "uidset"));

    layer.parent = id_of("below");
    layer.compression = COMPRESSION_GZIP;
    layer.uids = uids;
    layer.uid_count = COUNT(uids);
    layer.gids = gids;
    layer.gid_count = COUNT(gids);
    podman_store_add_layer(&store, &layer); /* replaces */
    _cleanup_free_ char *parent = xasprintf("\"parent\":\"%s\"", digest_hex(&layer.parent).s);
    assert_layers(&store,
                  (const char *const[]){parent, "\"compression\":2", "\"uidset\":[0,7,4294967294]",
                                        "\"gidset\":[3000000000]", "\"diff-size\":2048", NULL});
    layer.compression = COMPRESSION_ZSTD;
    podman_store_add_layer(&store, &layer);
    assert_layers(&store, (const char *const[]){"\"compression\":4", NULL});
    assert_int_equal(json_object_size(store.layers), 1);
    podman_store_release(&store);
}

/* ---- images ---- */

static struct podman_image image_of(const char *seed, const char *const *names)
{
    return (struct podman_image){.id = id_of(seed),
                                 .manifest = id_of("manifest"),
                                 .top_layer = id_of("layer"),
                                 .config_size = 100,
                                 .manifest_size = 200,
                                 .created = "2020-01-01T00:00:00Z",
                                 .names = names};
}

/* Borrowed: a record's list of names as text, such as ["a","b"]. */
static void assert_names(const struct podman_store *store, const struct podman_image *image,
                         const char *field, const char *expected)
{
    json_t *record = json_object_get(store->images, digest_hex(&image->id).s);
    assert_non_null(record);
    _cleanup_free_ char *text = json_text(json_object_get(record, field));
    assert_string_equal(text, expected);
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_podman_store__names_are_collected(void **state)
{
    (void)state;
    struct podman_store store = store_of("", "");
    struct podman_image image = image_of("i", NAMES("a:1"));
    podman_store_add_image(&store, &image);
    image.names = NAMES("a:2", "a:1");
    assert_false(podman_store_has_names(&store, &image));
    podman_store_add_image(&store, &image);
    podman_store_add_image(&store, &image);
    assert_true(podman_store_has_names(&store, &image));
    assert_names(&store, &image, "names", "[\"a:1\",\"a:2\"]");
    assert_int_equal(json_object_size(store.images), 1);
    podman_store_release(&store);
}

static void test_podman_store__a_name_that_moves(void **state)
{
    (void)state;
    struct podman_store store = store_of("", "");
    struct podman_image old = image_of("old", NAMES("a:1", "a:latest"));
    struct podman_image new = image_of("new", NAMES("a:latest"));
    podman_store_add_image(&store, &old);
    podman_store_add_image(&store, &new);
    assert_names(&store, &old, "names", "[\"a:1\"]");
    assert_names(&store, &old, "names-history", "[\"a:1\",\"a:latest\"]");
    assert_names(&store, &new, "names", "[\"a:latest\"]");
    assert_false(podman_store_has_names(&store, &old));

    old.names = NAMES("a:latest"); /* and back */
    podman_store_add_image(&store, &old);
    assert_names(&store, &new, "names", "[]");
    podman_store_release(&store);
}

/* A name in a list that another tool wrote moves, too; what we do not know stays. */
static void test_podman_store__records_of_others(void **state)
{
    (void)state;
    struct podman_store store =
        store_of("[{\"id\":\"go\",\"names\":[\"a:1\",\"a:2\"],\"layer\":\"l\",\"x\":{}}]", "");
    struct podman_image image = image_of("i", NAMES("a:2"));
    podman_store_add_image(&store, &image);
    _cleanup_free_ char *text = json_text(json_object_get(store.images, "go"));
    assert_string_equal(text, "{\"id\":\"go\",\"names\":[\"a:1\"],\"layer\":\"l\",\"x\":{}}");
    podman_store_release(&store);
}

/* Fields of the wrong type, under the id of an image that is published again. */
static void test_podman_store__a_broken_record_is_repaired(void **state)
{
    (void)state;
    struct podman_image image = image_of("i", NAMES("a:1"));
    _cleanup_free_ char *broken =
        xasprintf("[{\"id\":\"%s\",\"names\":7,\"big-data-names\":{},\"big-data-sizes\":[],"
                  "\"big-data-digests\":null,\"layer\":1}]",
                  digest_hex(&image.id).s);
    struct podman_store store = store_of(broken, "");
    assert_false(podman_store_has_names(&store, &image));
    podman_store_add_image(&store, &image);
    assert_true(podman_store_has_names(&store, &image));
    assert_names(&store, &image, "names", "[\"a:1\"]");
    podman_store_release(&store);
}

static void test_podman_store__big_data(void **state)
{
    (void)state;
    struct podman_store store = store_of("", "");
    struct podman_image image = image_of("i", NAMES("a:1"));
    image.index = id_of("index");
    image.index_size = 300;
    podman_store_add_image(&store, &image);
    json_t *record = json_object_get(store.images, digest_hex(&image.id).s);
    assert_string_equal(json_string_value(json_object_get(record, "digest")),
                        digest_text(&image.index).s);
    json_t *sizes = json_object_get(record, "big-data-sizes");
    _cleanup_free_ char *manifest = xasprintf("manifest-%s", digest_text(&image.manifest).s);
    _cleanup_free_ char *index = xasprintf("manifest-%s", digest_text(&image.index).s);
    _cleanup_free_ char *signature = xasprintf("signature-%s", digest_hex(&image.manifest).s);
    const struct {
        const char *name;
        int size;
    } expected[] = {{digest_text(&image.id).s, 100},
                    {"manifest", 200},
                    {manifest, 200},
                    {index, 300},
                    {signature, 0}};
    for (size_t i = 0; i < COUNT(expected); i++)
        assert_int_equal(json_integer_value(json_object_get(sizes, expected[i].name)),
                         expected[i].size);
    assert_int_equal(json_object_size(sizes), COUNT(expected));
    assert_int_equal(json_array_size(json_object_get(record, "big-data-names")), COUNT(expected));
    podman_store_release(&store);
}

static void test_podman_store__an_image_without_layers(void **state)
{
    (void)state;
    struct podman_store store = store_of("", "");
    struct podman_image image = image_of("i", NAMES("a:1"));
    image.top_layer = (struct digest){0};
    podman_store_add_image(&store, &image);
    assert_null(json_object_get(json_object_get(store.images, digest_hex(&image.id).s), "layer"));
    podman_store_release(&store);
}

static void test_podman_store__text_and_back_is_the_same(void **state)
{
    (void)state;
    struct podman_store store = store_of("", "");
    struct podman_image image = image_of("i", NAMES("a:1", "b:2"));
    struct podman_layer layer = layer_of("l");
    podman_store_add_image(&store, &image);
    podman_store_add_layer(&store, &layer);
    _cleanup_free_ char *images = podman_store_images_text(&store);
    _cleanup_free_ char *layers = podman_store_layers_text(&store);
    struct podman_store again = store_of(images, layers);
    assert_images(&again, images);
    podman_store_release(&again);
    podman_store_release(&store);
}

/* ---- names of files ---- */

/* RFC 4648, section 6: the link is the start of the id's base 32. */
static void test_podman_store__links(void **state)
{
    (void)state;
    struct digest id = {.algorithm = DIGEST_SHA256};
    memcpy(id.bytes, "\x00\x44\x32\x14\xc7\x42\x54\xb6\x35\xcf\x84\x65\x3a\x56\xd7\xc6\x75\xbe",
           18);
    assert_string_equal(podman_link(&id).s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    memset(id.bytes, 0xff, 32);
    assert_string_equal(podman_link(&id).s, "77777777777777777777777777");
    struct digest a = id_of("a"), b = id_of("b");
    assert_string_not_equal(podman_link(&a).s, podman_link(&b).s);
}

static void test_podman_store__big_data_files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *file;
    } cases[] = {
        {"manifest", "manifest"},
        {"a.b9", "a.b9"},
        {"Manifest", "=TWFuaWZlc3Q="},
        {"a-b", "=YS1i"},
        {"", "="},
        {"a/../b", "=YS8uLi9i"},
        {"sha256:00", "=c2hhMjU2OjAw"},
        {"\xff\xfe", "=//4="},
        {"a b", "=YSBi"},
        {"ab c", "=YWIgYw=="},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        _cleanup_free_ char *file = podman_big_data_file(cases[i].name);
        assert_string_equal(file, cases[i].file);
    }
}

static void test_podman_store__docker_hub(void **state)
{
    (void)state;
    static const struct {
        const char *registry, *repository, *name, *also;
    } cases[] = {
        {"quay.io", "a/b", "quay.io/a/b:1", NULL},
        {"docker.io", "a/b", "docker.io/a/b:1", NULL},
        {"docker.io", "library/debian", "docker.io/library/debian:1", NULL},
        {"registry-1.docker.io", "a/b", "registry-1.docker.io/a/b:1", "docker.io/a/b:1"},
        {"registry-1.docker.io", "debian", "registry-1.docker.io/debian:1",
         "docker.io/library/debian:1"},
        {"registry.hub.docker.com", "library/debian", "registry.hub.docker.com/library/debian:1",
         "docker.io/library/debian:1"},
        {"index.docker.io", "a/b", "index.docker.io/a/b@sha256:00", "docker.io/a/b@sha256:00"},
        {"docker.io.example.org", "a/b", "docker.io.example.org/a/b:1", NULL},
        {"localhost:5000", "docker.io/x", "localhost:5000/docker.io/x:1", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char **names = podman_names(cases[i].registry, cases[i].repository, cases[i].name);
        assert_string_equal(names[0], cases[i].name);
        if (!cases[i].also) {
            assert_null(names[1]);
        } else {
            assert_string_equal(names[1], cases[i].also);
            assert_null(names[2]);
        }
        podman_names_free(names);
    }
}

/* Records are the other store's; names that were there stay, and one that the other has moves. */
static void test_podman_store__merge(void **state)
{
    (void)state;
    struct podman_store store =
        store_of("[{\"id\":\"a\",\"names\":[\"x:1\",\"x:2\"],\"layer\":\"old\"},"
                 "{\"id\":\"b\",\"names\":[\"x:3\"]}]",
                 "[{\"id\":\"l\",\"parent\":\"wrong\"},{\"id\":\"m\"}]");
    struct podman_store other = store_of("[{\"id\":\"a\",\"names\":[\"x:3\"],\"layer\":\"new\"}]",
                                         "[{\"id\":\"l\",\"parent\":\"m\"}]");
    podman_store_merge(&store, &other);
    assert_images(&store, "[{\"id\":\"a\",\"names\":[\"x:3\",\"x:1\",\"x:2\"],\"layer\":\"new\","
                          "\"names-history\":[]},"
                          "{\"id\":\"b\",\"names\":[]}]");
    _cleanup_free_ char *layers = podman_store_layers_text(&store);
    assert_same_text("layers.json", layers, "[{\"id\":\"l\",\"parent\":\"m\"},{\"id\":\"m\"}]");
    podman_store_release(&store);
    podman_store_release(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_podman_store__empty_lists),
        cmocka_unit_test(test_podman_store__bad_lists),
        cmocka_unit_test(test_podman_store__merge),
        cmocka_unit_test(test_podman_store__odd_records_stay_as_they_are),
        cmocka_unit_test(test_podman_store__a_record_twice_is_kept_once),
        cmocka_unit_test(test_podman_store__layer_fields),
        cmocka_unit_test(test_podman_store__names_are_collected),
        cmocka_unit_test(test_podman_store__a_name_that_moves),
        cmocka_unit_test(test_podman_store__records_of_others),
        cmocka_unit_test(test_podman_store__a_broken_record_is_repaired),
        cmocka_unit_test(test_podman_store__big_data),
        cmocka_unit_test(test_podman_store__an_image_without_layers),
        cmocka_unit_test(test_podman_store__text_and_back_is_the_same),
        cmocka_unit_test(test_podman_store__links),
        cmocka_unit_test(test_podman_store__big_data_files),
        cmocka_unit_test(test_podman_store__docker_hub),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

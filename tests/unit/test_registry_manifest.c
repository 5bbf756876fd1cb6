#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/memory.h"
#include "registry/manifest.h"

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."
#define D1     "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define D2     "sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define DESCRIPTOR(type, size)                                                                     \
    "{\"mediaType\":\"" type "\",\"digest\":\"" D1 "\",\"size\":" #size "}"
#define CONFIG DESCRIPTOR(OCI "config.v1+json", 10)
#define MANIFEST(config, layers)                                                                   \
    "{\"schemaVersion\":2,\"config\":" config ",\"layers\":[" layers "]}"
#define INDEX(manifests) "{\"schemaVersion\":2,\"manifests\":[" manifests "]}"
#define ENTRY(type, platform)                                                                      \
    "{\"mediaType\":\"" type "\",\"digest\":\"" D1 "\",\"size\":7,\"platform\":" platform "}"
#define ELEMENTS(table) (sizeof(table) / sizeof(table)[0])

static void assert_error(const char *input, struct error *err, enum error_kind kind,
                         const char *says)
{
    if (err->kind != kind || !strstr(err->message, says))
        fail_msg("%s: %s: \"%s\", expected %s: \"%s\"", input, error_kind_name(err->kind),
                 err->message, error_kind_name(kind), says);
    error_release(err);
}

/* --- kinds --- */

static void test_manifest__tells_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *text, *content_type;
        enum media_kind kind;
    } table[] = {
        {MANIFEST(CONFIG, ""), NULL, MEDIA_MANIFEST},
        {MANIFEST(CONFIG, ""), "application/json", MEDIA_MANIFEST},
        {MANIFEST(CONFIG, ""), OCI "manifest.v1+json; charset=utf-8", MEDIA_MANIFEST},
        {INDEX(""), DOCKER "distribution.manifest.list.v2+json", MEDIA_INDEX},
        {INDEX(""), NULL, MEDIA_INDEX},
        {"{\"mediaType\":\"" OCI "index.v1+json\",\"manifests\":[]}", "text/plain", MEDIA_INDEX},
    };
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        enum media_kind kind = MEDIA_UNKNOWN;
        struct error err = ERROR_INIT;
        if (manifest_kind(table[i].text, strlen(table[i].text), table[i].content_type, &kind,
                          &err) < 0)
            fail_msg("%s: %s", table[i].text, err.message);
        assert_int_equal(kind, table[i].kind);
    }
}

static void test_manifest__rejects_contradictions(void **state)
{
    (void)state;
    static const struct {
        const char *text, *content_type;
        enum error_kind kind;
        const char *says;
    } table[] = {
        {"{\"manifests\":[],\"layers\":[]}", NULL, ERROR_PARSE, "at once"},
        {"{\"manifests\":[],\"config\":{}}", OCI "index.v1+json", ERROR_PARSE, "at once"},
        {"{\"fsLayers\":[],\"layers\":[]}", NULL, ERROR_PARSE, "at once"},
        {"{\"mediaType\":\"" OCI "index.v1+json\",\"layers\":[]}", NULL, ERROR_PARSE,
         "contradicts its other fields"},
        {"{\"mediaType\":\"" OCI "index.v1+json\"}", OCI "manifest.v1+json", ERROR_PARSE,
         "contradicts the registry's Content-Type"},
        {INDEX(""), OCI "manifest.v1+json", ERROR_PARSE, "contradicts its other fields"},
        {"{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, ERROR_UNSUPPORTED, "Docker schema 1"},
        {"{\"schemaVersion\":1}", DOCKER "distribution.manifest.v1+prettyjws", ERROR_UNSUPPORTED,
         "ask the owner to push it again"},
        {"{\"mediaType\":\"application/x-foo\",\"layers\":[]}", NULL, ERROR_UNSUPPORTED,
         "\"application/x-foo\" is neither"},
        {MANIFEST(CONFIG, ""), "text/html", ERROR_UNSUPPORTED, "\"text/html\" is neither"},
        {"{}", NULL, ERROR_UNSUPPORTED, "neither an image manifest nor"},
        {"[]", NULL, ERROR_PARSE, "expected a JSON object"},
        {"{", NULL, ERROR_PARSE, "not valid JSON"},
        {"", NULL, ERROR_PARSE, "not valid JSON"},
        {"{\"mediaType\":1}", NULL, ERROR_PARSE, "field \"mediaType\": expected a string"},
        {"{\"layers\":[],\"layers\":[]}", NULL, ERROR_PARSE, "not valid JSON"},
    };
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        enum media_kind kind;
        struct error err = ERROR_INIT;
        if (manifest_kind(table[i].text, strlen(table[i].text), table[i].content_type, &kind,
                          &err) == 0)
            fail_msg("%s: was taken", table[i].text);
        assert_error(table[i].text, &err, table[i].kind, table[i].says);
    }
}

/* --- manifests --- */

static void test_manifest__knows_layer_types(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool foreign;
        enum compression compression;
    } table[] = {
        {OCI "layer.v1.tar", false, COMPRESSION_NONE},
        {OCI "layer.v1.tar+gzip", false, COMPRESSION_GZIP},
        {OCI "layer.v1.tar+zstd", false, COMPRESSION_ZSTD},
        {DOCKER "image.rootfs.diff.tar", false, COMPRESSION_NONE},
        {DOCKER "image.rootfs.diff.tar.gzip", false, COMPRESSION_GZIP},
        {DOCKER "image.rootfs.diff.tar.zstd", false, COMPRESSION_ZSTD},
        {DOCKER "image.rootfs.foreign.diff.tar.gzip", true, COMPRESSION_GZIP},
        {OCI "layer.nondistributable.v1.tar", true, COMPRESSION_NONE},
        {OCI "layer.nondistributable.v1.tar+gzip", true, COMPRESSION_GZIP},
        {OCI "layer.nondistributable.v1.tar+zstd", true, COMPRESSION_ZSTD},
    };
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct manifest m;
        struct error err = ERROR_INIT;
        _cleanup_free_ char *text =
            xasprintf(MANIFEST(CONFIG, "{\"mediaType\":\"%s\",\"digest\":\"" D2
                                       "\",\"size\":5,\"urls\":[\"file:///etc/passwd\"]}"),
                      table[i].type);
        if (manifest_parse(text, strlen(text), &m, &err) < 0)
            fail_msg("%s: %s", table[i].type, err.message);
        assert_int_equal(m.layer_count, 1);
        assert_int_equal(m.layers[0].foreign, table[i].foreign);
        assert_int_equal(m.layers[0].compression, table[i].compression);
        assert_int_equal(m.layers[0].blob.size, 5);
        assert_string_equal(digest_text(&m.layers[0].blob.digest).s, D2);
        assert_int_equal(m.config.size, 10);
        manifest_release(&m);
    }
}

static void test_manifest__rejects(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum error_kind kind;
        const char *says;
    } table[] = {
        {MANIFEST(DESCRIPTOR("application/vnd.cncf.helm.config.v1+json", 1), ""), ERROR_UNSUPPORTED,
         "\"application/vnd.cncf.helm.config.v1+json\", not a container image"},
        {MANIFEST(DESCRIPTOR("application/vnd.oci.empty.v1+json", 2), ""), ERROR_UNSUPPORTED,
         "application/vnd.oci.empty.v1+json"},
        {MANIFEST(CONFIG, DESCRIPTOR("application/vnd.dev.cosign.simplesigning.v1+json", 1)),
         ERROR_UNSUPPORTED, "layer 1: not a layer of a container image"},
        {MANIFEST(CONFIG, DESCRIPTOR(OCI "layer.v1.tar+gzip+encrypted", 1)), ERROR_UNSUPPORTED,
         "layer 1: it is encrypted"},
        {MANIFEST(CONFIG, DESCRIPTOR(OCI "layer.v1.tar", 1) "," DESCRIPTOR("", 1)),
         ERROR_UNSUPPORTED, "layer 2"},
        {MANIFEST(CONFIG, DESCRIPTOR(OCI "layer.v1.tar", 2000000000000)), ERROR_LIMIT,
         "layer 1: 2000000000000 bytes"},
        {MANIFEST(DESCRIPTOR(OCI "config.v1+json", 90000000), ""), ERROR_LIMIT,
         "config: 90000000 bytes"},
        {MANIFEST(CONFIG, DESCRIPTOR(OCI "layer.v1.tar", -1)), ERROR_PARSE, "field \"size\""},
        {MANIFEST(CONFIG, DESCRIPTOR(OCI "layer.v1.tar", 1.5)), ERROR_PARSE, "field \"size\""},
        {MANIFEST(CONFIG, "7"), ERROR_PARSE, "layer 1: expected a descriptor"},
        {MANIFEST(CONFIG, "{\"mediaType\":\"x\",\"size\":1}"), ERROR_PARSE, "field \"digest\""},
        {MANIFEST(CONFIG, "{\"mediaType\":\"x\",\"size\":1,\"digest\":\"md5:00\"}"),
         ERROR_UNSUPPORTED, "layer 1: "},
        {MANIFEST("null", ""), ERROR_PARSE, "config: expected a descriptor"},
        {"{\"schemaVersion\":2,\"config\":" CONFIG "}", ERROR_PARSE, "field \"layers\""},
        {"{\"schemaVersion\":3,\"config\":" CONFIG ",\"layers\":[]}", ERROR_PARSE,
         "schemaVersion 2"},
        {"{\"config\":" CONFIG ",\"layers\":[]}", ERROR_PARSE, "field \"schemaVersion\""},
        {INDEX(""), ERROR_PARSE, "expected a manifest"},
    };
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct manifest m;
        struct error err = ERROR_INIT;
        if (manifest_parse(table[i].text, strlen(table[i].text), &m, &err) == 0)
            fail_msg("%s: was taken", table[i].text);
        assert_error(table[i].text, &err, table[i].kind, table[i].says);
    }
}

static void test_manifest__limits_layers(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct manifest m;
    struct error err = ERROR_INIT;
    buf_adds(&text, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[");
    for (int i = 0; i < 513; i++)
        buf_addf(&text, "%s" DESCRIPTOR(OCI "layer.v1.tar", 1), i ? "," : "");
    buf_adds(&text, "]}");
    assert_int_equal(manifest_parse(text.data, text.len, &m, &err), -1);
    assert_error("513 layers", &err, ERROR_LIMIT, "513 layers");
}

/* --- indexes --- */

#define M OCI "manifest.v1+json"
static void find(const char *entries, const char *platform, int expected, const char *says)
{
    struct index index;
    struct platform wanted;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *text = xasprintf(INDEX("%s"), entries);
    if (index_parse(text, strlen(text), &index, &err) < 0)
        fail_msg("%s: %s", entries, err.message);
    assert_int_equal(platform_parse(platform, &wanted, &err), 0);
    const struct index_entry *found = index_find(&index, &wanted, &err);
    if (found)
        assert_int_equal(found - index.entries, expected);
    else if (expected >= 0)
        fail_msg("%s: %s", platform, err.message);
    else
        assert_error(platform, &err, ERROR_NOT_FOUND, says);
    platform_release(&wanted);
    index_release(&index);
}

#define P(arch)     "{\"os\":\"linux\",\"architecture\":\"" arch "\"}"
#define PV(arch, v) "{\"os\":\"linux\",\"architecture\":\"" arch "\",\"variant\":\"" v "\"}"
#define ATTESTATION "{\"os\":\"unknown\",\"architecture\":\"unknown\"}"

static void test_index__finds_platforms(void **state)
{
    (void)state;
    const char *usual = ENTRY(M, P("amd64")) "," ENTRY(M, PV("arm", "v5")) "," ENTRY(
        M, PV("arm", "v7")) "," ENTRY(M, PV("arm64", "v8")) "," ENTRY(M, ATTESTATION);
    find(usual, "linux/amd64", 0, NULL);
    find(usual, "linux/arm", 2, NULL);
    find(usual, "linux/arm/v5", 1, NULL);
    find(usual, "linux/arm64", 3, NULL);
    find(usual, "linux/arm64/v8", 3, NULL);
    find(usual, "linux/amd64/v3", 0, NULL);
    find(usual, "linux/arm/v6", -1,
         "no image for platform linux/arm/v6; there is: linux/amd64, linux/arm/v5, linux/arm/v7, "
         "linux/arm64/v8");
    find(usual, "unknown/unknown", -1, "no image for platform");
    find(usual, "windows/amd64", -1, "no image for platform windows/amd64");
    find(ENTRY(M, PV("arm64", "v8")) "," ENTRY(M, P("arm64")), "linux/arm64", 1, NULL);
    find(ENTRY(M, PV("amd64", "v3")), "linux/amd64", -1, "there is: linux/amd64/v3");
    find("", "linux/amd64", -1, "there is: none");
}

static void test_index__skips_what_is_no_image(void **state)
{
    (void)state;
    find(ENTRY("application/x-other", P("amd64")) "," ENTRY(M, P("amd64")), "linux/amd64", 0, NULL);
    find(ENTRY(M, "null"), "linux/amd64", 0, NULL);
    find(ENTRY(M, P("arm")) "," ENTRY(OCI "index.v1+json", "null"), "linux/amd64", 1, NULL);
    find(ENTRY(M, "null") "," ENTRY(M, "null"), "linux/amd64", -1, "unknown/unknown");
}

static void test_index__rejects(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum error_kind kind;
        const char *says;
    } table[] = {
        {INDEX("1"), ERROR_PARSE, "manifest 1: expected a descriptor"},
        {INDEX("{}"), ERROR_PARSE, "field \"mediaType\""},
        {INDEX("{\"mediaType\":\"" M "\"}"), ERROR_PARSE, "field \"digest\""},
        {INDEX(ENTRY(M, "[]")), ERROR_PARSE, "field \"platform\": expected an object"},
        {INDEX(ENTRY(M, "{\"os\":1}")), ERROR_PARSE, "field \"os\": expected a string"},
        {INDEX(DESCRIPTOR(M, 80000000)), ERROR_LIMIT, "manifest 1: 80000000 bytes"},
        {"{\"schemaVersion\":2,\"manifests\":{}}", ERROR_PARSE, "expected an array"},
        {MANIFEST(CONFIG, ""), ERROR_PARSE, "expected an index"},
    };
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct index index;
        struct error err = ERROR_INIT;
        if (index_parse(table[i].text, strlen(table[i].text), &index, &err) == 0)
            fail_msg("%s: was taken", table[i].text);
        assert_error(table[i].text, &err, table[i].kind, table[i].says);
    }
}

/* --- configurations --- */

#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D1 "\",\"" D2 "\"]}"

static void test_image_config__parses(void **state)
{
    (void)state;
    const char *text = "{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\","
                       "\"created\":\"2026-01-02T03:04:05Z\",\"config\":{\"Env\":[\"A=1\",\"B=\"],"
                       "\"Entrypoint\":null,\"Cmd\":[\"sh\"],\"WorkingDir\":\"\",\"User\":\"1:2\","
                       "\"Labels\":{\"b\":\"2\",\"a\":\"1\"}}," ROOTFS "}";
    struct image_config c;
    struct error err = ERROR_INIT;
    assert_int_equal(image_config_parse(text, strlen(text), 2, &c, &err), 0);
    assert_string_equal(c.platform.variant, "v8");
    assert_string_equal(c.env[1], "B=");
    assert_null(c.env[2]);
    assert_null(c.entrypoint[0]);
    assert_string_equal(c.cmd[0], "sh");
    assert_null(c.working_dir);
    assert_string_equal(c.user, "1:2");
    assert_string_equal(c.label_names[0], "b");
    assert_string_equal(c.label_values[0], "2");
    assert_null(c.label_names[2]);
    assert_int_equal(c.diff_id_count, 2);
    assert_string_equal(digest_text(&c.diff_ids[1]).s, D2);
    image_config_release(&c);
}

static void test_image_config__bare(void **state)
{
    (void)state;
    static const char *const table[] = {"{\"config\":null," ROOTFS "}", "{" ROOTFS "}"};
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct image_config c;
        struct error err = ERROR_INIT;
        assert_int_equal(image_config_parse(table[i], strlen(table[i]), 2, &c, &err), 0);
        assert_null(c.env[0]);
        assert_null(c.cmd[0]);
        assert_null(c.label_names[0]);
        assert_null(c.created);
        image_config_release(&c);
    }
}

static void test_image_config__rejects(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t layers;
        enum error_kind kind;
        const char *says;
    } table[] = {
        {"{" ROOTFS "}", 1, ERROR_PARSE, "2 diff ids for 1 layers"},
        {"{}", 1, ERROR_PARSE, "0 diff ids for 1 layers"},
        {"{\"rootfs\":{\"diff_ids\":[1]}}", 1, ERROR_PARSE, "field \"diff_ids\": expected strings"},
        {"{\"rootfs\":{\"diff_ids\":[\"x\"]}}", 1, ERROR_PARSE, "diff id 1: digest \"x\""},
        {"{\"config\":{\"Env\":\"A=1\"}," ROOTFS "}", 2, ERROR_PARSE, "field \"Env\""},
        {"{\"config\":{\"Env\":[1]}," ROOTFS "}", 2, ERROR_PARSE,
         "field \"Env\": expected strings"},
        {"{\"config\":{\"Cmd\":[\"a\\u0000b\"]}," ROOTFS "}", 2, ERROR_PARSE, "not valid JSON"},
        {"{\"config\":{\"Labels\":[]}," ROOTFS "}", 2, ERROR_PARSE, "field \"Labels\""},
        {"{\"config\":{\"Labels\":{\"a\":\"1\",\"b\":null}}," ROOTFS "}", 2, ERROR_PARSE,
         "field \"Labels\": expected strings"},
        {"{\"config\":[]," ROOTFS "}", 2, ERROR_PARSE, "field \"config\""},
        {"{\"os\":1," ROOTFS "}", 2, ERROR_PARSE, "field \"os\""},
        {"[]", 0, ERROR_PARSE, "expected a JSON object"},
    };
    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct image_config c;
        struct error err = ERROR_INIT;
        if (image_config_parse(table[i].text, strlen(table[i].text), table[i].layers, &c, &err) ==
            0)
            fail_msg("%s: was taken", table[i].text);
        assert_error(table[i].text, &err, table[i].kind, table[i].says);
    }
}

static void test_platform__parses_and_rejects(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "linux", "linux/", "/amd64", "a/b/c/d", "a/b/", "a/b c"};
    struct platform p;
    struct error err = ERROR_INIT;
    assert_int_equal(platform_parse("linux/arm/v7", &p, &err), 0);
    _cleanup_free_ char *text = platform_text(&p);
    assert_string_equal(text, "linux/arm/v7");
    platform_release(&p);
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        assert_int_equal(platform_parse(bad[i], &p, &err), -1);
        assert_error(bad[i], &err, ERROR_PARSE, "expected OS/ARCHITECTURE[/VARIANT]");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest__tells_kinds),
        cmocka_unit_test(test_manifest__rejects_contradictions),
        cmocka_unit_test(test_manifest__knows_layer_types),
        cmocka_unit_test(test_manifest__rejects),
        cmocka_unit_test(test_manifest__limits_layers),
        cmocka_unit_test(test_index__finds_platforms),
        cmocka_unit_test(test_index__skips_what_is_no_image),
        cmocka_unit_test(test_index__rejects),
        cmocka_unit_test(test_image_config__parses),
        cmocka_unit_test(test_image_config__bare),
        cmocka_unit_test(test_image_config__rejects),
        cmocka_unit_test(test_platform__parses_and_rejects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

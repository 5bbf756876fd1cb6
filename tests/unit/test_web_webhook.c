/* web/webhook.h: recorded requests (tests/data/webhooks), and changed ones. */
#include "check.h"
#include "webhook_request.h"

#include "base/hmac.h"

#define SECRET "the-secret-of-this-sender"

static struct error err = ERROR_INIT;

struct recorded {
    struct buf bytes;
    struct webhook_request request;
    struct sender sender;
};

static struct recorded read_recorded(const char *name)
{
    struct recorded r = {.bytes = BUF_INIT};
    _cleanup_free_ char *path =
        xasprintf("%s/tests/data/webhooks/%s", getenv("DUCC_SOURCE_DIR"), name);
    assert_ok(file_read(path, WEBHOOK_BODY_MAX, &r.bytes, &err), &err);
    assert_true(webhook_request_parse(r.bytes.data, r.bytes.len, &r.request));
    r.sender = (struct sender){.name = r.request.kind};
    assert_ok(sender_kind_parse(r.request.kind, &r.sender.kind, &err), &err);
    r.sender.secret = xstrdup(SECRET);
    return r;
}

static void release(struct recorded *r)
{
    free(r->sender.secret);
    webhook_request_release(&r->request);
    buf_release(&r->bytes);
}

/* "pushed NAME, list URL"; what was ignored in brackets. */
static char *in_words(const struct webhook_events *events)
{
    struct buf words = BUF_INIT;
    for (size_t i = 0; i < events->count; i++)
        buf_addf(&words, "%s%s %s", i ? ", " : "", event_kind_word(events->items[i].kind),
                 events->items[i].subject);
    if (events->ignored)
        buf_addf(&words, "%s[%s]", words.len ? " " : "", events->why);
    return buf_take(&words);
}

#define ALPINE  "harbor.example.org/harbor/alpine"
#define NOTHING "[an event that changes no image]"

static void test_webhook__recorded_requests(void **state)
{
    (void)state;
    static const struct {
        const char *file, *says;
    } table[] = {
        {"harbor-push", "pushed " ALPINE ":3.8"},
        {"harbor-push-cloudevents", "pushed " ALPINE ":3.8, pushed " ALPINE ":latest"},
        {"harbor-push-digest",
         "pushed " ALPINE
         "@sha256:954b378c375d852eb3c63ab88978f640b4348b01c1b3456a024a81536dafbbf4"},
        {"harbor-delete", "deleted " ALPINE ":3.8"},
        {"harbor-delete-cloudevents", "deleted " ALPINE ":3.8"},
        {"harbor-replication", "pushed " ALPINE},
        {"harbor-replication-cloudevents", "pushed " ALPINE},
        {"harbor-replication-running", "[a replication that is not at its end]"},
        {"harbor-pull", NOTHING},
        {"harbor-scan", NOTHING},
        {"distribution-push", "pushed 127.0.0.1:5000/group/image:1.0"},
        {"distribution-push-digest",
         "pushed 127.0.0.1:5000/group/image"
         "@sha256:8cac139af4d50a74e5e702d0d848e958eacb66b6e4ac907d66facebfaf810148"},
        {"distribution-push-layer", "[a pull, a layer, or a mount]"},
        {"distribution-pull", "[a pull, a layer, or a mount]"},
        {"distribution-delete-digest", "deleted 127.0.0.1:5000/group/image"},
        {"distribution-delete-tag", "deleted 127.0.0.1:5000/group/image:1.0"},
        {"dockerhub-push", "pushed docker.io/svendowideit/testhook:latest"},
        {"dockerhub-official", "pushed docker.io/library/busybox:1.36"},
        {"quay-push", "pushed quay.io/dgangaia/test:latest, pushed quay.io/dgangaia/test:2.0"},
        {"quay-push-mapping", "pushed quay.io/dgangaia/test:latest"},
        {"quay-build", "[an event that pushes nothing]"},
        {"github-push", "list github.com/Codertocat/Hello-World"},
        {"github-merged", "list github.com/Codertocat/Hello-World"},
        {"github-closed", "[a pull request that is not merged]"},
        {"github-opened", "[a pull request that is not merged]"},
        {"github-registry-package", "pushed ghcr.io/codertocat/hello-world:nightly"},
        {"github-package", "pushed ghcr.io/codertocat/hello-world"},
        {"github-package-npm", "[a package that is no container image]"},
        {"github-ping", "[an event that changes no list and no image]"},
        {"gitlab-push", "list gitlab.example.org/mike/diaspora"},
        {"gitlab-tag", "list gitlab.example.org/mike/diaspora"},
        {"gitlab-merged", "list gitlab.example.org/mike/diaspora"},
        {"gitlab-opened", "[a merge request that is not merged]"},
        {"gitlab-note", "[an event that changes no list]"},
        {"gitlab-registry", "pushed registry.gitlab.example.org/mike/diaspora:1.0"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct recorded r = read_recorded(table[i].file);
        struct webhook_events events _cleanup_webhook_events_ = {0};
        assert_ok(webhook_authenticate(&r.sender, &r.request.delivery, &err), &err);
        assert_ok(webhook_parse(&r.sender, &r.request.delivery, &events, &err), &err);
        _cleanup_free_ char *says = in_words(&events);
        assert_same_text(table[i].file, says, table[i].says);
        release(&r);
    }
}

/* ---- who is it? ---- */

static void assert_refused(const char *what, struct recorded *r)
{
    assert_fails(what, webhook_authenticate(&r->sender, &r->request.delivery, &err), &err,
                 ERROR_AUTH, "expected ");
    assert_null(strstr(err.message, SECRET));
    error_release(&err);
}

static void test_webhook__a_wrong_secret_is_refused(void **state)
{
    (void)state;
    static const char *const files[] = {"harbor-push", "distribution-push", "dockerhub-push",
                                        "quay-push",   "github-push",       "gitlab-push"};
    static const char *const wrong[] = {"the-secret-of-another-one", "the-secret-of-this-sendeR",
                                        "the-secret-of-this-sender-", "the-secret-of-this-sende",
                                        "x"};
    for (size_t i = 0; i < COUNT(files); i++) {
        struct recorded r = read_recorded(files[i]);
        for (size_t k = 0; k < COUNT(wrong); k++) {
            free(r.sender.secret);
            r.sender.secret = xstrdup(wrong[k]);
            assert_refused(files[i], &r);
        }
        release(&r);
    }
}

static void test_webhook__a_missing_secret_is_refused(void **state)
{
    (void)state;
    static const char *const files[] = {"harbor-push", "dockerhub-push", "quay-push", "github-push",
                                        "gitlab-push"};
    for (size_t i = 0; i < COUNT(files); i++) {
        struct recorded r = read_recorded(files[i]);
        struct webhook_delivery *d = &r.request.delivery;
        d->authorization = d->signature = d->token = d->path_secret = NULL;
        assert_refused(files[i], &r);
        /* What proves another kind of sender proves nothing here. */
        if (r.sender.kind == SENDER_GITHUB)
            d->authorization = d->token = d->path_secret = SECRET;
        else if (r.sender.kind == SENDER_HARBOR)
            d->token = d->path_secret = SECRET;
        else
            d->signature = SECRET;
        assert_refused(files[i], &r);
        release(&r);
    }
}

static void test_webhook__a_forged_signature_is_refused(void **state)
{
    (void)state;
    struct recorded r = read_recorded("github-push");
    struct webhook_delivery *d = &r.request.delivery;
    static const char *const forged[] = {
        "", "sha256=", "sha1=0000000000000000000000000000000000000000",
        "sha256=0000000000000000000000000000000000000000000000000000000000000000"};
    const char *signature = d->signature;
    for (size_t i = 0; i < COUNT(forged); i++) {
        d->signature = forged[i];
        assert_refused(forged[i], &r);
    }
    d->signature = signature;
    d->len--; /* another body */
    assert_refused("a shorter body", &r);
    release(&r);
}

static void test_webhook__the_header_may_say_bearer(void **state)
{
    (void)state;
    struct recorded r = read_recorded("harbor-push");
    static const char *const good[] = {SECRET, "Bearer " SECRET, "bearer " SECRET};
    static const char *const bad[] = {"Basic " SECRET, "Bearer", "Bearer ", "Bearer  " SECRET};
    for (size_t i = 0; i < COUNT(good); i++) {
        r.request.delivery.authorization = good[i];
        assert_ok(webhook_authenticate(&r.sender, &r.request.delivery, &err), &err);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        r.request.delivery.authorization = bad[i];
        assert_refused(bad[i], &r);
    }
    release(&r);
}

/* ---- what it says ---- */

static const struct bad {
    const char *kind, *body;
    enum error_kind error;
    const char *says;
} bad[] = {
    {"harbor", "", ERROR_PARSE, "not valid JSON"},
    {"harbor", "[]", ERROR_PARSE, "harbor: expected an object"},
    {"harbor", "{\"type\": 1}", ERROR_PARSE, "field \"type\": expected a string"},
    {"harbor", "{}", ERROR_PARSE, "field \"type\": expected a string, but it is missing"},
    {"harbor", "{\"type\": \"PUSH_ARTIFACT\", \"type\": \"PUSH_ARTIFACT\"}", ERROR_PARSE,
     "not valid JSON"},
    {"harbor", "{\"type\": \"PUSH_ARTIFACT\"}", ERROR_PARSE, "field \"event_data\""},
    {"harbor", "{\"type\": \"PUSH_ARTIFACT\", \"event_data\": []}", ERROR_PARSE,
     "field \"event_data\": expected an object"},
    {"harbor", "{\"type\": \"PUSH_ARTIFACT\", \"event_data\": {}}", ERROR_PARSE,
     "field \"resources\": expected an array, but"},
    {"harbor", "{\"type\": \"PUSH_ARTIFACT\", \"event_data\": {\"resources\": {}}}", ERROR_PARSE,
     "field \"resources\": expected an array"},
    {"harbor", "{\"type\": \"PUSH_ARTIFACT\", \"event_data\": {\"resources\": [1]}}", ERROR_PARSE,
     "field \"resources\": expected objects"},
    {"harbor", "{\"type\": \"PUSH_ARTIFACT\", \"event_data\": {\"resources\": [{}]}}", ERROR_PARSE,
     "field \"resource_url\""},
    {"harbor", "{\"type\": \"harbor.artifact.pushed\", \"specversion\": \"1.0\"}", ERROR_PARSE,
     "field \"data\""},
    {"harbor", "{\"type\": \"REPLICATION\", \"event_data\": {\"replication\": 7}}", ERROR_PARSE,
     "field \"replication\": expected an object"},
    {"distribution", "{}", ERROR_PARSE, "field \"events\": expected an array, but"},
    {"distribution", "{\"events\": [\"x\"]}", ERROR_PARSE, "field \"events\": expected objects"},
    {"distribution", "{\"events\": [{\"action\": \"push\"}]}", ERROR_PARSE,
     "event 0: distribution: field \"target\""},
    {"distribution", "{\"events\": [{\"action\": \"push\", \"target\": {\"tag\": 1}}]}",
     ERROR_PARSE, "field \"tag\": expected a string"},
    {"dockerhub", "{\"push_data\": {}}", ERROR_PARSE, "field \"repository\""},
    {"dockerhub", "{\"push_data\": {\"tag\": []}, \"repository\": {}}", ERROR_PARSE,
     "field \"tag\": expected a string"},
    {"dockerhub", "{\"push_data\": {}, \"repository\": {}}", ERROR_PARSE, "field \"repo_name\""},
    {"quay", "{}", ERROR_PARSE, "field \"docker_url\""},
    {"quay", "{\"docker_url\": \"quay.io/a/b\", \"updated_tags\": \"latest\"}", ERROR_PARSE,
     "field \"updated_tags\": expected an array or an object"},
    {"quay", "{\"docker_url\": \"quay.io/a/b\", \"updated_tags\": [1]}", ERROR_PARSE,
     "field \"updated_tags\": expected strings"},
    {"github", "{}", ERROR_PARSE, "field \"repository\""},
    {"github", "{\"repository\": {\"clone_url\": 1}}", ERROR_PARSE, "field \"clone_url\""},
    {"gitlab", "{}", ERROR_PARSE, "field \"object_kind\""},
    {"gitlab", "{\"object_kind\": \"push\"}", ERROR_PARSE, "field \"project\""},
    {"gitlab", "{\"object_kind\": \"merge_request\", \"project\": {\"git_http_url\": \"h/p\"}}",
     ERROR_PARSE, "field \"object_attributes\""},
};

static int parse(const char *kind, const char *body, size_t len, const char *content_type,
                 struct webhook_events *out)
{
    struct sender sender = {.name = (char *)(uintptr_t) "one"};
    assert_ok(sender_kind_parse(kind, &sender.kind, &err), &err);
    struct webhook_delivery d = {
        .event = "push", .content_type = content_type, .body = body, .len = len};
    return webhook_parse(&sender, &d, out, &err);
}

static void test_webhook__bad_payloads(void **state)
{
    (void)state;
    struct webhook_events events = {0};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_fails(bad[i].body,
                     parse(bad[i].kind, bad[i].body, strlen(bad[i].body), NULL, &events), &err,
                     bad[i].error, bad[i].says);
        error_release(&err);
    }
    assert_fails(
        "a form",
        parse("github", "payload=%7B%7D", 14, "application/x-www-form-urlencoded", &events), &err,
        ERROR_UNSUPPORTED, "application/json");
    error_release(&err);
}

/* A body with `count` events, or with a field of `length` bytes. */
static void test_webhook__limits(void **state)
{
    (void)state;
    struct webhook_events events = {0};
    _cleanup_buf_ struct buf many = BUF_INIT, longer = BUF_INIT, huge = BUF_INIT;
    buf_adds(&many, "{\"events\": [");
    for (size_t i = 0; i <= WEBHOOK_EVENTS_MAX; i++)
        buf_addf(&many, "%s{}", i ? "," : "");
    buf_adds(&many, "]}");
    assert_fails("many", parse("distribution", many.data, many.len, NULL, &events), &err,
                 ERROR_LIMIT, "field \"events\": more than 1000 elements");
    buf_adds(&longer, "{\"docker_url\": \"");
    for (size_t i = 0; i < 3000; i++)
        buf_addc(&longer, 'a');
    buf_adds(&longer, "\"}");
    assert_fails("long", parse("quay", longer.data, longer.len, NULL, &events), &err, ERROR_LIMIT,
                 "field \"docker_url\": longer than 2048 bytes");
    buf_reserve(&huge, WEBHOOK_BODY_MAX + 1);
    for (size_t i = 0; i <= WEBHOOK_BODY_MAX; i++)
        buf_addc(&huge, ' ');
    assert_fails("huge", parse("harbor", huge.data, huge.len, NULL, &events), &err, ERROR_LIMIT,
                 "more than the 1048576 that are accepted");
    error_release(&err);
}

static void test_webhook__names_that_are_none_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *body, *says;
    } table[] = {
        {"harbor",
         "{\"type\": \"PUSH_ARTIFACT\", \"event_data\": {\"resources\": [{\"resource_url\": "
         "\"h.org/a/<b>:1\"}, {\"resource_url\": \"h.org/good:1\"}]}}",
         "pushed h.org/good:1 ["},
        {"harbor",
         "{\"type\": \"PUSH_ARTIFACT\", \"event_data\": {\"resources\": [{\"resource_url\": "
         "\"alpine\"}]}}",
         "[a name without a registry]"},
        {"quay", "{\"docker_url\": \"quay.io/a/../b\", \"updated_tags\": [\"1\"]}", "["},
        {"quay", "{\"docker_url\": \"quay.io/a/b\", \"updated_tags\": [\"../1\"]}", "["},
        {"github", "{\"repository\": {\"clone_url\": \"nonsense\"}}", "[the URL"},
        {"distribution",
         "{\"events\": [{\"action\": \"push\", \"target\": {\"repository\": \"a\", \"tag\": \"1\", "
         "\"mediaType\": \"application/vnd.oci.image.manifest.v1+json\"}}]}",
         "[it does not say which registry it is"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct webhook_events events _cleanup_webhook_events_ = {0};
        assert_ok(parse(table[i].kind, table[i].body, strlen(table[i].body), NULL, &events), &err);
        _cleanup_free_ char *says = in_words(&events);
        if (!starts_with(says, table[i].says))
            fail_msg("%s: got \"%s\", expected \"%s…\"", table[i].body, says, table[i].says);
    }
}

static void test_webhook__the_configured_registry_is_what_wishes_call_it(void **state)
{
    (void)state;
    struct recorded r = read_recorded("distribution-push");
    struct webhook_events events _cleanup_webhook_events_ = {0};
    r.sender.registry = (char *)(uintptr_t) "registry.example.org";
    assert_ok(webhook_parse(&r.sender, &r.request.delivery, &events, &err), &err);
    assert_string_equal(events.items[0].subject, "registry.example.org/group/image:1.0");
    release(&r);
}

/* The same request twice is one delivery, each event of it has its own id, and another body is
 * another delivery. */
static void test_webhook__deliveries_are_known_again(void **state)
{
    (void)state;
    static const char *const files[] = {"harbor-push",    "harbor-push-cloudevents",
                                        "dockerhub-push", "github-push",
                                        "gitlab-push",    "distribution-push"};
    _cleanup_free_ char *last = NULL;
    for (size_t i = 0; i < COUNT(files); i++) {
        struct recorded r = read_recorded(files[i]);
        struct webhook_events a _cleanup_webhook_events_ = {0}, b _cleanup_webhook_events_ = {0};
        assert_ok(webhook_parse(&r.sender, &r.request.delivery, &a, &err), &err);
        assert_ok(webhook_parse(&r.sender, &r.request.delivery, &b, &err), &err);
        assert_string_equal(a.items[0].delivery, b.items[0].delivery);
        assert_true(strlen(a.items[0].delivery) > 20);
        if (last)
            assert_string_not_equal(a.items[0].delivery, last);
        if (a.count > 1)
            assert_string_not_equal(a.items[0].delivery, a.items[1].delivery);
        free(last);
        last = xstrdup(a.items[0].delivery);
        release(&r);
    }
    /* Quay says nothing by which two pushes of one tag differ. */
    struct recorded r = read_recorded("quay-push");
    struct webhook_events a _cleanup_webhook_events_ = {0};
    assert_ok(webhook_parse(&r.sender, &r.request.delivery, &a, &err), &err);
    assert_string_equal(a.items[0].delivery, "");
    assert_string_equal(a.items[1].delivery, "");
    release(&r);
}

static void test_webhook__spellings_of_a_git_url(void **state)
{
    (void)state;
    static const struct {
        const char *url, *subject;
    } table[] = {
        {"https://git.example.org/group/lists.git", "git.example.org/group/lists"},
        {"https://git.example.org/group/lists", "git.example.org/group/lists"},
        {"https://user@git.example.org:8443/group/lists.git/", "git.example.org/group/lists"},
        {"ssh://git@git.example.org:2222/group/lists.git", "git.example.org/group/lists"},
        {"git@git.example.org:group/lists.git", "git.example.org/group/lists"},
        {"https://[::1]:3000/a.git", "[::1]:3000/a"},
        {"", NULL},
        {"https://", NULL},
        {"https://host", NULL},
        {"https://host/", NULL},
        {"https:///path", NULL},
        {"https://host/a b", NULL},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_free_ char *subject = webhook_git_subject(table[i].url);
        assert_int_equal(subject != NULL, table[i].subject != NULL);
        if (subject)
            assert_string_equal(subject, table[i].subject);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_webhook__recorded_requests),
        cmocka_unit_test(test_webhook__a_wrong_secret_is_refused),
        cmocka_unit_test(test_webhook__a_missing_secret_is_refused),
        cmocka_unit_test(test_webhook__a_forged_signature_is_refused),
        cmocka_unit_test(test_webhook__the_header_may_say_bearer),
        cmocka_unit_test(test_webhook__bad_payloads),
        cmocka_unit_test(test_webhook__limits),
        cmocka_unit_test(test_webhook__names_that_are_none_are_told),
        cmocka_unit_test(test_webhook__the_configured_registry_is_what_wishes_call_it),
        cmocka_unit_test(test_webhook__deliveries_are_known_again),
        cmocka_unit_test(test_webhook__spellings_of_a_git_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* state/snapshot.h, state/explain.h, state/near.h: what is shown follows from what was recorded. */
#include "check.h"

#include "base/clock.h"
#include "base/json.h"
#include "state/explain.h"
#include "state/near.h"

#define REPO  "images.example.org"
#define OTHER "other.example.org"
#define HOST  "registry.example.org/"

static struct database *db;
static struct error err = ERROR_INIT;
static int64_t now;

static void list(const char *repository, const char *url, const char *entry, const char *name,
                 const char *left_out, bool suspended)
{
    _cleanup_free_ char *r = xstrdup(repository), *u = xstrdup(url), *text = xstrdup(entry);
    char revision[] = "1a2b3c", contact[] = "images@example.org";
    struct list_entry e = {.line = 12, .column = 5, .text = text, .suspended = suspended};
    struct list_record l = {.repository = r,
                            .url = u,
                            .revision = revision,
                            .contact = contact,
                            .entries = &e,
                            .entry_count = 1};
    struct list_name n = {name, left_out};
    int64_t id;
    size_t unwanted;
    assert_ok(lists_read(db, &l, now - 500, &id, &err), &err);
    assert_ok(lists_expanded(db, id, entry, &n, 1, now - 500, &err), &err);
    assert_ok(names_settle(db, repository, now - 500, &unwanted, &err), &err);
}

static struct digest digest(const char *text)
{
    return digest_of(DIGEST_SHA256, text, strlen(text));
}

static void publish(const char *repository, const char *name, const char *content)
{
    struct digest d = digest(content);
    struct name_publication p = {.digest = d,
                                 .image_id = digest("config"),
                                 .platform = "linux/amd64",
                                 .leads = true,
                                 .bytes = 2000000,
                                 .bytes_new = 500000,
                                 .seconds = 12.5};
    assert_ok(names_seen(db, repository, name, &d, now - 400, &err), &err);
    assert_ok(names_published(db, repository, name, &p, now - 300, &err), &err);
}

static void fail_with(const char *name, enum error_kind kind, const char *message)
{
    struct error why = ERROR_INIT;
    error_set(&why, kind, "%s", message);
    assert_ok(
        names_failed(db, REPO, name, &(struct name_failure){.why = &why}, now - 60, NULL, &err),
        &err);
    error_release(&why);
}

/* Four images of one repository in different states, and one of another. */
static int fill(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = path_join(scratch, "db");
    now = clock_now();
    assert_ok(tree_remove(dir, &err), &err);
    assert_ok(database_open(dir, DATABASE_WRITE, &db, &err), &err);
    list(REPO, "/etc/ducc/lists/good.yaml", HOST "group/image:*", HOST "group/image:1", NULL,
         false);
    list(REPO, "/etc/ducc/lists/bad.yaml", HOST "bad/image:1", HOST "bad/image:1", NULL, false);
    list(REPO, "/etc/ducc/lists/out.yaml", HOST "out/image:*", HOST "out/image:1-rc",
         "exclude: *-rc", false);
    list(REPO, "/etc/ducc/lists/rest.yaml", HOST "rest/image:1", HOST "rest/image:1", NULL, true);
    list(OTHER, "/etc/ducc/lists/good.yaml", HOST "group/image:*", HOST "group/image:1", NULL,
         false);
    publish(REPO, HOST "group/image:1", "a");
    publish(OTHER, HOST "group/image:1", "a");
    fail_with(HOST "bad/image:1", ERROR_AUTH, "401: no credentials");
    return 0;
}

static int drop(void **state)
{
    (void)state;
    database_free(db);
    error_release(&err);
    return 0;
}

static void assert_shown(const struct snapshot_filter *filter, const char *expected)
{
    struct snapshot s _cleanup_snapshot_ = {0};
    _cleanup_buf_ struct buf got = BUF_INIT;
    assert_ok(snapshot_take(db, filter, &s, &err), &err);
    for (size_t i = 0; i < s.image_count; i++)
        buf_addf(&got, "%s%s %s", i ? ", " : "", s.images[i].record.name + strlen(HOST),
                 name_state_word(s.images[i].state));
    assert_string_equal(got.data, expected);
}

static void test_snapshot__shows_what_the_filter_lets_through(void **state)
{
    (void)state;
    static const char *const globs[] = {"*/rest/*", HOST "bad/image:1"};
    static const char *const none[] = {"nothing"};
    assert_shown(&(struct snapshot_filter){.repository = REPO},
                 "bad/image:1 failed, group/image:1 published, rest/image:1 suspended");
    assert_shown(&(struct snapshot_filter){0},
                 "bad/image:1 failed, group/image:1 published, rest/image:1 suspended, "
                 "group/image:1 published");
    assert_shown(&(struct snapshot_filter){.failed_only = true}, "bad/image:1 failed");
    assert_shown(&(struct snapshot_filter){.repository = REPO, .list = "good.yaml"},
                 "group/image:1 published");
    assert_shown(&(struct snapshot_filter){.repository = REPO, .list = "lists/good.yaml"},
                 "group/image:1 published");
    assert_shown(&(struct snapshot_filter){.list = "ood.yaml"}, "");
    assert_shown(&(struct snapshot_filter){.images = globs, .image_count = 2},
                 "bad/image:1 failed, rest/image:1 suspended");
    assert_shown(&(struct snapshot_filter){.images = none, .image_count = 1}, "");
    assert_shown(&(struct snapshot_filter){.search = "BAD/"}, "bad/image:1 failed");
}

static void test_snapshot__counts_and_says_who_asks(void **state)
{
    (void)state;
    struct snapshot s _cleanup_snapshot_ = {0};
    assert_ok(snapshot_take(db, &(struct snapshot_filter){.repository = REPO}, &s, &err), &err);
    assert_int_equal(s.state_counts[NAME_PUBLISHED], 1);
    assert_int_equal(s.state_counts[NAME_FAILED], 1);
    assert_int_equal(s.bytes, 2000000);
    assert_int_equal(s.lists.count, 4);
    assert_int_equal(s.images[1].want_count, 1);
    assert_string_equal(s.images[1].wants[0].revision, "1a2b3c");
    _cleanup_json_ json_t *o = snapshot_json(&s);
    json_t *image = json_array_get(json_object_get(o, "images"), 1);
    assert_string_equal(json_string_value(json_object_get(image, "state")), "published");
    assert_string_equal(json_string_value(json_object_get(image, "path")),
                        "/cvmfs/" REPO "/" HOST "group/image:1");
    assert_int_equal(json_integer_value(json_object_get(image, "bytes_shared")), 1500000);
    assert_true(json_is_null(json_object_get(image, "failure")));
    json_t *failed = json_array_get(json_object_get(o, "images"), 0);
    json_t *failure = json_object_get(failed, "failure");
    assert_string_equal(json_string_value(json_object_get(failure, "kind")), "auth");
    assert_true(json_is_null(json_object_get(failed, "published_at")));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "counts"), "failed")),
                     1);
}

/* ---- why ---- */

/* The verdict and the sentences, one a line. */
static char *ask(const char *repository, const char *image)
{
    struct explanations found = {0};
    struct question q = {repository, image, now};
    struct buf text = BUF_INIT;
    assert_ok(explain(db, &q, &found, &err), &err);
    for (size_t i = 0; i < found.count; i++) {
        buf_addf(&text, "%s\n", found.items[i].verdict);
        for (size_t k = 0; k < found.items[i].line_count; k++)
            buf_addf(&text, "%s\n", found.items[i].lines[k].text);
        _cleanup_json_ json_t *o = explanation_json(&found.items[i]);
        assert_non_null(json_object_get(o, "verdict"));
    }
    explanations_release(&found);
    return buf_take(&text);
}

static void test_why__says(void **state)
{
    (void)state;
    static const struct {
        const char *image, *says[6];
    } table[] = {
        {HOST "group/image:1",
         {"published\n/etc", "good.yaml, line 12 (revision 1a2b3c) asks for it",
          "Contact: images@example.org", "/cvmfs/" REPO "/" HOST "group/image:1: sha256:",
          "it took 12.5 s. Its layers have 2.0 MB, compressed, of which the repository had 1.5 MB",
          "It was asked for by /etc/ducc/lists/good.yaml:12@1a2b3c."}},
        {HOST "bad/image:1",
         {"not published: the last try failed", "401: no credentials", "wants other credentials",
          "tried again not before", "It is not published."}},
        {HOST "out/image:1-rc",
         {"not published: left out by a selector", "it is left out by: exclude: *-rc"}},
        {HOST "rest/image:1", {"suspended\n", "is suspended: what is published stays"}},
        {HOST "group/image:2",
         {"not published: no list asks for it", "No list asks for it.",
          "Near it comes /etc/ducc/lists/good.yaml, line 12",
          "Near it comes the image " HOST "group/image:1 (published)"}},
        {HOST "gruop/image:1", {"no list asks", "Near it comes", "group/image:*"}},
        {"elsewhere.example.org:5000/group/image:1",
         {"no list asks", "Near it comes", "group/image:*"}},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_free_ char *text = ask(REPO, table[i].image);
        for (size_t k = 0; k < COUNT(table[i].says) && table[i].says[k]; k++)
            if (!strstr(text, table[i].says[k]))
                fail_msg("%s: \"%s\" is not in\n%s", table[i].image, table[i].says[k], text);
    }
    _cleanup_free_ char *nothing = ask(REPO, "example.com/quite/else:1");
    assert_null(strstr(nothing, "Near it"));
    _cleanup_free_ char *both = ask(NULL, HOST "group/image:1");
    assert_non_null(strstr(both, "/cvmfs/" OTHER));
    assert_non_null(strstr(both, "/cvmfs/" REPO));
}

static void test_why__says_what_a_list_that_fails_may_hide(void **state)
{
    (void)state;
    struct error why = ERROR_INIT;
    error_set(&why, ERROR_NET, "git server: connection refused");
    assert_ok(lists_failed(db, REPO, "/etc/ducc/lists/good.yaml", &why, now - 5, &err), &err);
    error_release(&why);
    _cleanup_free_ char *text = ask(REPO, "example.com/quite/else:1");
    assert_non_null(strstr(text, "connection refused; what it said at"));
}

static void test_why__says_what_became_of_it(void **state)
{
    (void)state;
    struct digest b = digest("b");
    assert_ok(names_seen(db, REPO, HOST "group/image:1", &b, now - 50, &err), &err);
    _cleanup_free_ char *updating = ask(REPO, HOST "group/image:1");
    assert_non_null(
        strstr(updating, "an older image is published: the new one is being worked on"));
    fail_with(HOST "group/image:1", ERROR_CORRUPT, "layer 3: wrong digest");
    _cleanup_free_ char *failed = ask(REPO, HOST "group/image:1");
    assert_non_null(
        strstr(failed, "an older image is published: the last try to update it failed"));
    assert_ok(names_gone(db, REPO, HOST "group/image:1", now - 20, NULL, &err), &err);
    _cleanup_free_ char *gone = ask(REPO, HOST "group/image:1");
    assert_non_null(strstr(gone, "not there any more: 1 time"));
    assert_ok(names_removed(db, REPO, HOST "group/image:1", NULL, now - 10, &err), &err);
    _cleanup_free_ char *removed = ask(REPO, HOST "group/image:1");
    assert_non_null(strstr(removed, "ducc restore"));
}

/* ---- near ---- */

static void test_near__distances(void **state)
{
    (void)state;
    static const struct {
        const char *image, *text;
        bool near;
        size_t distance;
    } table[] = {
        {"a.org/x/y:1", "a.org/x/y:2", true, 0},
        {"a.org/x/y:1", "https://a.org/x/y:*", true, 0},
        {"a.org/x/y:1", "{image: a.org/x/y, newest: 3}", true, 0},
        {"a.org/x/y@sha256:00", "a.org/x/y:2", true, 0},
        {"localhost:5000/x/y:1", "localhost:5000/x/y", true, 0},
        {"a.org/group/image:1", "a.org/group/imgae:1", true, 2},
        {"a.org/group/image:1", "elsewhere.example.com/group/image:1", true, 3},
        {"a.org/group/image:1", "a.org/other/thing:1", false, 0},
        {"a.org/group/image:1", "no slash here", false, 0},
        {"a.org/group/image:1", "", false, 0},
        {"", "a.org/group/image:1", false, 0},
        {"a.org/group/image:1", "://", false, 0},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        size_t got = near_distance(table[i].image, table[i].text);
        if (got != (table[i].near ? table[i].distance : NEAR_NOT))
            fail_msg("%s and %s: %zu", table[i].image, table[i].text, got);
    }
    _cleanup_free_ char *longest = xmalloc(4001);
    memset(longest, 'x', 4000);
    longest[4000] = '\0';
    longest[10] = '/';
    assert_true(near_distance(longest, "a.org/x/y") == NEAR_NOT);
}

#define FILLED(name) cmocka_unit_test_setup_teardown(name, fill, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILLED(test_snapshot__shows_what_the_filter_lets_through),
        FILLED(test_snapshot__counts_and_says_who_asks),
        FILLED(test_why__says),
        FILLED(test_why__says_what_a_list_that_fails_may_hide),
        FILLED(test_why__says_what_became_of_it),
        cmocka_unit_test(test_near__distances),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

/* state/names.h, lists.h, history.h, events.h, runs.h, next_try.h: what is recorded is what is read
 * back, and what follows from it. Times are given, so that years pass in a moment. */
#include "check.h"

#include "state/events.h"
#include "state/history.h"
#include "state/list_origins.h"
#include "state/lists.h"
#include "state/names.h"
#include "state/next_try.h"
#include "state/runs.h"

#define REPO  "images.example.org"
#define IMAGE "registry.example.org/group/image:1"
#define T0    ((int64_t)1700000000)

static struct database *db;
static struct error err = ERROR_INIT;

static int open_empty(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = path_join(scratch, "db");
    assert_ok(tree_remove(dir, &err), &err);
    assert_ok(database_open(dir, DATABASE_WRITE, &db, &err), &err);
    return 0;
}

static int close_it(void **state)
{
    (void)state;
    database_free(db);
    error_release(&err);
    return 0;
}

static struct digest digest(const char *text)
{
    return digest_of(DIGEST_SHA256, text, strlen(text));
}

static void see(const char *name, const char *content, int64_t now)
{
    struct digest d = digest(content);
    assert_ok(names_seen(db, REPO, name, &d, now, &err), &err);
}

static void publish(const char *name, const char *content, const char *platform, int64_t now)
{
    struct name_publication p = {.digest = digest(content),
                                 .image_id = digest("config"),
                                 .platform = platform,
                                 .leads = true,
                                 .bytes = 1000,
                                 .bytes_new = 100,
                                 .seconds = 2.5,
                                 .revision = 7};
    assert_ok(names_published(db, REPO, name, &p, now, &err), &err);
}

static void fail_with(const char *name, enum error_kind kind, const char *message, int64_t now)
{
    struct error why = ERROR_INIT;
    error_set(&why, kind, "%s", message);
    if (kind == ERROR_NET)
        error_retryable(&why);
    assert_ok(names_failed(db, REPO, name, &(struct name_failure){.why = &why}, now, NULL, &err),
              &err);
    error_release(&why);
}

static struct name_record get(const char *name)
{
    struct name_record r = {0};
    assert_ok(names_get(db, REPO, name, &r, &err), &err);
    return r;
}

static void assert_state(const char *name, enum name_state expected)
{
    struct name_record r = get(name);
    assert_string_equal(name_state_word(name_state(&r)), name_state_word(expected));
    name_record_release(&r);
}

static bool is_due(const char *name, const char *content, int64_t now)
{
    struct digest d = content ? digest(content) : (struct digest){0};
    bool due = false;
    assert_ok(names_is_due(db, REPO, name, &d, now, &due, &err), &err);
    return due;
}

/* What happened, oldest first: "published failed". */
static void assert_history(const char *name, const char *expected)
{
    struct history h = {0};
    _cleanup_buf_ struct buf words = BUF_INIT;
    assert_ok(history_list(db, REPO, name, 0, 100, &h, &err), &err);
    for (size_t i = h.count; i-- > 0;)
        buf_addf(&words, "%s%s", words.len ? " " : "", history_word(h.items[i].what));
    assert_string_equal(words.data, expected);
    history_release(&h);
}

/* ---- names ---- */

static void test_names__of_nothing_known_is_not_found(void **state)
{
    (void)state;
    struct name_record r;
    assert_fails("unknown", names_get(db, REPO, IMAGE, &r, &err), &err, ERROR_NOT_FOUND, IMAGE);
    assert_true(is_due(IMAGE, "a", T0));
}

static void test_names__from_wanted_to_published(void **state)
{
    (void)state;
    see(IMAGE, "a", T0);
    assert_state(IMAGE, NAME_UPDATING);
    publish(IMAGE, "a", "linux/amd64", T0 + 60);
    assert_state(IMAGE, NAME_PUBLISHED);
    see(IMAGE, "a", T0 + 600);
    struct name_record r = get(IMAGE);
    struct digest a = digest("a"), config = digest("config");
    assert_true(digest_equal(&r.wanted, &a) && digest_equal(&r.published, &a));
    assert_true(digest_equal(&r.image_id, &config));
    assert_string_equal(r.platforms, "linux/amd64");
    assert_int_equal(r.checked_at, T0 + 600);
    assert_int_equal(r.changed_at, T0);
    assert_int_equal(r.published_at, T0 + 60);
    assert_true(r.seconds == 2.5);
    assert_int_equal(r.bytes, 1000);
    assert_int_equal(r.bytes_new, 100);
    assert_int_equal(r.revision, 7);
    name_record_release(&r);
    see(IMAGE, "b", T0 + 700);
    assert_state(IMAGE, NAME_UPDATING);
    assert_history(IMAGE, "published");
}

static void test_names__platforms_are_summed_and_an_older_image_leaves(void **state)
{
    (void)state;
    see(IMAGE, "a", T0);
    publish(IMAGE, "a", "linux/amd64", T0);
    publish(IMAGE, "a", "linux/arm64", T0 + 1);
    struct name_record r = get(IMAGE);
    assert_string_equal(r.platforms, "linux/amd64, linux/arm64");
    assert_int_equal(r.bytes, 2000);
    assert_int_equal(r.bytes_new, 200);
    name_record_release(&r);
    publish(IMAGE, "b", "linux/arm64", T0 + 2);
    r = get(IMAGE);
    assert_string_equal(r.platforms, "linux/arm64");
    assert_int_equal(r.bytes, 1000);
    name_record_release(&r);
}

static void test_names__what_is_confirmed_makes_no_history(void **state)
{
    (void)state;
    struct name_publication p = {.digest = digest("a"), .image_id = digest("c"), .bytes = 10};
    assert_ok(names_confirmed(db, REPO, IMAGE, &p, &err), &err);
    assert_state(IMAGE, NAME_PUBLISHED);
    struct name_record r = get(IMAGE);
    assert_int_equal(r.published_at, 0); /* nobody knows when */
    assert_null(r.platforms);
    name_record_release(&r);
    assert_history(IMAGE, "");
    publish(IMAGE, "a", NULL, T0 + 1);
    assert_ok(names_confirmed(db, REPO, IMAGE, &p, &err), &err);
    r = get(IMAGE);
    assert_int_equal(r.published_at, T0 + 1);
    assert_int_equal(r.bytes_new, 100); /* what it brought when it came */
    name_record_release(&r);
    /* Its platform was not known to whoever rebuilt the database. */
    p.platform = "linux/amd64";
    assert_ok(names_confirmed(db, REPO, IMAGE, &p, &err), &err);
    r = get(IMAGE);
    assert_int_equal(r.bytes, 10);
    assert_string_equal(r.platforms, "linux/amd64");
    name_record_release(&r);
}

static void test_names__failures_are_counted_and_wait(void **state)
{
    (void)state;
    see(IMAGE, "a", T0);
    fail_with(IMAGE, ERROR_NET, "connection refused", T0);
    assert_state(IMAGE, NAME_FAILED);
    struct name_record r = get(IMAGE);
    assert_int_equal(r.attempts, 1);
    assert_in_range(r.next_try_at, T0 + 45, T0 + 60);
    assert_string_equal(r.failure, "connection refused");
    assert_false(is_due(IMAGE, "a", r.next_try_at - 1));
    assert_true(is_due(IMAGE, "a", r.next_try_at));
    assert_true(is_due(IMAGE, "b", T0)); /* a new image is tried at once */
    assert_false(is_due(IMAGE, NULL, T0));
    name_record_release(&r);
    fail_with(IMAGE, ERROR_NET, "connection refused", T0 + 60);
    r = get(IMAGE);
    assert_int_equal(r.attempts, 2);
    assert_in_range(r.next_try_at, T0 + 60 + 90, T0 + 60 + 120);
    name_record_release(&r);
    assert_history(IMAGE, "failed"); /* in the same words: told once */
    fail_with(IMAGE, ERROR_NET, "timeout", T0 + 180);
    assert_history(IMAGE, "failed failed");
    publish(IMAGE, "a", NULL, T0 + 200);
    assert_state(IMAGE, NAME_PUBLISHED);
    r = get(IMAGE);
    assert_int_equal(r.attempts, 0);
    assert_null(r.failure);
    name_record_release(&r);
}

static void test_names__what_could_not_be_looked_at_is_looked_at_by_each_pass(void **state)
{
    (void)state;
    struct error why = ERROR_INIT;
    error_set(&why, ERROR_NOT_FOUND, "404");
    struct name_failure what = {.why = &why, .of_looking = true};
    assert_ok(names_failed(db, REPO, IMAGE, &what, T0, NULL, &err), &err);
    struct name_record r = get(IMAGE);
    assert_int_equal(r.next_try_at, T0);
    assert_true(is_due(IMAGE, NULL, T0));
    name_record_release(&r);
    error_release(&why);
}

static void test_names__another_digest_forgets_the_failure(void **state)
{
    (void)state;
    see(IMAGE, "a", T0);
    fail_with(IMAGE, ERROR_UNSUPPORTED, "schema 1", T0);
    see(IMAGE, "a", T0 + 1);
    assert_state(IMAGE, NAME_FAILED);
    see(IMAGE, "b", T0 + 2);
    assert_state(IMAGE, NAME_UPDATING);
    assert_true(is_due(IMAGE, "b", T0 + 2));
}

static void test_names__a_stop_is_no_failure(void **state)
{
    (void)state;
    see(IMAGE, "a", T0);
    fail_with(IMAGE, ERROR_CANCELLED, "stopped", T0);
    assert_state(IMAGE, NAME_UPDATING);
}

static void test_names__a_platform_that_fails_stays_failed(void **state)
{
    (void)state;
    struct error why = ERROR_INIT;
    see(IMAGE, "a", T0);
    error_set(&why, ERROR_CORRUPT, "layer");
    assert_ok(names_failed(db, REPO, IMAGE,
                           &(struct name_failure){.why = &why, .platform = "linux/arm64"}, T0, NULL,
                           &err),
              &err);
    error_release(&why);
    publish(IMAGE, "a", "linux/amd64", T0 + 1);
    assert_state(IMAGE, NAME_FAILED);
    publish(IMAGE, "a", "linux/arm64", T0 + 2);
    assert_state(IMAGE, NAME_PUBLISHED);
}

static void test_names__a_clock_put_back_does_not_wait_for_years(void **state)
{
    (void)state;
    see(IMAGE, "a", T0);
    fail_with(IMAGE, ERROR_NET, "x", T0);
    assert_true(is_due(IMAGE, "a", T0 - 86400 * 365));
}

static void test_names__evidence_of_being_gone_is_counted_and_forgotten(void **state)
{
    (void)state;
    struct name_record r = {0};
    see(IMAGE, "a", T0);
    publish(IMAGE, "a", NULL, T0);
    assert_ok(names_gone(db, REPO, IMAGE, T0 + 10, NULL, &err), &err);
    assert_ok(names_gone(db, REPO, IMAGE, T0 + 90, &r, &err), &err);
    assert_int_equal(r.gone_count, 2);
    assert_int_equal(r.gone_first_at, T0 + 10);
    assert_int_equal(r.gone_last_at, T0 + 90);
    name_record_release(&r);
    assert_history(IMAGE, "published gone");
    see(IMAGE, "a", T0 + 100);
    r = get(IMAGE);
    assert_int_equal(r.gone_count, 0);
    assert_int_equal(r.gone_first_at, 0);
    name_record_release(&r);
}

static void test_names__removed_restored_forgotten(void **state)
{
    (void)state;
    publish(IMAGE, "a", NULL, T0);
    assert_ok(names_removed(db, REPO, IMAGE, "nobody asks for it", T0 + 1, &err), &err);
    assert_state(IMAGE, NAME_REMOVED);
    assert_ok(names_restored(db, REPO, IMAGE, T0 + 2, &err), &err);
    assert_state(IMAGE, NAME_PUBLISHED);
    assert_history(IMAGE, "published removed restored");
    assert_ok(names_forget(db, REPO, IMAGE, &err), &err);
    struct name_record r;
    assert_fails("forgotten", names_get(db, REPO, IMAGE, &r, &err), &err, ERROR_NOT_FOUND, IMAGE);
    assert_history(IMAGE, "published removed restored");
}

/* ---- lists ---- */

static int64_t read_list(const char *url, const char *revision, const char *const *texts,
                         size_t count, int64_t now)
{
    int64_t id = 0;
    struct list_entry entries[8] = {0};
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct list_entry){
            .line = (int)i + 3, .column = 5, .text = (char *)(uintptr_t)texts[i]};
    struct list_record list = {.repository = (char *)(uintptr_t)REPO,
                               .url = (char *)(uintptr_t)url,
                               .revision = (char *)(uintptr_t)revision,
                               .entries = entries,
                               .entry_count = count};
    assert_ok(lists_read(db, &list, now, &id, &err), &err);
    return id;
}

static void expand(int64_t list, const char *entry, const char *name, const char *left_out,
                   int64_t now)
{
    struct list_name n = {name, left_out};
    assert_ok(lists_expanded(db, list, entry, &n, 1, now, &err), &err);
}

static size_t settle(int64_t now)
{
    size_t unwanted = 99;
    assert_ok(names_settle(db, REPO, now, &unwanted, &err), &err);
    return unwanted;
}

static const char *const one_entry[] = {"registry.example.org/group/image:*"};
static const char *const two_entries[] = {"registry.example.org/other:1",
                                          "registry.example.org/group/image:*"};

static void test_lists__an_entry_that_leaves_makes_names_unwanted(void **state)
{
    (void)state;
    int64_t list = read_list("/etc/list.yaml", "c1", one_entry, 1, T0);
    expand(list, one_entry[0], IMAGE, NULL, T0);
    assert_int_equal(settle(T0), 0);
    assert_state(IMAGE, NAME_WANTED);
    see(IMAGE, "a", T0);
    publish(IMAGE, "a", NULL, T0 + 1);
    struct name_record r = get(IMAGE);
    assert_string_equal(r.asked_by, "/etc/list.yaml:3@c1");
    name_record_release(&r);
    read_list("/etc/list.yaml", "c2", NULL, 0, T0 + 2);
    assert_int_equal(settle(T0 + 2), 1);
    assert_int_equal(settle(T0 + 3), 1);
    r = get(IMAGE);
    assert_int_equal(r.unwanted_since, T0 + 2); /* the first time that it was noticed */
    name_record_release(&r);
    list = read_list("/etc/list.yaml", "c3", one_entry, 1, T0 + 4);
    expand(list, one_entry[0], IMAGE, NULL, T0 + 4);
    assert_int_equal(settle(T0 + 4), 0);
    assert_state(IMAGE, NAME_PUBLISHED);
    assert_history(IMAGE, "published unwanted wanted");
}

static void test_lists__what_was_never_published_leaves_nothing(void **state)
{
    (void)state;
    int64_t list = read_list("l", NULL, one_entry, 1, T0);
    expand(list, one_entry[0], IMAGE, NULL, T0);
    assert_int_equal(settle(T0), 0);
    read_list("l", NULL, NULL, 0, T0 + 1);
    assert_int_equal(settle(T0 + 1), 0);
    struct name_record r;
    assert_fails("left", names_get(db, REPO, IMAGE, &r, &err), &err, ERROR_NOT_FOUND, IMAGE);
}

static void test_lists__a_moved_entry_keeps_its_names(void **state)
{
    (void)state;
    struct wants w = {0};
    int64_t list = read_list("l", "c1", one_entry, 1, T0);
    expand(list, one_entry[0], IMAGE, NULL, T0);
    read_list("l", "c2", two_entries, 2, T0 + 1);
    assert_ok(lists_wants(db, REPO, IMAGE, &w, &err), &err);
    assert_int_equal(w.count, 1);
    assert_int_equal(w.items[0].line, 4);
    assert_string_equal(w.items[0].revision, "c2");
    wants_release(&w);
}

static void test_names__due_tries_are_taken_once(void **state)
{
    (void)state;
    struct string_list taken = {0};
    int64_t list = read_list("l", "c1", one_entry, 1, T0);
    expand(list, one_entry[0], IMAGE, NULL, T0);
    fail_with(IMAGE, ERROR_NET, "refused", T0);
    fail_with("registry.example.org/nobody:1", ERROR_NET, "refused", T0);
    assert_ok(names_take_due(db, REPO, 10, T0 + 1, &taken, &err), &err);
    assert_int_equal(taken.count, 0);
    assert_ok(names_take_due(db, REPO, 10, T0 + 60, &taken, &err), &err);
    assert_int_equal(taken.count, 1); /* whom nobody asks for is not tried */
    assert_string_equal(taken.items[0], IMAGE);
    assert_ok(names_take_due(db, REPO, 10, T0 + 61, &taken, &err), &err);
    assert_int_equal(taken.count, 1);
    assert_ok(names_take_due(db, REPO, 10, T0 + 60 + RETRY_TAKEN_SECONDS, &taken, &err), &err);
    assert_int_equal(taken.count, 2); /* nothing came of it */
    string_list_release(&taken);
}

static void test_lists__unchanged_is_a_time_and_the_end_of_a_failure(void **state)
{
    (void)state;
    struct error why = ERROR_INIT;
    struct list_records lists = {0};
    int64_t list = read_list("l", "c1", one_entry, 1, T0);
    expand(list, one_entry[0], IMAGE, NULL, T0);
    error_set(&why, ERROR_NET, "no route to host");
    assert_ok(lists_failed(db, REPO, "l", &why, T0 + 5, &err), &err);
    error_release(&why);
    assert_ok(lists_unchanged(db, REPO, "l", T0 + 6, &err), &err);
    assert_ok(lists_unchanged(db, REPO, "unknown", T0 + 6, &err), &err);
    assert_ok(lists_list(db, REPO, &lists, &err), &err);
    assert_int_equal(lists.count, 1);
    assert_null(lists.items[0].error);
    assert_int_equal(lists.items[0].good_at, T0 + 6);
    assert_int_equal(lists.items[0].fetched_at, T0 + 6);
    assert_string_equal(lists.items[0].revision, "c1");
    assert_int_equal(lists.items[0].names, 1);
    list_records_release(&lists);
}

static void test_lists__a_failure_changes_nothing_that_is_wanted(void **state)
{
    (void)state;
    struct error why = ERROR_INIT;
    struct list_records lists = {0};
    int64_t list = read_list("l", "c1", one_entry, 1, T0);
    expand(list, one_entry[0], IMAGE, NULL, T0);
    error_set(&why, ERROR_NET, "no route to host");
    assert_ok(lists_failed(db, REPO, "l", &why, T0 + 5, &err), &err);
    assert_ok(lists_not_expanded(db, list, one_entry[0], &why, T0 + 5, &err), &err);
    assert_int_equal(settle(T0 + 5), 0);
    assert_ok(lists_list(db, REPO, &lists, &err), &err);
    assert_int_equal(lists.count, 1);
    assert_string_equal(lists.items[0].error, "no route to host");
    assert_int_equal(lists.items[0].good_at, T0);
    assert_int_equal(lists.items[0].fetched_at, T0 + 5);
    assert_string_equal(lists.items[0].entries[0].error, "no route to host");
    assert_int_equal(lists.items[0].names, 1);
    list_records_release(&lists);
    read_list("l", "c2", one_entry, 1, T0 + 6);
    expand(list, one_entry[0], IMAGE, NULL, T0 + 6);
    assert_ok(lists_list(db, REPO, &lists, &err), &err);
    assert_null(lists.items[0].error);
    assert_null(lists.items[0].entries[0].error);
    list_records_release(&lists);
    error_release(&why);
}

static void test_lists__left_out_is_not_wanted(void **state)
{
    (void)state;
    struct wants w = {0};
    int64_t list = read_list("l", NULL, one_entry, 1, T0);
    expand(list, one_entry[0], IMAGE, "exclude: 1", T0);
    assert_int_equal(settle(T0), 0);
    struct name_record r;
    assert_fails("left out", names_get(db, REPO, IMAGE, &r, &err), &err, ERROR_NOT_FOUND, IMAGE);
    assert_ok(lists_wants(db, NULL, IMAGE, &w, &err), &err);
    assert_int_equal(w.count, 1);
    assert_string_equal(w.items[0].left_out, "exclude: 1");
    wants_release(&w);
}

static void test_lists__suspended_by_all_or_not_at_all(void **state)
{
    (void)state;
    char *text = (char *)(uintptr_t)one_entry[0];
    struct list_entry entry = {.line = 1, .text = text, .suspended = true};
    struct list_record l = {.repository = (char *)(uintptr_t)REPO,
                            .url = (char *)(uintptr_t) "l",
                            .entries = &entry,
                            .entry_count = 1};
    int64_t id;
    assert_ok(lists_read(db, &l, T0, &id, &err), &err);
    expand(id, text, IMAGE, NULL, T0);
    settle(T0);
    assert_state(IMAGE, NAME_SUSPENDED);
    expand(read_list("m", NULL, one_entry, 1, T0), text, IMAGE, NULL, T0);
    assert_state(IMAGE, NAME_WANTED);
}

static void test_lists__lists_of_other_repositories_do_not_count(void **state)
{
    (void)state;
    struct list_record l = {.repository = (char *)(uintptr_t) "other.example.org",
                            .url = (char *)(uintptr_t) "l"};
    struct list_entry entry = {.line = 1, .text = (char *)(uintptr_t)one_entry[0]};
    int64_t id;
    l.entries = &entry;
    l.entry_count = 1;
    publish(IMAGE, "a", NULL, T0);
    assert_ok(lists_read(db, &l, T0, &id, &err), &err);
    expand(id, one_entry[0], IMAGE, NULL, T0);
    assert_int_equal(settle(T0 + 1), 1);
    assert_state(IMAGE, NAME_UNWANTED);
}

static void ask_for(const char *image, int64_t now)
{
    struct list_entry entry = {.text = (char *)(uintptr_t)image};
    struct list_record list = {
        .repository = (char *)(uintptr_t)REPO, .entries = &entry, .entry_count = 1};
    int64_t id = 0;
    assert_ok(lists_ask(db, &list, now, &id, &err), &err);
    expand(id, image, image, NULL, now);
}

static void test_lists__the_command_line_only_adds(void **state)
{
    (void)state;
    const char *first[] = {IMAGE}, *second[] = {"registry.example.org/other:1"};
    ask_for(first[0], T0);
    ask_for(second[0], T0 + 1);
    assert_int_equal(settle(T0 + 1), 0);
    assert_state(IMAGE, NAME_WANTED);
    publish(IMAGE, "a", NULL, T0 + 2);
    assert_ok(lists_withdraw(db, REPO, IMAGE, &err), &err);
    assert_int_equal(settle(T0 + 3), 1);
    assert_state(IMAGE, NAME_UNWANTED);
    assert_state(second[0], NAME_WANTED);
}

static void test_lists__a_further_name_of_an_entry(void **state)
{
    (void)state;
    static const char further[] = "registry.example.org/group/image:2";
    struct wants wants = {0};
    int64_t list = read_list("/etc/list.yaml", "c1", one_entry, 1, T0);
    expand(list, one_entry[0], IMAGE, NULL, T0);
    for (int i = 0; i < 2; i++)
        assert_ok(lists_also_wanted(db, list, one_entry[0], further, &err), &err);
    assert_ok(lists_wants(db, REPO, NULL, &wants, &err), &err);
    assert_int_equal(wants.count, 2);
    wants_release(&wants);
    expand(list, one_entry[0], IMAGE, NULL, T0); /* of the whole list of tags */
    assert_ok(lists_wants(db, REPO, NULL, &wants, &err), &err);
    assert_int_equal(wants.count, 1);
    wants_release(&wants);
}

static void test_lists__an_unknown_entry_is_said(void **state)
{
    (void)state;
    struct list_name n = {IMAGE, NULL};
    int64_t id = read_list("l", NULL, one_entry, 1, T0);
    assert_fails("unknown", lists_expanded(db, id, "other", &n, 1, T0, &err), &err, ERROR_NOT_FOUND,
                 "no entry other");
}

/* ---- lists and configurations ---- */

#define CONFIG "/etc/ducc/ducc.yaml"

/* A list of this URL that asks for this image, read because the source led to it. */
static void read_from(const char *configuration, const char *source, const char *url,
                      const char *image)
{
    struct list_origin origin = {configuration, source};
    int64_t id = read_list(url, NULL, &image, 1, T0);
    expand(id, image, image, NULL, T0);
    if (configuration)
        assert_ok(list_origins_note(db, REPO, url, &origin, &err), &err);
}

static char told[512]; /* "URL N, …": what was forgotten, and how many names only it asked for */

static void forget_left(struct list_places *now)
{
    struct left_lists left = {0};
    told[0] = '\0';
    assert_ok(list_origins_left(db, now, &left, &err), &err);
    for (size_t i = 0; i < left.count; i++) {
        bool gone = false;
        size_t names = 0;
        assert_ok(list_origins_forget(db, now->configuration, &left.items[i], &gone, &names, &err),
                  &err);
        size_t len = strlen(told);
        if (gone)
            snprintf(told + len, sizeof told - len, "%s%s %zu", len ? ", " : "", left.items[i].url,
                     names);
    }
    left_lists_release(&left);
    list_places_release(now);
}

/* The configuration has these sources, each of which leads to the list of its own URL. */
static void configure(const char *configuration, const char *const *sources, size_t count)
{
    struct list_places now = {.configuration = configuration};
    for (size_t i = 0; i < count; i++) {
        string_list_add(&now.sources, sources[i]);
        list_places_add(&now, sources[i], REPO, sources[i]);
    }
    forget_left(&now);
}

#define IMAGE_2 "registry.example.org/group/image:2"

static void test_origins__a_list_that_left_makes_names_unwanted(void **state)
{
    (void)state;
    const char *const both[] = {"a", "b"};
    publish(IMAGE, "a", NULL, T0);
    publish(IMAGE_2, "b", NULL, T0);
    read_from(CONFIG, "a", "a", IMAGE);
    read_from(CONFIG, "b", "b", IMAGE_2);
    configure(CONFIG, both, 2);
    assert_string_equal(told, "");
    configure(CONFIG, both, 1);
    assert_string_equal(told, "b 1");
    assert_int_equal(settle(T0 + 1), 1);
    assert_state(IMAGE, NAME_PUBLISHED);
    assert_state(IMAGE_2, NAME_UNWANTED);
    configure(CONFIG, both, 1);
    assert_string_equal(told, ""); /* once */
    read_from(CONFIG, "b", "b", IMAGE_2);
    configure(CONFIG, both, 2);
    assert_int_equal(settle(T0 + 2), 0);
    assert_state(IMAGE_2, NAME_PUBLISHED);
}

static void test_origins__what_another_list_asks_for_stays(void **state)
{
    (void)state;
    const char *const one[] = {"a"};
    publish(IMAGE, "a", NULL, T0);
    read_from(CONFIG, "a", "a", IMAGE);
    read_from(CONFIG, "b", "b", IMAGE);
    configure(CONFIG, one, 1);
    assert_string_equal(told, "b 0");
    assert_int_equal(settle(T0 + 1), 0);
    assert_state(IMAGE, NAME_PUBLISHED);
}

static void test_origins__what_nobody_noted_stays(void **state)
{
    (void)state;
    publish(IMAGE, "a", NULL, T0);
    publish(IMAGE_2, "b", NULL, T0);
    read_from(NULL, NULL, "one-off", IMAGE);
    ask_for(IMAGE_2, T0);
    configure(CONFIG, NULL, 0);
    assert_string_equal(told, "");
    assert_int_equal(settle(T0 + 1), 0);
    struct list_origin origin = {CONFIG, "unknown"};
    assert_ok(list_origins_note(db, REPO, "unknown", &origin, &err), &err);
    struct list_records lists = {0};
    assert_ok(lists_list(db, NULL, &lists, &err), &err);
    assert_int_equal(lists.count, 2);
    list_records_release(&lists);
}

static void test_origins__configurations_forget_their_own(void **state)
{
    (void)state;
    publish(IMAGE, "a", NULL, T0);
    publish(IMAGE_2, "b", NULL, T0);
    read_from(CONFIG, "both", "both", IMAGE);
    read_from("/etc/other.yaml", "both", "both", IMAGE);
    read_from("/etc/other.yaml", "other", "other", IMAGE_2);
    configure(CONFIG, NULL, 0);
    assert_string_equal(told, "");
    assert_int_equal(settle(T0 + 1), 0);
    configure("/etc/other.yaml", NULL, 0);
    assert_string_equal(told, "both 1, other 1");
    assert_int_equal(settle(T0 + 2), 2);
}

/* Of one source: a file that is included no more, and a repository that is named no more. */
static void test_origins__what_a_source_leads_to_no_more_goes(void **state)
{
    (void)state;
    struct list_places now = {.configuration = CONFIG};
    publish(IMAGE, "a", NULL, T0);
    publish(IMAGE_2, "b", NULL, T0);
    read_from(CONFIG, "a", "a", IMAGE);
    read_from(CONFIG, "a", "included", IMAGE_2);
    string_list_add(&now.sources, "a");
    list_places_add(&now, "a", REPO, "a");
    forget_left(&now);
    assert_string_equal(told, "included 1");
    now = (struct list_places){.configuration = CONFIG};
    string_list_add(&now.sources, "a");
    list_places_add(&now, "a", "other.example.org", "a");
    forget_left(&now);
    assert_string_equal(told, "a 1");
    assert_int_equal(settle(T0 + 1), 2);
}

static void test_origins__a_loop_has_its_own_source(void **state)
{
    (void)state;
    const char *const one[] = {"a"};
    struct list_places now = {.configuration = ORIGIN_LOOP};
    publish(IMAGE, "a", NULL, T0);
    publish(IMAGE_2, "b", NULL, T0);
    read_from(ORIGIN_LOOP, "a", "a", IMAGE);
    read_from(ORIGIN_LOOP, "b", "b", IMAGE_2);
    configure(ORIGIN_LOOP, one, 1);
    assert_string_equal(told, "");
    string_list_add(&now.sources, "a");
    forget_left(&now);
    assert_string_equal(told, "a 1");
    read_from(CONFIG, "b", "b", IMAGE_2); /* now it is the configuration's */
    configure(CONFIG, NULL, 0);
    assert_string_equal(told, "b 1");
}

static void test_lists__an_unknown_list_is_said(void **state)
{
    (void)state;
    int64_t id;
    assert_fails("unknown", lists_find(db, REPO, "nowhere", &id, &err), &err, ERROR_NOT_FOUND,
                 "no list nowhere is known of " REPO);
}

/* ---- events ---- */

static bool add(const char *delivery, enum event_kind kind, const char *subject, int64_t now)
{
    bool is_new = false;
    struct event e = {"harbor", delivery, kind, subject};
    assert_ok(event_add(db, &e, now, &is_new, &err), &err);
    return is_new;
}

static void test_events__a_replay_does_nothing(void **state)
{
    (void)state;
    struct event_counts c;
    assert_true(add("1", EVENT_PUSHED, IMAGE, T0));
    assert_false(add("1", EVENT_PUSHED, IMAGE, T0 + 1));
    assert_true(add("2", EVENT_PUSHED, IMAGE, T0 + 1));
    struct event other = {"quay", "1", EVENT_PUSHED, IMAGE};
    bool is_new = false;
    assert_ok(event_add(db, &other, T0, &is_new, &err), &err);
    assert_true(is_new); /* ids are the senders' own */
    assert_ok(events_count(db, &c, &err), &err);
    assert_int_equal(c.waiting, 3);
    assert_int_equal(c.oldest_waiting_at, T0);
}

static void test_events__many_become_one_job(void **state)
{
    (void)state;
    struct event_jobs jobs = {0};
    add("1", EVENT_PUSHED, IMAGE, T0);
    add("2", EVENT_PUSHED, "registry.example.org/b:1", T0 + 1);
    add("3", EVENT_PUSHED, IMAGE, T0 + 2);
    add("4", EVENT_DELETED, IMAGE, T0 + 3);
    assert_ok(events_take(db, 10, &jobs, &err), &err);
    assert_int_equal(jobs.count, 3);
    assert_string_equal(jobs.items[0].subject, IMAGE);
    assert_int_equal(jobs.items[0].events, 2);
    assert_int_equal(jobs.items[0].received_at, T0);
    assert_int_equal(jobs.items[2].kind, EVENT_DELETED);
    int64_t first = jobs.items[0].id;
    event_jobs_release(&jobs);

    /* What comes while it is at work is another job. */
    add("5", EVENT_PUSHED, IMAGE, T0 + 4);
    assert_ok(events_done(db, first, "published", T0 + 5, &err), &err);
    assert_ok(events_take(db, 10, &jobs, &err), &err);
    assert_int_equal(jobs.count, 1);
    assert_int_equal(jobs.items[0].events, 1);
    event_jobs_release(&jobs);
    struct event_counts c;
    assert_ok(events_count(db, &c, &err), &err);
    assert_int_equal(c.done, 2);
    assert_int_equal(c.taken, 3);
}

static void test_events__what_a_killed_process_had_waits_again(void **state)
{
    (void)state;
    struct event_jobs jobs = {0};
    size_t count;
    add("1", EVENT_LIST, "git+https://example.org/list", T0);
    add("2", EVENT_REFRESH, "", T0);
    assert_ok(events_take(db, 1, &jobs, &err), &err);
    assert_int_equal(jobs.count, 1);
    event_jobs_release(&jobs);
    assert_ok(events_take_back(db, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_ok(events_take(db, 10, &jobs, &err), &err);
    assert_int_equal(jobs.count, 2);
    event_jobs_release(&jobs);
    assert_false(add("1", EVENT_LIST, "git+https://example.org/list", T0 + 9));
}

/* ---- runs, trimming ---- */

static void test_runs__are_read_back_newest_first(void **state)
{
    (void)state;
    int64_t a, b;
    struct runs runs = {0};
    struct run_counts counts = {.published = 3, .failed = 1, .bytes = 12345};
    assert_ok(run_start(db, "convert", REPO, T0, &a, &err), &err);
    assert_ok(run_end(db, a, &counts, "ok", T0 + 9, &err), &err);
    assert_ok(run_start(db, "poll", REPO, T0 + 10, &b, &err), &err);
    assert_ok(runs_list(db, REPO, 10, &runs, &err), &err);
    assert_int_equal(runs.count, 2);
    assert_int_equal(runs.items[0].id, b);
    assert_null(runs.items[0].outcome);
    assert_int_equal(runs.items[0].pid, getpid());
    assert_int_equal(runs.items[1].counts.published, 3);
    assert_int_equal(runs.items[1].counts.bytes, 12345);
    assert_int_equal(runs.items[1].ended_at, T0 + 9);
    runs_release(&runs);
    assert_ok(runs_list(db, "other", 10, &runs, &err), &err);
    assert_int_equal(runs.count, 0);
}

static void test_runs__a_repository_is_known_once_said(void **state)
{
    (void)state;
    bool known = true;
    assert_ok(repository_is_known(db, REPO, &known, &err), &err);
    assert_false(known);
    assert_ok(repository_set_known(db, REPO, T0, &err), &err);
    assert_ok(repository_set_known(db, REPO, T0 + 1, &err), &err);
    assert_ok(repository_is_known(db, REPO, &known, &err), &err);
    assert_true(known);
}

static void test_trim__old_things_go_and_what_waits_stays(void **state)
{
    (void)state;
    const int64_t day = 86400;
    int64_t run;
    struct event_jobs jobs = {0};
    struct event_counts c;
    struct runs runs = {0};
    publish(IMAGE, "a", NULL, T0);
    see(IMAGE, "b", T0 + 300 * day);
    publish(IMAGE, "b", NULL, T0 + 300 * day);
    assert_ok(run_start(db, "convert", REPO, T0, &run, &err), &err);
    add("1", EVENT_PUSHED, IMAGE, T0);
    assert_ok(events_take(db, 1, &jobs, &err), &err);
    assert_ok(events_done(db, jobs.items[0].id, "published", T0, &err), &err);
    event_jobs_release(&jobs);
    add("2", EVENT_PUSHED, IMAGE, T0);
    assert_ok(history_trim(db, &(struct history_bounds){0}, T0 + 366 * day, &err), &err);
    assert_history(IMAGE, "published");
    assert_ok(events_count(db, &c, &err), &err);
    assert_int_equal(c.done, 0);
    assert_int_equal(c.waiting, 1);
    assert_ok(runs_list(db, REPO, 10, &runs, &err), &err);
    assert_int_equal(runs.count, 0);
    assert_ok(
        history_trim(db, &(struct history_bounds){.history_seconds = day}, T0 + 366 * day, &err),
        &err);
    assert_history(IMAGE, "");
    assert_state(IMAGE, NAME_PUBLISHED);
}

/* ---- retries ---- */

static void test_retry__pauses(void **state)
{
    (void)state;
    static const struct {
        enum error_kind kind;
        bool retryable;
        unsigned attempts;
        int64_t seconds; /* without anything cut off */
    } table[] = {
        {ERROR_NET, true, 1, 60},
        {ERROR_NET, true, 2, 120},
        {ERROR_NET, true, 3, 240},
        {ERROR_NET, true, 9, 15360},
        {ERROR_NET, true, 10, RETRY_MAX_SECONDS},
        {ERROR_NET, true, 4000000000u, RETRY_MAX_SECONDS},
        {ERROR_NET, true, 0, 60},
        {ERROR_NET, false, 1, 60},
        {ERROR_IO, false, 2, 120},
        {ERROR_CHILD, false, 3, 240},
        {ERROR_LIMIT, true, 1, 60}, /* a full disk, a registry's quota */
        {ERROR_LIMIT, false, 1, RETRY_MAX_SECONDS},
        {ERROR_NOT_FOUND, true, 2, 120},
        {ERROR_NOT_FOUND, false, 1, RETRY_MAX_SECONDS},
        {ERROR_AUTH, true, 1, 60},
        {ERROR_AUTH, false, 1, RETRY_MAX_SECONDS},
        {ERROR_CORRUPT, true, 1, 60},
        {ERROR_CORRUPT, false, 1, RETRY_MAX_SECONDS},
        {ERROR_PARSE, true, 1, RETRY_MAX_SECONDS},
        {ERROR_UNSUPPORTED, false, 1, RETRY_MAX_SECONDS},
        {ERROR_POLICY, false, 1, RETRY_MAX_SECONDS},
        {ERROR_BUG, false, 1, RETRY_MAX_SECONDS},
        {ERROR_BUSY, true, 50, 60},
    };
    static const uint32_t random[] = {0, 1, 12345, 0x7fffffff, 0xffffffff};
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_int_equal(next_try_pause(table[i].kind, table[i].retryable, table[i].attempts, 0),
                         table[i].seconds);
        for (size_t k = 0; k < COUNT(random); k++)
            assert_in_range(
                next_try_pause(table[i].kind, table[i].retryable, table[i].attempts, random[k]),
                table[i].seconds - table[i].seconds / 4, table[i].seconds);
    }
}

#define RECORDS(name) cmocka_unit_test_setup_teardown(name, open_empty, close_it)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDS(test_names__of_nothing_known_is_not_found),
        RECORDS(test_names__from_wanted_to_published),
        RECORDS(test_names__platforms_are_summed_and_an_older_image_leaves),
        RECORDS(test_names__what_is_confirmed_makes_no_history),
        RECORDS(test_names__failures_are_counted_and_wait),
        RECORDS(test_names__what_could_not_be_looked_at_is_looked_at_by_each_pass),
        RECORDS(test_names__due_tries_are_taken_once),
        RECORDS(test_names__another_digest_forgets_the_failure),
        RECORDS(test_names__a_stop_is_no_failure),
        RECORDS(test_names__a_platform_that_fails_stays_failed),
        RECORDS(test_names__a_clock_put_back_does_not_wait_for_years),
        RECORDS(test_names__evidence_of_being_gone_is_counted_and_forgotten),
        RECORDS(test_names__removed_restored_forgotten),
        RECORDS(test_lists__an_entry_that_leaves_makes_names_unwanted),
        RECORDS(test_lists__what_was_never_published_leaves_nothing),
        RECORDS(test_lists__a_moved_entry_keeps_its_names),
        RECORDS(test_lists__unchanged_is_a_time_and_the_end_of_a_failure),
        RECORDS(test_lists__a_failure_changes_nothing_that_is_wanted),
        RECORDS(test_lists__left_out_is_not_wanted),
        RECORDS(test_lists__suspended_by_all_or_not_at_all),
        RECORDS(test_lists__lists_of_other_repositories_do_not_count),
        RECORDS(test_lists__the_command_line_only_adds),
        RECORDS(test_lists__a_further_name_of_an_entry),
        RECORDS(test_lists__an_unknown_entry_is_said),
        RECORDS(test_lists__an_unknown_list_is_said),
        RECORDS(test_origins__a_list_that_left_makes_names_unwanted),
        RECORDS(test_origins__what_another_list_asks_for_stays),
        RECORDS(test_origins__what_nobody_noted_stays),
        RECORDS(test_origins__configurations_forget_their_own),
        RECORDS(test_origins__what_a_source_leads_to_no_more_goes),
        RECORDS(test_origins__a_loop_has_its_own_source),
        RECORDS(test_events__a_replay_does_nothing),
        RECORDS(test_events__many_become_one_job),
        RECORDS(test_events__what_a_killed_process_had_waits_again),
        RECORDS(test_runs__are_read_back_newest_first),
        RECORDS(test_runs__a_repository_is_known_once_said),
        RECORDS(test_trim__old_things_go_and_what_waits_stays),
        cmocka_unit_test(test_retry__pauses),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

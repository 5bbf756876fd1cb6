/* web/server.h over real connections: limits, methods, senders, storing, the page, the API. */
#include "check.h"

#include "base/clock.h"
#include "base/hmac.h"
#include "state/events.h"
#include "state/lists.h"
#include "state/names.h"
#include "web/server.h"
#include "web/webhook.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#define SECRET "the-secret-of-this-sender"
#define REPO   "images.example.org"
#define EVIL   "h.org/<script>alert(1)</script>:1"

static struct error err = ERROR_INIT;
static struct web *web;
static char *state_dir;
static _Atomic int told;
static bool stuck;

static void on_events(void *arg)
{
    (void)arg;
    told++;
}

static bool is_healthy(void *arg, struct buf *reason)
{
    (void)arg;
    if (stuck)
        buf_adds(reason, "the worker is stuck");
    return !stuck;
}

static void add_sender(struct senders *s, const char *name, enum sender_kind kind, double rate)
{
    ARRAY_GROW(s->items, s->count, s->capacity);
    s->items[s->count++] = (struct sender){
        .name = xstrdup(name), .kind = kind, .secret = xstrdup(SECRET), .rate = rate};
}

static int start(void **state)
{
    (void)state;
    state_dir = new_folder("state");
    struct database *db;
    assert_ok(database_open(state_dir, DATABASE_WRITE, &db, &err), &err);
    database_free(db);
    static const char *const addresses[] = {"127.0.0.1:0", "[::1]:0"};
    struct web_settings settings = {.token = xstrdup("the-token-of-the-api")};
    for (size_t i = 0; i < COUNT(addresses); i++) {
        ARRAY_GROW(settings.listen, settings.listen_count, settings.listen_capacity);
        settings.listen[settings.listen_count++] = xstrdup(addresses[i]);
    }
    add_sender(&settings.senders, "harbor", SENDER_HARBOR, 1000);
    add_sender(&settings.senders, "hub", SENDER_DOCKERHUB, 1000);
    add_sender(&settings.senders, "git", SENDER_GITHUB, 1000);
    add_sender(&settings.senders, "slow", SENDER_HARBOR, 0.1);
    struct web_hooks hooks = {
        .state_dir = state_dir, .events_waiting = on_events, .is_healthy = is_healthy};
    assert_ok(web_start(&settings, &hooks, &web, &err), &err);
    web_settings_release(&settings);
    told = 0;
    stuck = false;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    web_stop(web);
    free(state_dir);
    error_release(&err);
    return 0;
}

/* ---- a client ---- */

static int connect_to(bool v6)
{
    struct sockaddr_in a4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)web_port(web, 0)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)web_port(web, 1)),
                              .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int rc = v6 ? connect(fd, (struct sockaddr *)&a6, sizeof a6)
                : connect(fd, (struct sockaddr *)&a4, sizeof a4);
    assert_int_equal(rc, 0);
    return fd;
}

/* What comes back until the connection is closed. */
static void exchange(bool v6, const void *bytes, size_t len, struct buf *out)
{
    int fd _cleanup_close_ = connect_to(v6);
    char chunk[4096];
    ssize_t n;
    (void)!send(fd, bytes, len, MSG_NOSIGNAL); /* it may be cut off: the answer says why */
    buf_truncate(out, 0);
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        buf_add(out, chunk, (size_t)n);
}

static int status_of(const struct buf *answer)
{
    return starts_with(answer->data, "HTTP/1.1 ") ? atoi(answer->data + 9) : 0;
}

/* `head` is "METHOD PATH", then header lines. */
static int ask(const char *head, const char *body, struct buf *out)
{
    _cleanup_buf_ struct buf request = BUF_INIT;
    const char *lines = strchr(head, '\n');
    buf_addf(&request, "%.*s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
             (int)(lines ? lines - head : (long)strlen(head)), head);
    if (body)
        buf_addf(&request, "Content-Length: %zu\r\n", strlen(body));
    if (lines)
        buf_addf(&request, "%s\r\n", lines + 1);
    buf_addf(&request, "\r\n%s", body ? body : "");
    exchange(false, request.data, request.len, out);
    return status_of(out);
}

static void expect(const char *head, const char *body, int status, const char *says)
{
    _cleanup_buf_ struct buf answer = BUF_INIT;
    int got = ask(head, body, &answer);
    if (got != status || !strstr(answer.data, says))
        fail_msg("%s: expected %d with \"%s\", got\n%s", head, status, says, answer.data);
}

static const char push[] = "{\"type\": \"PUSH_ARTIFACT\", \"occur_at\": 1, \"event_data\": "
                           "{\"resources\": [{\"resource_url\": \"h.org/a/b:1\"}]}}";
#define HARBOR "POST /hook/harbor\nAuthorization: " SECRET

static struct event_counts events(void)
{
    struct database *db;
    struct event_counts counts;
    assert_ok(database_open(state_dir, DATABASE_READ, &db, &err), &err);
    assert_ok(events_count(db, &counts, &err), &err);
    database_free(db);
    return counts;
}

/* ---- events in ---- */

static void test_server__an_event_is_stored_once(void **state)
{
    (void)state;
    expect(HARBOR, push, 202, "\"accepted\":1,\"replayed\":0,\"ignored\":0");
    assert_int_equal(events().waiting, 1);
    assert_int_equal(told, 1);
    expect(HARBOR, push, 202, "\"accepted\":0,\"replayed\":1,\"ignored\":0");
    assert_int_equal(events().waiting, 1);
    assert_int_equal(told, 1);
}

static void test_server__what_is_refused(void **state)
{
    (void)state;
    _cleanup_free_ char *signature =
        xasprintf("POST /hook/git\nX-GitHub-Event: push\r\nX-Hub-Signature-256: sha256=%064d", 0);
    static const struct {
        const char *head, *body;
        int status;
        const char *says;
    } table[] = {
        {"POST /hook/harbor", push, 401, "no sender of this name, or not its secret"},
        {"POST /hook/harbor\nAuthorization: wrong", push, 401, "no sender of this name"},
        {"POST /hook/nobody\nAuthorization: " SECRET, push, 401, "no sender of this name"},
        {"POST /hook/\nAuthorization: " SECRET, push, 401, "no sender of this name"},
        {"POST /hook/harbor/" SECRET, push, 401, "no sender of this name"},
        {"POST /hook/hub/wrong", push, 401, "no sender of this name"},
        {"POST /hook/hub\nAuthorization: " SECRET, push, 401, "no sender of this name"},
        {"POST /hook/hub/" SECRET, push, 400, "field \\\"push_data\\\""},
        {HARBOR, "{", 400, "not valid JSON"},
        {HARBOR "\r\nContent-Type: text/plain", push, 415, "application/json"},
        {"GET /hook/harbor", NULL, 405, "Allow: POST"},
        {"POST /", "", 405, "Allow: GET, HEAD"},
        {"DELETE /", NULL, 405, "Allow: GET, HEAD, POST"},
        {"POST /nothing", "", 404, "nothing is here"},
        {"GET /nothing", NULL, 404, "nothing is here"},
        {"GET /../etc/passwd", NULL, 404, "nothing is here"},
        {"POST /api/v1/refresh", "", 401, "no sender"},
        {"POST /api/v1/refresh\nAuthorization: Bearer wrong", "", 401, "no sender"},
        {"GET /?state=nonsense", NULL, 400, "no state is called like that"},
        {"GET /?page=0", NULL, 400, "a number from 1"},
        {"GET /api/v1/images?per_page=1001", NULL, 400, "from 1 to 1000"},
        {"GET /api/v1/history?image=a", NULL, 400, "it needs"},
    };
    for (size_t i = 0; i < COUNT(table); i++)
        expect(table[i].head, table[i].body, table[i].status, table[i].says);
    expect(signature, push, 401, "no sender of this name");
    assert_int_equal(events().waiting, 0);
    assert_int_equal(told, 0);
}

static void test_server__a_body_has_a_limit(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf request = BUF_INIT, answer = BUF_INIT;
    expect(HARBOR "\r\nContent-Length: 2000000\r\nX-End: 1", NULL, 413, "1048576 bytes at most");
    /* Without a length. */
    buf_adds(&request, "POST /hook/harbor HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       "Authorization: " SECRET "\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 17; i++) {
        buf_adds(&request, "10000\r\n");
        for (int k = 0; k < 0x10000; k++)
            buf_addc(&request, ' ');
        buf_adds(&request, "\r\n");
    }
    buf_adds(&request, "0\r\n\r\n");
    exchange(false, request.data, request.len, &answer);
    assert_true(status_of(&answer) == 413 || answer.len == 0);
    assert_int_equal(events().waiting, 0);
}

static void test_server__a_sender_has_a_rate(void **state)
{
    (void)state;
    int accepted = 0, slowed = 0;
    for (int i = 0; i < 10; i++) {
        _cleanup_buf_ struct buf answer = BUF_INIT;
        int status = ask("POST /hook/slow\nAuthorization: " SECRET, push, &answer);
        accepted += status == 202;
        slowed += status == 429 && strstr(answer.data, "Retry-After: ");
    }
    assert_int_equal(accepted, 2); /* what may come at once */
    assert_int_equal(slowed, 8);
    expect(HARBOR, push, 202, "accepted"); /* another sender's turn is its own */
}

static void test_server__guessing_is_slowed_and_hinders_nobody(void **state)
{
    (void)state;
    int slowed = 0;
    for (int i = 0; i < 2000 && slowed == 0; i++) { /* a hundred, on a machine that is not busy */
        _cleanup_buf_ struct buf answer = BUF_INIT;
        slowed += ask("POST /hook/harbor\nAuthorization: x", push, &answer) == 429;
    }
    assert_true(slowed > 0);
    expect(HARBOR, push, 202, "accepted");
}

static void test_server__refresh(void **state)
{
    (void)state;
#define REFRESH "POST /api/v1/refresh\nAuthorization: Bearer the-token-of-the-api"
    expect(REFRESH, "", 202, "\"accepted\":1");
    expect(REFRESH, "{\"images\": [\"h.org/a:1\", \"h.org/b\"], \"lists\": [\"h.org/l.git\"]}", 202,
           "\"accepted\":3");
    assert_int_equal(events().waiting, 4);
    expect(REFRESH, "{\"images\": [\"no image\"]}", 400, "field \\\"images\\\"");
    expect(REFRESH, "{\"images\": [1]}", 400, "expected strings");
    expect(REFRESH, "{\"image\": []}", 400, "expected \\\"images\\\" or \\\"lists\\\"");
    expect(REFRESH, "[]", 400, "expected an object");
    assert_int_equal(events().waiting, 4);
}

static void *push_many(void *arg)
{
    for (int i = 0; i < 25; i++) {
        _cleanup_buf_ struct buf answer = BUF_INIT;
        _cleanup_free_ char *body =
            xasprintf("{\"type\": \"PUSH_ARTIFACT\", \"occur_at\": %d, \"event_data\": "
                      "{\"resources\": [{\"resource_url\": \"h.org/a/b:%d\"}]}}",
                      i, *(int *)arg);
        if (ask(HARBOR, body, &answer) == 202)
            *(int *)arg += 1000;
    }
    return NULL;
}

static void test_server__a_crowd_is_stored_whole(void **state)
{
    (void)state;
    pthread_t threads[8];
    int numbers[COUNT(threads)];
    for (int i = 0; i < (int)COUNT(threads); i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, push_many, &numbers[i]), 0);
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(numbers[i] / 1000, 25);
    }
    assert_int_equal(events().waiting, 8 * 25);
}

/* ---- status out ---- */

static void fill(void)
{
    struct database *db;
    struct digest d = digest_of(DIGEST_SHA256, "a", 1);
    struct error why = ERROR_INIT;
    struct name_publication p = {
        .digest = d, .image_id = d, .leads = true, .bytes = 5000000, .bytes_new = 100000};
    assert_ok(database_open(state_dir, DATABASE_WRITE, &db, &err), &err);
    assert_ok(names_seen(db, REPO, "h.org/good:1", &d, clock_now(), &err), &err);
    assert_ok(names_published(db, REPO, "h.org/good:1", &p, clock_now(), &err), &err);
    assert_ok(names_seen(db, REPO, EVIL, &d, clock_now(), &err), &err);
    error_set(&why, ERROR_CORRUPT, "layer <u>7</u> & \"more\"");
    assert_ok(
        names_failed(db, REPO, EVIL, &(struct name_failure){.why = &why}, clock_now(), NULL, &err),
        &err);
    error_release(&why);
    struct list_entry entry = {.line = 3, .column = 1, .text = (char *)(uintptr_t) "h.org/good:1"};
    struct list_record list = {.repository = (char *)(uintptr_t)REPO,
                               .url = (char *)(uintptr_t) "/srv/<i>lists</i>/a.yaml",
                               .contact = (char *)(uintptr_t) "\xff<a@b>",
                               .entries = &entry,
                               .entry_count = 1};
    struct list_name name = {.name = "h.org/good:1"};
    int64_t id;
    assert_ok(lists_read(db, &list, clock_now(), &id, &err), &err);
    assert_ok(lists_expanded(db, id, entry.text, &name, 1, clock_now(), &err), &err);
    database_free(db);
}

static void assert_escaped(const char *path)
{
    _cleanup_free_ char *head = xasprintf("GET %s", path);
    _cleanup_buf_ struct buf answer = BUF_INIT;
    static const char *const markup[] = {"<script", "<u>", "<i>", "<a@b>", "\xff"};
    ask(head, NULL, &answer);
    for (size_t i = 0; i < COUNT(markup); i++)
        if (strstr(answer.data, markup[i]))
            fail_msg("%s: \"%s\" is not escaped:\n%s", path, markup[i], answer.data);
}

static void test_server__pages(void **state)
{
    (void)state;
    expect("GET /", NULL, 200, "No list asks for an image yet");
    fill();
    expect("GET /", NULL, 200, "h.org/&lt;script&gt;alert(1)&lt;/script&gt;:1");
    expect("GET /", NULL, 200, "layer &lt;u&gt;7&lt;/u&gt; &amp; &quot;more&quot;");
    expect("GET /?state=published", NULL, 200, "<caption>1 published image</caption>");
    expect("GET /?q=nothing", NULL, 200, "No image is like that");
    expect("GET /?q=GOOD&list=a.yaml", NULL, 200, "<caption>1  image</caption>");
    expect("GET /lists", NULL, 200, "/srv/&lt;i&gt;lists&lt;/i&gt;/a.yaml");
    expect("GET /activity", NULL, 200, "<h2>Runs</h2>");
    expect("GET /image/h.org/good:1", NULL, 200, "class=\"state published\"");
    expect("GET /image/h.org/absent:1", NULL, 404, "<h1>h.org/absent:1</h1>");
    expect("GET /image/h.org/%3Cscript%3Ealert(1)%3C/script%3E:1", NULL, 200, "class=\"why\"");
    expect("GET /style.css", NULL, 200, "Content-Type: text/css");
    static const char *const paths[] = {"/",
                                        "/lists",
                                        "/activity",
                                        "/?q=%3Cscript%3E%3Cb%3E&list=%22%3E%3Ci%3E%3Cu%3E",
                                        "/image/h.org/%3Cscript%3Ealert(1)%3C/script%3E:1",
                                        "/image/%3Cscript%3E"};
    for (size_t i = 0; i < COUNT(paths); i++)
        assert_escaped(paths[i]);
}

static void test_server__the_api(void **state)
{
    (void)state;
    fill();
    expect("GET /api/v1/images", NULL, 200, "\"total\":2,\"page\":1,\"per_page\":100");
    expect("GET /api/v1/images?state=failed&per_page=1", NULL, 200, "\"total\":1");
    expect("GET /api/v1/images?page=2&per_page=1", NULL, 200, "\"h.org/good:1\"");
    expect("GET /api/v1/images/h.org/good:1", NULL, 200, "\"explanations\":[{\"verdict\"");
    expect("GET /api/v1/images/h.org/absent:1", NULL, 404, "\"explanations\":[");
    expect("GET /api/v1/lists", NULL, 200, "/srv/<i>lists</i>/a.yaml");
    expect("GET /api/v1/runs", NULL, 200, "\"runs\":[]");
    expect("GET /api/v1/status", NULL, 200, "\"counts\":");
    expect("GET /api/v1/history?image=h.org/good:1&repository=" REPO, NULL, 200,
           "\"what\":\"published\"");
    expect("GET /metrics", NULL, 200,
           "ducc_images{repository=\"" REPO "\",state=\"published\"} 1\n");
}

static void test_server__what_all_answers_say(void **state)
{
    (void)state;
    static const char *const heads[] = {"GET /", "GET /nothing", "POST /hook/harbor",
                                        "GET /metrics"};
    static const char *const headers[] = {"Content-Security-Policy: default-src 'none'",
                                          "X-Content-Type-Options: nosniff", "X-Frame-Options"};
    for (size_t i = 0; i < COUNT(heads); i++) {
        _cleanup_buf_ struct buf answer = BUF_INIT;
        ask(heads[i], heads[i][0] == 'P' ? "" : NULL, &answer);
        for (size_t k = 0; k < COUNT(headers); k++)
            if (!strstr(answer.data, headers[k]))
                fail_msg("%s: no \"%s\" in\n%s", heads[i], headers[k], answer.data);
    }
}

static void test_server__head_and_etag(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf answer = BUF_INIT;
    assert_int_equal(ask("GET /style.css", NULL, &answer), 200);
    char *etag = strstr(answer.data, "ETag: ");
    assert_non_null(etag);
    _cleanup_free_ char *again =
        xasprintf("GET /style.css\nIf-None-Match: %.34s", etag + strlen("ETag: "));
    assert_int_equal(ask(again, NULL, &answer), 304);
    assert_true(ends_with(answer.data, "\r\n\r\n"));
    assert_int_equal(ask("HEAD /style.css", NULL, &answer), 200);
    assert_true(ends_with(answer.data, "\r\n\r\n"));
}

static void test_server__health(void **state)
{
    (void)state;
    expect("GET /healthz", NULL, 200, "ok\n");
    stuck = true;
    expect("GET /healthz", NULL, 503, "the worker is stuck");
    stuck = false;
    struct database *db;
    bool is_new;
    struct event old = {"harbor", "1", EVENT_PUSHED, "h.org/a:1"};
    assert_ok(database_open(state_dir, DATABASE_WRITE, &db, &err), &err);
    assert_ok(event_add(db, &old, clock_now() - 3600, &is_new, &err), &err);
    database_free(db);
    expect("GET /healthz", NULL, 503, "an event waits since");
}

static void test_server__an_unreadable_database_is_told(void **state)
{
    (void)state;
    _cleanup_free_ char *file = path_join(state_dir, "state.db");
    assert_ok(tree_remove(state_dir, &err), &err);
    assert_ok(dir_make(state_dir, 0755, &err), &err);
    expect("GET /healthz", NULL, 503, "state.db");
    expect("GET /", NULL, 503, "Retry-After: ");
    expect("GET /metrics", NULL, 200, "ducc_database_up 0");
    write_file(file, "this is no database at all, not even a bit of one", 48);
    expect("GET /healthz", NULL, 503, "state.db");
    expect(HARBOR, push, 503, "Retry-After: ");
}

static void test_server__ipv6_and_nonsense(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf answer = BUF_INIT;
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    exchange(true, request, strlen(request), &answer);
    assert_int_equal(status_of(&answer), 200);
    static const char nonsense[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n";
    exchange(false, nonsense, sizeof nonsense - 1, &answer);
    assert_true(status_of(&answer) >= 400 || answer.len == 0);
    expect("GET /healthz", NULL, 200, "ok\n");
}

static void test_server__wrong_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        enum error_kind kind;
        const char *says;
    } table[] = {
        {"", ERROR_PARSE, "expected ADDRESS:PORT"},
        {"127.0.0.1", ERROR_PARSE, "expected ADDRESS:PORT"},
        {":8899", ERROR_PARSE, "expected ADDRESS:PORT"},
        {"::1:8899:x", ERROR_PARSE, "not a name"},
        {"localhost:8899", ERROR_PARSE, "not a name"},
        {"[::1]8899", ERROR_PARSE, "expected ADDRESS:PORT"},
        {"127.0.0.1:http", ERROR_PARSE, "not a name"},
        {"192.0.2.1:8899", ERROR_NET, "cannot listen on 192.0.2.1:8899"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        char *address = (char *)(uintptr_t)table[i].address;
        struct web_settings settings = {.listen = &address, .listen_count = 1};
        struct web *other;
        assert_fails(address, web_start(&settings, &(struct web_hooks){0}, &other, &err), &err,
                     table[i].kind, table[i].says);
        error_release(&err);
    }
}

#define SERVED(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(test_server__an_event_is_stored_once),
        SERVED(test_server__what_is_refused),
        SERVED(test_server__a_body_has_a_limit),
        SERVED(test_server__a_sender_has_a_rate),
        SERVED(test_server__guessing_is_slowed_and_hinders_nobody),
        SERVED(test_server__refresh),
        SERVED(test_server__a_crowd_is_stored_whole),
        SERVED(test_server__pages),
        SERVED(test_server__the_api),
        SERVED(test_server__what_all_answers_say),
        SERVED(test_server__head_and_etag),
        SERVED(test_server__health),
        SERVED(test_server__an_unreadable_database_is_told),
        SERVED(test_server__ipv6_and_nonsense),
        cmocka_unit_test(test_server__wrong_addresses),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

#include "publisher/notify.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "publisher/notify_delivery.h"
#include "repository/image.h"
#include "state/names.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_SECONDS 10.0
#define STALL_SECONDS   20.0

struct line {
    struct line *next;
    char *json;
};

/* A target with its thread and what is still to be told to it. */
struct post {
    struct notifier *notifier;
    const struct notify_target *target;
    pthread_t thread;
    bool started;
    struct line *first, *last;
    size_t count, lost;
};

struct notifier {
    pthread_mutex_t lock; /* guards the queues and all below */
    pthread_cond_t changed;
    bool stopping;
    double deadline; /* clock_monotonic(), once stopping */
    struct post *posts;
    size_t post_count;
    struct notify_target file; /* of the command line */
    struct tls_store *tls;
    struct http_client *http;
    double started;
};

/* ---- targets ---- */

struct notify_target *notify_targets_add(struct notify_targets *t, enum notify_target_kind kind)
{
    ARRAY_GROW(t->items, t->count, t->capacity);
    t->items[t->count] = (struct notify_target){
        .kind = kind, .events = NOTIFY_IMAGES | (kind == NOTIFY_FILE ? NOTIFY_RUNS : 0)};
    return &t->items[t->count++];
}

static void release_target(struct notify_target *t)
{
    free(t->where);
    free(t->secret);
    for (size_t i = 0; i < t->argc; i++)
        free(t->argv[i]);
    free(t->argv);
}

void notify_targets_release(struct notify_targets *targets)
{
    for (size_t i = 0; i < targets->count; i++)
        release_target(&targets->items[i]);
    free(targets->items);
    *targets = (struct notify_targets){0};
}

/* ---- a target's thread ---- */

/* With the lock held: no time is left for another try. */
static bool is_over(const struct notifier *n)
{
    return n->stopping && clock_monotonic() > n->deadline;
}

/* With the lock held: until the time, or all time, is over. */
static void wait_some(struct notifier *n, double seconds)
{
    double until = clock_monotonic() + seconds;
    while (clock_monotonic() < until && !is_over(n)) {
        struct timespec soon;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_sec++;
        pthread_cond_timedwait(&n->changed, &n->lock, &soon);
    }
}

/* With the lock held, which is given up meanwhile. */
static void deliver(struct post *p, const char *json)
{
    struct notifier *n = p->notifier;
    for (int tries = 1;; tries++) {
        struct error err = ERROR_INIT;
        pthread_mutex_unlock(&n->lock);
        int result = notify_deliver(p->target, n->http, json, &err);
        pthread_mutex_lock(&n->lock);
        if (result == 0)
            return;
        bool give_up = tries == NOTIFY_TRIES || is_over(n) || err.kind == ERROR_CANCELLED;
        if (give_up) {
            log_warning("a notification is lost: %s", err.message);
            p->lost++;
        } else {
            log_debug("notification: %s; trying again", err.message);
        }
        error_release(&err);
        if (give_up)
            return;
        wait_some(n, (double)(1 << (tries - 1)));
    }
}

static struct line *take(struct post *p)
{
    struct line *line = p->first;
    p->first = line->next;
    if (!p->first)
        p->last = NULL;
    p->count--;
    return line;
}

static void free_line(struct line *line)
{
    free(line->json);
    free(line);
}

static void *run_post(void *arg)
{
    struct post *p = arg;
    struct notifier *n = p->notifier;
    pthread_mutex_lock(&n->lock);
    while (p->first || !n->stopping) {
        if (!p->first) {
            pthread_cond_wait(&n->changed, &n->lock);
            continue;
        }
        struct line *line = take(p);
        if (is_over(n))
            p->lost++;
        else
            deliver(p, line->json);
        free_line(line);
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

static void send_to(struct post *p, const char *json)
{
    if (p->count == NOTIFY_QUEUE_MAX) {
        p->lost++;
        return;
    }
    struct line *line = xcalloc(1, sizeof *line);
    line->json = xstrdup(json);
    if (p->last)
        p->last->next = line;
    else
        p->first = line;
    p->last = line;
    p->count++;
}

/* ---- what is told ---- */

static void set_text(json_t *o, const char *field, const char *text)
{
    if (!text)
        return;
    json_t *value = json_string(text);
    if (!value) { /* no UTF-8 */
        _cleanup_free_ char *escaped = quoted(text);
        value = json_string(escaped);
    }
    json_object_set_new(o, field, value);
}

static void set_number(json_t *o, const char *field, uint64_t number)
{
    _cleanup_free_ char *text = xasprintf("%llu", (unsigned long long)number);
    set_text(o, field, text);
}

static void set_elapsed(json_t *o, double seconds)
{
    _cleanup_free_ char *text = xasprintf("%f", seconds);
    set_text(o, "time_elapsed_s", text);
}

/* "time" as the Go tool writes it, and one that can be read without knowing the place. */
static void set_time(json_t *o)
{
    struct timespec now;
    struct tm tm;
    char text[64], whole[96];
    clock_gettime(CLOCK_REALTIME, &now);
    if (localtime_r(&now.tv_sec, &tm) && strftime(text, sizeof text, "%e %b %Y - %H:%M:%S", &tm)) {
        snprintf(whole, sizeof whole, "%s.%03ld", text, now.tv_nsec / 1000000);
        set_text(o, "time", whole);
    }
    set_text(o, "timestamp", clock_text(clock_now()).s);
}

/* Takes the object over. */
static void tell(struct notifier *n, enum notification_kind kind, json_t *object)
{
    _cleanup_json_ json_t *o = object;
    set_time(o);
    _cleanup_free_ char *text = json_text(o);
    pthread_mutex_lock(&n->lock);
    for (size_t i = 0; i < n->post_count; i++)
        if (n->posts[i].target->events & kind)
            send_to(&n->posts[i], text);
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
}

static void set_published(json_t *o, const struct notification *x)
{
    set_text(o, "action", "publish_flat_image");
    set_text(o, "status", "ok");
    set_text(o, "public_path", x->name);
    if (digest_is_set(&x->image_id)) {
        _cleanup_free_ char *flat = layout_flat(&x->image_id);
        set_text(o, "private_path", flat);
        set_text(o, "image_id", digest_text(&x->image_id).s);
    }
    set_number(o, "size_bytes", x->bytes);
    set_number(o, "new_bytes", x->bytes_new);
    set_elapsed(o, x->seconds);
    if (x->revision)
        set_number(o, "revision", x->revision);
}

static void set_failed(json_t *o, const struct notification *x)
{
    set_text(o, "action", "end_flat_conversion");
    set_text(o, "status", "error");
    set_text(o, "error", x->text);
    set_text(o, "error_kind", error_kind_name(x->error_kind));
}

void notifier_tell(struct notifier *n, const struct notification *x)
{
    if (!n)
        return;
    json_t *o = json_object();
    _cleanup_free_ char *path = name_path(x->repository, x->name);
    if (x->kind == NOTIFY_PUBLISHED)
        set_published(o, x);
    else if (x->kind == NOTIFY_FAILED)
        set_failed(o, x);
    else
        set_text(o, "action", "remove_image");
    set_text(o, "repository", x->repository);
    set_text(o, "image", x->name);
    set_text(o, "path", path);
    set_text(o, "platform", x->platform);
    if (digest_is_set(&x->digest))
        set_text(o, "digest", digest_text(&x->digest).s);
    if (x->kind == NOTIFY_REMOVED)
        set_text(o, "reason", x->text);
    tell(n, x->kind, o);
}

static void tell_run(struct notifier *n, const char *action, double elapsed)
{
    json_t *o = json_object();
    set_text(o, "action", action);
    set_number(o, "pid", (uint64_t)getpid());
    if (elapsed >= 0)
        set_elapsed(o, elapsed);
    tell(n, NOTIFY_RUNS, o);
}

/* ---- life ---- */

static int add_post(struct notifier *n, const struct notify_target *target, struct error *err)
{
    struct post *p = &n->posts[n->post_count];
    *p = (struct post){.notifier = n, .target = target};
    /* A file that cannot be written is a mistake of whoever named it. */
    if (target->kind == NOTIFY_FILE && notify_deliver(target, NULL, "", err) < 0)
        return error_wrap(err, "notifications");
    if (pthread_create(&p->thread, NULL, run_post, p) != 0)
        return error_set(err, ERROR_IO, "notifications: no thread could be started");
    p->started = true;
    n->post_count++;
    return 0;
}

static int add_posts(struct notifier *n, const struct notify_targets *targets, struct error *err)
{
    n->posts = xcalloc(targets->count + 1, sizeof *n->posts);
    if (n->file.where && add_post(n, &n->file, err) < 0)
        return -1;
    for (size_t i = 0; i < targets->count; i++)
        if (add_post(n, &targets->items[i], err) < 0)
            return -1;
    return 0;
}

static int open_http(struct notifier *n, const struct notify_targets *targets,
                     const struct site *site, struct error *err)
{
    bool needed = false;
    for (size_t i = 0; i < targets->count; i++)
        needed |= targets->items[i].kind == NOTIFY_WEBHOOK;
    if (!needed)
        return 0;
    n->tls = tls_store_new(site);
    struct http_options options = {
        .connect_seconds = CONNECT_SECONDS, .stall_seconds = STALL_SECONDS, .tls = n->tls};
    n->http = http_client_new(&options, err);
    return n->http ? 0 : -1;
}

static void stop(struct notifier *n)
{
    size_t lost = 0;
    pthread_mutex_lock(&n->lock);
    n->stopping = true;
    n->deadline = clock_monotonic() + NOTIFY_STOP_SECONDS;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
    for (size_t i = 0; i < n->post_count; i++) {
        pthread_join(n->posts[i].thread, NULL);
        lost += n->posts[i].lost;
    }
    if (lost)
        log_warning("%zu notifications were lost", lost);
    http_client_free(n->http);
    tls_store_free(n->tls);
    release_target(&n->file);
    pthread_cond_destroy(&n->changed);
    pthread_mutex_destroy(&n->lock);
    free(n->posts);
    free(n);
}

int notifier_start(const struct notify_targets *targets, const char *file, const struct site *site,
                   struct notifier **out, struct error *err)
{
    struct notifier *n = xcalloc(1, sizeof *n);
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->changed, NULL);
    n->started = clock_monotonic();
    n->file = (struct notify_target){.kind = NOTIFY_FILE,
                                     .events = NOTIFY_IMAGES | NOTIFY_RUNS,
                                     .where = file ? xstrdup(file) : NULL};
    if (open_http(n, targets, site, err) < 0 || add_posts(n, targets, err) < 0) {
        stop(n);
        return -1;
    }
    tell_run(n, "start_ducc", -1);
    *out = n;
    return 0;
}

void notifier_stop(struct notifier *n)
{
    if (!n)
        return;
    tell_run(n, "end_ducc", clock_monotonic() - n->started);
    stop(n);
}

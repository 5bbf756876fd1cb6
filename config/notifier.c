#include "config/notifier.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/access.h"
#include "config/notifier_delivery.h"
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
    struct aim *aim;
    const struct notify_target *target;
    pthread_t thread;
    struct line *first, *last;
    size_t count, lost;
};

/* The targets of one reading of the configuration. */
struct aim {
    struct notifier *notifier;
    struct access *access;     /* whose targets and certificates these are */
    struct notify_target file; /* of the command line */
    struct post *posts;
    size_t post_count;
    struct tls_store *tls;
    struct http_client *http;
    bool stopping;
    double deadline; /* clock_monotonic(), once stopping */
};

struct notifier {
    char *file;           /* NULL: none */
    pthread_mutex_t lock; /* guards what is below, and the aims with their queues */
    pthread_cond_t changed;
    struct aim *aim; /* NULL: none yet */
    struct aim *old; /* the one before, which tells what it still has; NULL: none */
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
static bool is_over(const struct aim *a)
{
    return a->stopping && clock_monotonic() > a->deadline;
}

/* With the lock held: until the time, or all time, is over. */
static void wait_some(struct aim *a, double seconds)
{
    double until = clock_monotonic() + seconds;
    while (clock_monotonic() < until && !is_over(a)) {
        struct timespec soon;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_sec++;
        pthread_cond_timedwait(&a->notifier->changed, &a->notifier->lock, &soon);
    }
}

/* With the lock held, which is given up meanwhile. */
static int try_delivery(struct post *p, const char *json, struct error *err)
{
    pthread_mutex_unlock(&p->aim->notifier->lock);
    int result = notify_deliver(p->target, p->aim->http, json, err);
    pthread_mutex_lock(&p->aim->notifier->lock);
    return result;
}

/* With the lock held, which is given up meanwhile. */
static void deliver(struct post *p, const char *json)
{
    for (int tries = 1;; tries++) {
        _cleanup_error_ struct error err = ERROR_INIT;
        if (try_delivery(p, json, &err) == 0)
            return;
        if (tries == NOTIFY_TRIES || is_over(p->aim) || err.kind == ERROR_CANCELLED) {
            log_warning("a notification is lost: %s", err.message);
            p->lost++;
            return;
        }
        log_debug("notification: %s; trying again", err.message);
        wait_some(p->aim, (double)(1 << (tries - 1)));
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
    struct notifier *n = p->aim->notifier;
    pthread_mutex_lock(&n->lock);
    while (p->first || !p->aim->stopping) {
        if (!p->first) {
            pthread_cond_wait(&n->changed, &n->lock);
            continue;
        }
        struct line *line = take(p);
        if (is_over(p->aim))
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
    for (size_t i = 0; n->aim && i < n->aim->post_count; i++)
        if (n->aim->posts[i].target->events & kind)
            send_to(&n->aim->posts[i], text);
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

/* ---- aims ---- */

static int add_post(struct aim *a, const struct notify_target *target, struct error *err)
{
    struct post *p = &a->posts[a->post_count];
    *p = (struct post){.aim = a, .target = target};
    /* A file that cannot be written is a mistake of whoever named it. */
    if (target->kind == NOTIFY_FILE && notify_deliver(target, NULL, "", err) < 0)
        return error_wrap(err, "notifications");
    if (pthread_create(&p->thread, NULL, run_post, p) != 0)
        return error_set(err, ERROR_IO, "notifications: no thread could be started");
    a->post_count++;
    return 0;
}

static int add_posts(struct aim *a, struct error *err)
{
    const struct notify_targets *targets = &a->access->config.notifications;
    a->posts = xcalloc(targets->count + 1, sizeof *a->posts);
    if (a->file.where && add_post(a, &a->file, err) < 0)
        return -1;
    for (size_t i = 0; i < targets->count; i++)
        if (add_post(a, &targets->items[i], err) < 0)
            return -1;
    return 0;
}

static int open_http(struct aim *a, struct error *err)
{
    const struct notify_targets *targets = &a->access->config.notifications;
    bool needed = false;
    for (size_t i = 0; i < targets->count; i++)
        needed |= targets->items[i].kind == NOTIFY_WEBHOOK;
    if (!needed)
        return 0;
    a->tls = tls_store_new(&a->access->config.site);
    struct http_options options = {
        .connect_seconds = CONNECT_SECONDS, .stall_seconds = STALL_SECONDS, .tls = a->tls};
    a->http = http_client_new(&options, err);
    return a->http ? 0 : -1;
}

/* With the lock held: what it has is told, within the time that is given. NULL is fine. */
static void aim_stop(struct aim *a)
{
    if (!a)
        return;
    a->stopping = true;
    a->deadline = clock_monotonic() + NOTIFY_STOP_SECONDS;
    pthread_cond_broadcast(&a->notifier->changed);
}

/* Waits for the end of one that was stopped. NULL is fine. */
static void aim_free(struct aim *a)
{
    size_t lost = 0;
    if (!a)
        return;
    for (size_t i = 0; i < a->post_count; i++) {
        pthread_join(a->posts[i].thread, NULL);
        lost += a->posts[i].lost;
    }
    if (lost)
        log_warning("%zu notifications were lost", lost);
    http_client_free(a->http);
    tls_store_free(a->tls);
    access_unref(a->access);
    free(a->posts);
    free(a);
}

static struct aim *aim_new(struct notifier *n, struct access *access, struct error *err)
{
    struct aim *a = xcalloc(1, sizeof *a);
    a->notifier = n;
    a->access = access_ref(access);
    a->file = (struct notify_target){
        .kind = NOTIFY_FILE, .events = NOTIFY_IMAGES | NOTIFY_RUNS, .where = n->file};
    if (open_http(a, err) == 0 && add_posts(a, err) == 0)
        return a;
    pthread_mutex_lock(&n->lock);
    aim_stop(a);
    pthread_mutex_unlock(&n->lock);
    aim_free(a);
    return NULL;
}

int notifier_aim(struct notifier *n, struct access *access, struct error *err)
{
    struct aim *a = aim_new(n, access, err);
    if (!a)
        return -1;
    pthread_mutex_lock(&n->lock);
    struct aim *oldest = n->old;
    n->old = n->aim;
    n->aim = a;
    aim_stop(n->old);
    bool first = !n->old;
    pthread_mutex_unlock(&n->lock);
    aim_free(oldest);
    if (first)
        tell_run(n, "start_ducc", -1);
    return 0;
}

/* ---- life ---- */

struct notifier *notifier_new(const char *file)
{
    struct notifier *n = xcalloc(1, sizeof *n);
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->changed, NULL);
    n->started = clock_monotonic();
    n->file = file ? xstrdup(file) : NULL;
    return n;
}

void notifier_free(struct notifier *n)
{
    if (!n)
        return;
    tell_run(n, "end_ducc", clock_monotonic() - n->started);
    pthread_mutex_lock(&n->lock);
    aim_stop(n->aim);
    pthread_mutex_unlock(&n->lock);
    aim_free(n->old);
    aim_free(n->aim);
    pthread_cond_destroy(&n->changed);
    pthread_mutex_destroy(&n->lock);
    free(n->file);
    free(n);
}

#include "publisher/service.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/notify.h"
#include "worker/recorder.h"
#include "publisher/left_lists.h"
#include "publisher/watched_list.h"
#include "publisher/web_end.h"
#include "worker/workers.h"
#include "state/state.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define VISITORS_MAX       8
#define LOOK_NANOSECONDS   (100 * 1000 * 1000L)
#define SWEEP_SECONDS      3600
#define RETRY_LOOK_SECONDS 10  /* how often to look for what is to be tried again */
#define RETRIES_AT_A_TIME  500 /* of a repository */

struct service {
    const struct service_options *o;
    char *state_dir, *spool; /* NULL: inside the state directory */
    struct report *report;
    struct notifier *notifier;
    struct workers workers;
    pthread_mutex_t workers_lock;
    pthread_t visitors[VISITORS_MAX];
    size_t visitor_count;
    struct web_end *web; /* NULL: not a daemon */

    pthread_mutex_t lock; /* guards all below */
    struct access *access;
    struct entry {
        struct watched_list *list;
        bool visiting, visited;
        bool hurried, everything;    /* by events: visit it now, and look at all its wishes */
        struct event_round **rounds; /* that wait for the end of its next visit */
        size_t round_count, round_capacity;
    } * entries;
    size_t count;
    uint64_t generation; /* of the entries: counted up when the configuration is read again */
    bool changed;        /* a list is not what it was: what is wanted is to be settled */
    size_t failed;       /* visits that failed in some way */
    size_t busy;         /* repositories that could not be opened */
    struct error error;  /* why a repository could not be opened */
    bool stop;
};

static _Atomic bool reload_requested;

void service_reload(void)
{
    atomic_store(&reload_requested, true);
}

static void wait_a_moment(void)
{
    struct timespec t = {.tv_nsec = LOOK_NANOSECONDS};
    nanosleep(&t, NULL);
}

/* ---- lists ---- */

static void end_rounds(const struct entry *entry)
{
    for (size_t i = 0; i < entry->round_count; i++)
        event_round_end(entry->rounds[i]);
    free(entry->rounds);
}

static void drop_entries(struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        end_rounds(&entries[i]); /* whatever comes in their place is visited at once */
        watched_list_unref(entries[i].list);
    }
    free(entries);
}

/* Where records say that the lists stand. NULL: nowhere. */
static const char *configuration_of(const struct service *s, const struct access *access)
{
    return s->o->recipe ? ORIGIN_LOOP : access->config.path;
}

static int make_entries(const struct service *s, struct access *access, struct entry **out,
                        size_t *out_count, struct error *err)
{
    struct configured_list only = {.name = (char *)(uintptr_t)s->o->recipe,
                                   .source = (char *)(uintptr_t)s->o->recipe};
    const struct configured_list *lists = s->o->recipe ? &only : access->config.lists;
    size_t count = s->o->recipe ? 1 : access->config.list_count;
    struct entry *entries = xcalloc(count, sizeof *entries);
    for (size_t i = 0; i < count; i++) {
        entries[i].list = watched_list_new(
            &(struct watched_list_options){&lists[i], &s->o->settings, access, s->state_dir,
                                           configuration_of(s, access)},
            err);
        if (!entries[i].list) {
            drop_entries(entries, i);
            return -1;
        }
    }
    *out = entries;
    *out_count = count;
    return 0;
}

/* ---- visiting ---- */

static void note_visit(struct service *s, struct visit *v)
{
    s->failed += v->failed;
    s->changed |= v->changed;
    if (v->error.kind == ERROR_NONE)
        return;
    s->busy++;
    error_move(&s->error, &v->error);
}

/* With the lock held, which is given up meanwhile. */
static void visit(struct service *s, size_t i)
{
    struct watched_list *list = watched_list_ref(s->entries[i].list);
    uint64_t generation = s->generation;
    struct entry begun = s->entries[i];
    s->entries[i] = (struct entry){.list = begun.list, .visiting = true, .visited = begun.visited};
    struct visit v = {.workers_lock = &s->workers_lock,
                      .workers = &s->workers,
                      .now = clock_now(),
                      .again = s->o->convert->again,
                      .once = s->o->mode == SERVICE_POLL,
                      .urgent = begun.hurried,
                      .everything = begun.everything};
    pthread_mutex_unlock(&s->lock);
    watched_list_visit(list, &v);
    watched_list_unref(list);
    end_rounds(&begun);
    pthread_mutex_lock(&s->lock);
    note_visit(s, &v);
    if (generation == s->generation) {
        s->entries[i].visiting = false;
        s->entries[i].visited = true;
    } else {
        s->changed = true; /* it may have recorded a list that has left meanwhile */
    }
}

/* The list that has been due for longest; `count` if none is. */
static size_t next_due(struct service *s)
{
    size_t best = s->count;
    int64_t best_due = clock_now();
    for (size_t i = 0; i < s->count; i++) {
        if (s->entries[i].visiting)
            continue;
        int64_t due = s->entries[i].hurried ? 0 : watched_list_due(s->entries[i].list);
        if (due > best_due || (best < s->count && due == best_due))
            continue;
        best = i;
        best_due = due;
    }
    return best;
}

static void *visitor(void *arg)
{
    struct service *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!s->stop && !cancel_requested()) {
        size_t i = next_due(s);
        if (i < s->count) {
            visit(s, i);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        wait_a_moment();
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* As many as there are lists, within reason. With the lock held. */
static void start_visitors(struct service *s)
{
    while (s->visitor_count < VISITORS_MAX && s->visitor_count < s->count) {
        if (pthread_create(&s->visitors[s->visitor_count], NULL, visitor, s) != 0) {
            if (s->visitor_count == 0)
                abort(); /* not one thread: nothing can be done */
            break;
        }
        s->visitor_count++;
    }
}

static bool all_visited(const struct service *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (!s->entries[i].visited)
            return false;
    return true;
}

/* ---- events ---- */

static void add_round(struct entry *entry, struct event_round *round)
{
    event_round_begin(round);
    event_round_resolved(round);
    ARRAY_GROW(entry->rounds, entry->round_count, entry->round_capacity);
    entry->rounds[entry->round_count++] = round;
}

static void on_place(void *arg, const char *place, bool everything, struct event_round *round)
{
    struct service *s = arg;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->count; i++) {
        struct entry *entry = &s->entries[i];
        if (!watched_list_is_at(entry->list, place))
            continue;
        entry->hurried = true;
        entry->everything |= everything;
        add_round(entry, round);
    }
    pthread_mutex_unlock(&s->lock);
}

/* The lists that have been read; the others look at all their wishes when they are. */
static size_t lists_that_hear(struct service *s, struct event_round *round,
                              struct watched_list ***out)
{
    size_t count = 0;
    pthread_mutex_lock(&s->lock);
    *out = xcalloc(s->count + 1, sizeof(struct watched_list *));
    for (size_t i = 0; i < s->count; i++) {
        if (s->entries[i].visited || s->entries[i].visiting)
            (*out)[count++] = watched_list_ref(s->entries[i].list);
        else
            add_round(&s->entries[i], round);
    }
    pthread_mutex_unlock(&s->lock);
    return count;
}

/* All of them, each with a reference of the caller's. */
static size_t lists_now(struct service *s, struct watched_list ***out)
{
    pthread_mutex_lock(&s->lock);
    size_t count = s->count;
    *out = xcalloc(count + 1, sizeof(struct watched_list *));
    for (size_t i = 0; i < count; i++)
        (*out)[i] = watched_list_ref(s->entries[i].list);
    pthread_mutex_unlock(&s->lock);
    return count;
}

static void on_images(void *arg, struct event_round *round)
{
    struct service *s = arg;
    struct watched_list **lists;
    struct visit v = {.workers_lock = &s->workers_lock, .workers = &s->workers};
    size_t count = lists_that_hear(s, round, &lists);
    for (size_t i = 0; i < count; i++) {
        watched_list_hear(lists[i], &v, round);
        watched_list_unref(lists[i]);
    }
    free(lists);
    error_release(&v.error);
}

static int start_web(struct service *s, const struct configured_web *web, struct error *err)
{
    s->web = web_end_new(&(struct event_desk_options){
        .state_dir = s->state_dir, .hear = on_images, .visit = on_place, .arg = s});
    return web_end_apply(s->web, web, err);
}

/* ---- the configuration ---- */

void service_settings_apply(const struct service_settings *settings, struct worker_options *w)
{
    if (!w->state_dir)
        w->state_dir = settings->state_dir;
    if (!w->spool_base)
        w->spool_base = settings->spool;
    if (!w->spool_limit)
        w->spool_limit = settings->spool_limit;
    if (!w->revision_limit)
        w->revision_limit = settings->revision_limit;
    if (!w->jobs)
        w->jobs = settings->jobs;
    if (!w->status_interval)
        w->status_interval = settings->status_copy;
}

/* Places stay what they were at the start. */
static int apply_settings(struct service *s, const struct config *config, struct error *err)
{
    const struct service_settings *settings = &config->service;
    struct worker_options w = s->o->convert->worker;
    service_settings_apply(settings, &w);
    if (!s->state_dir) {
        s->state_dir = state_base_dir(w.state_dir, err);
        s->spool = w.spool_base ? xstrdup(w.spool_base) : NULL;
    }
    if (!s->state_dir)
        return -1;
    w.state_dir = s->state_dir;
    w.spool_base = s->spool;
    static const char *const words[] = {
        [SERVICE_POLL] = "poll", [SERVICE_LOOP] = "loop", [SERVICE_DAEMON] = "daemon"};
    w.run = words[s->o->mode];
    w.notifier = s->notifier;
    w.history = config->history;
    w.patient = s->o->mode != SERVICE_POLL;
    if (settings->log_given && !s->o->log_given)
        log_set_level(settings->log);
    pthread_mutex_lock(&s->workers_lock);
    s->workers.options = w;
    for (size_t i = 0; i < s->workers.count; i++)
        worker_set_limits(s->workers.items[i].worker, w.spool_limit, w.revision_limit);
    pthread_mutex_unlock(&s->workers_lock);
    return 0;
}

static int check_lists(const struct service *s, size_t count, struct error *err)
{
    if (count > 0 || s->o->mode == SERVICE_DAEMON)
        return 0;
    return error_set(err, ERROR_PARSE, "%s: no lists to look at: key \"lists\"",
                     s->o->config ? s->o->config : CONFIG_DEFAULT_PATH);
}

static int read_configuration(struct service *s, struct error *err)
{
    struct access *access;
    struct entry *entries;
    size_t count;
    if (access_open(s->o->config, s->o->authfile, &access, err) < 0)
        return -1;
    if (apply_settings(s, &access->config, err) < 0 ||
        make_entries(s, access, &entries, &count, err) < 0) {
        access_unref(access);
        return -1;
    }
    if ((s->web && web_end_apply(s->web, &access->config.web, err) < 0) ||
        notifier_aim(s->notifier, access, err) < 0) {
        drop_entries(entries, count);
        access_unref(access);
        return -1;
    }
    pthread_mutex_lock(&s->lock);
    drop_entries(s->entries, s->count);
    access_unref(s->access);
    s->access = access;
    s->entries = entries;
    s->count = count;
    s->generation++;
    s->changed = true; /* lists may have left */
    start_visitors(s);
    pthread_mutex_unlock(&s->lock);
    if (s->o->mode == SERVICE_DAEMON && !s->web && start_web(s, &access->config.web, err) < 0)
        return -1;
    return check_lists(s, count, err);
}

static void reload(struct service *s)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    notify_reloading();
    if (read_configuration(s, &err) < 0)
        log_error("the configuration stays as it was: %s", err.message);
    else
        log_info("read the configuration again: %zu list%s", s->count, s->count == 1 ? "" : "s");
    notify_ready();
}

/* ---- the calling thread ---- */

static size_t load(struct service *s)
{
    pthread_mutex_lock(&s->workers_lock);
    size_t load = workers_load(&s->workers);
    pthread_mutex_unlock(&s->workers_lock);
    return load;
}

static void sweep(struct service *s)
{
    pthread_mutex_lock(&s->workers_lock);
    workers_sweep(&s->workers);
    workers_settle(&s->workers);
    pthread_mutex_unlock(&s->workers_lock);
}

static void forget_left_lists(struct service *s)
{
    struct watched_list **lists;
    size_t count = lists_now(s, &lists);
    left_lists_forget(&(struct left_lists_search){.configuration = configuration_of(s, s->access),
                                                  .state_dir = s->state_dir,
                                                  .lists = lists,
                                                  .count = count,
                                                  .workers_lock = &s->workers_lock,
                                                  .workers = &s->workers});
    for (size_t i = 0; i < count; i++)
        watched_list_unref(lists[i]);
    free(lists);
}

/* What a service that runs for years must do from time to time, and a pass does at its end. */
static void keep_records(struct service *s)
{
    pthread_mutex_lock(&s->lock);
    bool changed = s->changed && all_visited(s); /* what is not read yet may ask for more */
    s->changed &= !changed;
    pthread_mutex_unlock(&s->lock);
    if (changed)
        forget_left_lists(s);
    pthread_mutex_lock(&s->workers_lock);
    workers_tick(&s->workers);
    if (changed)
        workers_settle(&s->workers);
    pthread_mutex_unlock(&s->workers_lock);
}

static void retry_names(struct service *s, const char *repository, const struct string_list *names)
{
    struct visit v = {.workers_lock = &s->workers_lock, .workers = &s->workers};
    struct watched_list **lists;
    size_t count = lists_now(s, &lists);
    for (size_t i = 0; i < count; i++) {
        watched_list_retry(lists[i], &v, repository, names);
        watched_list_unref(lists[i]);
    }
    free(lists);
    error_release(&v.error);
}

/* What failed does not wait for the next look at its list. */
static void retry(struct service *s)
{
    for (size_t i = 0;; i++) {
        _cleanup_string_list_ struct string_list names = {0};
        pthread_mutex_lock(&s->workers_lock);
        bool none = i >= s->workers.count;
        const struct worker_entry *entry = none ? NULL : &s->workers.items[i];
        _cleanup_free_ char *repository = none ? NULL : xstrdup(entry->repository);
        if (!none)
            recorder_take_due(worker_recorder(entry->worker), RETRIES_AT_A_TIME, &names);
        pthread_mutex_unlock(&s->workers_lock);
        if (none)
            return;
        if (names.count > 0)
            retry_names(s, repository, &names);
    }
}

static bool pass_is_over(struct service *s)
{
    pthread_mutex_lock(&s->lock);
    bool over = all_visited(s);
    pthread_mutex_unlock(&s->lock);
    return over;
}

/* Whether it makes no sense to go on: at the start, no repository could be had. */
static bool is_hopeless(struct service *s)
{
    pthread_mutex_lock(&s->lock);
    bool hopeless = s->busy > 0 && all_visited(s);
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_lock(&s->workers_lock);
    hopeless &= s->workers.count == 0;
    pthread_mutex_unlock(&s->workers_lock);
    return hopeless;
}

static void run_pass(struct service *s)
{
    while (!cancel_requested() && !pass_is_over(s))
        wait_a_moment();
    if (pass_is_over(s))
        forget_left_lists(s);
    sweep(s);
    workers_drain(&s->workers);
}

static void run_on(struct service *s)
{
    int64_t next_sweep = 0; /* first when all lists have been seen */
    int64_t next_retry = clock_now() + RETRY_LOOK_SECONDS;
    bool begun = false;
    notify_ready();
    while (!cancel_requested() && !(begun && next_sweep == 0 && is_hopeless(s))) {
        if (atomic_exchange(&reload_requested, false))
            reload(s);
        begun = pass_is_over(s);
        if (begun && clock_now() >= next_sweep && !is_hopeless(s)) {
            sweep(s);
            next_sweep = clock_now() + SWEEP_SECONDS;
        }
        if (begun && clock_now() >= next_retry) {
            retry(s);
            next_retry = clock_now() + RETRY_LOOK_SECONDS;
        }
        keep_records(s);
        notify_alive(load(s));
        if (s->web)
            web_end_beat(s->web);
        wait_a_moment();
    }
    notify_stopping();
}

static void stop(struct service *s)
{
    web_end_stop(s->web);
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->visitor_count; i++)
        pthread_join(s->visitors[i], NULL);
    workers_stop(&s->workers);
    drop_entries(s->entries, s->count);
    web_end_free(s->web);
    access_unref(s->access);
}

static enum exit_status status_of(struct service *s, struct error *err)
{
    if (s->error.kind != ERROR_NONE && (s->o->mode == SERVICE_POLL || s->workers.count == 0)) {
        error_move(err, &s->error);
        return EXIT_REPOSITORY;
    }
    for (size_t i = 0; i < s->workers.count; i++) {
        const struct error *broken = worker_error(s->workers.items[i].worker);
        if (!broken)
            continue;
        error_copy(err, broken);
        return EXIT_REPOSITORY;
    }
    if (s->o->mode != SERVICE_POLL)
        return EXIT_OK; /* it was asked to stop */
    return s->failed || report_count(s->report, OUTCOME_FAILED) ? EXIT_SOME_FAILED : EXIT_OK;
}

enum exit_status service_run(const struct service_options *options, struct error *err)
{
    double start = clock_monotonic();
    struct service s = {.o = options};
    bool pass = options->mode == SERVICE_POLL;
    pthread_mutex_init(&s.lock, NULL);
    pthread_mutex_init(&s.workers_lock, NULL);
    s.workers.lock = &s.workers_lock;
    s.report = s.workers.report = report_new(options->convert->form, pass);
    s.notifier = notifier_new(options->notification_file);
    enum exit_status status = EXIT_USAGE;
    bool started = read_configuration(&s, err) == 0;
    if (started) {
        pass ? run_pass(&s) : run_on(&s);
        status = status_of(&s, err);
    }
    stop(&s);
    if (started && pass)
        report_finish(s.report, clock_monotonic() - start);
    notifier_free(s.notifier);
    report_free(s.report);
    error_release(&s.error);
    free(s.state_dir);
    free(s.spool);
    return status;
}

#include "publisher/watched_list.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"
#include "publisher/recipe_source.h"
#include "state/state.h"
#include "worker/recorder.h"

#include <stdlib.h>
#include <string.h>

#define JITTER      10 /* per cent of an interval, less or more */
#define RETRY_AFTER 60 /* seconds, at most: a repository could not be opened, a registry hung */

/* Entries of one interval. */
struct timing {
    uint64_t interval;
    int64_t next;
};

enum turn_kind {
    TURN_VISIT, /* all entries */
    TURN_RETRY, /* those whose next try was due */
};

/* What is being looked at: one registry's entries of one interval. */
struct turn {
    enum turn_kind kind;
    struct watched_list *list; /* it holds a reference */
    struct turn *next;
    uint64_t visit; /* when it began */
    uint64_t interval;
    char *registry, *repository;
};

struct watched_list {
    atomic_size_t references;
    char *name;
    char *configuration; /* NULL: it stands in none */
    struct access *access;
    struct wish_settings settings; /* strings and platforms owned */
    uint64_t interval;             /* for what says nothing else */
    struct source *source;
    struct recipe recipe;    /* the last good one */
    bool has_recipe, is_new; /* its problems have not been told yet */
    struct error broken;     /* what the source has now is no recipe, and why */
    unsigned seed;
    uint64_t visits;
    pthread_mutex_t lock;      /* guards what follows */
    struct wishes known;       /* the recipe's wishes, for events */
    struct list_places places; /* the lists that it leads to */
    bool has_places;
    bool waits_for_repository; /* one could not be opened: all is due as soon as it can be */
    struct timing *timings;
    size_t timing_count, timing_capacity;
    struct turn *turns;
    int64_t due;
};

/* ---- life ---- */

static int take_settings(struct watched_list *l, const struct configured_list *c,
                         const struct wish_settings *settings, struct error *err)
{
    const struct platform *platforms =
        settings->platform_count ? settings->platforms : c->platforms.items;
    size_t count = settings->platform_count ? settings->platform_count : c->platforms.count;
    struct platform *copy = xcalloc(count, sizeof *copy);
    const char *repository = settings->repository ? settings->repository : c->repository;
    for (size_t i = 0; i < count; i++)
        platform_copy(&copy[i], &platforms[i]);
    l->settings = (struct wish_settings){.repository = repository ? xstrdup(repository) : NULL,
                                         .policy = settings->policy,
                                         .platforms = copy,
                                         .platform_count = count};
    uint64_t service = l->access->config.service.interval;
    l->settings.interval = settings->interval ? settings->interval : c->interval;
    l->interval = service ? service : INTERVAL_DEFAULT;
    return configured_list_policy(c, &l->settings.policy, err);
}

struct watched_list *watched_list_new(const struct watched_list_options *o, struct error *err)
{
    const struct configured_list *configured = o->configured;
    struct source *source =
        recipe_source_open(configured->source, o->state_dir, &o->access->config, err);
    if (!source)
        return NULL;
    struct watched_list *l = xcalloc(1, sizeof *l);
    atomic_init(&l->references, 1);
    pthread_mutex_init(&l->lock, NULL);
    l->name = xstrdup(configured->name);
    l->configuration = o->configuration ? xstrdup(o->configuration) : NULL;
    l->access = access_ref(o->access);
    l->source = source;
    l->seed = (unsigned)clock_now() ^ (unsigned)(uintptr_t)l;
    if (take_settings(l, configured, o->settings, err) == 0)
        return l;
    watched_list_unref(l);
    return NULL;
}

struct watched_list *watched_list_ref(struct watched_list *l)
{
    atomic_fetch_add(&l->references, 1);
    return l;
}

void watched_list_unref(struct watched_list *l)
{
    if (!l || atomic_fetch_sub(&l->references, 1) > 1)
        return;
    source_free(l->source);
    recipe_release(&l->recipe);
    wishes_release(&l->known);
    list_places_release(&l->places);
    error_release(&l->broken);
    access_unref(l->access);
    free((void *)(uintptr_t)l->settings.repository);
    for (size_t i = 0; i < l->settings.platform_count; i++)
        platform_release((struct platform *)(uintptr_t)&l->settings.platforms[i]);
    free((void *)(uintptr_t)l->settings.platforms);
    free(l->timings);
    free(l->configuration);
    free(l->name);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

const char *watched_list_name(const struct watched_list *l)
{
    return l->name;
}

int64_t watched_list_due(struct watched_list *l)
{
    pthread_mutex_lock(&l->lock);
    int64_t due = l->due;
    pthread_mutex_unlock(&l->lock);
    return due;
}

/* ---- what it says ---- */

/* The source's current version. */
static int load(struct watched_list *l, struct error *err)
{
    struct recipe recipe = RECIPE_INIT;
    if (source_load(l->source, &recipe, err) < 0)
        return -1;
    recipe_release(&l->recipe);
    l->recipe = recipe;
    l->has_recipe = l->is_new = true;
    return 0;
}

static int ask(struct watched_list *l, struct error *err)
{
    bool changed;
    if (source_refresh(l->source, &changed, err) < 0)
        return -1;
    if (!changed && l->broken.kind != ERROR_NONE) { /* said again until it is mended */
        error_copy(err, &l->broken);
        return -1;
    }
    error_release(&l->broken);
    if (!changed && l->has_recipe)
        return 0;
    if (!changed)
        source_use_good(l->source);
    if (load(l, err) < 0) {
        error_copy(&l->broken, err);
        return -1;
    }
    return source_accept(l->source, err);
}

/* What was good before stays in force. *out_why is set if that is all there is. */
static void refresh(struct watched_list *l, struct visit *v, struct error *out_why)
{
    struct error err = ERROR_INIT;
    if (ask(l, out_why) == 0)
        return;
    v->failed++;
    log_error("%s", out_why->message);
    if (!l->has_recipe && source_use_good(l->source) && load(l, &err) < 0) {
        log_error("%s", err.message);
        error_release(&err);
    }
}

/* ---- turns ---- */

static void end_turn(void *arg)
{
    struct turn *turn = arg;
    struct watched_list *l = turn->list;
    pthread_mutex_lock(&l->lock);
    for (struct turn **t = &l->turns; *t; t = &(*t)->next) {
        if (*t == turn) {
            *t = turn->next;
            break;
        }
    }
    pthread_mutex_unlock(&l->lock);
    free(turn->registry);
    free(turn->repository);
    free(turn);
    watched_list_unref(l);
}

/* Whether a turn that has not ended keeps another one of these entries from beginning. A retry
 * waits for everything; a visit for that of an earlier visit. */
static bool is_in_the_way(const struct watched_list *l, const struct turn *turn,
                          enum turn_kind kind)
{
    return kind == TURN_RETRY || (turn->kind == TURN_VISIT && turn->visit != l->visits);
}

/* NULL: another one is in the way. */
static struct turn *begin_turn(struct watched_list *l, enum turn_kind kind,
                               const struct wish_group *g, const char *registry)
{
    struct turn *turn = NULL;
    pthread_mutex_lock(&l->lock);
    bool busy = false;
    for (struct turn *t = l->turns; t; t = t->next)
        busy |= is_in_the_way(l, t, kind) && t->interval == g->interval &&
                strcmp(t->registry, registry) == 0 && strcmp(t->repository, g->repository) == 0;
    if (!busy) {
        turn = xcalloc(1, sizeof *turn);
        *turn = (struct turn){.kind = kind,
                              .list = watched_list_ref(l),
                              .next = l->turns,
                              .visit = l->visits,
                              .interval = g->interval,
                              .registry = xstrdup(registry),
                              .repository = xstrdup(g->repository)};
        l->turns = turn;
    }
    pthread_mutex_unlock(&l->lock);
    return turn;
}

/* ---- time ---- */

static int64_t next_time(struct watched_list *l, int64_t now, uint64_t interval)
{
    int64_t spread = (int64_t)interval * JITTER / 100;
    int64_t jitter = spread ? rand_r(&l->seed) % (2 * spread + 1) - spread : 0;
    return now + (int64_t)interval + jitter;
}

static struct timing *timing_of(struct watched_list *l, uint64_t interval)
{
    for (size_t i = 0; i < l->timing_count; i++)
        if (l->timings[i].interval == interval)
            return &l->timings[i];
    ARRAY_GROW(l->timings, l->timing_count, l->timing_capacity);
    l->timings[l->timing_count] = (struct timing){interval, 0};
    return &l->timings[l->timing_count++];
}

/* Sooner than its interval says. */
static void hasten(struct watched_list *l, const struct visit *v, uint64_t interval)
{
    struct timing *t = timing_of(l, interval);
    int64_t next = v->now + (interval < RETRY_AFTER ? (int64_t)interval : RETRY_AFTER);
    if (t->next <= v->now || t->next > next)
        t->next = next;
}

/* ---- submitting ---- */

static struct worker *find_worker(struct visit *v, const char *repository)
{
    struct worker *worker = NULL;
    struct error err = ERROR_INIT;
    pthread_mutex_lock(v->workers_lock);
    int result = workers_get(v->workers, repository, &worker, &err);
    pthread_mutex_unlock(v->workers_lock);
    if (result == 0)
        return worker;
    v->failed++;
    log_error("%s", err.message);
    error_move(&v->error, &err);
    return NULL;
}

/* The name of a wish that is not looked at now is its own all the same: a wildcard of a later group
 * must not take it. */
static void reserve_name(const struct wish_group *g, const struct wanted *wish)
{
    if (wish->selector)
        return;
    _cleanup_free_ char *name = reference_name(&wish->ref);
    _cleanup_free_ char *public_name = path_join(g->list.prefix ? g->list.prefix : "", name);
    name_set_add(g->names, public_name);
}

static void reserve_names(const struct wish_group *g, const struct wanted_list *wanted)
{
    for (size_t i = 0; i < wanted->count; i++)
        reserve_name(g, &wanted->items[i]);
}

/* The order's turn ends with it. */
static void submit_in_turn(struct turn *turn, struct worker *worker, struct order_options *options,
                           struct wanted_list *wanted)
{
    options->resolved = end_turn;
    options->arg = turn;
    struct order *order = order_new(options);
    worker_submit(worker, order, wanted);
    order_unref(order);
}

/* Nothing of it now, but the names. */
static void leave_out(const struct watched_list *l, const struct wish_group *g,
                      const char *registry, struct wanted_list *wanted)
{
    log_debug("list %s: %s is still being looked at", l->name, registry);
    reserve_names(g, wanted);
    wanted_release(wanted);
}

static void submit(struct watched_list *l, struct visit *v, struct worker *worker,
                   const struct wish_group *g, const char *registry, struct wanted_list *wanted,
                   bool changed)
{
    struct turn *turn = begin_turn(l, TURN_VISIT, g, registry);
    if (!turn) {
        if (changed) /* what is new in it must not wait for a whole interval */
            hasten(l, v, g->interval);
        leave_out(l, g, registry, wanted);
        return;
    }
    struct order_options options = wish_group_order(g, l->access);
    options.urgency = v->urgent ? URGENCY_EVENT : URGENCY_POLL;
    options.again = v->again;
    options.heeds_pauses = !v->urgent;
    submit_in_turn(turn, worker, &options, wanted);
}

/* Move the wishes of one registry. Returns its name: owned. */
static char *take_registry(struct wanted_list *from, struct wanted_list *out)
{
    char *registry = xstrdup(from->items[0].ref.registry);
    size_t left = 0;
    for (size_t i = 0; i < from->count; i++) {
        struct wanted *wish = &from->items[i];
        if (strcmp(wish->ref.registry, registry) != 0) {
            from->items[left++] = *wish;
            continue;
        }
        ARRAY_GROW(out->items, out->count, out->capacity);
        out->items[out->count++] = *wish;
    }
    from->count = left;
    return registry;
}

/* The group's wishes of one registry after the other. */
static void submit_group(struct watched_list *l, struct visit *v, struct wish_group *g,
                         bool changed)
{
    struct worker *worker = find_worker(v, g->repository);
    while (worker && g->wanted.count > 0) {
        struct wanted_list wanted = {0};
        _cleanup_free_ char *registry = take_registry(&g->wanted, &wanted);
        submit(l, v, worker, g, registry, &wanted, changed);
    }
}

/* ---- visiting ---- */

static bool is_due(struct watched_list *l, const struct visit *v, uint64_t interval, bool changed)
{
    const struct timing *timing = timing_of(l, interval); /* which it has from now on */
    return v->once || v->everything || changed || timing->next <= v->now;
}

/* Intervals that no entry has any more would be due for ever. */
static void drop_unused(struct watched_list *l, const struct wishes *wishes)
{
    for (size_t i = 0; i < l->timing_count;) {
        bool used = false;
        for (size_t k = 0; k < wishes->count; k++)
            used |= wishes->groups[k].interval == l->timings[i].interval;
        if (used)
            i++;
        else
            l->timings[i] = l->timings[--l->timing_count];
    }
}

static void set_due(struct watched_list *l, const struct visit *v)
{
    int64_t due = v->now + (int64_t)(l->settings.interval ? l->settings.interval : l->interval);
    for (size_t i = 0; i < l->timing_count; i++)
        if (l->timings[i].next < due)
            due = l->timings[i].next;
    if (v->error.kind != ERROR_NONE && due > v->now + RETRY_AFTER)
        due = v->now + RETRY_AFTER;
    pthread_mutex_lock(&l->lock);
    l->due = v->once ? NEVER : due;
    pthread_mutex_unlock(&l->lock);
}

static void report_wrong_entries(struct watched_list *l, struct visit *v, struct wishes *wishes)
{
    for (size_t i = 0; l->is_new && i < wishes->failed_count; i++)
        report_result(v->workers->report, &wishes->failed[i]);
    if (l->is_new)
        wishes->failed_count = 0;
}

static void record_list(const struct watched_list *l, const struct visit *v,
                        struct recorder *recorder, const struct wished_list *list,
                        const struct error *why)
{
    struct list_origin origin = {l->configuration, source_where(l->source)->shown};
    if (why->kind != ERROR_NONE)
        recorder_list_failed(recorder, list->url, why);
    else if (v->changed)
        recorder_list(recorder, list);
    else
        recorder_list_unchanged(recorder, list->url);
    if (l->configuration)
        recorder_list_stands(recorder, list->url, &origin);
}

static void record(const struct watched_list *l, struct visit *v, const struct wishes *wishes,
                   const struct error *why)
{
    for (size_t i = 0; i < wishes->list_count; i++) {
        const struct wished_list *list = &wishes->lists[i];
        struct worker *worker = find_worker(v, list->repository);
        if (worker)
            record_list(l, v, worker_recorder(worker), list, why);
    }
}

/* Before they are recorded: who finds them in the database finds them here. */
static void set_places(struct watched_list *l, const struct wishes *wishes)
{
    struct list_places places = {0};
    for (size_t i = 0; i < wishes->list_count; i++) {
        _cleanup_free_ char *key = repository_key(wishes->lists[i].repository);
        list_places_add(&places, source_where(l->source)->shown, key, wishes->lists[i].url);
    }
    pthread_mutex_lock(&l->lock);
    list_places_release(&l->places);
    l->places = places;
    l->has_places = true;
    pthread_mutex_unlock(&l->lock);
}

bool watched_list_places(struct watched_list *l, struct list_places *out)
{
    pthread_mutex_lock(&l->lock);
    bool known = l->has_places && !l->waits_for_repository;
    string_list_add(&out->sources, source_where(l->source)->shown);
    for (size_t i = 0; i < l->places.count; i++) {
        const struct list_place *p = &l->places.items[i];
        list_places_add(out, p->source, p->repository, p->url);
    }
    pthread_mutex_unlock(&l->lock);
    return known;
}

static void remember(struct watched_list *l, const struct wishes *wishes)
{
    pthread_mutex_lock(&l->lock);
    wishes_release(&l->known);
    wishes_copy_groups(&l->known, wishes);
    pthread_mutex_unlock(&l->lock);
}

static void submit_due(struct watched_list *l, struct visit *v, struct wishes *wishes, bool changed)
{
    for (size_t i = 0; i < wishes->count; i++) {
        struct wish_group *g = &wishes->groups[i];
        if (is_due(l, v, g->interval, changed))
            submit_group(l, v, g, changed);
        else
            reserve_names(g, &g->wanted);
    }
}

/* What it wishes now; false if that cannot be said. */
static bool find_wishes(struct watched_list *l, struct visit *v, struct wishes *out)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    if (!l->has_recipe)
        return false;
    if (wishes_add_recipe(out, &l->recipe, &l->settings, &err) < 0) {
        v->failed++;
        log_error("list %s: %s", l->name, err.message);
        wishes_release(out);
        return false;
    }
    for (size_t i = 0; i < out->count; i++)
        if (out->groups[i].interval == 0)
            out->groups[i].interval = l->interval;
    return true;
}

static void note_whether_it_waits(struct watched_list *l, const struct visit *v)
{
    pthread_mutex_lock(&l->lock);
    l->waits_for_repository = v->error.kind != ERROR_NONE;
    pthread_mutex_unlock(&l->lock);
}

void watched_list_visit(struct watched_list *l, struct visit *v)
{
    _cleanup_wishes_ struct wishes wishes = {0};
    _cleanup_error_ struct error why = ERROR_INIT;
    l->visits++;
    refresh(l, v, &why);
    if (find_wishes(l, v, &wishes))
        set_places(l, &wishes);
    bool changed = v->changed = l->is_new || l->waits_for_repository;
    record(l, v, &wishes, &why);
    report_wrong_entries(l, v, &wishes);
    l->is_new = false;
    if (changed)
        remember(l, &wishes);
    submit_due(l, v, &wishes, changed);
    note_whether_it_waits(l, v);
    for (size_t i = 0; i < l->timing_count; i++)
        if (l->timings[i].next <= v->now)
            l->timings[i].next = next_time(l, v->now, l->timings[i].interval);
    drop_unused(l, &wishes);
    set_due(l, v);
}

/* ---- events ---- */

bool watched_list_is_at(const struct watched_list *l, const char *place)
{
    return heard_is_at(source_where(l->source), place);
}

static void add_tag(struct wanted_list *out, const struct wanted *wish, const char *tag)
{
    struct reference ref;
    reference_with_tag(&ref, &wish->ref, tag);
    wanted_add(out, &ref, NULL, wish->origin);
    if (wish->list)
        wanted_set_entry(out, wish->list, wish->entry);
    out->items[out->count - 1].partly = true;
}

/* A wish that events concern, as a whole or as those of its tags; nothing if they do not. */
static void add_concerned(struct wanted_list *out, const struct wanted *wish,
                          const struct heard *heard, size_t count)
{
    _cleanup_free_ char *repository = reference_canonical(&wish->ref);
    size_t first = out->count;
    for (size_t k = 0; k < count; k++) {
        enum concern concern = heard_concerns(&heard[k], wish, repository);
        if (concern == CONCERNS_TAG) {
            add_tag(out, wish, heard[k].tag);
        } else if (concern == CONCERNS_WISH) {
            wanted_truncate(out, first);
            wanted_copy(out, wish);
            return;
        }
    }
}

static void find_concerned(const struct wish_group *g, const struct heard *heard, size_t count,
                           struct wanted_list *out)
{
    for (size_t i = 0; i < g->wanted.count; i++) {
        size_t before = out->count;
        add_concerned(out, &g->wanted.items[i], heard, count);
        if (out->count == before)
            reserve_name(g, &g->wanted.items[i]);
    }
}

static void resolved(void *arg)
{
    event_round_resolved(arg);
}

static void ended(void *arg)
{
    event_round_end(arg);
}

/* What the round's news concern of the group's wishes. */
static void submit_concerned(struct watched_list *l, struct visit *v, const struct wish_group *g,
                             struct event_round *round)
{
    struct wanted_list wanted = {0};
    find_concerned(g, round->heard, round->heard_count, &wanted);
    struct worker *worker = wanted.count ? find_worker(v, g->repository) : NULL;
    if (!worker) {
        wanted_release(&wanted);
        return;
    }
    event_round_begin(round);
    struct order_options options = wish_group_order(g, l->access);
    options.urgency = URGENCY_EVENT;
    options.resolved = resolved;
    options.ended = ended;
    options.arg = round;
    struct order *order = order_new(&options);
    worker_submit(worker, order, &wanted);
    order_unref(order);
}

void watched_list_hear(struct watched_list *l, struct visit *v, struct event_round *round)
{
    _cleanup_wishes_ struct wishes wishes = {0};
    pthread_mutex_lock(&l->lock);
    wishes_copy_groups(&wishes, &l->known);
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < wishes.count; i++)
        submit_concerned(l, v, &wishes.groups[i], round);
}

/* ---- tries ---- */

/* One try at a time of a registry's: those of one that hangs would pile up. What is left out comes
 * again (names_take_due()). */
static void submit_retries(struct watched_list *l, struct visit *v, const struct wish_group *g,
                           const struct heard *heard, size_t count)
{
    struct wanted_list concerned = {0};
    find_concerned(g, heard, count, &concerned);
    struct worker *worker = concerned.count ? find_worker(v, g->repository) : NULL;
    while (worker && concerned.count > 0) {
        struct wanted_list wanted = {0};
        struct order_options options = wish_group_order(g, l->access);
        _cleanup_free_ char *registry = take_registry(&concerned, &wanted);
        struct turn *turn = begin_turn(l, TURN_RETRY, g, registry);
        if (turn)
            submit_in_turn(turn, worker, &options, &wanted);
        else
            leave_out(l, g, registry, &wanted);
    }
    wanted_release(&concerned);
}

/* The images of the names that could be the group's; those of others concern none of its wishes. */
static void retry_group(struct watched_list *l, struct visit *v, const struct wish_group *g,
                        const struct string_list *names)
{
    struct heard *heard = xcalloc(names->count + 1, sizeof *heard);
    size_t count = 0, skip = g->list.prefix ? strlen(g->list.prefix) + 1 : 0;
    for (size_t i = 0; i < names->count; i++) {
        _cleanup_error_ struct error ignored = ERROR_INIT;
        const char *name = names->items[i];
        if (skip && (strncmp(name, g->list.prefix, skip - 1) != 0 || name[skip - 1] != '/'))
            continue;
        if (heard_parse(EVENT_PUSHED, name + skip, &heard[count], &ignored) == 0)
            count++;
    }
    submit_retries(l, v, g, heard, count);
    for (size_t i = 0; i < count; i++)
        heard_release(&heard[i]);
    free(heard);
}

void watched_list_retry(struct watched_list *l, struct visit *v, const char *repository,
                        const struct string_list *names)
{
    _cleanup_wishes_ struct wishes wishes = {0};
    pthread_mutex_lock(&l->lock);
    wishes_copy_groups(&wishes, &l->known);
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < wishes.count; i++)
        if (strcmp(wishes.groups[i].repository, repository) == 0)
            retry_group(l, v, &wishes.groups[i], names);
}

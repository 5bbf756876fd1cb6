#include "publisher/left_lists.h"

#include "base/clock.h"
#include "base/log.h"
#include "state/list_origins.h"
#include "state/names.h"
#include "state/state.h"

/* What the configuration leads to now. NULL, or a list that cannot say all yet. */
static const struct watched_list *find_places(const struct left_lists_search *s,
                                              struct list_places *now)
{
    const struct watched_list *silent = NULL;
    now->configuration = s->configuration;
    for (size_t i = 0; i < s->count; i++)
        if (!watched_list_places(s->lists[i], now))
            silent = s->lists[i];
    return silent;
}

/* The repositories that are settled later, as the database calls them. */
static void find_workers(const struct left_lists_search *s, struct string_list *out)
{
    pthread_mutex_lock(s->workers_lock);
    for (size_t i = 0; i < s->workers->count; i++)
        string_list_take(out, repository_key(s->workers->items[i].repository));
    pthread_mutex_unlock(s->workers_lock);
    string_list_sort(out);
}

static void tell(const char *configuration, const struct left_list *l, size_t names)
{
    const char *plural = names == 1 ? "" : "s";
    if (l->source_left)
        log_info("list %s left the configuration %s: %zu image%s of %s that only it asked for %s "
                 "unwanted",
                 l->url, configuration, names, plural, l->repository, names == 1 ? "is" : "are");
    else
        log_info("list %s does not ask for images of %s any more (%s): %zu that only it asked for "
                 "%s unwanted",
                 l->source, l->repository, l->url, names, names == 1 ? "is" : "are");
}

static int forget_one(struct database *db, const char *configuration, const struct left_list *l,
                      const struct string_list *workers, struct error *err)
{
    bool gone;
    size_t names, unwanted;
    if (list_origins_forget(db, configuration, l, &gone, &names, err) < 0)
        return -1;
    if (!gone)
        return 0;
    tell(configuration, l, names);
    if (string_list_has(workers, l->repository))
        return 0;
    return names_settle(db, l->repository, clock_now(), &unwanted, err);
}

static void tell_why_not(const struct left_lists *left, const struct watched_list *silent)
{
    for (size_t i = 0; i < left->count; i++)
        if (left->items[i].source_left)
            log_info("list %s left the configuration, and asks on until list %s can be read",
                     left->items[i].url, watched_list_name(silent));
}

/* In one transaction: what a visit notes meanwhile waits for its end, and what it noted before
 * stands in the list's places by now. */
static int forget(struct database *db, const struct left_lists_search *s,
                  const struct string_list *workers, struct list_places *now,
                  struct left_lists *left, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    if (transaction_begin(db, &t, err) < 0)
        return -1;
    const struct watched_list *silent = find_places(s, now);
    if (list_origins_left(db, now, left, err) < 0)
        return -1;
    if (silent) {
        tell_why_not(left, silent);
        return 0;
    }
    for (size_t i = 0; i < left->count; i++)
        if (forget_one(db, s->configuration, &left->items[i], workers, err) < 0)
            return -1;
    return transaction_commit(&t, err);
}

void left_lists_forget(const struct left_lists_search *s)
{
    _cleanup_database_ struct database *db = NULL;
    _cleanup_string_list_ struct string_list workers = {0};
    struct list_places now = {0};
    struct left_lists left = {0};
    struct error err = ERROR_INIT;
    if (!s->configuration)
        return;
    find_workers(s, &workers); /* no transaction waits for that mutex */
    if (database_open(s->state_dir, DATABASE_WRITE, &db, &err) < 0 ||
        forget(db, s, &workers, &now, &left, &err) < 0) {
        log_warning("lists that left the configuration are not forgotten: %s", err.message);
        error_release(&err);
    }
    list_places_release(&now);
    left_lists_release(&left);
}

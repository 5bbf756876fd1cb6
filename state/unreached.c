#include "state/unreached.h"

#include "base/memory.h"
#include "state/statement.h"

#include <string.h>

struct known {
    char *path;
    int64_t since;
};

struct all_known {
    struct known *items; /* ordered by path */
    size_t count, capacity;
};

static void release(struct all_known *all)
{
    for (size_t i = 0; i < all->count; i++)
        free(all->items[i].path);
    free(all->items);
}

static int read_known(struct database *db, const char *repository, struct all_known *out,
                      struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    int row;
    if (statement_prepare(db,
                          "SELECT path, since FROM unreached WHERE repository = ? ORDER BY path",
                          &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    while ((row = statement_step(&st, err)) > 0) {
        ARRAY_GROW(out->items, out->count, out->capacity);
        struct known *k = &out->items[out->count++];
        k->path = column_text(&st);
        k->since = column_int(&st);
    }
    return row;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct known *)a)->path, ((const struct known *)b)->path);
}

static void fill_in(const struct all_known *all, struct unreached *u, int64_t now)
{
    struct known key = {.path = (char *)u->path};
    const struct known *k = u->since == 0 && all->count
                                ? bsearch(&key, all->items, all->count, sizeof *all->items, compare)
                                : NULL;
    if (k)
        u->since = k->since;
    if (u->since <= 0 || u->since > now)
        u->since = now;
}

static int forget(struct database *db, const char *repository, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, "DELETE FROM unreached WHERE repository = ?", &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    return statement_run(&st, err);
}

static int write_all(struct database *db, const char *repository, const struct unreached *items,
                     size_t count, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (forget(db, repository, err) < 0 ||
        statement_prepare(
            db, "INSERT OR REPLACE INTO unreached (repository, path, since) VALUES (?, ?, ?)", &st,
            err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        bind_text(&st, repository);
        bind_text(&st, items[i].path);
        bind_int(&st, items[i].since);
        if (statement_run(&st, err) < 0)
            return -1;
    }
    return 0;
}

int unreached_times(struct database *db, const char *repository, struct unreached *items,
                    size_t count, int64_t now, bool keep, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct all_known all = {0};
    int result = keep ? transaction_begin(db, &t, err) : transaction_begin_read(db, &t, err);
    if (result == 0)
        result = read_known(db, repository, &all, err);
    for (size_t i = 0; result == 0 && i < count; i++)
        fill_in(&all, &items[i], now);
    if (result == 0 && keep)
        result = write_all(db, repository, items, count, err);
    if (result == 0 && keep)
        result = transaction_commit(&t, err);
    release(&all);
    return result;
}

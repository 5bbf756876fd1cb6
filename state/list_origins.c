#include "state/list_origins.h"

#include "base/memory.h"
#include "state/statement.h"

#include <string.h>

/* ---- what a configuration leads to ---- */

void list_places_add(struct list_places *p, const char *source, const char *repository,
                     const char *url)
{
    ARRAY_GROW(p->items, p->count, p->capacity);
    p->items[p->count++] = (struct list_place){
        .source = xstrdup(source), .repository = xstrdup(repository), .url = xstrdup(url)};
}

void list_places_release(struct list_places *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].source);
        free(p->items[i].repository);
        free(p->items[i].url);
    }
    free(p->items);
    string_list_release(&p->sources);
    *p = (struct list_places){0};
}

static bool has_source(const struct list_places *p, const char *source)
{
    for (size_t i = 0; i < p->sources.count; i++)
        if (strcmp(p->sources.items[i], source) == 0)
            return true;
    return false;
}

static bool leads_to(const struct list_places *p, const struct left_list *l)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct list_place *place = &p->items[i];
        if (strcmp(place->url, l->url) == 0 && strcmp(place->repository, l->repository) == 0 &&
            strcmp(place->source, l->source) == 0)
            return true;
    }
    return false;
}

/* ---- noting ---- */

int list_origins_note(struct database *db, const char *repository, const char *url,
                      const struct list_origin *origin, struct error *err)
{
    static const char *const steps[] = {
        "INSERT INTO list_origins (list, configuration, source) SELECT id, ?3, ?4 FROM lists WHERE "
        "repository = ?1 AND url = ?2 ON CONFLICT DO NOTHING",
        "DELETE FROM list_origins WHERE list = (SELECT id FROM lists WHERE repository = ?1 AND url "
        "= ?2) AND configuration = '" ORIGIN_LOOP "' AND ?3 <> configuration",
    };
    return database_run_steps(
        db, steps, sizeof steps / sizeof *steps,
        (const char *const[]){repository, url, origin->configuration, origin->source}, 4, err);
}

/* ---- what has left ---- */

static void release_left(struct left_list *l)
{
    free(l->source);
    free(l->repository);
    free(l->url);
}

void left_lists_release(struct left_lists *left)
{
    for (size_t i = 0; i < left->count; i++)
        release_left(&left->items[i]);
    free(left->items);
    *left = (struct left_lists){0};
}

static bool has_left(const struct list_places *now, struct left_list *l)
{
    l->source_left = !has_source(now, l->source);
    if (l->source_left)
        return strcmp(now->configuration, ORIGIN_LOOP) != 0;
    return !leads_to(now, l);
}

int list_origins_left(struct database *db, const struct list_places *now, struct left_lists *out,
                      struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    struct left_lists found = {0};
    int row;
    if (statement_prepare(db,
                          "SELECT l.id, o.source, l.repository, l.url FROM list_origins o JOIN "
                          "lists l ON l.id = o.list WHERE o.configuration = ? ORDER BY "
                          "l.repository, l.url, o.source",
                          &st, err) < 0)
        return -1;
    bind_text(&st, now->configuration);
    while ((row = statement_step(&st, err)) > 0) {
        struct left_list l = {.id = column_int(&st)};
        l.source = column_text(&st);
        l.repository = column_text(&st);
        l.url = column_text(&st);
        if (!has_left(now, &l)) {
            release_left(&l);
            continue;
        }
        ARRAY_GROW(found.items, found.count, found.capacity);
        found.items[found.count++] = l;
    }
    if (row < 0)
        left_lists_release(&found);
    else
        *out = found;
    return row;
}

/* ---- forgetting ---- */

static int forget_note(struct database *db, const char *configuration, const struct left_list *left,
                       struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db,
                          "DELETE FROM list_origins WHERE list = ? AND configuration = ? AND "
                          "source = ?",
                          &st, err) < 0)
        return -1;
    bind_int(&st, left->id);
    bind_text(&st, configuration);
    bind_text(&st, left->source);
    return statement_run(&st, err);
}

/* The first column of the only row, about the list ?1. */
static int ask_about(struct database *db, const char *sql, int64_t list, size_t *out,
                     struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, sql, &st, err) < 0)
        return -1;
    bind_int(&st, list);
    int row = statement_step(&st, err);
    if (row > 0)
        *out = column_size(&st);
    return row < 0 ? -1 : 0;
}

#define COUNT_ORIGINS "SELECT count(*) FROM list_origins WHERE list = ?"
/* Published names that this list asks for, and no other. */
#define COUNT_ITS_OWN                                                                              \
    "SELECT count(DISTINCT n.id) FROM wants w JOIN entries e ON e.id = w.entry JOIN lists l ON "   \
    "l.id = e.list JOIN names n ON n.repository = l.repository AND n.name = w.name WHERE l.id = "  \
    "?1 AND w.left_out IS NULL AND n.published IS NOT NULL AND n.removed_at = 0 AND NOT EXISTS "   \
    "(SELECT 1 FROM wants v JOIN entries f ON f.id = v.entry JOIN lists k ON k.id = f.list WHERE " \
    "v.name = w.name AND v.left_out IS NULL AND k.repository = l.repository AND k.id <> l.id)"

int list_origins_forget(struct database *db, const char *configuration,
                        const struct left_list *left, bool *out_gone, size_t *out_names,
                        struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    size_t origins = 0, names = 0;
    if (transaction_begin(db, &t, err) < 0 || forget_note(db, configuration, left, err) < 0 ||
        ask_about(db, COUNT_ORIGINS, left->id, &origins, err) < 0 ||
        ask_about(db, COUNT_ITS_OWN, left->id, &names, err) < 0 ||
        (origins == 0 &&
         database_run_with_id(db, "DELETE FROM lists WHERE id = ?", left->id, err) < 0) ||
        transaction_commit(&t, err) < 0)
        return -1;
    *out_gone = origins == 0;
    *out_names = origins == 0 ? names : 0;
    return 0;
}

#include "state/names.h"

#include "base/memory.h"
#include "state/history.h"
#include "state/next_try.h"
#include "state/statement.h"

#include <string.h>

/* ---- records ---- */

static const char *const state_words[NAME_STATE_COUNT] = {
    [NAME_WANTED] = "wanted",   [NAME_UPDATING] = "updating",   [NAME_PUBLISHED] = "published",
    [NAME_FAILED] = "failed",   [NAME_SUSPENDED] = "suspended", [NAME_UNWANTED] = "unwanted",
    [NAME_REMOVED] = "removed",
};

const char *name_state_word(enum name_state state)
{
    return state_words[state];
}

char *name_path(const char *repository, const char *name)
{
    bool is_directory = repository[0] == '/' || repository[0] == '.';
    return xasprintf("%s%s/%s", is_directory ? "" : "/cvmfs/", repository, name);
}

enum name_state name_state(const struct name_record *r)
{
    if (r->removed_at)
        return NAME_REMOVED;
    if (r->unwanted_since)
        return NAME_UNWANTED;
    if (r->suspended)
        return NAME_SUSPENDED;
    if (r->failure_kind != ERROR_NONE)
        return NAME_FAILED;
    if (digest_is_set(&r->wanted) && !digest_equal(&r->wanted, &r->published))
        return NAME_UPDATING;
    return digest_is_set(&r->published) ? NAME_PUBLISHED : NAME_WANTED;
}

void name_record_release(struct name_record *r)
{
    free(r->repository);
    free(r->name);
    free(r->platforms);
    free(r->asked_by);
    free(r->failure);
    free(r->failed_platform);
    *r = (struct name_record){0};
}

void name_records_release(struct name_records *records)
{
    for (size_t i = 0; i < records->count; i++)
        name_record_release(&records->items[i]);
    free(records->items);
    *records = (struct name_records){0};
}

/* In the order of read_record(). A name is suspended if all entries that stand for it are. */
#define SELECT_RECORD                                                                              \
    "SELECT n.id, n.repository, n.name, n.wanted, n.published, n.image_id, n.platforms, "          \
    "n.checked_at, n.changed_at, n.published_at, n.seconds, n.bytes, n.bytes_new, n.revision, "    \
    "n.asked_by, n.failure_kind, n.failure, n.failed_platform, n.failed_at, n.attempts, "          \
    "n.next_try_at, n.unwanted_since, n.removed_at, n.gone_first_at, n.gone_last_at, "             \
    "n.gone_count, (SELECT min(e.suspended) FROM wants w JOIN entries e ON e.id = w.entry JOIN "   \
    "lists l ON l.id = e.list WHERE w.name = n.name AND w.left_out IS NULL AND l.repository = "    \
    "n.repository) FROM names n "

static void read_record(struct statement *st, struct name_record *r)
{
    *r = (struct name_record){0};
    r->id = column_int(st);
    r->repository = column_text(st);
    r->name = column_text(st);
    r->wanted = column_digest(st);
    r->published = column_digest(st);
    r->image_id = column_digest(st);
    r->platforms = column_text(st);
    r->checked_at = column_int(st);
    r->changed_at = column_int(st);
    r->published_at = column_int(st);
    r->seconds = column_real(st);
    r->bytes = column_size(st);
    r->bytes_new = column_size(st);
    r->revision = column_size(st);
    r->asked_by = column_text(st);
    r->failure_kind = column_kind(st);
    r->failure = column_text(st);
    r->failed_platform = column_text(st);
    r->failed_at = column_int(st);
    r->attempts = (unsigned)column_size(st);
    r->next_try_at = column_int(st);
    r->unwanted_since = column_int(st);
    r->removed_at = column_int(st);
    r->gone_first_at = column_int(st);
    r->gone_last_at = column_int(st);
    r->gone_count = (unsigned)column_size(st);
    r->suspended = column_int(st) != 0;
}

/* 1 if there is one. */
static int find(struct database *db, const char *repository, const char *name,
                struct name_record *out, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, SELECT_RECORD "WHERE n.repository = ? AND n.name = ?", &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    bind_text(&st, name);
    int row = statement_step(&st, err);
    if (row > 0)
        read_record(&st, out);
    return row;
}

int names_get(struct database *db, const char *repository, const char *name,
              struct name_record *out, struct error *err)
{
    int found = find(db, repository, name, out, err);
    if (found == 0)
        return error_set(err, ERROR_NOT_FOUND, "nothing is known of %s in %s", name, repository);
    return found < 0 ? -1 : 0;
}

int names_list(struct database *db, const char *repository, struct name_records *out,
               struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    struct name_records found = {0};
    int row;
    if (statement_prepare(db,
                          SELECT_RECORD "WHERE ?1 IS NULL OR n.repository = ?1 ORDER BY "
                                        "n.repository, n.name",
                          &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    while ((row = statement_step(&st, err)) > 0) {
        ARRAY_GROW(found.items, found.count, found.capacity);
        read_record(&st, &found.items[found.count++]);
    }
    if (row < 0)
        name_records_release(&found);
    else
        *out = found;
    return row;
}

/* ---- changes ---- */

/* A change of one name: the record is made if there is none, and what follows is prepared with the
 * repository as ?1 and the name as ?2. */
static int prepare_change(struct database *db, const char *repository, const char *name,
                          const char *sql, struct statement *out, struct error *err)
{
    struct statement make _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db,
                          "INSERT INTO names (repository, name) VALUES (?, ?) ON CONFLICT DO "
                          "NOTHING",
                          &make, err) < 0)
        return -1;
    bind_text(&make, repository);
    bind_text(&make, name);
    if (statement_run(&make, err) < 0 || statement_prepare(db, sql, out, err) < 0)
        return -1;
    bind_text(out, repository);
    bind_text(out, name);
    return 0;
}

static int tell(struct database *db, const char *repository, const char *name,
                enum history_what what, const char *text, int64_t now, struct error *err)
{
    struct history_item item = {.repository = xstrdup(repository),
                                .name = xstrdup(name),
                                .at = now,
                                .what = what,
                                .text = text ? xstrdup(text) : NULL};
    int result = history_add(db, &item, err);
    history_item_release(&item);
    return result;
}

int names_seen(struct database *db, const char *repository, const char *name,
               const struct digest *wanted, int64_t now, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (transaction_begin(db, &t, err) < 0 ||
        prepare_change(db, repository, name,
                       "UPDATE names SET checked_at = ?4, gone_first_at = 0, gone_last_at = 0, "
                       "gone_count = 0, wanted = ?3, "
                       "changed_at = iif(wanted IS ?3, changed_at, ?4), "
                       "failure_kind = iif(wanted IS ?3, failure_kind, NULL), "
                       "failure = iif(wanted IS ?3, failure, NULL), "
                       "failed_platform = iif(wanted IS ?3, failed_platform, NULL), "
                       "failed_at = iif(wanted IS ?3, failed_at, 0), "
                       "attempts = iif(wanted IS ?3, attempts, 0), "
                       "next_try_at = iif(wanted IS ?3, next_try_at, 0) "
                       "WHERE repository = ?1 AND name = ?2",
                       &st, err) < 0)
        return -1;
    bind_digest(&st, wanted);
    bind_int(&st, now);
    if (statement_run(&st, err) < 0)
        return -1;
    return transaction_commit(&t, err);
}

/* ---- published ---- */

/* The images of the name are now these of this digest, and the name has their sums. */
static int set_image(struct database *db, const char *repository, const char *name,
                     const struct name_publication *what, bool is_news, struct error *err)
{
    static const char *const steps[] = {
        /* of another digest: what the tag pointed to before; of a platform not known then */
        "DELETE FROM images WHERE name = (SELECT id FROM names WHERE repository = ?1 AND name = "
        "?2) AND (digest <> ?3 OR (platform = '' AND ?4 <> ''))",
        "INSERT INTO images (name, platform, digest, bytes, bytes_new) SELECT id, ?4, ?3, ?5, ?6 "
        "FROM names WHERE repository = ?1 AND name = ?2 ON CONFLICT (name, platform) DO UPDATE SET "
        "bytes = excluded.bytes, bytes_new = iif(?7, excluded.bytes_new, bytes_new)",
        "UPDATE names SET (bytes, bytes_new, platforms) = (SELECT sum(bytes), sum(bytes_new), "
        "nullif(group_concat(platform, ', '), '') FROM images WHERE images.name = names.id) "
        "WHERE repository = ?1 AND name = ?2",
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct statement st _cleanup_statement_ = STATEMENT_INIT;
        if (statement_prepare(db, steps[i], &st, err) < 0)
            return -1;
        bind_text(&st, repository);
        bind_text(&st, name);
        if (i < 2) {
            bind_digest(&st, &what->digest);
            bind_text(&st, what->platform ? what->platform : "");
        }
        if (i == 1) {
            bind_size(&st, what->bytes);
            bind_size(&st, what->bytes_new);
            bind_int(&st, is_news);
        }
        if (statement_run(&st, err) < 0)
            return -1;
    }
    return 0;
}

#define ASKER                                                                                      \
    "SELECT l.url || iif(e.line, ':' || e.line, '') || coalesce('@' || l.revision, '') FROM "      \
    "wants w JOIN entries e ON e.id = w.entry JOIN lists l ON l.id = e.list WHERE "                \
    "w.left_out IS NULL AND "

/* "URL:LINE@REVISION" of the first that asks for it. Owned; NULL if nobody is known to. */
static int find_asker(struct database *db, const char *repository, const char *name, char **out,
                      struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, ASKER "l.repository = ? AND w.name = ? ORDER BY l.id, e.line LIMIT 1",
                          &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    bind_text(&st, name);
    int row = statement_step(&st, err);
    *out = row > 0 ? column_text(&st) : NULL;
    return row < 0 ? -1 : 0;
}

static int tell_published(struct database *db, const char *repository, const char *name,
                          const struct name_publication *what, const char *asked_by, int64_t now,
                          struct error *err)
{
    struct history_item item = {.repository = xstrdup(repository),
                                .name = xstrdup(name),
                                .at = now,
                                .what = HISTORY_PUBLISHED,
                                .digest = what->digest,
                                .image_id = what->image_id,
                                .platform = what->platform ? xstrdup(what->platform) : NULL,
                                .revision = what->revision,
                                .seconds = what->seconds,
                                .bytes = what->bytes,
                                .bytes_new = what->bytes_new,
                                .asked_by = asked_by ? xstrdup(asked_by) : NULL};
    int result = history_add(db, &item, err);
    history_item_release(&item);
    return result;
}

/* A failure is over when the image that failed is there; one of another platform is not. */
#define FAILURE_IS_OVER "(failed_platform IS NULL OR failed_platform IS ?5)"
#define SET_PUBLISHED                                                                              \
    "UPDATE names SET published = ?3, wanted = coalesce(wanted, ?3), removed_at = 0, "             \
    "image_id = iif(?6 OR image_id IS NULL, ?4, image_id), "                                       \
    "failure_kind = iif(" FAILURE_IS_OVER ", NULL, failure_kind), "                                \
    "failure = iif(" FAILURE_IS_OVER ", NULL, failure), "                                          \
    "failed_at = iif(" FAILURE_IS_OVER ", 0, failed_at), "                                         \
    "attempts = iif(" FAILURE_IS_OVER ", 0, attempts), "                                           \
    "next_try_at = iif(" FAILURE_IS_OVER ", 0, next_try_at), "                                     \
    "failed_platform = iif(" FAILURE_IS_OVER ", NULL, failed_platform)"
#define OF_NAME " WHERE repository = ?1 AND name = ?2"

static void bind_publication(struct statement *st, const struct name_publication *what)
{
    bind_digest(st, &what->digest);
    bind_digest(st, &what->image_id);
    bind_text(st, what->platform);
    bind_int(st, what->leads);
}

int names_published(struct database *db, const char *repository, const char *name,
                    const struct name_publication *what, int64_t now, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    _cleanup_free_ char *asked_by = NULL;
    if (transaction_begin(db, &t, err) < 0 ||
        find_asker(db, repository, name, &asked_by, err) < 0 ||
        prepare_change(db, repository, name,
                       SET_PUBLISHED
                       ", published_at = ?7, seconds = ?8, revision = ?9, asked_by = "
                       "coalesce(?10, asked_by), checked_at = max(checked_at, ?7), changed_at = "
                       "iif(changed_at, changed_at, ?7)" OF_NAME,
                       &st, err) < 0)
        return -1;
    bind_publication(&st, what);
    bind_int(&st, now);
    bind_real(&st, what->seconds);
    bind_size(&st, what->revision);
    bind_text(&st, asked_by);
    if (statement_run(&st, err) < 0 || set_image(db, repository, name, what, true, err) < 0 ||
        tell_published(db, repository, name, what, asked_by, now, err) < 0)
        return -1;
    return transaction_commit(&t, err);
}

int names_confirmed(struct database *db, const char *repository, const char *name,
                    const struct name_publication *what, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (transaction_begin(db, &t, err) < 0 ||
        prepare_change(db, repository, name, SET_PUBLISHED OF_NAME, &st, err) < 0)
        return -1;
    bind_publication(&st, what);
    if (statement_run(&st, err) < 0 || set_image(db, repository, name, what, false, err) < 0)
        return -1;
    return transaction_commit(&t, err);
}

/* ---- failed, gone, removed ---- */

static int tell_failed(struct database *db, const struct name_record *before,
                       const char *repository, const char *name, const struct name_failure *what,
                       int64_t now, struct error *err)
{
    struct history_item item = {.repository = xstrdup(repository),
                                .name = xstrdup(name),
                                .at = now,
                                .what = HISTORY_FAILED,
                                .digest = before->wanted,
                                .platform = what->platform ? xstrdup(what->platform) : NULL,
                                .kind = what->why->kind,
                                .text = xstrdup(what->why->message)};
    int result = history_add(db, &item, err);
    history_item_release(&item);
    return result;
}

static int set_failed(struct database *db, const struct name_record *before, const char *repository,
                      const char *name, const struct name_failure *what, int64_t now,
                      struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    const struct error *why = what->why;
    uint32_t random;
    sqlite3_randomness(sizeof random, &random);
    if (prepare_change(db, repository, name,
                       "UPDATE names SET failure_kind = ?3, failure = ?4, failed_platform = ?5, "
                       "failed_at = ?6, attempts = ?7, next_try_at = ?8" OF_NAME,
                       &st, err) < 0)
        return -1;
    bind_kind(&st, why->kind);
    bind_text(&st, why->message);
    bind_text(&st, what->platform);
    bind_int(&st, now);
    bind_size(&st, before->attempts + 1);
    int64_t pause = next_try_pause(why->kind, why->retryable, before->attempts + 1, random);
    bind_int(&st, what->of_looking ? now : now + pause);
    return statement_run(&st, err);
}

static bool is_same(const struct name_record *before, const struct error *why)
{
    return before->failure && before->failure_kind == why->kind &&
           strcmp(before->failure, why->message) == 0;
}

int names_failed(struct database *db, const char *repository, const char *name,
                 const struct name_failure *what, int64_t now, bool *out_is_known,
                 struct error *err)
{
    const struct error *why = what->why;
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct name_record before = {0};
    if (why->kind == ERROR_CANCELLED || why->kind == ERROR_NONE)
        return 0;
    if (transaction_begin(db, &t, err) < 0 || find(db, repository, name, &before, err) < 0)
        return -1;
    bool is_known = is_same(&before, why);
    int result = 0;
    if (set_failed(db, &before, repository, name, what, now, err) < 0 ||
        (!is_known && tell_failed(db, &before, repository, name, what, now, err) < 0) ||
        transaction_commit(&t, err) < 0)
        result = -1;
    else if (out_is_known)
        *out_is_known = is_known;
    name_record_release(&before);
    return result;
}

int names_gone(struct database *db, const char *repository, const char *name, int64_t now,
               struct name_record *out_record, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    struct name_record after = {0};
    if (transaction_begin(db, &t, err) < 0 ||
        prepare_change(db, repository, name,
                       "UPDATE names SET gone_first_at = iif(gone_count, gone_first_at, ?3), "
                       "gone_last_at = ?3, gone_count = gone_count + 1" OF_NAME,
                       &st, err) < 0)
        return -1;
    bind_int(&st, now);
    if (statement_run(&st, err) < 0 || names_get(db, repository, name, &after, err) < 0)
        return -1;
    int result =
        after.gone_count == 1 ? tell(db, repository, name, HISTORY_GONE, NULL, now, err) : 0;
    if (result == 0)
        result = transaction_commit(&t, err);
    if (result == 0 && out_record)
        *out_record = after;
    else
        name_record_release(&after);
    return result;
}

static int set_removed(struct database *db, const char *repository, const char *name,
                       const char *sql, enum history_what what, const char *why, int64_t now,
                       struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (transaction_begin(db, &t, err) < 0 ||
        prepare_change(db, repository, name, sql, &st, err) < 0)
        return -1;
    bind_int(&st, now);
    if (statement_run(&st, err) < 0 || tell(db, repository, name, what, why, now, err) < 0)
        return -1;
    return transaction_commit(&t, err);
}

int names_removed(struct database *db, const char *repository, const char *name, const char *why,
                  int64_t now, struct error *err)
{
    return set_removed(db, repository, name, "UPDATE names SET removed_at = ?3" OF_NAME,
                       HISTORY_REMOVED, why, now, err);
}

int names_restored(struct database *db, const char *repository, const char *name, int64_t now,
                   struct error *err)
{
    return set_removed(db, repository, name,
                       "UPDATE names SET removed_at = 0, gone_first_at = 0, gone_last_at = 0, "
                       "gone_count = 0, unwanted_since = iif(unwanted_since, ?3, 0)" OF_NAME,
                       HISTORY_RESTORED, NULL, now, err);
}

int names_forget(struct database *db, const char *repository, const char *name, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    if (statement_prepare(db, "DELETE FROM names" OF_NAME, &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    bind_text(&st, name);
    return statement_run(&st, err);
}

/* ---- questions ---- */

int names_is_due(struct database *db, const char *repository, const char *name,
                 const struct digest *wanted, int64_t now, bool *out, struct error *err)
{
    struct name_record r = {0};
    int found = find(db, repository, name, &r, err);
    if (found < 0)
        return -1;
    bool moved = digest_is_set(wanted) && !digest_equal(wanted, &r.wanted);
    /* A next try further away than any pause was set before the clock was put back. */
    bool waits = now < r.next_try_at && r.next_try_at - now <= RETRY_MAX_SECONDS;
    *out = r.failure_kind == ERROR_NONE || moved || !waits;
    name_record_release(&r);
    return 0;
}

/* Whom nobody asks for, and whom somebody does. */
#define IS_ASKED_FOR                                                                               \
    "EXISTS (SELECT 1 FROM wants w JOIN entries e ON e.id = w.entry JOIN lists l ON l.id = "       \
    "e.list WHERE w.name = names.name AND w.left_out IS NULL AND l.repository = "                  \
    "names.repository)"

int names_take_due(struct database *db, const char *repository, size_t max, int64_t now,
                   struct string_list *out, struct error *err)
{
    struct statement st _cleanup_statement_ = STATEMENT_INIT;
    struct string_list found = {0};
    int row;
    if (statement_prepare(db,
                          "UPDATE names SET next_try_at = ?2 + ?3 WHERE id IN (SELECT id FROM "
                          "names WHERE repository = ?1 AND failure_kind IS NOT NULL AND "
                          "next_try_at BETWEEN 1 AND ?2 AND removed_at = 0 AND " IS_ASKED_FOR
                          " ORDER BY next_try_at LIMIT ?4) RETURNING name",
                          &st, err) < 0)
        return -1;
    bind_text(&st, repository);
    bind_int(&st, now);
    bind_int(&st, RETRY_TAKEN_SECONDS);
    bind_size(&st, max);
    while ((row = statement_step(&st, err)) > 0)
        string_list_take(&found, column_text(&st));
    for (size_t i = 0; row == 0 && i < found.count; i++)
        string_list_add(out, found.items[i]);
    string_list_release(&found);
    return row;
}

int names_settle(struct database *db, const char *repository, int64_t now, size_t *out_unwanted,
                 struct error *err)
{
    /* ?1 is the repository, ?2 the time. The history is told before the change that it tells. */
    static const char *const steps[] = {
        "INSERT INTO names (repository, name) SELECT DISTINCT l.repository, w.name FROM wants w "
        "JOIN entries e ON e.id = w.entry JOIN lists l ON l.id = e.list WHERE l.repository = ?1 "
        "AND w.left_out IS NULL AND ?2 > 0 ON CONFLICT DO NOTHING",
        "DELETE FROM names WHERE repository = ?1 AND published IS NULL AND ?2 > 0 AND "
        "NOT " IS_ASKED_FOR,
        "INSERT INTO history (repository, name, at, what, revision, seconds, bytes, bytes_new) "
        "SELECT repository, name, ?2, 'unwanted', 0, 0, 0, 0 FROM names WHERE repository = ?1 AND "
        "unwanted_since = 0 AND NOT " IS_ASKED_FOR,
        "UPDATE names SET asked_by = (" ASKER "l.repository = names.repository AND w.name = "
        "names.name ORDER BY l.id, e.line LIMIT 1) WHERE repository = ?1 AND ?2 > 0 AND asked_by "
        "IS NULL AND " IS_ASKED_FOR,
        "UPDATE names SET unwanted_since = ?2 WHERE repository = ?1 AND unwanted_since = 0 AND "
        "NOT " IS_ASKED_FOR,
        "INSERT INTO history (repository, name, at, what, revision, seconds, bytes, bytes_new) "
        "SELECT repository, name, ?2, 'wanted', 0, 0, 0, 0 FROM names WHERE repository = ?1 AND "
        "unwanted_since <> 0 AND " IS_ASKED_FOR,
        "UPDATE names SET unwanted_since = 0 WHERE repository = ?1 AND ?2 > 0 AND unwanted_since "
        "<> 0 AND " IS_ASKED_FOR,
        "SELECT count(*) FROM names WHERE repository = ?1 AND unwanted_since BETWEEN 1 AND ?2",
    };
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    if (transaction_begin(db, &t, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct statement st _cleanup_statement_ = STATEMENT_INIT;
        if (statement_prepare(db, steps[i], &st, err) < 0)
            return -1;
        bind_text(&st, repository);
        bind_int(&st, now);
        int row = statement_step(&st, err);
        if (row < 0)
            return -1;
        if (row > 0)
            *out_unwanted = column_size(&st);
    }
    return transaction_commit(&t, err);
}

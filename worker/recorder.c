#include "worker/recorder.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "worker/rebuild.h"
#include "state/history.h"
#include "state/lists.h"
#include "state/names.h"
#include "state/state.h"

#include <pthread.h>
#include <string.h>

#define FLUSH_SECONDS 1.0
#define NOTES_MAX     500
#define FORESEEN_MAX  50000 /* of the history */

enum note_kind { NOTE_SEEN, NOTE_CONFIRMED, NOTE_PUBLISHED, NOTE_FAILED, NOTE_GONE, NOTE_EXPANDED };

/* Something to be written. */
struct note {
    enum note_kind kind;
    int64_t at;
    char *name;     /* but for NOTE_EXPANDED */
    char *platform; /* NULL: none */
    struct name_publication what;
    struct error error; /* NOTE_FAILED, and NOTE_EXPANDED that failed */
    bool is_known;      /* NOTE_FAILED: in the same words as the last time */
    bool of_looking;    /* NOTE_FAILED: before there was a job */
    char *list, *entry; /* NOTE_EXPANDED */
    bool partly;        /* the same */
    char **names;
    size_t name_count;
};

struct recorder {
    pthread_mutex_t lock; /* guards all below */
    struct database *db;
    const struct repository *repository;
    struct notifier *notifier;
    struct history_bounds history;
    char *key;
    struct note *notes;
    size_t note_count, note_capacity;
    double flushed; /* clock_monotonic() */
    int64_t run;    /* 0: none */
    struct run_counts counts;
};

static void release_note(struct note *n)
{
    free(n->name);
    free(n->platform);
    error_release(&n->error);
    free(n->list);
    free(n->entry);
    for (size_t i = 0; i < n->name_count; i++)
        free(n->names[i]);
    free(n->names);
}

static void complain(const char *what, struct error *err)
{
    log_warning("%s could not be recorded: %s", what, err->message);
    error_release(err);
}

/* ---- writing ---- */

static int expand_entry(struct recorder *r, const struct note *n, struct error *err)
{
    int64_t list = 0;
    if (lists_find(r->db, r->key, n->list, &list, err) < 0)
        return -1;
    if (n->error.kind != ERROR_NONE)
        return lists_not_expanded(r->db, list, n->entry, &n->error, n->at, err);
    for (size_t i = 0; n->partly && i < n->name_count; i++)
        if (lists_also_wanted(r->db, list, n->entry, n->names[i], err) < 0)
            return -1;
    if (n->partly)
        return 0;
    struct list_name *names = xcalloc(n->name_count, sizeof *names);
    for (size_t i = 0; i < n->name_count; i++)
        names[i].name = n->names[i];
    int result = lists_expanded(r->db, list, n->entry, names, n->name_count, n->at, err);
    free(names);
    return result;
}

/* A list or an entry that has left meanwhile stands for nothing. */
static int write_expansion(struct recorder *r, const struct note *n, struct error *err)
{
    if (expand_entry(r, n, err) == 0)
        return 0;
    if (err->kind != ERROR_NOT_FOUND)
        return -1;
    error_release(err);
    return 0;
}

static int write_note(struct recorder *r, struct note *n, struct error *err)
{
    switch (n->kind) {
    case NOTE_SEEN:
        return names_seen(r->db, r->key, n->name, &n->what.digest, n->at, err);
    case NOTE_CONFIRMED:
        return names_confirmed(r->db, r->key, n->name, &n->what, err);
    case NOTE_PUBLISHED:
        return names_published(r->db, r->key, n->name, &n->what, n->at, err);
    case NOTE_FAILED:
        return names_failed(r->db, r->key, n->name,
                            &(struct name_failure){.why = &n->error,
                                                   .platform = n->platform,
                                                   .of_looking = n->of_looking},
                            n->at, &n->is_known, err);
    case NOTE_GONE:
        return names_gone(r->db, r->key, n->name, n->at, NULL, err);
    case NOTE_EXPANDED:
        return write_expansion(r, n, err);
    }
    return 0;
}

static int write_notes(struct recorder *r, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    if (transaction_begin(r->db, &t, err) < 0)
        return -1;
    for (size_t i = 0; i < r->note_count; i++)
        if (write_note(r, &r->notes[i], err) < 0)
            return -1;
    return transaction_commit(&t, err);
}

static void notify(struct recorder *r, const struct note *n)
{
    bool is_news = n->kind == NOTE_PUBLISHED ||
                   (n->kind == NOTE_FAILED && !n->is_known && n->error.kind != ERROR_CANCELLED);
    if (is_news)
        notifier_tell(r->notifier,
                      &(struct notification){.kind = n->kind == NOTE_FAILED ? NOTIFY_FAILED
                                                                            : NOTIFY_PUBLISHED,
                                             .repository = r->key,
                                             .name = n->name,
                                             .digest = n->what.digest,
                                             .image_id = n->what.image_id,
                                             .platform = n->platform,
                                             .bytes = n->what.bytes,
                                             .bytes_new = n->what.bytes_new,
                                             .seconds = n->what.seconds,
                                             .revision = n->what.revision,
                                             .error_kind = n->error.kind,
                                             .text = n->error.message});
}

/* With the lock held. */
static void flush(struct recorder *r)
{
    struct error err = ERROR_INIT;
    if (r->note_count > 0 && write_notes(r, &err) < 0)
        complain("what was done", &err);
    for (size_t i = 0; i < r->note_count; i++) {
        notify(r, &r->notes[i]);
        release_note(&r->notes[i]);
    }
    r->note_count = 0;
    r->flushed = clock_monotonic();
}

/* With the lock held. */
static struct note *add_note(struct recorder *r, enum note_kind kind)
{
    if (r->note_count >= NOTES_MAX || clock_monotonic() > r->flushed + FLUSH_SECONDS)
        flush(r);
    ARRAY_GROW(r->notes, r->note_count, r->note_capacity);
    r->notes[r->note_count] = (struct note){.kind = kind, .at = clock_now()};
    return &r->notes[r->note_count++];
}

/* ---- life ---- */

static int open_database(struct recorder *r, const struct recorder_options *o, struct error *err)
{
    bool known;
    size_t names;
    if (database_open(o->state_dir, DATABASE_WRITE, &r->db, err) < 0 ||
        repository_is_known(r->db, r->key, &known, err) < 0)
        return -1;
    if (!known) {
        if (rebuild_names(r->db, o->repository, r->key, &names, err) < 0)
            return error_wrap(err, "reading what %s holds", r->key);
        if (names > 0)
            log_info("%s is new to the state database: %zu published names were read from it",
                     r->key, names);
    }
    return o->run ? run_start(r->db, o->run, r->key, clock_now(), &r->run, err) : 0;
}

int recorder_open(const struct recorder_options *options, struct recorder **out, struct error *err)
{
    struct recorder *r = xcalloc(1, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    r->repository = options->repository;
    r->notifier = options->notifier;
    r->history = options->history;
    r->key = repository_key(options->repository->name);
    r->flushed = clock_monotonic();
    if (open_database(r, options, err) < 0) {
        r->run = 0;
        recorder_close(r, NULL);
        return -1;
    }
    *out = r;
    return 0;
}

static void end_run(struct recorder *r, const char *outcome)
{
    struct error err = ERROR_INIT;
    if (r->run && run_end(r->db, r->run, &r->counts, outcome, clock_now(), &err) < 0)
        complain("the end of the run", &err);
}

void recorder_close(struct recorder *r, const char *outcome)
{
    if (!r)
        return;
    if (r->db) {
        flush(r);
        end_run(r, outcome);
    }
    database_free(r->db);
    pthread_mutex_destroy(&r->lock);
    free(r->notes);
    free(r->key);
    free(r);
}

/* ---- lists ---- */

static int set_list(struct recorder *r, const struct list_record *record, int64_t now,
                    int64_t *out_id, struct error *err)
{
    if (strcmp(record->url, LIST_COMMAND_LINE) == 0)
        return lists_ask(r->db, record, now, out_id, err);
    return lists_read(r->db, record, now, out_id, err);
}

/* Entries that stand for themselves. */
static int set_plain(struct recorder *r, const struct wished_list *list, int64_t id, int64_t now,
                     struct error *err)
{
    for (size_t i = 0; i < list->entry_count; i++) {
        struct list_name name = {list->plain[i], NULL};
        if (list->plain[i] &&
            lists_expanded(r->db, id, list->entries[i].text, &name, 1, now, err) < 0)
            return -1;
    }
    return 0;
}

void recorder_list(struct recorder *r, const struct wished_list *list)
{
    struct error err = ERROR_INIT;
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct list_record record = {.repository = r ? r->key : NULL,
                                 .url = list->url,
                                 .revision = list->revision,
                                 .contact = list->contact,
                                 .entries = list->entries,
                                 .entry_count = list->entry_count};
    int64_t id = 0, now = clock_now();
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    if (transaction_begin(r->db, &t, &err) < 0 || set_list(r, &record, now, &id, &err) < 0 ||
        set_plain(r, list, id, now, &err) < 0 || transaction_commit(&t, &err) < 0)
        complain(record.url, &err);
    transaction_end(&t);
    pthread_mutex_unlock(&r->lock);
}

void recorder_list_failed(struct recorder *r, const char *url, const struct error *why)
{
    struct error err = ERROR_INIT;
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    if (lists_failed(r->db, r->key, url, why, clock_now(), &err) < 0)
        complain(url, &err);
    pthread_mutex_unlock(&r->lock);
}

void recorder_list_unchanged(struct recorder *r, const char *url)
{
    struct error err = ERROR_INIT;
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    if (lists_unchanged(r->db, r->key, url, clock_now(), &err) < 0)
        complain(url, &err);
    pthread_mutex_unlock(&r->lock);
}

void recorder_list_stands(struct recorder *r, const char *url, const struct list_origin *origin)
{
    struct error err = ERROR_INIT;
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    if (list_origins_note(r->db, r->key, url, origin, &err) < 0)
        complain(url, &err);
    pthread_mutex_unlock(&r->lock);
}

static struct note *add_expansion(struct recorder *r, const struct wanted *wish)
{
    struct note *n = add_note(r, NOTE_EXPANDED);
    n->list = xstrdup(wish->list);
    n->entry = xstrdup(wish->entry);
    n->partly = wish->partly;
    return n;
}

void recorder_expanded(struct recorder *r, const struct wanted *wish, const char *const *names,
                       size_t count)
{
    if (!r || !wish->list)
        return;
    pthread_mutex_lock(&r->lock);
    struct note *n = add_expansion(r, wish);
    n->names = xcalloc(count, sizeof *n->names);
    for (n->name_count = 0; n->name_count < count; n->name_count++)
        n->names[n->name_count] = xstrdup(names[n->name_count]);
    pthread_mutex_unlock(&r->lock);
}

void recorder_not_expanded(struct recorder *r, const struct wanted *wish, const struct error *why)
{
    if (!r || !wish->list)
        return;
    pthread_mutex_lock(&r->lock);
    error_copy(&add_expansion(r, wish)->error, why);
    pthread_mutex_unlock(&r->lock);
}

static bool is_of_wish(const struct wants *wants, const struct wanted *wish)
{
    for (size_t i = 0; i < wants->count; i++) {
        const struct want *w = &wants->items[i];
        if (!w->left_out && strcmp(w->url, wish->list) == 0 && strcmp(w->text, wish->entry) == 0)
            return true;
    }
    return false;
}

bool recorder_was_wanted(struct recorder *r, const struct wanted *wish, const char *name)
{
    struct error err = ERROR_INIT;
    struct wants wants = {0};
    bool found = false;
    if (!r || !wish->list)
        return false;
    pthread_mutex_lock(&r->lock);
    flush(r);
    if (lists_wants(r->db, r->key, name, &wants, &err) < 0) {
        log_warning("%s: %s", name, err.message);
        error_release(&err);
    } else {
        found = is_of_wish(&wants, wish);
        wants_release(&wants);
    }
    pthread_mutex_unlock(&r->lock);
    return found;
}

void recorder_tick(struct recorder *r)
{
    if (!r || pthread_mutex_trylock(&r->lock) != 0)
        return; /* somebody writes just now */
    if (r->note_count > 0 && clock_monotonic() > r->flushed + FLUSH_SECONDS)
        flush(r);
    pthread_mutex_unlock(&r->lock);
}

void recorder_take_due(struct recorder *r, size_t max, struct string_list *out)
{
    struct error err = ERROR_INIT;
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    flush(r); /* a name may just have been published */
    if (names_take_due(r->db, r->key, max, clock_now(), out, &err) < 0)
        complain("what is to be tried again", &err);
    pthread_mutex_unlock(&r->lock);
}

void recorder_settle(struct recorder *r)
{
    struct error err = ERROR_INIT;
    size_t unwanted;
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    flush(r);
    if (names_settle(r->db, r->key, clock_now(), &unwanted, &err) < 0)
        complain("what is unwanted", &err);
    if (history_trim(r->db, &r->history, clock_now(), &err) < 0)
        complain("that old history is deleted", &err);
    pthread_mutex_unlock(&r->lock);
}

/* ---- names ---- */

static uint64_t layer_bytes(const struct image *image)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < image->layer_count; i++)
        sum += image->layers[i].descriptor->foreign ? 0 : image->layers[i].descriptor->blob.size;
    return sum;
}

/* The platform is known once the configuration is. Owned. */
static char *find_platform(const struct image *image)
{
    const struct platform *p = &image->parsed_config.platform;
    return p->os && p->architecture ? platform_text(p) : NULL;
}

static void fill_in(struct recorder *r, struct note *n, const struct job *job)
{
    const struct image *image = &job->image;
    uint64_t bytes = layer_bytes(image), fetched = atomic_load(&job->tracked.bytes_to_fetch);
    n->platform = find_platform(image);
    n->what = (struct name_publication){
        .digest = job->tag_digest,
        .image_id = image->config_digest,
        .platform = n->platform,
        .leads = !image->multiarch.directory || image->multiarch.leads,
        .bytes = bytes,
        .bytes_new = fetched < bytes ? fetched : bytes,
        .seconds = clock_monotonic() - job->noticed,
        .revision = n->kind == NOTE_PUBLISHED ? repository_revision(r->repository) : 0};
    if (!digest_is_set(&n->what.digest))
        n->what.digest = image->manifest_digest;
}

static void note_seen(struct recorder *r, const struct job *job, size_t name)
{
    if (!digest_is_set(&job->tag_digest))
        return;
    struct note *n = add_note(r, NOTE_SEEN);
    n->name = image_public_name(&job->image, name);
    n->what.digest = job->tag_digest;
}

void recorder_seen(struct recorder *r, const struct job *job)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < job->image.name_count; i++)
        note_seen(r, job, i);
    pthread_mutex_unlock(&r->lock);
}

static void note_decided(struct recorder *r, const struct job *job, size_t name,
                         enum outcome outcome)
{
    enum note_kind kind = outcome == OUTCOME_PUBLISHED   ? NOTE_PUBLISHED
                          : outcome == OUTCOME_UNCHANGED ? NOTE_CONFIRMED
                                                         : NOTE_FAILED;
    struct note *n = add_note(r, kind);
    n->name = image_public_name(&job->image, name);
    if (outcome != OUTCOME_FAILED) {
        fill_in(r, n, job);
        return;
    }
    n->platform = job->image.multiarch.directory ? find_platform(&job->image) : NULL;
    error_copy(&n->error, &job->error);
}

static void count(struct recorder *r, const struct job *job, enum outcome outcome)
{
    size_t names = image_public_names(&job->image);
    if (outcome == OUTCOME_PUBLISHED) {
        r->counts.published += names;
    } else if (outcome == OUTCOME_UNCHANGED) {
        r->counts.unchanged += names;
    } else {
        r->counts.failed += names ? names : job->image.name_count;
    }
}

void recorder_decided(struct recorder *r, const struct job *job, enum outcome outcome)
{
    if (!r || outcome == OUTCOME_PLANNED)
        return;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < job->image.name_count; i++) {
        if (outcome != OUTCOME_PUBLISHED) /* else it was when it came in, and may be newer by now */
            note_seen(r, job, i);
        note_decided(r, job, i, outcome);
    }
    count(r, job, outcome);
    if (outcome == OUTCOME_PUBLISHED)
        flush(r);
    pthread_mutex_unlock(&r->lock);
}

void recorder_committed(struct recorder *r, const struct committed *committed)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->counts.revisions += committed->revisions;
    r->counts.bytes += committed->content_bytes;
    pthread_mutex_unlock(&r->lock);
}

void recorder_failed(struct recorder *r, const char *name, const struct error *why)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    struct note *n = add_note(r, NOTE_FAILED);
    n->name = xstrdup(name);
    n->of_looking = true;
    error_copy(&n->error, why);
    r->counts.failed++;
    pthread_mutex_unlock(&r->lock);
}

void recorder_gone(struct recorder *r, const char *name)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    add_note(r, NOTE_GONE)->name = xstrdup(name);
    pthread_mutex_unlock(&r->lock);
}

/* Whether its last failure is not written yet. With the lock held. */
static bool has_failed(const struct recorder *r, const char *name)
{
    for (size_t i = 0; i < r->note_count; i++)
        if (r->notes[i].kind == NOTE_FAILED && strcmp(r->notes[i].name, name) == 0)
            return true;
    return false;
}

bool recorder_is_due(struct recorder *r, const char *name, const struct digest *wanted)
{
    struct error err = ERROR_INIT;
    bool due = true;
    if (!r)
        return true;
    pthread_mutex_lock(&r->lock);
    if (has_failed(r, name))
        flush(r);
    if (names_is_due(r->db, r->key, name, wanted, clock_now(), &due, &err) < 0) {
        log_warning("%s: %s", name, err.message);
        error_release(&err);
    }
    pthread_mutex_unlock(&r->lock);
    return due;
}

/* ---- looking ahead ---- */

/* As if it were published; the caller rolls back. */
static int write_published(struct recorder *r, const struct job *job, struct error *err)
{
    for (size_t i = 0; i < job->image.name_count; i++) {
        struct note n = {.kind = NOTE_PUBLISHED, .at = clock_now()};
        n.name = image_public_name(&job->image, i);
        fill_in(r, &n, job);
        int result = write_note(r, &n, err);
        release_note(&n);
        if (result < 0)
            return -1;
    }
    return 0;
}

static int look_ahead(struct recorder *r, struct job *const *jobs, size_t count, int64_t since,
                      struct snapshot *out, struct history *out_history, struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT; /* never committed */
    struct snapshot all = {0};
    if (transaction_begin(r->db, &t, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (write_published(r, jobs[i], err) < 0)
            return -1;
    if (snapshot_take(r->db, &(struct snapshot_filter){.repository = r->key}, &all, err) < 0)
        return -1;
    if (history_list(r->db, r->key, NULL, since, FORESEEN_MAX, out_history, err) < 0) {
        snapshot_release(&all);
        return -1;
    }
    *out = all;
    return 0;
}

int recorder_foresee(struct recorder *r, struct job *const *jobs, size_t count, int64_t since,
                     struct snapshot *out, struct history *out_history, struct error *err)
{
    pthread_mutex_lock(&r->lock);
    flush(r);
    int result = look_ahead(r, jobs, count, since, out, out_history, err);
    pthread_mutex_unlock(&r->lock);
    return result;
}

#include "web/inbox.h"

#include "base/buf.h"
#include "base/memory.h"

#include <pthread.h>
#include <sys/random.h>

struct letter {
    const char *source;
    const struct webhook_events *events;
    int64_t now;
    size_t new_count;
    bool done;
    struct error err;
    struct letter *next;
};

struct inbox {
    char *state_dir;
    struct database *db; /* of whoever is at work */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct letter *first, **last;
    bool at_work;
};

struct inbox *inbox_new(const char *state_dir)
{
    struct inbox *inbox = xcalloc(1, sizeof *inbox);
    inbox->state_dir = state_dir ? xstrdup(state_dir) : NULL;
    inbox->last = &inbox->first;
    pthread_mutex_init(&inbox->mutex, NULL);
    pthread_cond_init(&inbox->changed, NULL);
    return inbox;
}

void inbox_free(struct inbox *inbox)
{
    if (!inbox)
        return;
    database_free(inbox->db);
    pthread_cond_destroy(&inbox->changed);
    pthread_mutex_destroy(&inbox->mutex);
    free(inbox->state_dir);
    free(inbox);
}

/* An id for an event that has none of its own. */
static char *new_id(void)
{
    uint64_t random[2] = {0, 0};
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        random[0] = (uint64_t)(uintptr_t)&random;
    return xasprintf("once %016llx%016llx", (unsigned long long)random[0],
                     (unsigned long long)random[1]);
}

static int store_letter(struct database *db, struct letter *letter, struct error *err)
{
    letter->new_count = 0;
    for (size_t i = 0; i < letter->events->count; i++) {
        const struct webhook_event *e = &letter->events->items[i];
        _cleanup_free_ char *id = *e->delivery ? NULL : new_id();
        struct event event = {.source = letter->source,
                              .delivery = id ? id : e->delivery,
                              .kind = e->kind,
                              .subject = e->subject};
        bool is_new = false;
        if (event_add(db, &event, letter->now, &is_new, err) < 0)
            return -1;
        letter->new_count += is_new;
    }
    return 0;
}

static int store_all(struct inbox *inbox, struct letter *letters, struct error *err)
{
    if (!inbox->db && database_open(inbox->state_dir, DATABASE_WRITE, &inbox->db, err) < 0)
        return -1;
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    if (transaction_begin(inbox->db, &t, err) < 0)
        return -1;
    for (struct letter *l = letters; l; l = l->next)
        if (store_letter(inbox->db, l, err) < 0)
            return -1;
    return transaction_commit(&t, err);
}

/* Take what has gathered and store it; the mutex is held before and after. */
static void work(struct inbox *inbox)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct letter *letters = inbox->first;
    inbox->first = NULL;
    inbox->last = &inbox->first;
    inbox->at_work = true;
    pthread_mutex_unlock(&inbox->mutex);
    int rc = store_all(inbox, letters, &err);
    pthread_mutex_lock(&inbox->mutex);
    inbox->at_work = false;
    for (struct letter *l = letters, *next; l; l = next) {
        next = l->next; /* once it is done, it is its owner's */
        if (rc < 0)
            error_copy(&l->err, &err);
        l->done = true;
    }
    pthread_cond_broadcast(&inbox->changed);
}

int inbox_store(struct inbox *inbox, const char *source, const struct webhook_events *events,
                int64_t now, size_t *out_new, struct error *err)
{
    struct letter letter = {.source = source, .events = events, .now = now, .err = ERROR_INIT};
    pthread_mutex_lock(&inbox->mutex);
    *inbox->last = &letter;
    inbox->last = &letter.next;
    while (!letter.done) {
        if (inbox->at_work)
            pthread_cond_wait(&inbox->changed, &inbox->mutex);
        else
            work(inbox);
    }
    pthread_mutex_unlock(&inbox->mutex);
    if (letter.err.kind != ERROR_NONE) {
        error_move(err, &letter.err);
        return -1;
    }
    *out_new = letter.new_count;
    return 0;
}

#include "layers/read_ahead.h"

#include "base/memory.h"

#include <pthread.h>
#include <string.h>

#define PIECES     4
#define PIECE_SIZE ((size_t)128 * 1024)

struct piece {
    char *bytes;
    size_t len;
};

struct read_ahead {
    tar_read_fn read;
    void *arg;
    bool threaded;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct piece pieces[PIECES]; /* a ring */
    size_t first, count;         /* of those that are full: they are the owner's */
    bool ended, stop;
    struct error error; /* how it ended; ERROR_NONE: well */
    /* The owner's alone. */
    size_t taken; /* of the first piece */
};

/* ---- the thread ---- */

/* The next piece to fill; NULL when asked to stop. */
static struct piece *wait_for_room(struct read_ahead *a)
{
    pthread_mutex_lock(&a->lock);
    while (a->count == PIECES && !a->stop)
        pthread_cond_wait(&a->changed, &a->lock);
    struct piece *piece = a->stop ? NULL : &a->pieces[(a->first + a->count) % PIECES];
    pthread_mutex_unlock(&a->lock);
    return piece;
}

/* `n` is what `read` returned. */
static void hand_over(struct read_ahead *a, struct piece *piece, ssize_t n, struct error *err)
{
    pthread_mutex_lock(&a->lock);
    if (n > 0) {
        piece->len = (size_t)n;
        a->count++;
    } else {
        a->ended = true;
        error_move(&a->error, err);
    }
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static void *run(void *arg)
{
    struct read_ahead *a = arg;
    struct piece *piece;
    ssize_t n = 1;
    while (n > 0 && (piece = wait_for_room(a))) {
        struct error err = ERROR_INIT;
        n = a->read(a->arg, piece->bytes, PIECE_SIZE, &err);
        hand_over(a, piece, n, &err);
    }
    return NULL;
}

/* ---- the owner ---- */

struct read_ahead *read_ahead_new(tar_read_fn read, void *arg, bool threaded)
{
    struct read_ahead *a = xcalloc(1, sizeof *a);
    a->read = read;
    a->arg = arg;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    for (size_t i = 0; threaded && i < PIECES; i++)
        a->pieces[i].bytes = xmalloc(PIECE_SIZE);
    a->threaded = threaded && pthread_create(&a->thread, NULL, run, a) == 0;
    return a;
}

/* The first piece that is full; NULL at the end. */
static const struct piece *wait_for_piece(struct read_ahead *a)
{
    pthread_mutex_lock(&a->lock);
    while (a->count == 0 && !a->ended)
        pthread_cond_wait(&a->changed, &a->lock);
    const struct piece *piece = a->count > 0 ? &a->pieces[a->first] : NULL;
    pthread_mutex_unlock(&a->lock);
    return piece;
}

static void give_back(struct read_ahead *a)
{
    pthread_mutex_lock(&a->lock);
    a->first = (a->first + 1) % PIECES;
    a->count--;
    a->taken = 0;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

ssize_t read_ahead_read(struct read_ahead *a, void *bytes, size_t size, struct error *err)
{
    if (!a->threaded)
        return a->read(a->arg, bytes, size, err);
    const struct piece *piece = wait_for_piece(a);
    if (!piece && a->error.kind == ERROR_NONE)
        return 0;
    if (!piece) {
        error_copy(err, &a->error);
        return -1;
    }
    size_t left = piece->len - a->taken;
    size_t n = size < left ? size : left;
    memcpy(bytes, piece->bytes + a->taken, n);
    a->taken += n;
    if (n == left)
        give_back(a);
    return (ssize_t)n;
}

void read_ahead_free(struct read_ahead *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
    if (a->threaded)
        pthread_join(a->thread, NULL);
    for (size_t i = 0; i < PIECES; i++)
        free(a->pieces[i].bytes);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    error_release(&a->error);
    free(a);
}

/*
 * Reading ahead: a thread calls a reading function and keeps some of what it returned ready, while
 * its owner works on what came before. Decompressing a large layer and everything that is done with
 * its contents take about the same time, so that two processors halve it.
 *
 *     a = read_ahead_new(read, arg, threaded)
 *     while ((n = read_ahead_read(a, bytes, size, err)) > 0) ...
 *     read_ahead_free(a)           may be called at any time
 *
 * Until 0 or -1 was returned, `arg` belongs to the thread. Not threaded (or if no thread can be
 * made), `read` is called by read_ahead_read() itself. Memory: 512 KiB.
 */
#ifndef LAYERS_READ_AHEAD_H
#define LAYERS_READ_AHEAD_H

#include "layers/tar_reader.h"

struct read_ahead;
struct read_ahead *read_ahead_new(tar_read_fn read, void *arg, bool threaded);
/* As `read` does: what it returned, in its order, its end or its error last. */
ssize_t read_ahead_read(struct read_ahead *ahead, void *bytes, size_t size, struct error *err);
void read_ahead_free(struct read_ahead *ahead); /* NULL is fine */

static inline void cleanup_read_ahead(struct read_ahead **ahead)
{
    read_ahead_free(*ahead);
}
#define _cleanup_read_ahead_ __attribute__((cleanup(cleanup_read_ahead)))

#endif

/*
 * The benchmark program: each subcommand does one piece of the work with the program's own
 * libraries, and prints one JSON object a measurement. tests/bench/run repeats and compares them.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include "base/error.h"
#include "layers/spool.h"
#include "repository/image.h"

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- measure.c ---- */

struct stopwatch {
    double wall, cpu; /* seconds, of all threads of this process */
};
struct stopwatch stopwatch_now(void);
struct stopwatch stopwatch_since(const struct stopwatch *start);

/* What a process takes, in bytes. `peak` is the highest there ever was; the parts are of now. */
struct memory_use {
    uint64_t peak, anonymous, file;
};
/* False if the process is gone. */
bool memory_use_of(pid_t pid, struct memory_use *out);

/* {"what": what, "wall": ..., "cpu": ..., "peak": ...} with peak of this process so far. */
json_t *measurement(const char *what, const struct stopwatch *taken);
void add_count(json_t *measurement, const char *key, uint64_t value);
/* Prints a line; takes it over. */
void print_measurement(json_t *measurement);

/* ---- image_of_layout.c ---- */

/* The one image of an OCI layout, parsed. Its layers are not opened. */
MUST_CHECK int image_of_layout(const char *layout, struct image *out, struct error *err);
/* Put the blobs of its layers into the spool, as fetching would: as hard links, since preparing
 * only removes them. */
MUST_CHECK int spool_blobs(const struct spool *spool, const struct image *image, const char *layout,
                           struct error *err);

/* ---- subcommands: 0 or -1 ---- */

MUST_CHECK int bench_prepare(char **arguments, struct error *err);    /* LAYOUT SPOOL */
MUST_CHECK int bench_stream(char **arguments, struct error *err);     /* LAYOUT SPOOL OUT */
MUST_CHECK int bench_links(char **arguments, struct error *err);      /* LAYOUT SPOOL OUT */
MUST_CHECK int bench_merge(char **arguments, struct error *err);      /* LAYOUT SPOOL */
MUST_CHECK int bench_index_open(char **arguments, struct error *err); /* LAYOUT SPOOL */
MUST_CHECK int bench_pipe(char **arguments, struct error *err);       /* FILE */
MUST_CHECK int bench_synthetic(char **arguments, struct error *err);  /* N */
MUST_CHECK int bench_child(char **arguments, struct error *err);      /* COMMAND... */

#endif

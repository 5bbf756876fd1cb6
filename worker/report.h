/*
 * What a person or a program sees of a pass: progress while it runs, and the result.
 *
 * Three forms of the same events: on a terminal a few lines that are redrawn on standard error;
 * elsewhere log lines on standard error; with --json one JSON object a line on standard output.
 * The result at the end goes to standard output: one line an image, then the sum.
 *
 * A tracked image's counters may be written from any thread.
 */
#ifndef WORKER_REPORT_H
#define WORKER_REPORT_H

#include "base/error.h"
#include "base/quantity.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum report_form {
    REPORT_LINES,
    REPORT_TERMINAL,
    REPORT_JSON,
    REPORT_COLLECT, /* results are kept and nothing is said of them; warnings are logged */
};

enum report_stage {
    STAGE_WAITING,
    STAGE_FETCHING, /* and preparing: layers do both, each at its own time */
    STAGE_READY,    /* everything lies in the spool */
    STAGE_COMMITTING,
    STAGE_DONE, /* published or failed */
};

struct tracked_image {
    char *name;
    size_t more_names; /* other tags of the same image */
    _Atomic int stage; /* enum report_stage */
    _Atomic uint64_t bytes_fetched, bytes_to_fetch;
    _Atomic uint64_t entries_prepared;
};

enum outcome {
    OUTCOME_PUBLISHED,
    OUTCOME_PLANNED, /* --dry-run */
    OUTCOME_UNCHANGED,
    OUTCOME_FAILED,
};
#define OUTCOME_COUNT 4

struct result {
    char *name; /* the public name, or the wish as it was written */
    enum outcome outcome;
    struct error error; /* OUTCOME_FAILED */
    uint64_t layers_new, layers_present;
    uint64_t revision; /* OUTCOME_PUBLISHED; 0: not known */
};

struct report;
/* With `keep`, results are kept for report_finish() to list; a program that runs on must not. */
struct report *report_new(enum report_form form, bool keep);
void report_free(struct report *report);

/* Borrowed until report_untrack(). */
void report_track(struct report *report, struct tracked_image *image);
/* It is decided. One that is not tracked is fine. */
void report_untrack(struct report *report, struct tracked_image *image);
/* A moment worth a line: what happened, to what (an image's name, a recipe's entry), details. */
void report_event(struct report *report, const char *event, const char *subject,
                  const char *detail);
/* Something that does not stop the image, but that somebody should know. */
void report_warning(struct report *report, const char *subject, const char *detail);
/* One line of --json, with the time added. Takes the object over. */
void report_json(json_t *object);
/* The wish is decided. Takes the strings over. */
void report_result(struct report *report, struct result *result);

struct committed {
    size_t images, revisions;
    uint64_t content_bytes, entries;
    uint64_t known_files, known_bytes;         /* of new layers, linked to what was there */
    uint64_t differing_files, differing_bytes; /* sent since their attributes are others */
    double seconds;
    uint64_t revision; /* the last; 0: not known */
};
/* An image that is left alone until its next try: counts as failed where results are kept. */
void report_waiting(struct report *report, const char *image, const struct error *why);
void report_commit(struct report *report, const struct committed *committed);

/* The lowest layers of a large image have gone ahead. */
void report_part(struct report *report, const char *image, size_t layers, size_t of);

/* The end of the display, and the list of results. */
void report_finish(struct report *report, double seconds);

/* Those that are kept, borrowed. */
const struct result *report_results(const struct report *report, size_t *out_count);
size_t report_count(const struct report *report, enum outcome outcome);

#endif

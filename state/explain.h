/*
 * Why is an image there, or not? One image from list to repository, in plain words.
 *
 *     explain(db, &question, &out, err)      what is known of it, and sentences about it
 *     explanation_release(&out)
 *
 * `ducc why` prints the sentences, the web page shows them.
 */
#ifndef STATE_EXPLAIN_H
#define STATE_EXPLAIN_H

#include "state/history.h"
#include "state/snapshot.h"

enum explanation_part {
    EXPLAIN_WANTED,    /* who asks for it; or which entries come near */
    EXPLAIN_UPSTREAM,  /* what the registry said, and when */
    EXPLAIN_PUBLISHED, /* what is published, where, since when, how long it took */
    EXPLAIN_PROBLEM,   /* why not, when it is tried again, what to do */
};

struct explanation_line {
    enum explanation_part part;
    char *text; /* a sentence or two, one line */
};

struct question {
    const char *repository; /* NULL: all that know the image */
    const char *image;      /* the public name as the user typed it, tag and digest included */
    int64_t now;
};

struct explanation {
    bool known;                 /* there is a record */
    struct image_status status; /* if known; wants are owned by `wants` */
    struct wants wants;
    struct history history; /* newest first, the last few */
    char *verdict;          /* in a few words: "published", "not published: no list asks for it" */
    struct explanation_line *lines;
    size_t line_count, line_capacity;
};

/* One explanation a repository that knows the image; if none does, one with what comes near. */
struct explanations {
    struct explanation *items;
    size_t count, capacity;
};
MUST_CHECK int explain(struct database *db, const struct question *question,
                       struct explanations *out, struct error *err);
void explanations_release(struct explanations *explanations);
json_t *explanation_json(const struct explanation *explanation);
json_t *history_item_json(const struct history_item *item);

#endif

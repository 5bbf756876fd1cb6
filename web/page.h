/*
 * The page: what the state database knows, as HTML for people. Works without JavaScript, on a phone
 * (tables become cards), in the dark, and for screen readers. Everything is rendered from memory
 * into a buffer: the server sends it, the publisher puts the static copy into the repository.
 *
 *     GET /                images: summary, search, table, plot
 *     GET /image/NAME      one image: why it is there or not, history
 *     GET /lists           where wishes come from, and what is wrong with them
 *     GET /activity        runs, what was published and what failed lately
 */
#ifndef WEB_PAGE_H
#define WEB_PAGE_H

#include "base/buf.h"
#include "state/explain.h"
#include "state/history.h"
#include "state/snapshot.h"

#define PAGE_ROWS        50
#define PAGE_PLOT_DAYS   28
#define PAGE_STATIC_ROWS 5000 /* images.json has all */

/* What is shown; NULL: everything. All but the state were given to snapshot_take() already. */
struct page_query {
    const char *search, *list, *repository;
    const char *state; /* a word of name_state_word() */
    size_t page;       /* from 1 */
};

/* `all` (lists to choose from) is a snapshot without a filter; `shown` is what was searched for.
 * The history is that of the plot, and may be NULL. */
void page_images(struct buf *b, const struct snapshot *all, const struct snapshot *shown,
                 const struct page_query *query, const struct history *history);
void page_image(struct buf *b, const char *name, const struct explanations *explanations,
                int64_t now);
void page_lists(struct buf *b, const struct snapshot *all);
void page_activity(struct buf *b, const struct snapshot *all, const struct history *history);
/* A page of its own: no links, no forms, the style sheet inside. Failures stand first. */
void page_static(struct buf *b, const struct snapshot *all, const struct history *history);

/* The index of a state's word in enum name_state; -1 if it is none. */
int page_state(const char *word);

#endif

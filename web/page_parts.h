/* Pieces of pages (internal to web/page*.c). */
#ifndef WEB_PAGE_PARTS_H
#define WEB_PAGE_PARTS_H

#include "web/html.h"
#include "web/page.h"

enum page_place { PLACE_IMAGES, PLACE_LISTS, PLACE_ACTIVITY, PLACE_IMAGE };

/* All until the first heading, and all behind the last line. */
void page_begin(struct buf *b, const char *title, enum page_place place, int64_t at);
void page_end(struct buf *b);
/* The same for the static copy. */
void page_begin_static(struct buf *b, int64_t at);

void page_state_badge(struct buf *b, enum name_state state);
/* "/image/NAME?repository=…" as a link with the name as its text. */
void page_image_link(struct buf *b, const char *repository, const char *name);
/* A row of a table of images. */
void page_image_row(struct buf *b, const struct image_status *image, bool links,
                    bool with_repository);
extern const char page_image_columns[];
/* The first line of the summary: how many are in which state; links narrow `query` down, unless it
 * is NULL. */
void page_tiles(struct buf *b, const struct snapshot *shown, const struct page_query *query);
/* "?q=…&state=…" of a query, with another state and page. */
void page_query_link(struct buf *b, const struct page_query *query, const char *state, size_t page);
/* What happened, newest first; `names`: with a column for whose it is. */
void page_history(struct buf *b, const struct history *history, size_t max, bool names);

#endif

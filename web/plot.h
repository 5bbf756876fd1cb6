/*
 * A plot of what was published: how much was new each day, and how long each image took. Inline
 * SVG, coloured by the style sheet; the same facts stand in the table below it, for those who do
 * not see it.
 */
#ifndef WEB_PLOT_H
#define WEB_PLOT_H

#include "base/buf.h"
#include "state/history.h"

/* The `days` days that end with the one of `now` (UTC). Adds nothing if nothing was published. */
void plot_publications(struct buf *b, const struct history *history, int64_t now, int days);

#endif

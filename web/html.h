/*
 * HTML as text. Whatever comes from outside passes html_text() or html_url(): nothing of it is ever
 * read as markup, bytes that are no UTF-8 and control characters are shown as \xHH.
 */
#ifndef WEB_HTML_H
#define WEB_HTML_H

#include "base/buf.h"

#include <stdint.h>

/* In an element or a quoted attribute. NULL adds nothing. */
void html_text(struct buf *b, const char *text);
/* At most `max` bytes of it, with "…" where it is cut. */
void html_text_short(struct buf *b, const char *text, size_t max);
/* A part of a path ('/' stays) or the value of a parameter, in a quoted attribute. */
void html_url(struct buf *b, const char *text);
/* "1.2 GB"; powers of 1000, as everywhere in this program. */
void html_size(struct buf *b, uint64_t bytes);
/* "2026-11-21 15:40" as a <time>; "–" if it is 0. */
void html_time(struct buf *b, int64_t at);
/* "3.2 s", "4 min", "2 h": a duration. */
void html_seconds(struct buf *b, double seconds);

#endif

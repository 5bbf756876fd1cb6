/* The style sheet of the page, served as /style.css and put into the static copy. */
#ifndef WEB_STYLE_H
#define WEB_STYLE_H

extern const char page_style[];

#endif

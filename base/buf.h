/*
 * A growing byte string. Always NUL-terminated behind `len`, and may hold NULs itself.
 * Life cycle: BUF_INIT, any number of calls, buf_release() (or `_cleanup_buf_`), or buf_take().
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* never NULL after BUF_INIT; points to a shared "" while empty */
    size_t len;
    size_t capacity; /* 0 while data is the shared "" */
};

extern char buf_empty_data[1];
#define BUF_INIT                                                                                   \
    {                                                                                              \
        buf_empty_data, 0, 0                                                                       \
    }

void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Text from outside for a message: control and non-ASCII bytes, `"` and `\` become \xHH, long
 * text is cut at 200 bytes with "...". Enclosed in double quotes. */
void buf_add_quoted(struct buf *b, const char *bytes, size_t len);
/* `s` as one word of a POSIX shell: in single quotes, each ' as '\'' . */
void buf_add_shell_word(struct buf *b, const char *s);
void buf_reserve(struct buf *b, size_t more);
void buf_truncate(struct buf *b, size_t len);
/* The string, now the caller's to free; *b is empty again. */
char *buf_take(struct buf *b);
void buf_release(struct buf *b);

/* buf_add_quoted into an owned string, for messages. */
char *quoted(const char *s);
char *quoted_bytes(const char *bytes, size_t len);

bool starts_with(const char *s, const char *prefix);
bool ends_with(const char *s, const char *suffix);

#define _cleanup_buf_ __attribute__((cleanup(buf_release)))

#endif

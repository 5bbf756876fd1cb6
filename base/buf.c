#include "base/buf.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#define QUOTED_MAX 200

char buf_empty_data[1] = "";

void buf_reserve(struct buf *b, size_t more)
{
    if (more >= SIZE_MAX / 2 - b->len)
        abort();
    size_t need = b->len + more + 1;
    if (need <= b->capacity)
        return;
    size_t capacity = b->capacity + b->capacity / 2;
    if (capacity < need)
        capacity = need;
    char *old = b->capacity ? b->data : NULL;
    b->data = xreallocarray(old, capacity, 1);
    b->data[b->len] = '\0';
    b->capacity = capacity;
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    buf_reserve(b, len);
    memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = xvasprintf(fmt, ap);
    va_end(ap);
    buf_adds(b, s);
    free(s);
}

void buf_add_quoted(struct buf *b, const char *bytes, size_t len)
{
    buf_addc(b, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (i == QUOTED_MAX) {
            buf_adds(b, "...");
            break;
        }
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            buf_addf(b, "\\x%02x", c);
        else
            buf_addc(b, (char)c);
    }
    buf_addc(b, '"');
}

void buf_add_shell_word(struct buf *b, const char *s)
{
    buf_addc(b, '\'');
    for (; *s; s++) {
        if (*s == '\'')
            buf_adds(b, "'\\''");
        else
            buf_addc(b, *s);
    }
    buf_addc(b, '\'');
}

void buf_truncate(struct buf *b, size_t len)
{
    if (len >= b->len)
        return;
    b->len = len;
    b->data[len] = '\0';
}

char *buf_take(struct buf *b)
{
    char *s = b->capacity ? b->data : xstrdup("");
    *b = (struct buf)BUF_INIT;
    return s;
}

void buf_release(struct buf *b)
{
    if (b->capacity)
        free(b->data);
    *b = (struct buf)BUF_INIT;
}

char *quoted_bytes(const char *bytes, size_t len)
{
    struct buf b = BUF_INIT;
    buf_add_quoted(&b, bytes, len);
    return buf_take(&b);
}

char *quoted(const char *s)
{
    return quoted_bytes(s, strlen(s));
}

bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool ends_with(const char *s, const char *suffix)
{
    size_t len = strlen(s), tail = strlen(suffix);
    return len >= tail && memcmp(s + len - tail, suffix, tail) == 0;
}

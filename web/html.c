#include "web/html.h"

#include "base/clock.h"
#include "base/memory.h"

#include <string.h>

/* How long the UTF-8 sequence is that begins here (RFC 3629); 0: none does. */
static size_t utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return len;
}

/* Marks that change the direction of what follows (U+202A … U+202E, U+2066 … U+2069): a name could
 * look like another one. */
static bool is_direction(const unsigned char *s)
{
    return s[0] == 0xe2 && ((s[1] == 0x80 && s[2] >= 0xaa && s[2] <= 0xae) ||
                            (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9));
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void html_text_short(struct buf *b, const char *text, size_t max)
{
    const unsigned char *s = (const unsigned char *)(text ? text : "");
    for (size_t used = 0; *s && used < max; used++) {
        size_t len = utf8_length(s);
        const char *escaped = entity((char)*s);
        if (escaped)
            buf_adds(b, escaped);
        else if (len == 0 || (*s < 0x20 && *s != '\n' && *s != '\t') || *s == 0x7f ||
                 (len == 3 && is_direction(s)))
            buf_addf(b, "\\x%02x", *s);
        else
            buf_add(b, s, len);
        s += len && !(len == 3 && is_direction(s)) ? len : 1;
    }
    if (*s)
        buf_adds(b, "…");
}

void html_text(struct buf *b, const char *text)
{
    html_text_short(b, text, SIZE_MAX);
}

void html_url(struct buf *b, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~/:@";
    for (const char *c = text ? text : ""; *c; c++) {
        if (strchr(plain, *c))
            buf_addc(b, *c);
        else
            buf_addf(b, "%%%02X", (unsigned char)*c);
    }
}

void html_size(struct buf *b, uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double n = (double)bytes;
    size_t unit = 0;
    while (n >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        n /= 1000;
        unit++;
    }
    buf_addf(b, unit && n < 9.95 ? "%.1f %s" : "%.0f %s", n, units[unit]);
}

void html_time(struct buf *b, int64_t at)
{
    if (!at) {
        buf_adds(b, "–");
        return;
    }
    struct clock_text t = clock_text(at);
    buf_addf(b, "<time datetime=\"%s\">%.10s %.5s</time>", t.s, t.s, t.s + 11);
}

void html_seconds(struct buf *b, double seconds)
{
    if (seconds < 10)
        buf_addf(b, "%.1f s", seconds);
    else if (seconds < 120)
        buf_addf(b, "%.0f s", seconds);
    else if (seconds < 7200)
        buf_addf(b, "%.0f min", seconds / 60);
    else if (seconds < 172800)
        buf_addf(b, "%.0f h", seconds / 3600);
    else
        buf_addf(b, "%.0f d", seconds / 86400);
}

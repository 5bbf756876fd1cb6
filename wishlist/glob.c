#include "wishlist/glob.h"

#include "base/buf.h"
#include "base/memory.h"

#include <string.h>

#define GLOB_BYTES_MAX 256 /* a tag has 128 */

bool glob_is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

/* The end of the set that begins at `p` ("["), behind its ']'; NULL if it has none. A ']' that
 * stands first is one of the set. */
static const char *set_end(const char *p)
{
    p += p[1] == '!' ? 2 : 1;
    const char *end = *p ? strchr(p + 1, ']') : NULL;
    return end ? end + 1 : NULL;
}

static bool set_has(const char *set, const char *end, char c)
{
    bool negated = set[1] == '!';
    const char *p = set + (negated ? 2 : 1);
    bool found = false;
    while (p < end - 1) {
        bool range = p + 2 < end - 1 && p[1] == '-';
        unsigned char low = (unsigned char)p[0], high = (unsigned char)p[range ? 2 : 0];
        found |= (unsigned char)c >= low && (unsigned char)c <= high;
        p += range ? 3 : 1;
    }
    return found != negated;
}

/* Whether the sign or letter at `pattern` (no '*') takes `c`; *out_next is what follows it. */
static bool one_matches(const char *pattern, char c, const char **out_next)
{
    const char *end = *pattern == '[' ? set_end(pattern) : NULL;
    *out_next = end ? end : pattern + 1;
    if (*pattern == '[')
        return end && set_has(pattern, end, c);
    return *pattern == '?' || *pattern == c;
}

bool glob_match(const char *pattern, const char *tag)
{
    /* Where to go on when what follows the last '*' does not match: that star takes one more. An
     * earlier star need never take more, since the leftmost place leaves the most room. */
    const char *behind_star = NULL, *star_at = NULL;
    while (*tag) {
        const char *next;
        if (*pattern == '*') {
            behind_star = ++pattern;
            star_at = tag;
        } else if (*pattern && one_matches(pattern, *tag, &next)) {
            pattern = next;
            tag++;
        } else if (behind_star) {
            pattern = behind_star;
            tag = ++star_at;
        } else {
            return false;
        }
    }
    return pattern[strspn(pattern, "*")] == '\0';
}

static int bad(const char *pattern, const char *why, struct error *err)
{
    _cleanup_free_ char *q = quoted(pattern);
    return error_set(err, ERROR_PARSE, "%s: %s", q, why);
}

static bool is_tag_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

static int check_set(const char *pattern, const char *set, const char *end, struct error *err)
{
    const char *p = set + (set[1] == '!' ? 2 : 1);
    while (p < end - 1) {
        bool range = p + 2 < end - 1 && p[1] == '-';
        if (range && (unsigned char)p[0] > (unsigned char)p[2])
            return bad(pattern, "a range in [...] runs from the higher to the lower", err);
        if (!is_tag_char(p[0]) || (range && !is_tag_char(p[2])))
            return bad(pattern,
                       "[...] holds what no tag can (letters, digits, '_', '.', '-'; a set is "
                       "negated with '!')",
                       err);
        p += range ? 3 : 1;
    }
    return 0;
}

int glob_check(const char *pattern, struct error *err)
{
    if (!*pattern)
        return error_set(err, ERROR_PARSE, "an empty glob matches no tag");
    if (strlen(pattern) > GLOB_BYTES_MAX)
        return error_set(err, ERROR_LIMIT, "a glob has %d characters at most", GLOB_BYTES_MAX);
    for (const char *p = pattern; *p;) {
        const char *end = *p == '[' ? set_end(p) : p + 1;
        if (!end)
            return bad(pattern, "a '[' has no ']' behind it", err);
        if (*p == '[' && check_set(pattern, p, end, err) < 0)
            return -1;
        if (*p != '[' && *p != '*' && *p != '?' && !is_tag_char(*p))
            return bad(pattern,
                       "no tag can match this: a tag is made of letters, digits, '_', '.' and '-'; "
                       "the signs are *, ? and [...]",
                       err);
        p = end;
    }
    return 0;
}

/* Whether the two signs or letters (no '*') take a common character; what follows them. */
static bool both_match(const char *a, const char *b, const char **next_a, const char **next_b)
{
    bool found = false;
    if (!strchr("?[", *a) && !strchr("?[", *b)) { /* two letters, nearly always */
        *next_a = a + 1;
        *next_b = b + 1;
        return *a == *b;
    }
    for (int c = 1; c < 128; c++)
        if (is_tag_char((char)c)) {
            bool in_a = one_matches(a, (char)c, next_a), in_b = one_matches(b, (char)c, next_b);
            found |= in_a && in_b;
        }
    return found;
}

/* reach[i][j]: the first i bytes of `a` and the first j of `b` can match the same text. */
bool glob_overlap(const char *a, const char *b)
{
    size_t rows = strlen(a) + 1, columns = strlen(b) + 1;
    if (rows > GLOB_BYTES_MAX + 1 || columns > GLOB_BYTES_MAX + 1)
        return false;
    _cleanup_free_ bool *reach = xcalloc(rows * columns, sizeof *reach);
    reach[0] = true;
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            const char *p = a + i, *q = b + j, *next_p, *next_q;
            if (!reach[i * columns + j])
                continue;
            if (*p == '*')
                reach[(i + 1) * columns + j] = true;
            if (*q == '*')
                reach[i * columns + j + 1] = true;
            if (*p == '*' && *q && *q != '*') {
                one_matches(q, 'x', &next_q);
                reach[i * columns + (size_t)(next_q - b)] = true;
            }
            if (*q == '*' && *p && *p != '*') {
                one_matches(p, 'x', &next_p);
                reach[(size_t)(next_p - a) * columns + j] = true;
            }
            if (*p && *q && *p != '*' && *q != '*' && both_match(p, q, &next_p, &next_q))
                reach[(size_t)(next_p - a) * columns + (size_t)(next_q - b)] = true;
        }
    }
    return reach[rows * columns - 1];
}

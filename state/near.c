#include "state/near.h"

#include <stdint.h>
#include <string.h>

#define LENGTH_MAX       256
#define OTHER_REGISTRY   3 /* counts as so many letters */
#define LETTERS_PER_MISS 6 /* one wrong letter in so many is a slip */

struct part {
    const char *s;
    size_t len;
};

/* REGISTRY/REPOSITORY of the first word with a '/' in it, without scheme, tag and digest. */
static struct part find_repository(const char *text)
{
    static const char in_a_word[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/:*?@[]";
    for (const char *p = text; *p;) {
        size_t len = strspn(p, in_a_word);
        const char *scheme = memmem(p, len, "://", 3);
        if (scheme) {
            len -= (size_t)(scheme + 3 - p);
            p = scheme + 3;
        }
        const char *slash = memrchr(p, '/', len);
        if (slash) {
            size_t in_name = strcspn(slash, ":@");
            size_t end = (size_t)(slash - p) + in_name;
            return (struct part){p, end < len ? end : len};
        }
        p += len + (p[len] != '\0');
    }
    return (struct part){text, 0};
}

/* Of Levenshtein: how many letters to change, add or leave out. */
static size_t letters_apart(struct part a, struct part b)
{
    size_t row[LENGTH_MAX + 1];
    if (a.len > LENGTH_MAX || b.len > LENGTH_MAX)
        return SIZE_MAX;
    for (size_t k = 0; k <= b.len; k++)
        row[k] = k;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t k = 1; k <= b.len; k++) {
            size_t change = diagonal + (a.s[i - 1] != b.s[k - 1]);
            size_t add = (row[k] < row[k - 1] ? row[k] : row[k - 1]) + 1;
            diagonal = row[k];
            row[k] = change < add ? change : add;
        }
    }
    return row[b.len];
}

/* What stands behind the registry. */
static struct part without_registry(struct part p)
{
    const char *slash = memchr(p.s, '/', p.len);
    if (!slash)
        return p;
    return (struct part){slash + 1, p.len - (size_t)(slash + 1 - p.s)};
}

static size_t slips_allowed(struct part p)
{
    return p.len / LETTERS_PER_MISS + 1;
}

size_t near_distance(const char *image, const char *text)
{
    struct part a = find_repository(image), b = find_repository(text);
    if (a.len == 0 || b.len == 0)
        return NEAR_NOT;
    size_t whole = letters_apart(a, b);
    if (whole <= slips_allowed(a))
        return whole;
    struct part a_name = without_registry(a), b_name = without_registry(b);
    size_t name = letters_apart(a_name, b_name);
    return name < slips_allowed(a_name) ? name + OTHER_REGISTRY : NEAR_NOT;
}

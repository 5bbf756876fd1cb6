#include "wishlist/semver.h"

#include "base/buf.h"
#include "base/memory.h"

#include <string.h>

#define RANGE_BYTES_MAX 256
#define DIGITS_MAX      18
#define COMPARATORS_MAX 64 /* of the whole range */

/* ---- versions ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* [0-9A-Za-z.-], no empty part between dots. */
static size_t identifiers_len(const char *p, const char *end)
{
    const char *start = p, *part = p;
    for (; p < end; p++) {
        bool letter = is_digit(*p) || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        if (*p == '.' && p > part)
            part = p + 1;
        else if (!letter && *p != '-')
            break;
    }
    return p > part ? (size_t)(p - start) : 0;
}

static bool read_number(const char **p, const char *end, uint64_t *out)
{
    const char *start = *p;
    uint64_t n = 0;
    for (; *p < end && is_digit(**p); ++*p) {
        if (*p - start == DIGITS_MAX)
            return false;
        n = n * 10 + (uint64_t)(**p - '0');
    }
    *out = n;
    return *p > start;
}

/* "-PRERELEASE" and "+BUILD", each if it is there. */
static bool read_suffixes(const char **p, const char *end, struct version *v)
{
    v->prerelease = "";
    v->prerelease_len = 0;
    if (*p < end && **p == '-') {
        v->prerelease = *p + 1;
        v->prerelease_len = identifiers_len(*p + 1, end);
        if (v->prerelease_len == 0)
            return false;
        *p += 1 + v->prerelease_len;
    }
    if (*p < end && **p == '+') {
        size_t len = identifiers_len(*p + 1, end);
        *p += 1 + len;
        return len > 0;
    }
    return true;
}

bool version_parse(const char *text, size_t len, struct version *out)
{
    struct version v = {0};
    const char *p = text, *end = text + len;
    if (p < end && (*p == 'v' || *p == 'V'))
        p++;
    do {
        if (v.written == 3 || !read_number(&p, end, &v.numbers[v.written]))
            return false;
        v.written++;
    } while (p < end && *p == '.' && p++);
    if (!read_suffixes(&p, end, &v) || p != end)
        return false;
    *out = v;
    return true;
}

/* One identifier of a prerelease with another: numbers numerically and below words. */
static int compare_identifiers(const char *a, size_t a_len, const char *b, size_t b_len)
{
    bool a_number = strspn(a, "0123456789") >= a_len, b_number = strspn(b, "0123456789") >= b_len;
    if (a_number != b_number)
        return a_number ? -1 : 1;
    for (; a_number && a_len > 1 && *a == '0'; a_len--)
        a++;
    for (; b_number && b_len > 1 && *b == '0'; b_len--)
        b++;
    if (a_number && a_len != b_len)
        return a_len < b_len ? -1 : 1;
    int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return c ? c : (a_len > b_len) - (a_len < b_len);
}

static size_t identifier_len(const char *p, const char *end)
{
    const char *dot = memchr(p, '.', (size_t)(end - p));
    return (size_t)((dot ? dot : end) - p);
}

static int compare_prereleases(const struct version *a, const struct version *b)
{
    const char *p = a->prerelease, *p_end = p + a->prerelease_len;
    const char *q = b->prerelease, *q_end = q + b->prerelease_len;
    if (p == p_end || q == q_end)
        return (q < q_end) - (p < p_end); /* without one is above any with one */
    for (;;) {
        size_t p_len = identifier_len(p, p_end), q_len = identifier_len(q, q_end);
        int c = compare_identifiers(p, p_len, q, q_len);
        p += p_len;
        q += q_len;
        if (c || p == p_end || q == q_end)
            return c ? c : (p < p_end) - (q < q_end); /* the longer list is above */
        p++;
        q++;
    }
}

static int compare_numbers(const uint64_t *a, const uint64_t *b)
{
    for (size_t i = 0; i < 3; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

int version_compare(const struct version *a, const struct version *b)
{
    int c = compare_numbers(a->numbers, b->numbers);
    return c ? c : compare_prereleases(a, b);
}

/* ---- ranges ---- */

enum relation {
    AT_LEAST,
    ABOVE,
    BELOW,
    AT_MOST,
    EQUAL,
};

struct comparator {
    enum relation relation;
    struct version version; /* its prerelease points into the range's text */
    bool first;             /* begins an alternative ("||") */
};

struct version_range {
    char *text;
    struct comparator items[COMPARATORS_MAX];
    size_t count;
};

struct range_reader {
    struct version_range *range;
    const char *p;
    bool first; /* the next comparator begins an alternative */
    struct error *err;
};

static int bad_range(struct range_reader *r, const char *at, const char *why)
{
    size_t len = strcspn(at, " ,|");
    _cleanup_free_ char *q = quoted_bytes(at, len);
    if (len == 0)
        return error_set(r->err, ERROR_PARSE,
                         "a version is missing; write one, as in \">=1.2 <2\"");
    return error_set(r->err, ERROR_PARSE, "%s: %s", q, why);
}

static int add(struct range_reader *r, enum relation relation, const struct version *v)
{
    if (r->range->count == COMPARATORS_MAX)
        return error_set(r->err, ERROR_LIMIT, "a range of versions has %d conditions at most",
                         COMPARATORS_MAX);
    r->range->items[r->range->count++] =
        (struct comparator){.relation = relation, .version = *v, .first = r->first};
    r->first = false;
    return 0;
}

/* A version whose numbers may be missing, or x, X or *: then `written` counts those before. */
static int read_partial(struct range_reader *r, struct version *out)
{
    const char *start = r->p, *end = r->p + strcspn(r->p, " ,|");
    struct version v = {0};
    bool open = false;
    int parts = 0;
    const char *p = start + (*start == 'v' || *start == 'V');
    do {
        bool any = p < end && strchr("xX*", *p);
        if (parts++ == 3 || (open && !any && p < end && is_digit(*p)))
            return bad_range(r, start, "a version is three numbers at most, x behind them");
        if (any)
            p++;
        else if (!read_number(&p, end, &v.numbers[v.written]))
            return bad_range(r, start, "expected a version such as 1.2.3, 1.2 or 1.x");
        open |= any;
        v.written += !open;
    } while (p < end && *p == '.' && p++);
    if (!read_suffixes(&p, end, &v) || p != end)
        return bad_range(r, start, "expected a version such as 1.2.3, 1.2 or 1.x");
    if (v.prerelease_len > 0 && v.written < 3)
        return bad_range(r, start, "a prerelease needs all three numbers before it");
    r->p = end;
    *out = v;
    return 0;
}

/* The lowest prerelease, at the upper ends of ranges: 2.0.0-rc is no 1.x. Told from one that
 * somebody wrote by its address. */
static const char lowest[] = "0";

/* The first version above all that begin with the numbers up to `place`. */
static struct version next_version(const struct version *v, int place)
{
    struct version next = {.written = 3, .prerelease = lowest, .prerelease_len = 1};
    for (int i = 0; i <= place; i++)
        next.numbers[i] = v->numbers[i] + (i == place);
    return next;
}

/* From `v` to below the next version at `place`; a negative place is no upper end. */
static int add_span(struct range_reader *r, const struct version *v, int place)
{
    if (add(r, AT_LEAST, v) < 0)
        return -1;
    if (place < 0)
        return 0;
    struct version next = next_version(v, place);
    return add(r, BELOW, &next);
}

/* ^: nothing may change up to the first number that is not 0. */
static int caret_place(const struct version *v)
{
    for (int i = 0; i < v->written; i++)
        if (v->numbers[i] > 0)
            return i;
    return v->written - 1;
}

static int add_relation(struct range_reader *r, enum relation relation, const struct version *v)
{
    struct version next;
    if (v->written == 3)
        return add(r, relation, v);
    switch (relation) {
    case EQUAL: /* 1.2 is 1.2.x */
        return add_span(r, v, v->written - 1);
    case ABOVE: /* >1.2 is above all 1.2.x; >* is nothing */
        if (v->written == 0)
            return add(r, BELOW, &(struct version){.prerelease = lowest, .prerelease_len = 1});
        next = next_version(v, v->written - 1);
        next.prerelease_len = 0;
        return add(r, AT_LEAST, &next);
    case AT_MOST: /* <=1.2 includes 1.2.x */
        if (v->written == 0)
            return add(r, AT_LEAST, v);
        next = next_version(v, v->written - 1);
        return add(r, BELOW, &next);
    case BELOW:
        next = *v;
        next.prerelease = lowest;
        next.prerelease_len = 1;
        return add(r, BELOW, &next);
    case AT_LEAST:
        break;
    }
    return add(r, relation, v);
}

static void skip_blanks(struct range_reader *r)
{
    r->p += strspn(r->p, " ");
}

/* "A - B": from A to B, where a B of fewer numbers includes all that begin with them. */
static int read_hyphen(struct range_reader *r, const struct version *low)
{
    struct version high;
    r->p += strspn(r->p, " ") + 1;
    skip_blanks(r);
    if (read_partial(r, &high) < 0 || add(r, AT_LEAST, low) < 0)
        return -1;
    return add_relation(r, AT_MOST, &high);
}

static const struct sign {
    const char *text;
    char kind; /* of a relation: '=' */
    enum relation relation;
} signs[] = {
    {">=", '=', AT_LEAST}, {"<=", '=', AT_MOST}, {">", '=', ABOVE}, {"<", '=', BELOW},
    {"=", '=', EQUAL},     {"^", '^', EQUAL},    {"~", '~', EQUAL}, {"", '=', EQUAL},
};

static int read_comparator(struct range_reader *r)
{
    const struct sign *sign = signs;
    struct version v;
    while (!starts_with(r->p, sign->text))
        sign++;
    r->p += strlen(sign->text);
    skip_blanks(r);
    if (read_partial(r, &v) < 0)
        return -1;
    const char *behind = r->p + strspn(r->p, " ");
    if (!*sign->text && behind > r->p && behind[0] == '-' && behind[1] == ' ')
        return read_hyphen(r, &v);
    if (sign->kind == '^')
        return add_span(r, &v, caret_place(&v));
    if (sign->kind == '~')
        return add_span(r, &v, v.written > 1 ? 1 : v.written - 1);
    return add_relation(r, sign->relation, &v);
}

static int read_alternatives(struct range_reader *r)
{
    bool expected = true; /* a comparator must come */
    for (;;) {
        skip_blanks(r);
        if (!*r->p)
            return expected ? bad_range(r, r->p, "") : 0;
        if (r->p[0] == '|' && r->p[1] == '|' && !expected) {
            r->p += 2;
            r->first = expected = true;
        } else if (*r->p == ',' && !expected) {
            r->p++;
            expected = true;
        } else if (read_comparator(r) < 0) {
            return -1;
        } else {
            expected = false;
        }
    }
}

struct version_range *version_range_parse(const char *text, struct error *err)
{
    if (strlen(text) > RANGE_BYTES_MAX) {
        error_set(err, ERROR_LIMIT, "a range of versions has %d characters at most",
                  RANGE_BYTES_MAX);
        return NULL;
    }
    struct version_range *range = xcalloc(1, sizeof *range);
    range->text = xstrdup(text);
    struct range_reader r = {.range = range, .p = range->text, .first = true, .err = err};
    if (read_alternatives(&r) == 0)
        return range;
    version_range_free(range);
    return NULL;
}

void version_range_free(struct version_range *range)
{
    if (!range)
        return;
    free(range->text);
    free(range);
}

static bool holds(const struct comparator *c, const struct version *v)
{
    int order = version_compare(v, &c->version);
    switch (c->relation) {
    case AT_LEAST:
        return order >= 0;
    case ABOVE:
        return order > 0;
    case BELOW:
        return order < 0;
    case AT_MOST:
        return order <= 0;
    case EQUAL:
        return order == 0;
    }
    return false;
}

/* One alternative: all its comparators, and the rule of prereleases. */
static bool alternative_has(const struct comparator *items, size_t count, const struct version *v)
{
    bool named = v->prerelease_len == 0;
    for (size_t i = 0; i < count; i++) {
        const struct version *c = &items[i].version;
        if (!holds(&items[i], v))
            return false;
        bool wrote = c->prerelease_len > 0 && c->prerelease != lowest;
        named |= wrote && compare_numbers(c->numbers, v->numbers) == 0;
    }
    return named;
}

bool version_range_has(const struct version_range *range, const struct version *version)
{
    for (size_t start = 0; start < range->count;) {
        size_t end = start + 1;
        while (end < range->count && !range->items[end].first)
            end++;
        if (alternative_has(&range->items[start], end - start, version))
            return true;
        start = end;
    }
    return false;
}

#include "base/quantity.h"

#include "base/buf.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

#define DURATION_MAX ((uint64_t)3660 * 86400)

int size_parse(const char *text, uint64_t *out, struct error *err)
{
    static const char suffixes[] = "KMGT";
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    uint64_t factor = 1;
    const char *suffix = *end ? strchr(suffixes, *end) : NULL;
    for (const char *s = suffixes; suffix && s <= suffix; s++)
        factor *= 1000;
    bool good = text[0] >= '0' && text[0] <= '9' && (!*end || (suffix && !end[1])) && n > 0 &&
                n < UINT64_MAX / factor;
    if (!good) {
        _cleanup_free_ char *q = quoted(text);
        return error_set(err, ERROR_PARSE, "%s is not a size such as 500000000 or 20G", q);
    }
    *out = n * factor;
    return 0;
}

static const struct unit {
    char letter;
    uint64_t seconds;
} units[] = {{'w', 7 * 86400}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
#define UNIT_COUNT (sizeof units / sizeof units[0])

/* One number with its unit, which must be smaller than those before it. */
static const char *read_part(const char *p, size_t *unit, uint64_t *total)
{
    char *end;
    if (*p < '0' || *p > '9' || strspn(p, "0123456789") > 10)
        return NULL;
    uint64_t n = strtoull(p, &end, 10);
    while (*unit < UNIT_COUNT && units[*unit].letter != *end)
        ++*unit;
    if (*unit == UNIT_COUNT)
        return NULL;
    *total += n * units[(*unit)++].seconds;
    return end + 1;
}

int duration_parse(const char *text, uint64_t *out_seconds, struct error *err)
{
    uint64_t total = 0;
    size_t unit = 0;
    const char *p = text;
    while (p && *p)
        p = read_part(p, &unit, &total);
    if (p && total > 0 && total <= DURATION_MAX) {
        *out_seconds = total;
        return 0;
    }
    _cleanup_free_ char *q = quoted(text);
    return error_set(
        err, ERROR_PARSE,
        "%s is not a time such as 90d, 12h or 1h30m (w, d, h, m, s; ten years at most)", q);
}

struct duration_text duration_text(uint64_t seconds)
{
    struct duration_text out = {.s = "0s"};
    size_t len = 0;
    for (size_t i = 1; i < UNIT_COUNT; i++) { /* days are clearer than weeks */
        uint64_t n = seconds / units[i].seconds;
        seconds %= units[i].seconds;
        if (n > 0)
            len += (size_t)snprintf(out.s + len, sizeof out.s - len, "%llu%c",
                                    (unsigned long long)n, units[i].letter);
    }
    return out;
}

struct size_text size_text(uint64_t bytes)
{
    static const char *const size_units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    struct size_text t;
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 999.95 && unit < 5; unit++)
        value /= 1000;
    snprintf(t.s, sizeof t.s, unit ? "%.1f %s" : "%.0f %s", value, size_units[unit]);
    return t;
}

struct span_text span_text(int64_t seconds)
{
    static const struct {
        int64_t below, unit;
        const char *name;
    } span_units[] = {{100, 1, "s"}, {100 * 60, 60, "min"}, {48 * 3600, 3600, "h"}};
    struct span_text t;
    for (size_t i = 0; i < sizeof span_units / sizeof *span_units; i++) {
        if (seconds < span_units[i].below) {
            snprintf(t.s, sizeof t.s, "%lld %s",
                     (long long)((seconds < 0 ? 0 : seconds) / span_units[i].unit),
                     span_units[i].name);
            return t;
        }
    }
    snprintf(t.s, sizeof t.s, "%lld days", (long long)(seconds / 86400));
    return t;
}

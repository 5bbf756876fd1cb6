#include "registry/link.h"

#include "base/buf.h"
#include "base/memory.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const char *skip(const char *p, const char *set)
{
    return p + strspn(p, set);
}

/* A parameter's value, quoted or not, into *out. Where it ends; NULL if it does not. */
static const char *take_value(const char *p, struct buf *out)
{
    if (*p != '"') {
        size_t len = strcspn(p, ",; \t");
        buf_add(out, p, len);
        return p + len;
    }
    for (p++; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1])
            p++;
        buf_addc(out, *p);
    }
    return *p ? p + 1 : NULL;
}

/* A relation type is a list of words separated by spaces; case does not matter. */
static bool has_word(const char *list, const char *word)
{
    for (const char *p = skip(list, " "); *p; p = skip(p, " ")) {
        size_t len = strcspn(p, " ");
        if (len == strlen(word) && strncasecmp(p, word, len) == 0)
            return true;
        p += len;
    }
    return false;
}

/* The parameters behind one target. Where they end (a comma or the end); NULL if malformed. */
static const char *take_params(const char *p, const char *rel, bool *out_matches)
{
    for (p = skip(p, " \t"); *p == ';'; p = skip(p, " \t")) {
        _cleanup_buf_ struct buf value = BUF_INIT;
        p = skip(p, "; \t");
        const char *name = p;
        size_t len = strcspn(p, "=;, \t");
        p = skip(p + len, " \t");
        if (*p == '=' && !(p = take_value(skip(p + 1, " \t"), &value)))
            return NULL;
        if (len == 3 && strncasecmp(name, "rel", 3) == 0 && has_word(value.data, rel))
            *out_matches = true;
    }
    return p;
}

char *link_find(const char *header, const char *rel)
{
    const char *p = skip(header, ", \t");
    while (p && *p == '<') {
        const char *target = p + 1, *end = strchr(target, '>');
        bool matches = false;
        p = end ? take_params(end + 1, rel, &matches) : NULL;
        if (p && matches)
            return xstrndup(target, (size_t)(end - target));
        if (p)
            p = skip(p, ", \t");
    }
    return NULL;
}

#include "wishlist/selector.h"

#include "base/buf.h"
#include "base/memory.h"
#include "wishlist/glob.h"
#include "wishlist/semver.h"
#include "wishlist/tag_regex.h"

#include <string.h>

void text_list_release(struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct text_list){0};
}

void selector_free(struct selector *s)
{
    if (!s)
        return;
    text_list_release(&s->globs);
    text_list_release(&s->exclude);
    free(s->regex);
    free(s->semver);
    free(s);
}

static void text_list_copy(struct text_list *to, const struct text_list *from)
{
    to->items = xcalloc(from->count + 1, sizeof *to->items);
    for (to->count = 0; to->count < from->count; to->count++)
        to->items[to->count] = xstrdup(from->items[to->count]);
}

struct selector *selector_copy(const struct selector *from)
{
    struct selector *to = xcalloc(1, sizeof *to);
    *to = *from;
    text_list_copy(&to->globs, &from->globs);
    text_list_copy(&to->exclude, &from->exclude);
    to->regex = from->regex ? xstrdup(from->regex) : NULL;
    to->semver = from->semver ? xstrdup(from->semver) : NULL;
    return to;
}

struct selector *selector_of_glob(const char *tag)
{
    if (!glob_is_pattern(tag))
        return NULL;
    char *globs[] = {(char *)tag};
    struct selector s = {.globs = {globs, 1}};
    return selector_copy(&s);
}

static const char *by_word(enum newest_by by)
{
    return by == NEWEST_BY_SEMVER ? "semver" : by == NEWEST_BY_NAME ? "name" : "created";
}

/* ---- when it is read ---- */

static int check_globs(const struct text_list *globs, const char *key, struct error *err)
{
    for (size_t i = 0; i < globs->count; i++)
        if (glob_check(globs->items[i], err) < 0)
            return error_wrap(err, "key \"%s\"", key);
    return 0;
}

int selector_check(const struct selector *s, struct error *err)
{
    if (check_globs(&s->globs, "glob", err) < 0 || check_globs(&s->exclude, "exclude", err) < 0)
        return -1;
    struct tag_regex *regex = s->regex ? tag_regex_new(s->regex, err) : NULL;
    tag_regex_free(regex);
    if (s->regex && !regex)
        return error_wrap(err, "key \"regex\"");
    struct version_range *range = s->semver ? version_range_parse(s->semver, err) : NULL;
    version_range_free(range);
    if (s->semver && !range)
        return error_wrap(err, "key \"semver\"");
    return 0;
}

bool selector_needs_created(const struct selector *s)
{
    return s->newer_than > 0 || (s->newest > 0 && s->by == NEWEST_BY_CREATED);
}

static void add_texts(struct buf *out, const char *key, const struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        buf_addf(out, " %s=%s", key, list->items[i]);
}

char *selector_text(const struct selector *s)
{
    struct buf out = BUF_INIT;
    add_texts(&out, "glob", &s->globs);
    if (s->regex)
        buf_addf(&out, " regex=%s", s->regex);
    if (s->semver)
        buf_addf(&out, " semver=%s", s->semver);
    add_texts(&out, "exclude", &s->exclude);
    if (s->newer_than)
        buf_addf(&out, " newer_than=%llus", (unsigned long long)s->newer_than);
    if (s->newest)
        buf_addf(&out, " newest=%llu by=%s", (unsigned long long)s->newest, by_word(s->by));
    char *text = xstrdup(out.len ? out.data + 1 : "");
    buf_release(&out);
    return text;
}

/* ---- when it is run ---- */

/* A tag that passed by its name. */
struct candidate {
    const char *tag;
    const char *part; /* what semver and newest look at: the regex's group, or the tag */
    size_t part_len;
    struct version version; /* valid if is_version */
    bool is_version;
    int64_t created;
};

struct run {
    const struct selector *selector;
    const struct selector_input *input;
    struct tag_regex *regex;
    struct version_range *range;
    struct candidate *items;
    size_t count;
    struct error *err;
};

static bool any_matches(const struct text_list *globs, const char *tag)
{
    for (size_t i = 0; i < globs->count; i++)
        if (glob_match(globs->items[i], tag))
            return true;
    return false;
}

/* 1: passes, and *c is filled; 0; -1. */
static int admit(const struct run *r, const char *tag, struct candidate *c)
{
    const struct selector *s = r->selector;
    *c = (struct candidate){.tag = tag, .part = tag, .part_len = strlen(tag)};
    if ((s->globs.count > 0 && !any_matches(&s->globs, tag)) || any_matches(&s->exclude, tag))
        return 0;
    int passes = r->regex ? tag_regex_match(r->regex, tag, &c->part, &c->part_len, r->err) : 1;
    if (passes <= 0)
        return passes < 0 ? error_wrap(r->err, "key \"regex\"") : 0;
    c->is_version = version_parse(c->part, c->part_len, &c->version);
    if (r->range && !(c->is_version && version_range_has(r->range, &c->version)))
        return 0;
    return c->is_version || s->newest == 0 || s->by != NEWEST_BY_SEMVER;
}

static int compare_tags(const void *a, const void *b)
{
    return strcmp(((const struct candidate *)a)->tag, ((const struct candidate *)b)->tag);
}

static void drop_repeated(struct run *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++)
        if (kept == 0 || strcmp(r->items[kept - 1].tag, r->items[i].tag) != 0)
            r->items[kept++] = r->items[i];
    r->count = kept;
}

static int admit_all(struct run *r)
{
    const struct selector_input *in = r->input;
    r->items = xcalloc(in->count + 1, sizeof *r->items);
    for (size_t i = 0; i < in->count; i++) {
        int passes = admit(r, in->tags[i], &r->items[r->count]);
        if (passes < 0)
            return -1;
        r->count += (size_t)passes;
    }
    qsort(r->items, r->count, sizeof *r->items, compare_tags);
    drop_repeated(r);
    return 0;
}

/* Digits count as one number: r9 is before r10. */
static int compare_names(const char *a, size_t a_len, const char *b, size_t b_len)
{
    static const char digits[] = "0123456789";
    const char *a_end = a + a_len, *b_end = b + b_len;
    while (a < a_end && b < b_end) {
        size_t m = strspn(a, digits), n = strspn(b, digits);
        m = m < (size_t)(a_end - a) ? m : (size_t)(a_end - a);
        n = n < (size_t)(b_end - b) ? n : (size_t)(b_end - b);
        if (m == 0 || n == 0) {
            if (*a != *b)
                return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
            a++;
            b++;
            continue;
        }
        const char *a_next = a + m, *b_next = b + n;
        while (a < a_next - 1 && *a == '0')
            a++;
        while (b < b_next - 1 && *b == '0')
            b++;
        m = (size_t)(a_next - a);
        n = (size_t)(b_next - b);
        int c = m != n ? (m < n ? -1 : 1) : memcmp(a, b, m);
        if (c)
            return c;
        a = a_next;
        b = b_next;
    }
    return (a < a_end) - (b < b_end);
}

/* The newest first. Of equal versions the one that says more ("1.2.0" before "1.2"), then by name.
 */
static int newer_version(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    int c = version_compare(&y->version, &x->version);
    if (c == 0)
        c = y->version.written - x->version.written;
    return c ? c : strcmp(x->tag, y->tag);
}

static int newer_name(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    int c = compare_names(y->part, y->part_len, x->part, x->part_len);
    return c ? c : strcmp(y->tag, x->tag);
}

static int newer_image(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->created != y->created)
        return x->created > y->created ? -1 : 1;
    return newer_name(a, b);
}

/* Ask when the images of `count` candidates were made, and take out those that are gone or older
 * than the selector wants. *out_left is how many stay, at the front. */
static int filter_by_age(struct run *r, struct candidate *items, size_t count, size_t *out_left)
{
    struct tag_time *times = xcalloc(count + 1, sizeof *times);
    uint64_t age = r->selector->newer_than;
    int64_t oldest = age ? r->input->now - (int64_t)age : INT64_MIN;
    for (size_t i = 0; i < count; i++)
        times[i] = (struct tag_time){.tag = items[i].tag, .created = INT64_MIN};
    int rc = r->input->created(r->input->arg, times, count, r->err);
    size_t left = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (times[i].gone || times[i].created < oldest)
            continue;
        items[left] = items[i];
        items[left++].created = times[i].created;
    }
    free(times);
    *out_left = left;
    return rc;
}

/* The first `newest` by name or version that are young enough. Few are asked for at a time: each
 * may cost requests, and mostly the first ones do. */
static int pick_young(struct run *r)
{
    size_t wanted = r->selector->newest, picked = 0, next = 0;
    while (picked < wanted && next < r->count) {
        size_t batch = wanted - picked < r->count - next ? wanted - picked : r->count - next;
        size_t left;
        memmove(&r->items[picked], &r->items[next], batch * sizeof *r->items);
        if (filter_by_age(r, &r->items[picked], batch, &left) < 0)
            return -1;
        picked += left;
        next += batch;
    }
    r->count = picked;
    return 0;
}

static int pick(struct run *r)
{
    const struct selector *s = r->selector;
    static int (*const orders[])(const void *, const void *) = {newer_version, newer_name,
                                                                newer_image};
    if (s->newest == 0)
        return s->newer_than ? filter_by_age(r, r->items, r->count, &r->count) : 0;
    if (s->by == NEWEST_BY_CREATED && filter_by_age(r, r->items, r->count, &r->count) < 0)
        return -1;
    qsort(r->items, r->count, sizeof *r->items, orders[s->by]);
    if (s->by != NEWEST_BY_CREATED && s->newer_than)
        return pick_young(r);
    if (r->count > s->newest)
        r->count = (size_t)s->newest;
    return 0;
}

int selector_run(const struct selector *selector, const struct selector_input *input,
                 const char ***out, size_t *out_count, struct error *err)
{
    struct run r = {.selector = selector, .input = input, .err = err};
    if ((selector->regex && !(r.regex = tag_regex_new(selector->regex, err))) ||
        (selector->semver && !(r.range = version_range_parse(selector->semver, err)))) {
        tag_regex_free(r.regex);
        return -1;
    }
    int rc = admit_all(&r) < 0 || pick(&r) < 0 ? -1 : 0;
    if (rc == 0) {
        *out = xcalloc(r.count + 1, sizeof **out);
        for (size_t i = 0; i < r.count; i++)
            (*out)[i] = r.items[i].tag;
        *out_count = r.count;
    }
    free(r.items);
    tag_regex_free(r.regex);
    version_range_free(r.range);
    return rc;
}

#include "wishlist/recipe_key.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/quantity.h"

#include <string.h>

#define COUNT_MAX ((uint64_t)1000000)

/* ---- mistakes ---- */

void mistake_release(struct mistake *mistake)
{
    free(mistake->message);
    *mistake = (struct mistake){0};
}

int mistake_at(struct mistake *m, const struct node *at, enum error_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    mistake_release(m);
    *m = (struct mistake){
        .kind = kind, .line = at->line, .column = at->column, .message = xvasprintf(fmt, ap)};
    va_end(ap);
    return -1;
}

int mistake_from(struct mistake *m, const struct node *at, const char *key, struct error *err)
{
    mistake_at(m, at, err->kind, "key \"%s\": %s", key, err->message);
    error_release(err);
    return -1;
}

/* ---- names of keys ---- */

/* How many single letters to change, drop or add to make one word of the other (Levenshtein);
 * words longer than any key count as far away. */
static size_t word_distance(const char *a, const char *b)
{
    size_t row[32];
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len >= 32 || b_len >= 32)
        return 32;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t add_or_drop = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            row[j] = change < add_or_drop ? change : add_or_drop;
        }
    }
    return row[b_len];
}

static const char *nearest_key(const struct key *table, enum key_place place, const char *name)
{
    const char *nearest = NULL;
    size_t best = 3; /* two typing errors at most */
    for (const struct key *k = table; k->name; k++) {
        size_t distance = k->places & place ? word_distance(name, k->name) : best;
        if (distance < best) {
            best = distance;
            nearest = k->name;
        }
    }
    return nearest;
}

static const char *place_name(enum key_place place)
{
    switch (place) {
    case IN_VERSION_1:
        return "a recipe of version 1 has";
    case IN_VERSION_2:
        return "a recipe of version 2 has";
    case IN_LIST:
        return "a list has";
    case IN_ENTRY:
        return "an entry has";
    case IN_LIMITS:
        return "limits have";
    }
    return "here are";
}

static int unknown_key(const struct key *table, enum key_place place, const struct node *key,
                       struct mistake *m)
{
    const char *nearest = nearest_key(table, place, key->text);
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_adds(&b, "unknown key ");
    buf_add_quoted(&b, key->text, strlen(key->text));
    if (nearest) {
        buf_addf(&b, "; did you mean \"%s\"?", nearest);
        return mistake_at(m, key, ERROR_PARSE, "%s", b.data);
    }
    const char *comma = "";
    buf_addf(&b, "; %s the keys", place_name(place));
    for (const struct key *k = table; k->name; k++) {
        if (!(k->places & place))
            continue;
        buf_addf(&b, "%s %s", comma, k->name);
        comma = ",";
    }
    return mistake_at(m, key, ERROR_PARSE, "%s", b.data);
}

static const struct key *find_key(const struct key *table, enum key_place place, const char *name)
{
    for (const struct key *k = table; k->name; k++)
        if ((k->places & place) && strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

/* ---- kinds ---- */

const char *node_kind_name(const struct node *node)
{
    if (node->kind == NODE_TEXT)
        return *node->text || node->quoted ? "a text" : "nothing";
    return node->kind == NODE_LIST ? "a list" : "a mapping";
}

static const char *expected_kind(unsigned kinds)
{
    if ((kinds & VALUE_TEXT) && (kinds & VALUE_LIST))
        return "a text or a list of texts";
    return kinds & VALUE_LIST ? "a list" : kinds & VALUE_MAPPING ? "a mapping" : "a text";
}

static int check_kind(const struct key *key, const struct node *value, struct mistake *m)
{
    bool empty = value->kind == NODE_TEXT && !*value->text;
    if ((key->kinds & (1u << value->kind)) && !(empty && !(key->kinds & VALUE_MAY_BE_EMPTY)))
        return 0;
    return mistake_at(m, value, ERROR_PARSE, "key \"%s\": expected %s, found %s; %s", key->name,
                      expected_kind(key->kinds), node_kind_name(value), key->hint);
}

int keys_read(const struct key *table, enum key_place place, const struct node *mapping, void *to,
              struct mistake *m)
{
    for (size_t i = 0; i + 1 < mapping->count; i += 2)
        if (!find_key(table, place, mapping->items[i].text))
            return unknown_key(table, place, &mapping->items[i], m);
    for (size_t i = 0; i + 1 < mapping->count; i += 2) {
        const struct key *key = find_key(table, place, mapping->items[i].text);
        const struct node *value = &mapping->items[i + 1];
        if (check_kind(key, value, m) < 0 || (key->read && key->read(key, value, to, m) < 0))
            return -1;
    }
    return 0;
}

int key_require(const struct key *table, enum key_place place, const struct node *mapping,
                const char *name, const struct node **out, struct mistake *m)
{
    const struct key *key = find_key(table, place, name);
    const struct node *value = node_get(mapping, name);
    if (!value)
        return mistake_at(m, mapping, ERROR_PARSE, "key \"%s\" is missing; %s", name, key->hint);
    if (check_kind(key, value, m) < 0)
        return -1;
    *out = value;
    return 0;
}

/* ---- values ---- */

static void *field(const struct key *key, void *to)
{
    return (char *)to + key->offset;
}

int read_text(const struct key *key, const struct node *value, void *to, struct mistake *m)
{
    char **text = field(key, to);
    (void)m;
    free(*text);
    *text = xstrdup(value->text);
    return 0;
}

/* YAML knows several words for yes and no; so do people. */
static const char *plain_word(const char *words, const char *text)
{
    static const char *const yes[] = {"true", "True", "TRUE", "Yes", "YES", "on", "On", "ON"};
    static const char *const no[] = {"false", "False", "FALSE", "No", "NO", "off", "Off", "OFF"};
    if (strcmp(words, "yes|no") != 0)
        return text;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcmp(text, yes[i]) == 0)
            return "yes";
        if (strcmp(text, no[i]) == 0)
            return "no";
    }
    return text;
}

/* One of key->words, found as a whole between bars. */
static bool has_word(const char *words, const char *text)
{
    size_t len = strlen(text);
    for (const char *w = words; *w; w += strspn(w, "|")) {
        size_t n = strcspn(w, "|");
        if (n == len && memcmp(w, text, n) == 0)
            return true;
        w += n;
    }
    return false;
}

static int wrong_word(const struct key *key, const struct node *value, struct mistake *m)
{
    _cleanup_free_ char *q = quoted(value->text);
    _cleanup_buf_ struct buf words = BUF_INIT;
    for (const char *w = key->words; *w; w += strspn(w, "|")) {
        size_t len = strcspn(w, "|");
        buf_adds(&words, w == key->words ? "" : w[len] ? ", " : " or ");
        buf_add(&words, w, len);
        w += len;
    }
    return mistake_at(m, value, ERROR_PARSE, "key \"%s\": %s is not %s", key->name, q, words.data);
}

int read_word(const struct key *key, const struct node *value, void *to, struct mistake *m)
{
    const char *word = plain_word(key->words, value->text);
    if (!has_word(key->words, word))
        return wrong_word(key, value, m);
    char **text = field(key, to);
    free(*text);
    *text = xstrdup(word);
    return 0;
}

int read_flag(const struct key *key, const struct node *value, void *to, struct mistake *m)
{
    const char *word = plain_word(key->words, value->text);
    if (!has_word(key->words, word))
        return wrong_word(key, value, m);
    *(bool *)field(key, to) = strcmp(word, "yes") == 0;
    return 0;
}

int read_size(const struct key *key, const struct node *value, void *to, struct mistake *m)
{
    struct error err = ERROR_INIT;
    if (size_parse(value->text, field(key, to), &err) < 0)
        return mistake_from(m, value, key->name, &err);
    return 0;
}

int read_duration(const struct key *key, const struct node *value, void *to, struct mistake *m)
{
    struct error err = ERROR_INIT;
    uint64_t *seconds = field(key, to);
    if (duration_parse(value->text, seconds, &err) < 0)
        return mistake_from(m, value, key->name, &err);
    if (*seconds < 60)
        return mistake_at(m, value, ERROR_PARSE, "key \"%s\": less than a minute (\"1m\")",
                          key->name);
    return 0;
}

int read_count(const struct key *key, const struct node *value, void *to, struct mistake *m)
{
    const char *text = value->text;
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || *end || strlen(text) > 7 || n > COUNT_MAX) {
        _cleanup_free_ char *q = quoted(text);
        return mistake_at(m, value, ERROR_PARSE,
                          "key \"%s\": expected a number from 1 to %llu, found %s", key->name,
                          (unsigned long long)COUNT_MAX, q);
    }
    *(uint64_t *)field(key, to) = n;
    return 0;
}

int texts_of(const struct node *value, const char *key, const char *hint,
             const struct node **out_items, size_t *out_count, struct mistake *m)
{
    bool list = value->kind == NODE_LIST;
    const struct node *items = list ? value->items : value;
    size_t count = list ? value->count : 1;
    if (count == 0)
        return mistake_at(m, value, ERROR_PARSE, "key \"%s\": the list is empty; %s", key, hint);
    if (count > TEXTS_MAX)
        return mistake_at(m, value, ERROR_LIMIT, "key \"%s\": more than %zu values", key,
                          TEXTS_MAX);
    for (size_t i = 0; i < count; i++)
        if (items[i].kind != NODE_TEXT || !*items[i].text)
            return mistake_at(m, &items[i], ERROR_PARSE,
                              "key \"%s\": expected a text, found %s; %s", key,
                              node_kind_name(&items[i]), hint);
    *out_items = items;
    *out_count = count;
    return 0;
}

int read_texts(const struct key *key, const struct node *value, void *to, struct mistake *m)
{
    struct text_list *list = field(key, to);
    const struct node *items;
    size_t count;
    if (texts_of(value, key->name, key->hint, &items, &count, m) < 0)
        return -1;
    list->items = xcalloc(count, sizeof *list->items);
    for (; list->count < count; list->count++)
        list->items[list->count] = xstrdup(items[list->count].text);
    return 0;
}

/* ---- platforms ---- */

int read_platforms(const struct key *key, const struct node *value, void *to, struct mistake *m)
{
    struct platform_list *list = field(key, to);
    platform_list_release(list);
    if (value->count > TEXTS_MAX)
        return mistake_at(m, value, ERROR_LIMIT, "key \"%s\": more than %zu values", key->name,
                          TEXTS_MAX);
    list->items = xcalloc(value->count + 1, sizeof *list->items);
    for (size_t i = 0; i < value->count; i++) {
        const struct node *item = &value->items[i];
        struct error err = ERROR_INIT;
        if (item->kind != NODE_TEXT)
            return mistake_at(m, item, ERROR_PARSE,
                              "key \"%s\": expected a list of OS/ARCH[/VARIANT]", key->name);
        if (platform_parse(item->text, &list->items[i], &err) < 0)
            return mistake_from(m, item, key->name, &err);
        list->count++;
    }
    return 0;
}

static char *copy_or_null(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

void platform_list_copy(struct platform_list *to, const struct platform_list *from)
{
    to->items = xcalloc(from->count + 1, sizeof *to->items);
    to->count = from->count;
    for (size_t i = 0; i < from->count; i++) {
        const struct platform *p = &from->items[i];
        to->items[i] = (struct platform){copy_or_null(p->os), copy_or_null(p->architecture),
                                         copy_or_null(p->variant)};
    }
}

void platform_list_release(struct platform_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        platform_release(&list->items[i]);
    free(list->items);
    *list = (struct platform_list){0};
}

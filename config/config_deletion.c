/* The key `deletion` of the configuration: what may be taken away, and when. */
#include "config/config_reader.h"

#include "base/memory.h"
#include "base/quantity.h"

#include <string.h>

#define KEEP_LAST_MAX 1000000

/* A time such as 30d, or 0. */
static int read_period(struct config_reader *r, const struct node *value, const char *key,
                       int64_t *out)
{
    uint64_t seconds = 0;
    if (strcmp(value->text, "0") != 0 && config_read_duration(r, value, key, &seconds) < 0)
        return -1;
    *out = (int64_t)seconds;
    return 0;
}

static int read_retain(struct config_reader *r, const struct node *value, void *to)
{
    struct retention *x = to;
    x->is_limited = strcmp(value->text, "forever") != 0;
    return x->is_limited ? read_period(r, value, "retain", &x->seconds) : 0;
}

static int read_keep_last(struct config_reader *r, const struct node *value, void *to)
{
    struct retention *x = to;
    return config_read_count(r, value, &x->keep_last, "keep_last", KEEP_LAST_MAX);
}

static int read_gone_pause(struct config_reader *r, const struct node *value, void *to)
{
    struct retention *x = to;
    uint64_t seconds = 0; /* nor is it 0: two answers at once are one */
    int rc = config_read_duration(r, value, "gone_pause", &seconds);
    x->gone_pause_seconds = (int64_t)seconds;
    return rc;
}

static int read_protect(struct config_reader *r, const struct node *value, void *to)
{
    struct retention *x = to;
    if (config_check_texts(r, value, "a name, or a glob of names") < 0)
        return -1;
    x->protect = xcalloc(value->count + 1, sizeof *x->protect);
    for (size_t i = 0; i < value->count; i++) {
        if (strpbrk(value->items[i].text, "[]")) /* what matches nothing would protect nothing */
            return config_fail_at(r, &value->items[i], "key \"protect\": the signs are * and ?");
        x->protect[i] = xstrdup(value->items[i].text);
    }
    return 0;
}

static const struct config_key retention_keys[] = {
    {"retain", read_retain, "forever, or a time such as 30d", NODE_TEXT},
    {"keep_last", read_keep_last, "a number", NODE_TEXT},
    {"gone_pause", read_gone_pause, "a time such as 1d", NODE_TEXT},
    {"protect", read_protect, "a list of globs", NODE_LIST},
    {0},
};

static int read_lists(struct config_reader *r, const struct node *value, void *to)
{
    struct retention_rules *rules = to;
    for (size_t i = 0; i + 1 < value->count; i += 2) {
        const struct node *name = &value->items[i], *what = &value->items[i + 1];
        if (what->kind != NODE_MAPPING)
            return config_fail_at(r, what, "expected a mapping: retain: …");
        ARRAY_GROW(rules->lists, rules->count, rules->capacity);
        struct list_retention *list = &rules->lists[rules->count++];
        *list = (struct list_retention){.list = xstrdup(name->text)};
        if (config_read_mapping(r, what, retention_keys, &list->retention) < 0)
            return -1;
    }
    return 0;
}

static int read_grace_period(struct config_reader *r, const struct node *value, void *to)
{
    struct retention_rules *rules = to;
    rules->has_grace = true;
    return read_period(r, value, "grace_period", &rules->grace_seconds);
}

/* What holds for all names stands beside the keys of its own. */
#define READ_USUAL(function, read)                                                                 \
    static int function(struct config_reader *r, const struct node *value, void *to)               \
    {                                                                                              \
        return read(r, value, &((struct retention_rules *)to)->usual);                             \
    }
READ_USUAL(read_usual_retain, read_retain)
READ_USUAL(read_usual_keep_last, read_keep_last)
READ_USUAL(read_usual_gone_pause, read_gone_pause)
READ_USUAL(read_usual_protect, read_protect)

static const struct config_key deletion_keys[] = {
    {"retain", read_usual_retain, "forever, or a time such as 30d", NODE_TEXT},
    {"keep_last", read_usual_keep_last, "a number", NODE_TEXT},
    {"gone_pause", read_usual_gone_pause, "a time such as 1d", NODE_TEXT},
    {"protect", read_usual_protect, "a list of globs", NODE_LIST},
    {"grace_period", read_grace_period, "a time such as 7d", NODE_TEXT},
    {"lists", read_lists, "a mapping of lists", NODE_MAPPING},
    {0},
};

int config_read_deletion(struct config_reader *r, const struct node *value, void *to)
{
    struct config *config = to;
    return config_read_mapping(r, value, deletion_keys, &config->deletion);
}

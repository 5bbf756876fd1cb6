#include "config/config_reader.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/path.h"
#include "base/quantity.h"

#include <string.h>

int config_fail_at(struct config_reader *r, const struct node *at, const char *message)
{
    return error_set(r->err, ERROR_PARSE, "%s:%d:%d: %s", r->path, at->line, at->column, message);
}

int config_wrap_at(struct config_reader *r, const struct node *at, const char *key)
{
    return error_wrap(r->err, "%s:%d:%d: key \"%s\"", r->path, at->line, at->column, key);
}

static int unknown_key(struct config_reader *r, const struct node *key,
                       const struct config_key *table)
{
    struct buf message = BUF_INIT;
    buf_adds(&message, "unknown key ");
    buf_add_quoted(&message, key->text, strlen(key->text));
    buf_adds(&message, "; here may stand");
    for (const struct config_key *k = table; k->name; k++)
        buf_addf(&message, "%s %s", k == table ? "" : ",", k->name);
    int rc = config_fail_at(r, key, message.data);
    buf_release(&message);
    return rc;
}

static int wrong_kind(struct config_reader *r, const struct node *value,
                      const struct config_key *key)
{
    _cleanup_free_ char *message = xasprintf("key \"%s\": expected %s", key->name, key->expected);
    return config_fail_at(r, value, message);
}

int config_read_key(struct config_reader *r, const struct node *name, const struct node *value,
                    const struct config_key *table, void *to)
{
    for (const struct config_key *k = table; k->name; k++) {
        if (strcmp(k->name, name->text) != 0)
            continue;
        bool empty = value->kind == NODE_TEXT && !*value->text;
        if (value->kind != k->kind || empty)
            return wrong_kind(r, value, k);
        return k->read(r, value, to);
    }
    return unknown_key(r, name, table);
}

int config_read_mapping(struct config_reader *r, const struct node *mapping,
                        const struct config_key *table, void *to)
{
    for (size_t i = 0; i + 1 < mapping->count; i += 2)
        if (config_read_key(r, &mapping->items[i], &mapping->items[i + 1], table, to) < 0)
            return -1;
    return 0;
}

int config_check_texts(struct config_reader *r, const struct node *list, const char *what)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].kind == NODE_TEXT && *list->items[i].text)
            continue;
        _cleanup_free_ char *message = xasprintf("expected %s", what);
        return config_fail_at(r, &list->items[i], message);
    }
    return 0;
}

char *config_resolve_path(const struct config_reader *r, const char *path)
{
    static const char credentials[] = "$CREDENTIALS_DIRECTORY/";
    _cleanup_free_ char *folder = path_parent(r->path);
    if (starts_with(path, credentials)) {
        const char *copies = getenv("CREDENTIALS_DIRECTORY");
        path += sizeof credentials - 1;
        if (copies && *copies)
            return path_join(copies, path);
    }
    return path[0] == '/' || !*folder ? xstrdup(path) : path_join(folder, path);
}

int config_read_count(struct config_reader *r, const struct node *value, size_t *out,
                      const char *key, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(value->text, &end, 10);
    if (value->text[0] >= '1' && value->text[0] <= '9' && !*end && n <= max) {
        *out = n;
        return 0;
    }
    _cleanup_free_ char *message =
        xasprintf("key \"%s\": expected a number from 1 to %lu", key, max);
    return config_fail_at(r, value, message);
}

int config_read_size(struct config_reader *r, const struct node *value, uint64_t max,
                     const char *key, uint64_t *out)
{
    if (size_parse(value->text, out, r->err) < 0)
        return config_wrap_at(r, value, key);
    if (*out <= max)
        return 0;
    _cleanup_free_ char *message =
        xasprintf("key \"%s\": %llu bytes at most", key, (unsigned long long)max);
    return config_fail_at(r, value, message);
}

int config_read_duration(struct config_reader *r, const struct node *value, const char *key,
                         uint64_t *out)
{
    return duration_parse(value->text, out, r->err) < 0 ? config_wrap_at(r, value, key) : 0;
}

/* The keys `notifications` and `history` of the configuration. */
#include "config/config_reader.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"

#include <string.h>

#define SECRET_BYTES_MAX ((size_t)64 << 10)

/* --- notifications --- */

static const struct {
    const char *word;
    unsigned event;
} notify_events[] = {{"runs", NOTIFY_RUNS},
                     {"published", NOTIFY_PUBLISHED},
                     {"failed", NOTIFY_FAILED},
                     {"removed", NOTIFY_REMOVED}};

static int read_event(struct config_reader *r, const struct node *item, unsigned *events)
{
    for (size_t i = 0; i < sizeof notify_events / sizeof *notify_events; i++) {
        if (strcmp(item->text, notify_events[i].word) == 0) {
            *events |= notify_events[i].event;
            return 0;
        }
    }
    return config_fail_at(r, item, "expected runs, published, failed or removed");
}

static int read_notify_events(struct config_reader *r, const struct node *value, void *to)
{
    struct notify_target *target = to;
    target->events = 0;
    if (config_check_texts(r, value, "runs, published, failed or removed") < 0)
        return -1;
    for (size_t i = 0; i < value->count; i++)
        if (read_event(r, &value->items[i], &target->events) < 0)
            return -1;
    return value->count ? 0
                        : config_fail_at(r, value, "key \"events\": an empty list tells nothing");
}

static int read_notify_path(struct config_reader *r, const struct node *value, void *to)
{
    struct notify_target *target = to;
    free(target->where);
    target->where = config_resolve_path(r, value->text);
    return 0;
}

static int read_notify_url(struct config_reader *r, const struct node *value, void *to)
{
    struct notify_target *target = to;
    if (!starts_with(value->text, "https://") && !starts_with(value->text, "http://"))
        return config_fail_at(r, value, "key \"url\": expected http://… or https://…");
    free(target->where);
    target->where = xstrdup(value->text);
    return 0;
}

/* The first line of a file: what a line end behind a secret is for is hard to see. */
static int read_notify_secret(struct config_reader *r, const struct node *value, void *to)
{
    struct notify_target *target = to;
    _cleanup_free_ char *path = config_resolve_path(r, value->text);
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    if (file_read(path, SECRET_BYTES_MAX, &bytes, r->err) < 0)
        return config_wrap_at(r, value, "secret_file");
    buf_truncate(&bytes, strcspn(bytes.data, "\r\n"));
    if (bytes.len == 0)
        return config_fail_at(r, value, "key \"secret_file\": the file holds no secret");
    free(target->secret);
    target->secret = buf_take(&bytes);
    return 0;
}

static int read_notify_run(struct config_reader *r, const struct node *value, void *to)
{
    struct notify_target *t = to;
    if (config_check_texts(r, value, "a word of the command") < 0)
        return -1;
    if (value->count == 0 || t->argc > 0)
        return config_fail_at(r, value, "key \"run\": expected a program and its arguments, once");
    t->argv = xcalloc(value->count + 1, sizeof *t->argv);
    for (t->argc = 0; t->argc < value->count; t->argc++)
        t->argv[t->argc] = xstrdup(value->items[t->argc].text);
    return 0;
}

static const struct config_key notify_file_keys[] = {
    {"path", read_notify_path, "the path of a file", NODE_TEXT},
    {"events", read_notify_events, "a list of events", NODE_LIST},
    {0},
};
static const struct config_key notify_webhook_keys[] = {
    {"url", read_notify_url, "http://… or https://…", NODE_TEXT},
    {"secret_file", read_notify_secret, "the path of a file", NODE_TEXT},
    {"events", read_notify_events, "a list of events", NODE_LIST},
    {0},
};
static const struct config_key notify_command_keys[] = {
    {"run", read_notify_run, "a list: a program and its arguments", NODE_LIST},
    {"events", read_notify_events, "a list of events", NODE_LIST},
    {0},
};

static int read_targets(struct config_reader *r, const struct node *list, struct notify_targets *to,
                        enum notify_target_kind kind, const struct config_key *table)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct node *item = &list->items[i];
        if (item->kind != NODE_MAPPING)
            return config_fail_at(r, item, "expected a mapping");
        struct notify_target *target = notify_targets_add(to, kind);
        if (config_read_mapping(r, item, table, target) < 0)
            return -1;
        if (!target->where && target->argc == 0) {
            _cleanup_free_ char *message = xasprintf("the key \"%s\" is missing", table->name);
            return config_fail_at(r, item, message);
        }
    }
    return 0;
}

static int read_notify_files(struct config_reader *r, const struct node *value, void *to)
{
    return read_targets(r, value, to, NOTIFY_FILE, notify_file_keys);
}

static int read_notify_webhooks(struct config_reader *r, const struct node *value, void *to)
{
    return read_targets(r, value, to, NOTIFY_WEBHOOK, notify_webhook_keys);
}

static int read_notify_commands(struct config_reader *r, const struct node *value, void *to)
{
    return read_targets(r, value, to, NOTIFY_COMMAND, notify_command_keys);
}

static const struct config_key notification_keys[] = {
    {"files", read_notify_files, "a list of files", NODE_LIST},
    {"webhooks", read_notify_webhooks, "a list of webhooks", NODE_LIST},
    {"commands", read_notify_commands, "a list of commands", NODE_LIST},
    {0},
};

int config_read_notifications(struct config_reader *r, const struct node *value, void *to)
{
    struct config *config = to;
    return config_read_mapping(r, value, notification_keys, &config->notifications);
}

/* --- history --- */

static int read_age(struct config_reader *r, const struct node *value, int64_t *out,
                    const char *key)
{
    uint64_t seconds;
    if (config_read_duration(r, value, key, &seconds) < 0)
        return -1;
    *out = (int64_t)seconds;
    return 0;
}

static int read_keep(struct config_reader *r, const struct node *value, void *to)
{
    return read_age(r, value, &((struct history_bounds *)to)->history_seconds, "keep");
}

static int read_keep_events(struct config_reader *r, const struct node *value, void *to)
{
    return read_age(r, value, &((struct history_bounds *)to)->events_seconds, "keep_events");
}

static const struct config_key history_keys[] = {
    {"keep", read_keep, "a time such as 90d", NODE_TEXT},
    {"keep_events", read_keep_events, "a time such as 30d", NODE_TEXT},
    {0},
};

int config_read_history(struct config_reader *r, const struct node *value, void *to)
{
    struct config *config = to;
    return config_read_mapping(r, value, history_keys, &config->history);
}

#include "config/config_web.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/memory.h"
#include "config/config_reader.h"

#include <string.h>

#define CONNECTIONS_MAX 10000
#define PER_SECOND_MAX  10000

/* ---- secrets ---- */

void configured_web_release(struct configured_web *web)
{
    for (size_t i = 0; i < web->settings.senders.count; i++)
        free(web->secret_files[i]);
    free(web->secret_files);
    free(web->token_file);
    web_settings_release(&web->settings);
    *web = (struct configured_web){0};
}

static int check_secret(const char *path, const char *secret, struct error *err)
{
    size_t len = strlen(secret);
    if (len >= WEB_SECRET_BYTES_MIN && len <= WEB_SECRET_BYTES_MAX)
        return 0;
    return error_set(err, ERROR_PARSE,
                     "%s: expected a secret of %d to %d characters in the first line; "
                     "openssl rand -hex 32 makes one",
                     path, WEB_SECRET_BYTES_MIN, WEB_SECRET_BYTES_MAX);
}

static int read_secret(const char *path, char **out, struct error *err)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    int rc = file_read(path, WEB_SECRET_BYTES_MAX + 2, &bytes, err);
    if (rc == 0) {
        buf_truncate(&bytes, strcspn(bytes.data, "\r\n"));
        rc = check_secret(path, bytes.data, err);
    }
    if (rc == 0)
        *out = xstrdup(bytes.data);
    if (bytes.data)
        explicit_bzero(bytes.data, bytes.len);
    return rc;
}

static int read_secrets(const struct configured_web *web, struct web_settings *out,
                        struct error *err)
{
    if (web->token_file && read_secret(web->token_file, &out->token, err) < 0)
        return error_wrap(err, "web: token_file");
    for (size_t i = 0; i < out->senders.count; i++) {
        struct sender *s = &out->senders.items[i];
        if (read_secret(web->secret_files[i], &s->secret, err) < 0)
            return error_wrap(err, "web: sender %s: secret_file", s->name);
    }
    return 0;
}

int configured_web_open(const struct configured_web *web, struct web_settings *out,
                        struct error *err)
{
    struct web_settings copy = {0};
    web_settings_copy(&copy, &web->settings);
    if (read_secrets(web, &copy, err) < 0) {
        web_settings_release(&copy);
        return -1;
    }
    *out = copy;
    return 0;
}

/* ---- senders ---- */

struct sender_text {
    struct sender *sender;
    char *secret_file;
    bool has_kind;
};

static int read_kind(struct config_reader *r, const struct node *value, void *to)
{
    struct sender_text *s = to;
    s->has_kind = true;
    return sender_kind_parse(value->text, &s->sender->kind, r->err) < 0
               ? config_wrap_at(r, value, "kind")
               : 0;
}

static int read_secret_file(struct config_reader *r, const struct node *value, void *to)
{
    struct sender_text *s = to;
    free(s->secret_file);
    s->secret_file = config_resolve_path(r, value->text);
    return 0;
}

static int read_registry(struct config_reader *r, const struct node *value, void *to)
{
    struct sender_text *s = to;
    struct reference probe = {0};
    _cleanup_free_ char *below = xasprintf("%s/x", value->text);
    if (strchr(value->text, '/') || reference_parse(below, 0, &probe, r->err) < 0) {
        error_release(r->err);
        return config_fail_at(r, value, "key \"registry\": expected HOST or HOST:PORT");
    }
    reference_release(&probe);
    free(s->sender->registry);
    s->sender->registry = xstrdup(value->text);
    return 0;
}

static int read_rate(struct config_reader *r, const struct node *value, void *to)
{
    size_t rate = 0;
    int rc = config_read_count(r, value, &rate, "requests_per_second", PER_SECOND_MAX);
    ((struct sender_text *)to)->sender->rate = (double)rate;
    return rc;
}

static const struct config_key sender_keys[] = {
    {"kind", read_kind, "a word", NODE_TEXT},
    {"secret_file", read_secret_file, "the path of a file", NODE_TEXT},
    {"registry", read_registry, "HOST or HOST:PORT", NODE_TEXT},
    {"requests_per_second", read_rate, "a number", NODE_TEXT},
    {0},
};

/* It stands in a URL and in records. */
static bool is_sender_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    return strspn(name, letters) == strlen(name) && strlen(name) <= 64 && *name &&
           !strchr("._-", *name) && strcmp(name, "refresh") != 0;
}

static int read_sender(struct config_reader *r, const struct node *name,
                       const struct node *settings, struct configured_web *web)
{
    if (!is_sender_name(name->text))
        return config_fail_at(r, name,
                              "expected a sender's name: a-z, 0-9, '.', '_' and '-', a letter or "
                              "digit first, and not \"refresh\"");
    if (settings->kind != NODE_MAPPING)
        return config_fail_at(r, settings, "expected a mapping with kind and secret_file");
    struct senders *senders = &web->settings.senders;
    web->secret_files = xreallocarray(web->secret_files, senders->count + 1, sizeof(char *));
    web->secret_files[senders->count] = NULL;
    ARRAY_GROW(senders->items, senders->count, senders->capacity);
    struct sender_text text = {.sender = &senders->items[senders->count++]};
    *text.sender = (struct sender){.name = xstrdup(name->text), .rate = SENDER_RATE_DEFAULT};
    int rc = config_read_mapping(r, settings, sender_keys, &text);
    web->secret_files[senders->count - 1] = text.secret_file;
    if (rc < 0)
        return -1;
    if (text.has_kind && text.secret_file)
        return 0;
    return config_fail_at(r, settings, "a sender needs the keys \"kind\" and \"secret_file\"");
}

static int read_senders(struct config_reader *r, const struct node *value, void *to)
{
    for (size_t i = 0; i + 1 < value->count; i += 2)
        if (read_sender(r, &value->items[i], &value->items[i + 1], to) < 0)
            return -1;
    return 0;
}

/* ---- the server ---- */

static void add_listen(struct web_settings *s, const char *address)
{
    ARRAY_GROW(s->listen, s->listen_count, s->listen_capacity);
    s->listen[s->listen_count++] = xstrdup(address);
}

static int read_listen(struct config_reader *r, const struct node *value, void *to)
{
    struct web_settings *s = &((struct configured_web *)to)->settings;
    if (config_check_texts(r, value, "ADDRESS:PORT, such as " WEB_LISTEN_DEFAULT) < 0)
        return -1;
    for (size_t i = 0; i < value->count; i++) {
        if (web_check_address(value->items[i].text, r->err) < 0)
            return config_wrap_at(r, &value->items[i], "listen");
        add_listen(s, value->items[i].text);
    }
    return value->count ? 0
                        : config_fail_at(r, value,
                                         "key \"listen\": an empty list; leave out \"web\" to "
                                         "switch it off");
}

static int read_token_file(struct config_reader *r, const struct node *value, void *to)
{
    struct configured_web *web = to;
    free(web->token_file);
    web->token_file = config_resolve_path(r, value->text);
    return 0;
}

static int read_connections(struct config_reader *r, const struct node *value, void *to)
{
    struct web_settings *s = &((struct configured_web *)to)->settings;
    return config_read_count(r, value, &s->connections, "connections", CONNECTIONS_MAX);
}

static int read_per_address(struct config_reader *r, const struct node *value, void *to)
{
    struct web_settings *s = &((struct configured_web *)to)->settings;
    return config_read_count(r, value, &s->per_address, "connections_per_address", CONNECTIONS_MAX);
}

static const struct config_key web_keys[] = {
    {"listen", read_listen, "a list of addresses", NODE_LIST},
    {"token_file", read_token_file, "the path of a file", NODE_TEXT},
    {"connections", read_connections, "a number", NODE_TEXT},
    {"connections_per_address", read_per_address, "a number", NODE_TEXT},
    {"senders", read_senders, "a mapping of senders", NODE_MAPPING},
    {0},
};

int config_read_web(struct config_reader *r, const struct node *value, void *to)
{
    struct configured_web *web = &((struct config *)to)->web;
    web->on = true;
    if (config_read_mapping(r, value, web_keys, web) < 0)
        return -1;
    if (web->settings.listen_count == 0)
        add_listen(&web->settings, WEB_LISTEN_DEFAULT);
    return 0;
}

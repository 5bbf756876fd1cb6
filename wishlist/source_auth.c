#include "wishlist/source_auth.h"

#include "base/file.h"
#include "base/memory.h"
#include "registry/auth.h"

#include <string.h>

#define SECRET_BYTES_MAX ((size_t)64 << 10)

static const struct {
    const char *scheme, *port;
} default_ports[] = {{"https", ":443"}, {"http", ":80"}, {"ssh", ":22"}};

/* "SCHEME://HOST[:PORT]/PATH" without user and default port, host in lower case, no slash at the
 * end. Owned. */
static char *plain_form(const char *url)
{
    struct buf b = BUF_INIT;
    if (starts_with(url, "git+"))
        url += strlen("git+");
    const char *start = strstr(url, "://");
    if (!start)
        return buf_take(&b);
    size_t scheme = (size_t)(start - url), len = strcspn(start + 3, "/");
    const char *host = start + 3, *at = memrchr(host, '@', len);
    len -= at ? (size_t)(at + 1 - host) : 0;
    host = at ? at + 1 : host;
    for (size_t i = 0; i < sizeof default_ports / sizeof *default_ports; i++) {
        size_t port = strlen(default_ports[i].port);
        if (strlen(default_ports[i].scheme) == scheme &&
            memcmp(url, default_ports[i].scheme, scheme) == 0 && len > port &&
            memcmp(host + len - port, default_ports[i].port, port) == 0) {
            buf_addf(&b, "%.*s://%.*s", (int)scheme, url, (int)(len - port), host);
            break;
        }
    }
    if (b.len == 0)
        buf_addf(&b, "%.*s://%.*s", (int)scheme, url, (int)len, host);
    for (size_t i = 0; i < b.len; i++)
        if (b.data[i] >= 'A' && b.data[i] <= 'Z')
            b.data[i] = (char)(b.data[i] - 'A' + 'a');
    buf_adds(&b, host + len);
    while (b.len > 0 && b.data[b.len - 1] == '/')
        buf_truncate(&b, b.len - 1);
    return buf_take(&b);
}

size_t source_credential_match(const char *url, const char *remote)
{
    _cleanup_free_ char *scope = plain_form(url);
    _cleanup_free_ char *asked = plain_form(remote);
    size_t len = strlen(scope);
    bool covers = len > 0 && strncmp(scope, asked, len) == 0 && (!asked[len] || asked[len] == '/');
    return covers ? len : 0;
}

static const struct source_credential *find(const struct source_settings *settings,
                                            const char *remote)
{
    const struct source_credential *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; settings && i < settings->credential_count; i++) {
        size_t len = source_credential_match(settings->credentials[i].url, remote);
        if (len > longest) {
            best = &settings->credentials[i];
            longest = len;
        }
    }
    return best;
}

/* The first line of a file, if one is named. */
static int read_secret(const char *path, char **out, struct error *err)
{
    struct buf bytes = BUF_INIT;
    if (!path)
        return 0;
    if (file_read(path, SECRET_BYTES_MAX, &bytes, err) < 0) {
        secret_buf_release(&bytes);
        return -1;
    }
    *out = xstrndup(bytes.data, strcspn(bytes.data, "\r\n"));
    secret_buf_release(&bytes);
    return **out ? 0 : error_set(err, ERROR_AUTH, "%s: its first line is empty", path);
}

static char *copy(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

int source_secret_find(const struct source_settings *settings, const struct site *site,
                       const struct source_url *url, struct source_secret *out, struct error *err)
{
    const struct source_credential *c = find(settings, url->remote);
    struct source_secret s = {.user = copy(url->user)};
    const struct site_registry *host = site_find_registry(site, url->host);
    if (c && url->plain && !(host && host->transport == TRANSPORT_HTTP))
        return error_set(err, ERROR_POLICY,
                         "credentials for %s are known, but they are not sent over plain http; use "
                         "https, or set \"insecure: http\" for %s in the configuration file",
                         c->url, url->host);
    if (c) {
        s.user = s.user ? s.user : copy(c->user);
        s.key_file = copy(c->key_file);
        s.bearer = c->bearer;
    }
    if (c && (read_secret(c->secret_file, &s.text, err) < 0 ||
              read_secret(c->passphrase_file, &s.passphrase, err) < 0)) {
        source_secret_release(&s);
        return error_wrap(err, "credentials for %s", c->url);
    }
    *out = s;
    return 0;
}

void source_secret_release(struct source_secret *s)
{
    free(s->user);
    secret_free(s->text);
    free(s->key_file);
    secret_free(s->passphrase);
    *s = (struct source_secret){0};
}

void source_settings_release(struct source_settings *settings)
{
    for (size_t i = 0; i < settings->credential_count; i++) {
        struct source_credential *c = &settings->credentials[i];
        free(c->url);
        free(c->user);
        free(c->secret_file);
        free(c->key_file);
        free(c->passphrase_file);
    }
    free(settings->credentials);
    free(settings->known_hosts);
    *settings = (struct source_settings){0};
}

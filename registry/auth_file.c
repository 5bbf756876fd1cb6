#include "registry/auth_file.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "registry/site.h"

#include <string.h>

/* --- scopes --- */

char *auth_scope(const char *key)
{
    const char *scheme = strstr(key, "://");
    _cleanup_free_ char *text = xstrdup(scheme ? scheme + 3 : key);
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '/')
        text[--len] = '\0';
    /* Docker writes the address of an API, of which the host counts. */
    char *slash = strchr(text, '/');
    if (slash && (strcmp(slash, "/v1") == 0 || strcmp(slash, "/v2") == 0))
        *slash = '\0';
    size_t host_len = strcspn(text, "/");
    _cleanup_free_ char *host = xstrndup(text, host_len);
    _cleanup_free_ char *canonical = registry_canonical(host);
    return xasprintf("%s%s", canonical, text + host_len);
}

size_t auth_scope_match(const char *scope, const char *name)
{
    size_t len = strlen(scope);
    if (len == 0 || strncmp(scope, name, len) != 0)
        return 0;
    return name[len] == '/' || name[len] == '\0' ? len : 0;
}

/* --- entries --- */

static int base64_value(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(alphabet, c) : NULL;
    return p ? (int)(p - alphabet) : -1;
}

char *base64_decode(const char *text, size_t *out_len)
{
    size_t padded = strlen(text), len = padded, used = 0;
    while (len > 0 && text[len - 1] == '=' && padded - len < 2)
        len--;
    if (len % 4 == 1 || padded % 4 != 0)
        return NULL;
    char *out = xmalloc(len / 4 * 3 + 4);
    unsigned bits = 0;
    bool good = true;
    for (size_t i = 0; i < len && good; i++) {
        int value = base64_value(text[i]);
        good = value >= 0;
        bits = bits << 6 | (unsigned)(value & 63);
        if (i % 4 != 0)
            out[used++] = (char)(bits >> (6 - i % 4 * 2));
    }
    out[used] = '\0';
    *out_len = used;
    if (good)
        return out;
    explicit_bzero(out, used);
    free(out);
    return NULL;
}

char *base64_encode(const void *bytes, size_t len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = bytes;
    char *out = xmalloc((len + 2) / 3 * 4 + 1), *p = out;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned bits = (unsigned)in[i] << 16;
        bits |= n > 1 ? (unsigned)in[i + 1] << 8 : 0;
        bits |= n > 2 ? (unsigned)in[i + 2] : 0;
        *p++ = alphabet[bits >> 18];
        *p++ = alphabet[bits >> 12 & 63];
        *p++ = n > 1 ? alphabet[bits >> 6 & 63] : '=';
        *p++ = n > 2 ? alphabet[bits & 63] : '=';
    }
    *p = '\0';
    return out;
}

/* "USER:PASSWORD" in base64. Owned, to be wiped; NULL if it is none. */
static char *decode_pair(const char *encoded)
{
    size_t len;
    char *pair = base64_decode(encoded, &len);
    while (pair && len > 0 && pair[len - 1] == '\0')
        len--; /* Docker once wrote trailing NULs */
    if (!pair || strlen(pair) == len)
        return pair;
    explicit_bzero(pair, len);
    free(pair);
    return NULL;
}

static int take_pair(const char *what, const char *encoded, struct credential *out,
                     struct error *err)
{
    char *pair = decode_pair(encoded);
    char *colon = pair ? strchr(pair, ':') : NULL;
    if (!colon) {
        secret_free(pair);
        return error_set(err, ERROR_PARSE,
                         "%s: field \"auth\" is not USER:PASSWORD in base64; log in again", what);
    }
    out->username = xstrndup(pair, (size_t)(colon - pair));
    out->password = xstrdup(colon + 1);
    secret_free(pair);
    return 0;
}

static void add_entry(struct auth_file *file, const char *key, const char *helper,
                      struct credential *credential)
{
    ARRAY_GROW(file->entries, file->count, file->capacity);
    file->entries[file->count++] = (struct auth_entry){.scope = auth_scope(key),
                                                       .helper = helper ? xstrdup(helper) : NULL,
                                                       .credential = *credential};
    *credential = (struct credential){0};
}

static bool is_said(const char *text)
{
    return text && *text;
}

/* An entry without anything says that a helper knows: as if it were not there. */
static int read_auth(struct auth_file *file, const char *key, const json_t *value,
                     struct error *err)
{
    const char *auth, *token, *user, *password;
    struct credential c = {0};
    _cleanup_free_ char *q = quoted(key);
    _cleanup_free_ char *what = xasprintf("%s: entry %s", file->path, q);
    if (!json_is_object(value))
        return error_set(err, ERROR_PARSE, "%s: expected an object", what);
    if (json_get_optional_string(value, what, "auth", &auth, err) < 0 ||
        json_get_optional_string(value, what, "identitytoken", &token, err) < 0 ||
        json_get_optional_string(value, what, "username", &user, err) < 0 ||
        json_get_optional_string(value, what, "password", &password, err) < 0)
        return -1;
    if (is_said(auth) && take_pair(what, auth, &c, err) < 0)
        return -1;
    if (!is_said(auth) && is_said(user) && password) {
        c.username = xstrdup(user);
        c.password = xstrdup(password);
    }
    if (is_said(token))
        c.identity_token = xstrdup(token);
    if (is_said(token) && c.password && !*c.password) {
        secret_free(c.password); /* `docker login` leaves it empty beside a token */
        c.password = NULL;
    }
    if (c.identity_token || c.password)
        add_entry(file, key, NULL, &c);
    credential_release(&c);
    return 0;
}

/* It becomes part of a program's name. */
static int check_helper(const struct auth_file *file, const char *name, struct error *err)
{
    size_t len = name ? strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789-_.")
                      : 0;
    if (len > 0 && name[len] == '\0')
        return 0;
    return error_set(err, ERROR_PARSE, "%s: the name of a credential helper is no word",
                     file->path);
}

static int read_helpers(struct auth_file *file, json_t *helpers, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(helpers, key, value)
    {
        struct credential none = {0};
        if (is_said(json_string_value(value)) || !json_is_string(value)) {
            if (check_helper(file, json_string_value(value), err) < 0)
                return -1;
            add_entry(file, key, json_string_value(value), &none);
        }
    }
    return 0;
}

static int read_file(struct auth_file *file, const json_t *doc, struct error *err)
{
    json_t *auths, *helpers, *value;
    const char *key, *store;
    if (!json_is_object(doc))
        return error_set(err, ERROR_PARSE, "%s: expected a JSON object", file->path);
    if (json_get_optional_object(doc, file->path, "auths", &auths, err) < 0 ||
        json_get_optional_object(doc, file->path, "credHelpers", &helpers, err) < 0 ||
        json_get_optional_string(doc, file->path, "credsStore", &store, err) < 0 ||
        (helpers && read_helpers(file, helpers, err) < 0))
        return -1;
    json_object_foreach(auths, key, value)
    {
        if (read_auth(file, key, value, err) < 0)
            return -1;
    }
    if (!is_said(store))
        return 0;
    file->store = xstrdup(store);
    return check_helper(file, store, err);
}

/* jansson frees its strings as they are. */
static void wipe(json_t *value)
{
    const char *key;
    json_t *child;
    json_object_foreach(value, key, child)
    {
        wipe(child);
    }
    if (json_is_string(value))
        explicit_bzero((void *)(uintptr_t)json_string_value(value), json_string_length(value));
}

int auth_file_parse(const char *path, const char *bytes, size_t len, struct auth_file *out,
                    struct error *err)
{
    struct auth_file file = {.path = xstrdup(path)};
    json_t *doc = json_parse_secret(path, bytes, len, LIMIT_AUTH_FILE_BYTES, err);
    int rc = doc ? read_file(&file, doc, err) : -1;
    wipe(doc);
    json_decref(doc);
    if (rc < 0)
        auth_file_release(&file);
    else
        *out = file;
    return rc;
}

void auth_file_release(struct auth_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        free(file->entries[i].scope);
        free(file->entries[i].helper);
        credential_release(&file->entries[i].credential);
    }
    free(file->entries);
    free(file->path);
    free(file->store);
    *file = (struct auth_file){0};
}

const struct auth_entry *auth_file_find(const struct auth_file *file, const char *name)
{
    const struct auth_entry *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < file->count; i++) {
        size_t len = auth_scope_match(file->entries[i].scope, name);
        if (len > longest) { /* helpers were read first */
            longest = len;
            best = &file->entries[i];
        }
    }
    return best;
}

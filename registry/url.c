#include "registry/url.h"

#include "base/buf.h"
#include "base/memory.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

static void cleanup_url(CURLU **url)
{
    curl_url_cleanup(*url);
}
static void cleanup_part(char **part)
{
    curl_free(*part);
}
#define _cleanup_url_  __attribute__((cleanup(cleanup_url)))
#define _cleanup_part_ __attribute__((cleanup(cleanup_part)))

/* NULL if it is no URL. */
static CURLU *parse(const char *text)
{
    CURLU *url = curl_url();
    if (url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK)
        return url;
    curl_url_cleanup(url);
    return NULL;
}

/* To be freed with curl_free(); NULL if there is none. */
static char *part_of(CURLU *url, CURLUPart which)
{
    char *part = NULL;
    return curl_url_get(url, which, &part, CURLU_DEFAULT_PORT) == CURLUE_OK ? part : NULL;
}

static bool has_scheme(CURLU *url, const char *scheme)
{
    _cleanup_part_ char *part = part_of(url, CURLUPART_SCHEME);
    return part && strcasecmp(part, scheme) == 0;
}

static char *text_of(CURLU *url)
{
    char *text = NULL;
    if (curl_url_get(url, CURLUPART_URL, &text, 0) != CURLUE_OK)
        return NULL;
    char *copy = xstrdup(text);
    curl_free(text);
    return copy;
}

char *url_resolve(const char *base, const char *reference, struct error *err)
{
    _cleanup_url_ CURLU *url = parse(base);
    bool ok = url && curl_url_set(url, CURLUPART_URL, reference, 0) == CURLUE_OK &&
              (has_scheme(url, "http") || has_scheme(url, "https")) &&
              curl_url_set(url, CURLUPART_USER, NULL, 0) == CURLUE_OK &&
              curl_url_set(url, CURLUPART_PASSWORD, NULL, 0) == CURLUE_OK &&
              curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK;
    char *text = ok ? text_of(url) : NULL;
    if (!text)
        error_set(err, ERROR_NET, "not a http or https URL");
    return text;
}

bool url_same_origin(const char *a, const char *b)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    _cleanup_url_ CURLU *one = parse(a), *other = parse(b);
    if (!one || !other)
        return false;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        _cleanup_part_ char *x = part_of(one, parts[i]), *y = part_of(other, parts[i]);
        if (!x || !y || strcasecmp(x, y) != 0)
            return false;
    }
    return true;
}

bool url_is_https(const char *url)
{
    _cleanup_url_ CURLU *parsed = parse(url);
    return parsed && has_scheme(parsed, "https");
}

char *url_host(const char *url)
{
    _cleanup_url_ CURLU *parsed = parse(url);
    if (!parsed)
        return NULL;
    _cleanup_part_ char *host = part_of(parsed, CURLUPART_HOST);
    char *port = NULL;
    if (curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT) != CURLUE_OK)
        port = NULL;
    char *text = xasprintf("%s%s%s", host ? host : "", port ? ":" : "", port ? port : "");
    curl_free(port);
    return text;
}

char *url_shown(const char *url)
{
    _cleanup_url_ CURLU *parsed = parse(url);
    if (!parsed)
        return xstrdup("(not a URL)");
    _cleanup_part_ char *scheme = part_of(parsed, CURLUPART_SCHEME);
    _cleanup_part_ char *host = part_of(parsed, CURLUPART_HOST);
    _cleanup_part_ char *path = part_of(parsed, CURLUPART_PATH);
    char *port = NULL;
    if (curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT) != CURLUE_OK)
        port = NULL;
    char *shown = xasprintf("%s://%s%s%s%s", scheme ? scheme : "", host ? host : "",
                            port ? ":" : "", port ? port : "", path ? path : "");
    curl_free(port);
    return shown;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~", c));
}

char *url_form(const struct url_param *params, int count)
{
    size_t room = 1;
    for (int i = 0; i < count; i++)
        room += 3 * (strlen(params[i].name) + strlen(params[i].value)) + 2;
    struct buf form = BUF_INIT;
    buf_reserve(&form, room); /* never moved: no copy of a secret is left behind */
    for (int i = 0; i < count; i++) {
        buf_addf(&form, "%s%s=", i ? "&" : "", params[i].name);
        for (const char *p = params[i].value; *p; p++)
            if (is_unreserved(*p))
                buf_addc(&form, *p);
            else
                buf_addf(&form, "%%%02X", (unsigned)(unsigned char)*p);
    }
    return buf_take(&form);
}

char *url_add_query(const char *url, const struct url_param *params, int count, struct error *err)
{
    _cleanup_url_ CURLU *parsed = parse(url);
    bool ok = parsed;
    for (int i = 0; ok && i < count; i++) {
        _cleanup_free_ char *pair = xasprintf("%s=%s", params[i].name, params[i].value);
        ok = curl_url_set(parsed, CURLUPART_QUERY, pair, CURLU_APPENDQUERY | CURLU_URLENCODE) ==
             CURLUE_OK;
    }
    char *text = ok ? text_of(parsed) : NULL;
    if (!text)
        error_set(err, ERROR_NET, "not a URL");
    return text;
}

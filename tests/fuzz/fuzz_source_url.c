/* Where lists come from: what is taken has a clean path, no password, and reads the same again. */
#include "base/memory.h"
#include "base/path.h"
#include "wishlist/source_url.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_url(const struct source_url *url, const char *text)
{
    check(url->shown && url->remote && url->host && url->path && *url->path);
    if (url->kind == SOURCE_FILE) {
        check(strlen(url->remote) + strlen(url->path) == strlen(text));
        return;
    }
    check(path_is_clean(url->path));
    check(!url->branch || *url->branch);
    check(!url->user || strstr(url->remote, url->user));
    check(!strchr(url->host, '@') && !strchr(url->shown, '?'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_source_url_ struct source_url url = {0}, again = {0};
    _cleanup_free_ char *text = xstrndup((const char *)data, size);
    if (source_url_parse(text, &url, &err) < 0) {
        check(err.kind == ERROR_PARSE || err.kind == ERROR_LIMIT);
        return 0;
    }
    check_url(&url, text);
    if (!strchr(text, '?')) {
        check(source_url_parse(url.shown, &again, &err) == 0);
        check(strcmp(again.remote, url.remote) == 0 && strcmp(again.path, url.path) == 0);
    }
    return 0;
}

/* The Link header, and the URL that its target is made into. */
#include "base/memory.h"
#include "registry/link.h"
#include "registry/url.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char base[] = "https://q.io/v2/a/tags/list?n=5";
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *header = xstrndup((const char *)data, size);
    _cleanup_free_ char *target = link_find(header, "next");
    if (!target)
        return 0;
    if (!strstr(header, target))
        abort();
    _cleanup_free_ char *url = url_resolve(base, target, &err);
    if (url && !strstr(url, "http"))
        abort();
    _cleanup_free_ char *shown = url ? url_shown(url) : NULL;
    if (shown && strchr(shown, '?'))
        abort();
    return 0;
}

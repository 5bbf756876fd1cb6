/* References: the first byte chooses the flags. What is taken must survive being written out. */
#include "base/memory.h"
#include "registry/endpoint.h"
#include "registry/reference.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reference ref, again;
    _cleanup_error_ struct error err = ERROR_INIT;
    if (size == 0)
        return 0;
    unsigned flags = data[0] == '*' ? REFERENCE_TAG_PATTERN : 0;
    _cleanup_free_ char *text = xstrndup((const char *)data + 1, size - 1);
    if (reference_parse(text, flags, &ref, &err) < 0)
        return 0;
    _cleanup_free_ char *name = reference_name(&ref);
    struct endpoints places;
    endpoints_of(NULL, &ref, &places);
    _cleanup_free_ char *url = endpoint_url(&places.items[0], "x");
    endpoints_release(&places);
    if (strstr(name, "/..") || strstr(url, "/..") || strchr(url, '@'))
        abort();
    if (reference_parse(name, flags, &again, &err) < 0)
        abort();
    _cleanup_free_ char *name_again = reference_name(&again);
    if (strcmp(name, name_again) != 0)
        abort();
    reference_release(&again);
    reference_release(&ref);
    return 0;
}

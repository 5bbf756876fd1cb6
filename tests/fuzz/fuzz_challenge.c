/* WWW-Authenticate and Link, from the same bytes. */
#include "base/memory.h"
#include "registry/auth.h"
#include "registry/link.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct challenges challenges;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *text = xstrndup((const char *)data, size);
    free(link_find(text, "next"));
    if (challenges_parse(text, &challenges, &err) < 0)
        return 0;
    for (size_t i = 0; i < challenges.count; i++)
        (void)challenge_get(&challenges.items[i], "realm");
    challenges_release(&challenges);
    return 0;
}

/* Files of `podman login` and `docker login`. What is found must be complete, and cover the name.
 */
#include "base/memory.h"
#include "registry/auth_file.h"
#include "registry/credential_helper.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"q.io/team/app", "docker.io/library/busybox",
                                        "localhost:5000/a"};
    struct auth_file file;
    struct credential credential;
    _cleanup_error_ struct error err = ERROR_INIT;
    if (credential_helper_parse((const char *)data, size, &credential, &err) == 1)
        abort();
    else if (err.kind == ERROR_NONE)
        credential_release(&credential);
    if (auth_file_parse("config.json", (const char *)data, size, &file, &err) < 0)
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct auth_entry *e = auth_file_find(&file, names[i]);
        if (e && (!auth_scope_match(e->scope, names[i]) ||
                  (!e->helper && !e->credential.identity_token &&
                   !(e->credential.username && e->credential.password))))
            abort();
    }
    auth_file_release(&file);
    return 0;
}

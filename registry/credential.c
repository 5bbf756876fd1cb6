#include "base/buf.h"
#include "base/memory.h"
#include "registry/auth_file.h"
#include "registry/token.h"

#include <string.h>

void secret_free(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void secret_buf_release(struct buf *b)
{
    if (b->capacity)
        explicit_bzero(b->data, b->capacity);
    buf_release(b);
}

void credential_release(struct credential *credential)
{
    free(credential->username);
    secret_free(credential->password);
    secret_free(credential->identity_token);
    *credential = (struct credential){0};
}

static char *copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

void credential_copy(struct credential *dst, const struct credential *src)
{
    *dst = (struct credential){copy(src->username), copy(src->password), copy(src->identity_token)};
}

void token_release(struct token *token)
{
    secret_free(token->text);
    *token = (struct token){0};
}

int credential_lookup(const struct credential_source *source, const struct endpoint *at,
                      struct credential *out, struct error *err)
{
    if (!source || !source->lookup || !endpoint_gets_credentials(at))
        return 0;
    return source->lookup(source->arg, at->registry, at->repository, out, err);
}

bool credential_withheld(const struct credential_source *source, const struct endpoint *at,
                         struct error *err)
{
    struct credential credential = {0};
    _cleanup_error_ struct error ignored = ERROR_INIT;
    if (!source || !source->lookup || endpoint_gets_credentials(at))
        return false;
    int found = source->lookup(source->arg, at->registry, at->repository, &credential, &ignored);
    credential_release(&credential);
    if (found <= 0)
        return false;
    error_wrap(err,
               "credentials for %s are known, but they are not sent over plain http; use https, or "
               "set \"insecure: http\" for %s in the configuration file",
               at->registry, at->registry);
    return true;
}

char *basic_authorization(const struct credential *credential, struct error *err)
{
    if (!credential->username || !credential->password) {
        error_set(err, ERROR_AUTH,
                  "it wants a user and a password, but only an identity token is known");
        return NULL;
    }
    if (strchr(credential->username, ':')) {
        error_set(err, ERROR_AUTH, "a user name with a colon cannot be sent");
        return NULL;
    }
    char *pair = xasprintf("%s:%s", credential->username, credential->password);
    char *encoded = base64_encode(pair, strlen(pair));
    char *value = xasprintf("Basic %s", encoded);
    secret_free(pair);
    secret_free(encoded);
    return value;
}

#include "base/buf.h"
#include "base/memory.h"
#include "registry/token.h"

#include <string.h>

static void free_secret(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void credential_release(struct credential *credential)
{
    free(credential->username);
    free_secret(credential->password);
    *credential = (struct credential){0};
}

void token_release(struct token *token)
{
    free_secret(token->text);
    *token = (struct token){0};
}

int credential_lookup(const struct credential_source *source, const struct reference *ref,
                      struct credential *out, struct error *err)
{
    if (!source || !source->lookup)
        return 0;
    return source->lookup(source->arg, ref->registry, ref->repository, out, err);
}

/* RFC 4648, section 4. */
static char *base64(const char *text)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = (const unsigned char *)text;
    size_t len = strlen(text);
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

char *basic_authorization(const struct credential *credential, struct error *err)
{
    if (strchr(credential->username, ':')) {
        error_set(err, ERROR_AUTH, "a user name with a colon cannot be sent");
        return NULL;
    }
    char *pair = xasprintf("%s:%s", credential->username, credential->password);
    char *encoded = base64(pair);
    char *value = xasprintf("Basic %s", encoded);
    free_secret(pair);
    free_secret(encoded);
    return value;
}

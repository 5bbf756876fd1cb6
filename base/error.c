#include "base/error.h"

#include "base/buf.h"
#include "base/memory.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void replace(struct error *err, enum error_kind kind, char *message)
{
    free(err->message);
    err->kind = kind;
    err->retryable = false;
    err->message = message;
}

int error_set(struct error *err, enum error_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *message = xvasprintf(fmt, ap);
    va_end(ap);
    replace(err, kind, message);
    return -1;
}

int error_set_errno(struct error *err, enum error_kind kind, int errnum, const char *fmt, ...)
{
    char text[128];
    const char *reason = strerror_r(errnum, text, sizeof text);
    va_list ap;
    va_start(ap, fmt);
    char *message = xvasprintf(fmt, ap);
    va_end(ap);
    char *full = xasprintf("%s: %s", message, reason);
    free(message);
    if (errnum == ENOSPC || errnum == EDQUOT)
        kind = ERROR_LIMIT;
    replace(err, kind, full);
    return -1;
}

int error_wrap(struct error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *context = xvasprintf(fmt, ap);
    va_end(ap);
    char *full = xasprintf("%s: %s", context, err->message ? err->message : "unknown error");
    free(context);
    free(err->message);
    err->message = full;
    if (err->kind == ERROR_NONE)
        err->kind = ERROR_BUG;
    return -1;
}

int error_retryable(struct error *err)
{
    err->retryable = true;
    return -1;
}

void error_move(struct error *dst, struct error *src)
{
    error_release(dst);
    *dst = *src;
    *src = (struct error)ERROR_INIT;
}

void error_copy(struct error *dst, const struct error *src)
{
    replace(dst, src->kind, src->message ? xstrdup(src->message) : NULL);
    dst->retryable = src->retryable;
}

void error_release(struct error *err)
{
    free(err->message);
    *err = (struct error)ERROR_INIT;
}

const char *error_kind_name(enum error_kind kind)
{
    static const char *const names[] = {
        [ERROR_NONE] = "none",
        [ERROR_IO] = "io",
        [ERROR_NET] = "net",
        [ERROR_AUTH] = "auth",
        [ERROR_NOT_FOUND] = "not-found",
        [ERROR_PARSE] = "parse",
        [ERROR_CORRUPT] = "corrupt",
        [ERROR_LIMIT] = "limit",
        [ERROR_BUSY] = "busy",
        [ERROR_UNSUPPORTED] = "unsupported",
        [ERROR_POLICY] = "policy",
        [ERROR_CHILD] = "child",
        [ERROR_CANCELLED] = "cancelled",
        [ERROR_BUG] = "bug",
    };
    return names[kind];
}

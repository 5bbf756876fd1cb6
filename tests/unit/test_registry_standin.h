/*
 * Talking to tests/standin/registry_server.py from C tests: one child for a test program, one line
 * of JSON to it and one back. Failures end the test.
 */
#ifndef TEST_REGISTRY_STANDIN_H
#define TEST_REGISTRY_STANDIN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"
#include "registry/auth.h"
#include "registry/client.h"

#include <jansson.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    pid_t pid;
    FILE *in, *out;
    char *host; /* "127.0.0.1:PORT" */
} standin;

/* "{...}" as json_pack() has it. An owned object. */
__attribute__((unused)) static json_t *standin_call(const char *format, ...)
{
    va_list ap;
    json_error_t where;
    va_start(ap, format);
    json_t *order = json_vpack_ex(&where, 0, format, ap);
    va_end(ap);
    if (!order)
        fail_msg("%s: %s", format, where.text);
    json_dumpf(order, standin.in, JSON_COMPACT);
    json_decref(order);
    fputc('\n', standin.in);
    fflush(standin.in);
    json_t *answer = json_loadf(standin.out, JSON_DISABLE_EOF_CHECK, &where);
    if (!answer)
        fail_msg("the stand-in registry is gone: %s", where.text);
    return answer;
}

#define standin_do(...) json_decref(standin_call(__VA_ARGS__))

/* The log of requests whose path matches, as an owned array of {method, path, headers}. */
__attribute__((unused)) static json_t *standin_seen(const char *path_regex)
{
    json_t *answer = standin_call("{s:s, s:s}", "call", "seen", "path_regex", path_regex);
    json_t *requests = json_incref(json_object_get(answer, "requests"));
    json_decref(answer);
    return requests;
}

__attribute__((unused)) static const char *request_header(const json_t *requests, size_t i,
                                                          const char *name)
{
    const json_t *headers = json_object_get(json_array_get(requests, i), "headers");
    return json_string_value(json_object_get(headers, name));
}

static int standin_start(void **state)
{
    (void)state;
    int to[2], from[2];
    const char *folder = getenv("DUCC_TEST_STANDINS");
    _cleanup_free_ char *here = xstrdup(__FILE__);
    *strrchr(here, '/') = '\0';
    _cleanup_free_ char *script = folder ? xasprintf("%s/registry_server.py", folder)
                                         : xasprintf("%s/../standin/registry_server.py", here);
    if (pipe(to) < 0 || pipe(from) < 0)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    standin.pid = fork();
    if (standin.pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        close(to[1]);
        close(from[0]);
        execlp("python3", "python3", script, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    standin.in = fdopen(to[1], "w");
    standin.out = fdopen(from[0], "r");
    json_t *where = json_loadf(standin.out, JSON_DISABLE_EOF_CHECK, NULL);
    if (!where)
        return -1;
    standin.host = xstrdup(json_string_value(json_object_get(where, "host")));
    json_decref(where);
    return 0;
}

static int standin_stop(void **state)
{
    (void)state;
    fclose(standin.in);
    fclose(standin.out);
    waitpid(standin.pid, NULL, 0);
    free(standin.host);
    return 0;
}

/* --- a client and a reference for each test --- */

struct fixture {
    struct registry_client *client;
    struct reference ref; /* http://HOST/a/b:1 */
    struct site *site;    /* if the options name none: one that marks HOST "insecure: http" */
    struct error err;
};

static struct fixture fixture_with(const struct registry_options *given)
{
    struct fixture f = {.err = ERROR_INIT, .site = xcalloc(1, sizeof *f.site)};
    struct registry_options options = *given;
    _cleanup_free_ char *text = xasprintf("http://%s/a/b:1", standin.host);
    standin_do("{s:s}", "call", "reset");
    if (reference_parse(text, 0, &f.ref, &f.err) < 0)
        fail_msg("%s", f.err.message);
    site_add_registry(f.site, standin.host)->transport = TRANSPORT_HTTP;
    options.site = options.site ? options.site : f.site;
    f.client = registry_client_new(&options, &f.err);
    assert_non_null(f.client);
    return f;
}

/* Short pauses. */
__attribute__((unused)) static struct fixture fixture_new(void)
{
    return fixture_with(
        &(struct registry_options){.first_pause_seconds = 0.01, .stall_seconds = 1});
}

static void fixture_free(struct fixture *f)
{
    registry_client_free(f->client);
    reference_release(&f->ref);
    site_release(f->site);
    free(f->site);
    error_release(&f->err);
}
#define _cleanup_fixture_ __attribute__((cleanup(fixture_free)))

static void assert_failed(int rc, const struct error *err, enum error_kind kind, const char *says)
{
    assert_int_equal(rc, -1);
    if (err->kind != kind || !strstr(err->message, says))
        fail_msg("%s: \"%s\", expected %s: \"%s\"", error_kind_name(err->kind), err->message,
                 error_kind_name(kind), says);
}

static void assert_ok(int rc, const struct error *err)
{
    if (rc < 0)
        fail_msg("%s", err->message);
}

#endif

#include "config/notifier_delivery.h"

#include "base/file.h"
#include "base/hmac.h"
#include "base/memory.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define COMMAND_SECONDS 30.0
#define ANSWER_BYTES    ((size_t)64 << 10)

/* Opened each time, so that the file may be moved away; one write, so that lines stay whole. */
static int append(const char *path, const char *json, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0660);
    _cleanup_free_ char *line = xasprintf("%s\n", json);
    if (fd < 0 || (*json && file_write_all(fd, line, strlen(line)) < 0))
        return error_set_errno(err, ERROR_IO, errno, "%s", path);
    return 0;
}

static int post(const struct notify_target *t, struct http_client *http, const char *json,
                struct error *err)
{
    _cleanup_free_ char *signature = NULL;
    struct http_response response;
    if (t->secret) {
        struct digest mac = hmac_sha256(t->secret, strlen(t->secret), json, strlen(json));
        signature = xasprintf("sha256=%s", digest_hex(&mac).s);
    }
    struct http_request request = {
        .url = t->where, .json = json, .json_signature = signature, .max_body_bytes = ANSWER_BYTES};
    if (http_perform(http, &request, &response, err) < 0)
        return -1;
    long status = response.status;
    http_response_release(&response);
    if (status >= 200 && status < 300)
        return 0;
    _cleanup_free_ char *text = http_status_text(status);
    return error_set(err, ERROR_NET, "%s: %s", t->where, text);
}

static int run(const struct notify_target *t, const char *json, struct error *err)
{
    const struct process_watch watch = {.silence_seconds = COMMAND_SECONDS,
                                        .limit_seconds = COMMAND_SECONDS};
    struct process_options options = {.argv = (const char *const *)t->argv,
                                      .pipe_stdin = true,
                                      .keep_stdout = true,
                                      .watch = &watch};
    struct process p;
    if (process_start(&options, &p, err) < 0)
        return -1;
    /* Less than a pipe holds: it cannot wait. Who does not read it need not. */
    if (file_write_all(p.stdin_fd, json, strlen(json)) < 0 ||
        file_write_all(p.stdin_fd, "\n", 1) < 0) {
    }
    int status = process_wait(&p), result = 0;
    _cleanup_free_ char *words = process_summary(&p.messages);
    if (p.why != PROCESS_ENDED)
        result =
            error_set(err, ERROR_CHILD, "%s: stopped after %.0f s", t->argv[0], COMMAND_SECONDS);
    else if (status != 0)
        result = error_set(err, ERROR_CHILD, "%s ended with %d: %s", t->argv[0], status, words);
    process_release(&p);
    return result;
}

int notify_deliver(const struct notify_target *target, struct http_client *http, const char *json,
                   struct error *err)
{
    switch (target->kind) {
    case NOTIFY_FILE:
        return append(target->where, json, err);
    case NOTIFY_WEBHOOK:
        return post(target, http, json, err);
    case NOTIFY_COMMAND:
        return run(target, json, err);
    }
    return 0;
}

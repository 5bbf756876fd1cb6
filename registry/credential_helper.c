#include "registry/credential_helper.h"

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/process.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define HELPER_SECONDS 30

int credential_helper_parse(const char *bytes, size_t len, struct credential *out,
                            struct error *err)
{
    const char *what = "its answer", *user, *secret;
    _cleanup_json_ json_t *doc = json_parse_secret(what, bytes, len, LIMIT_AUTH_FILE_BYTES, err);
    if (!doc)
        return -1;
    if (!json_is_object(doc))
        return error_set(err, ERROR_PARSE, "%s: expected a JSON object", what);
    if (json_get_string(doc, what, "Username", &user, err) < 0 ||
        json_get_string(doc, what, "Secret", &secret, err) < 0)
        return -1;
    struct credential c = {0};
    if (strcmp(user, "<token>") == 0) {
        c.identity_token = xstrdup(secret);
    } else {
        c.username = xstrdup(user);
        c.password = xstrdup(secret);
    }
    explicit_bzero((void *)(uintptr_t)secret, strlen(secret)); /* jansson frees it as it is */
    *out = c;
    return 0;
}

/* A child that stops a helper which does not answer. */
struct watch {
    struct process process;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    bool done, late;
};

static void *watch_helper(void *arg)
{
    struct watch *w = arg;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += HELPER_SECONDS;
    pthread_mutex_lock(&w->mutex);
    while (!w->done && pthread_cond_timedwait(&w->ended, &w->mutex, &until) == 0)
        continue;
    w->late = !w->done;
    if (w->late)
        process_kill(&w->process, SIGKILL);
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

static int wait_for(struct watch *w)
{
    pthread_t watcher;
    if (pthread_create(&watcher, NULL, watch_helper, w) != 0)
        abort();
    int status = process_wait(&w->process);
    pthread_mutex_lock(&w->mutex);
    w->done = true;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(watcher, NULL);
    return status;
}

static int judge(struct watch *w, int status, struct credential *out, struct error *err)
{
    const struct buf *said = &w->process.output;
    if (w->late)
        return error_set(err, ERROR_CHILD, "no answer within %d seconds", HELPER_SECONDS);
    if (status == 0)
        return credential_helper_parse(said->data, said->len, out, err) < 0 ? -1 : 1;
    /* The words of Docker's own library, which helpers keep to. */
    if (strstr(said->data, "credentials not found") ||
        strstr(w->process.messages.data, "credentials not found"))
        return 0;
    /* Its standard output may hold a secret and is not repeated. */
    _cleanup_free_ char *summary = process_summary(&w->process.messages);
    return error_set(err, ERROR_CHILD, "it ended with status %d: %s", status, summary);
}

int credential_helper_get(const char *name, const char *server, struct credential *out,
                          struct error *err)
{
    _cleanup_free_ char *program = xasprintf("docker-credential-%s", name);
    const char *const argv[] = {program, "get", NULL};
    struct watch w = {.mutex = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
    struct process_options options = {.argv = argv, .pipe_stdin = true, .keep_stdout = true};
    if (process_start(&options, &w.process, err) < 0)
        return -1;
    /* One that does not read says why by its status. */
    if (file_write_all(w.process.stdin_fd, server, strlen(server)) == 0 &&
        file_write_all(w.process.stdin_fd, "\n", 1) < 0)
        w.late = false;
    int status = wait_for(&w);
    int rc = judge(&w, status, out, err);
    secret_buf_release(&w.process.output);
    process_release(&w.process);
    return rc < 0 ? error_wrap(err, "credential helper %s", program) : rc;
}

/* The parent's side of wishlist/git_fetch.h. */
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "registry/auth.h"
#include "wishlist/git_fetch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* What the child said. */
struct answer {
    const struct git_fetch_settings *settings;
    char commit[GIT_COMMIT_TEXT_SIZE];
    char *progress; /* the last one */
    struct error error;
};

static bool is_commit(const char *text)
{
    size_t len = strlen(text);
    return (len == 40 || len == 64) && strspn(text, "0123456789abcdef") == len;
}

static const struct {
    const char *word;
    enum error_kind kind;
} kinds[] = {
    {"io", ERROR_IO},
    {"net", ERROR_NET},
    {"auth", ERROR_AUTH},
    {"limit", ERROR_LIMIT},
    {"not-found", ERROR_NOT_FOUND},
    {"corrupt", ERROR_CORRUPT},
};

/* "KIND again|final TEXT". */
static void take_error(struct answer *a, const char *text)
{
    size_t word = strcspn(text, " ");
    enum error_kind kind = ERROR_BUG;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strlen(kinds[i].word) == word && memcmp(kinds[i].word, text, word) == 0)
            kind = kinds[i].kind;
    text += word + (text[word] == ' ');
    bool again = starts_with(text, "again ");
    text += strcspn(text, " ");
    error_set(&a->error, kind, "%s", *text ? text + 1 : "");
    a->error.retryable = again;
}

static void take_line(void *arg, const char *line)
{
    struct answer *a = arg;
    if (starts_with(line, "progress ")) {
        free(a->progress);
        a->progress = xstrdup(line + strlen("progress "));
        if (a->settings->progress)
            a->settings->progress(a->settings->arg, a->progress);
    } else if (starts_with(line, "commit ") && is_commit(line + strlen("commit "))) {
        strcpy(a->commit, line + strlen("commit "));
    } else if (starts_with(line, "error ")) {
        take_error(a, line + strlen("error "));
    }
}

/* Owned, to be wiped. */
static char *request_text(const struct git_fetch_request *r)
{
    _cleanup_json_ json_t *object =
        json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:b, s:s?, s:I}", "mirror",
                  r->mirror, "home", r->home, "url", r->url, "branch", r->branch, "user", r->user,
                  "secret", r->secret, "key_file", r->key_file, "passphrase", r->passphrase,
                  "authorities", r->authorities, "any_certificate", (int)r->any_certificate,
                  "revoked", r->revoked, "max_bytes", (json_int_t)r->max_bytes);
    return object ? json_text(object) : NULL;
}

static int start(const struct git_fetch_request *request, const struct git_fetch_settings *settings,
                 const struct process_watch *watch, struct process *p, struct error *err)
{
    char *text = request_text(request);
    if (!text)
        return error_set(err, ERROR_PARSE, "a user, password, path or URL that is not UTF-8 text");
    _cleanup_free_ char *home = xasprintf("HOME=%s", request->home);
    const char *const argv[] = {settings->program ? settings->program : "/proc/self/exe",
                                SOURCE_GIT_FETCH, NULL};
    const char *const set_env[] = {home, NULL};
    struct process_options options = {
        .argv = argv, .set_env = set_env, .pipe_stdin = true, .keep_stdout = true, .watch = watch};
    int rc = process_start(&options, p, err);
    /* What it cannot take it does not want: it has ended, and says why. */
    if (rc == 0 && file_write_all(p->stdin_fd, text, strlen(text)) < 0 && errno != EPIPE)
        process_kill(p, SIGKILL);
    secret_free(text);
    return rc;
}

static int judge(struct process *p, int status, const struct answer *a,
                 const struct git_fetch_settings *settings, struct error *err)
{
    const char *far = a->progress ? a->progress : "nothing had arrived";
    enum process_end why = p->why;
    switch (why) {
    case PROCESS_CANCELLED:
        return error_set(err, ERROR_CANCELLED, "stopped");
    case PROCESS_SILENT:
        error_set(err, ERROR_NET, "the server said nothing for %.0f seconds, given up; %s",
                  settings->silence_seconds, far);
        return error_retryable(err);
    case PROCESS_TOO_LONG:
        error_set(err, ERROR_NET, "not fetched within %.0f seconds, given up; %s",
                  settings->limit_seconds, far);
        return error_retryable(err);
    case PROCESS_ENDED:
        break;
    }
    if (a->error.kind != ERROR_NONE) {
        error_copy(err, &a->error);
        return -1;
    }
    if (status == 0 && a->commit[0])
        return 0;
    _cleanup_free_ char *summary = process_summary(&p->messages);
    return error_set(err, ERROR_CHILD, "the fetching process ended with status %d: %s", status,
                     summary);
}

int git_fetch_run(const struct git_fetch_request *request,
                  const struct git_fetch_settings *settings, char out_commit[GIT_COMMIT_TEXT_SIZE],
                  struct error *err)
{
    struct answer a = {.settings = settings};
    struct process_watch watch = {.silence_seconds = settings->silence_seconds,
                                  .limit_seconds = settings->limit_seconds,
                                  .line = take_line,
                                  .arg = &a};
    struct process p;
    if (start(request, settings, &watch, &p, err) < 0)
        return -1;
    int status = process_wait(&p);
    int rc = judge(&p, status, &a, settings, err);
    if (rc == 0)
        memcpy(out_commit, a.commit, sizeof a.commit);
    process_release(&p);
    free(a.progress);
    error_release(&a.error);
    return rc;
}

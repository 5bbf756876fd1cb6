#include "base/process.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CAPTURE_MAX      ((size_t)64 * 1024)
#define SUMMARY_LINES    4
#define SUMMARY_LINE_MAX 300
#define POLL_MS          200
#define QUIET_POLLS      5 /* after the child's end: then whoever holds the pipes is a stranger */
#define LINE_MAX_BYTES   ((size_t)4096)

extern char **environ;

/* Keep the last CAPTURE_MAX bytes: what a program says last is why it failed. */
static void capture(struct buf *b, const char *bytes, size_t len)
{
    buf_add(b, bytes, len);
    if (b->len > 2 * CAPTURE_MAX) {
        memmove(b->data, b->data + b->len - CAPTURE_MAX, CAPTURE_MAX);
        buf_truncate(b, CAPTURE_MAX);
    }
}

/* Returns false at end of file. */
static bool drain(int fd, struct buf *b)
{
    char bytes[4096];
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n < 0)
        return errno == EINTR;
    capture(b, bytes, (size_t)n);
    return n > 0;
}

/* ---- watching ---- */

/* Give out the whole lines of what arrived since `*at`; `*at` is where the next one begins. */
static void give_lines(struct process *p, size_t *at)
{
    for (;;) {
        const char *line = p->output.data + *at;
        size_t left = p->output.len - *at;
        const char *end = memchr(line, '\n', left);
        if (!end && left < LINE_MAX_BYTES)
            return;
        size_t len = end ? (size_t)(end - line) : left;
        _cleanup_free_ char *text = xstrndup(line, len);
        p->watch->line(p->watch->arg, text);
        *at += len + (end != NULL);
    }
}

/* The output of a watched child is given out, and kept only as far as it begins a line. */
static bool drain_watched(struct process *p)
{
    char bytes[4096];
    ssize_t n = read(p->out_fd, bytes, sizeof bytes);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    size_t at = 0;
    buf_add(&p->output, bytes, (size_t)n);
    give_lines(p, &at);
    memmove(p->output.data, p->output.data + at, p->output.len - at);
    buf_truncate(&p->output, p->output.len - at);
    return true;
}

static bool drain_output(struct process *p)
{
    return p->watch && p->watch->line ? drain_watched(p) : drain(p->out_fd, &p->output);
}

/* Kill what must not go on. */
static void watch(struct process *p, double started, double heard)
{
    double now = clock_monotonic();
    if (atomic_load(&p->ended) || atomic_load(&p->why) != PROCESS_ENDED)
        return;
    enum process_end why = cancel_requested()                        ? PROCESS_CANCELLED
                           : now - heard > p->watch->silence_seconds ? PROCESS_SILENT
                           : now - started > p->watch->limit_seconds ? PROCESS_TOO_LONG
                                                                     : PROCESS_ENDED;
    if (why == PROCESS_ENDED)
        return;
    atomic_store(&p->why, why);
    process_kill(p, SIGKILL);
}

static void *read_outputs(void *arg)
{
    struct process *p = arg;
    struct pollfd fds[2] = {{.fd = p->out_fd, .events = POLLIN},
                            {.fd = p->err_fd, .events = POLLIN}};
    double started = clock_monotonic(), heard = started;
    for (int quiet = 0; (fds[0].fd >= 0 || fds[1].fd >= 0) && quiet < QUIET_POLLS;) {
        int ready = poll(fds, 2, POLL_MS);
        if (ready < 0 && errno != EINTR)
            break;
        quiet = ready == 0 && atomic_load(&p->ended) ? quiet + 1 : 0;
        if (fds[0].fd >= 0 && fds[0].revents) {
            heard = clock_monotonic();
            if (!drain_output(p))
                fds[0].fd = -1;
        }
        if (fds[1].fd >= 0 && fds[1].revents && !drain(fds[1].fd, &p->messages))
            fds[1].fd = -1;
        if (p->watch)
            watch(p, started, heard);
    }
    return NULL;
}

static char **environment_with(const char *const *set_env)
{
    size_t ours = 0, more = 0;
    while (environ[ours])
        ours++;
    while (set_env && set_env[more])
        more++;
    char **env = xcalloc(ours + more + 1, sizeof *env);
    size_t n = 0;
    for (size_t i = 0; i < more; i++)
        env[n++] = (char *)set_env[i];
    for (size_t i = 0; i < ours; i++) {
        size_t name = strcspn(environ[i], "=") + 1;
        bool replaced = false;
        for (size_t k = 0; k < more; k++)
            replaced |= strncmp(environ[i], set_env[k], name) == 0;
        if (!replaced)
            env[n++] = environ[i];
    }
    return env;
}

static int spawn(const struct process_options *o, int in, int out, int messages, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    if (in >= 0)
        posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    else
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out >= 0 ? out : messages, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, messages, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    _cleanup_free_ char **env = environment_with(o->set_env);
    int failed = posix_spawnp(pid, o->argv[0], &actions, &attributes, (char *const *)o->argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return failed;
}

static void close_pair(int fds[2])
{
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int process_start(const struct process_options *options, struct process *out, struct error *err)
{
    int in[2] = {-1, -1}, stdout_pipe[2] = {-1, -1}, messages[2] = {-1, -1};
    pid_t pid = -1;
    int failed = 0;
    if ((options->pipe_stdin && pipe2(in, O_CLOEXEC) < 0) ||
        (options->keep_stdout && pipe2(stdout_pipe, O_CLOEXEC) < 0) ||
        pipe2(messages, O_CLOEXEC) < 0)
        failed = errno;
    if (!failed)
        failed = spawn(options, in[0], stdout_pipe[1], messages[1], &pid);
    if (failed) {
        close_pair(in);
        close_pair(stdout_pipe);
        close_pair(messages);
        return error_set_errno(err, ERROR_CHILD, failed, "cannot run %s", options->argv[0]);
    }
    if (in[0] >= 0)
        close(in[0]);
    if (stdout_pipe[1] >= 0)
        close(stdout_pipe[1]);
    close(messages[1]);
    *out = (struct process){.pid = pid,
                            .stdin_fd = in[1],
                            .output = BUF_INIT,
                            .messages = BUF_INIT,
                            .out_fd = stdout_pipe[0],
                            .err_fd = messages[0],
                            .watch = options->watch};
    if (pthread_create(&out->reader, NULL, read_outputs, out) != 0)
        abort();
    return 0;
}

void process_kill(struct process *p, int signal)
{
    kill(-p->pid, signal);
}

int process_wait(struct process *p)
{
    if (p->stdin_fd >= 0)
        close(TAKE_FD(p->stdin_fd));
    int status;
    siginfo_t info;
    /* Its number stays its own until the reader, which may kill it, has ended. */
    while (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        continue;
    atomic_store(&p->ended, true);
    pthread_join(p->reader, NULL);
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void process_release(struct process *p)
{
    if (p->stdin_fd >= 0)
        close(p->stdin_fd);
    if (p->out_fd >= 0)
        close(p->out_fd);
    if (p->err_fd >= 0)
        close(p->err_fd);
    buf_release(&p->output);
    buf_release(&p->messages);
}

int process_run(const struct process_options *options, int *out_status, struct buf *output,
                struct buf *messages, struct error *err)
{
    struct process p;
    if (process_start(options, &p, err) < 0)
        return -1;
    *out_status = process_wait(&p);
    if (output)
        buf_add(output, p.output.data, p.output.len);
    if (messages)
        buf_add(messages, p.messages.data, p.messages.len);
    process_release(&p);
    return 0;
}

char *process_summary(const struct buf *messages)
{
    const char *lines[SUMMARY_LINES] = {NULL};
    size_t lengths[SUMMARY_LINES] = {0}, count = 0;
    for (const char *p = messages->data; *p;) { /* the last lines that say something */
        size_t len = strcspn(p, "\n");
        if (strspn(p, " \t\r") < len) {
            lines[count % SUMMARY_LINES] = p;
            lengths[count++ % SUMMARY_LINES] = len;
        }
        p += len + (p[len] == '\n');
    }
    struct buf b = BUF_INIT;
    for (size_t i = count > SUMMARY_LINES ? count - SUMMARY_LINES : 0; i < count; i++) {
        if (b.len > 0)
            buf_adds(&b, "; ");
        for (size_t k = 0; k < lengths[i % SUMMARY_LINES] && k < SUMMARY_LINE_MAX; k++) {
            unsigned char c = (unsigned char)lines[i % SUMMARY_LINES][k];
            if (c >= 0x20 && c < 0x7f)
                buf_addc(&b, (char)c);
        }
    }
    if (b.len == 0)
        buf_adds(&b, "(it said nothing)");
    return buf_take(&b);
}

/*
 * Children: argv as an array, never a shell; a process group of their own, so that a program and
 * what it started can be stopped together; no descriptors but 0 to 2; standard error, and standard
 * output if wanted, captured (the last 64 KiB of each at least).
 *
 *     struct process p;
 *     if (process_start(&(struct process_options){.argv = argv, .pipe_stdin = true}, &p, err) < 0)
 *         return -1;
 *     ... write to p.stdin_fd; EPIPE means that it stopped reading ...
 *     status = process_wait(&p);
 *
 * A child that talks to strangers is watched: it is killed with its group once it has been silent
 * for too long, or when we are asked to stop (base/cancel.h).
 *
 * SIGPIPE must be ignored in the process (the program's main does that).
 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include "base/buf.h"
#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

struct process_watch {
    double silence_seconds; /* on standard output */
    double limit_seconds;   /* in all */
    /* Each line of standard output as it comes, without its end, on a thread of its own; lines over
     * 4 KiB come in pieces. */
    void (*line)(void *arg, const char *line);
    void *arg;
};

enum process_end {
    PROCESS_ENDED, /* by itself */
    PROCESS_SILENT,
    PROCESS_TOO_LONG,
    PROCESS_CANCELLED,
};

struct process_options {
    const char *const *argv;    /* argv[0] is looked up in PATH */
    const char *const *set_env; /* "NAME=VALUE" added to our own environment, NULL-ended; or NULL */
    bool pipe_stdin;            /* else standard input is /dev/null */
    bool keep_stdout;           /* captured into process.output; else it joins standard error */
    const struct process_watch
        *watch; /* with keep_stdout; borrowed until process_wait(); or NULL */
};

struct process {
    pid_t pid;           /* also the process group */
    int stdin_fd;        /* -1 if not piped or closed */
    struct buf output;   /* standard output, if kept; complete after process_wait */
    struct buf messages; /* standard error; complete after process_wait */
    int out_fd, err_fd;
    const struct process_watch *watch;
    _Atomic enum process_end why; /* PROCESS_ENDED unless the watch killed it */
    pthread_t reader;
    atomic_bool ended;
};

MUST_CHECK int process_start(const struct process_options *options, struct process *out,
                             struct error *err);
/* Send a signal to the whole group. */
void process_kill(struct process *p, int signal);
/* Close its input and wait for its end. The exit status, or 128 + the signal that ended it. What it
 * left running in the background is not waited for, even if it still holds our pipes. The captured
 * texts stay in *p until process_release(). *p must not move while the child runs. */
int process_wait(struct process *p);
void process_release(struct process *p);

/* Start, wait, release. 0 and the exit status in *out_status; -1 if it cannot be started. `output`
 * and `messages` may be NULL. */
MUST_CHECK int process_run(const struct process_options *options, int *out_status,
                           struct buf *output, struct buf *messages, struct error *err);

/* The captured text made fit for one line of a message: the last lines, joined by "; ". Owned. */
char *process_summary(const struct buf *messages);

#endif

/*
 * Run a command and say what it took: its own processor time and memory, and the processor time of
 * the programs that it started. Its standard output and error go to our standard error.
 *
 * The memory is sampled, since wait4() tells only the largest of the process and its children. The
 * highest value ever is kept by the kernel, so that only growth in the last moment is missed.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAMPLE_MICROSECONDS 5000

static void raise_to(uint64_t *highest, uint64_t value)
{
    if (value > *highest)
        *highest = value;
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == pid;
}

/* Times of a process that has ended and was not waited for yet (proc(5), /proc/PID/stat). */
static void read_times(pid_t pid, double *own, double *children)
{
    char path[64];
    unsigned long user, system;
    long child_user, child_system;
    double tick = (double)sysconf(_SC_CLK_TCK);
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *in = fopen(path, "re");
    if (!in)
        return;
    if (fscanf(in, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld", &user,
               &system, &child_user, &child_system) == 4) {
        *own = (double)(user + system) / tick;
        *children = (double)(child_user + child_system) / tick;
    }
    fclose(in);
}

static pid_t start(char **command)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execvp(command[0], command);
    fprintf(stderr, "%s: %s\n", command[0], strerror(errno));
    _exit(127);
}

int bench_child(char **command, struct error *err)
{
    struct memory_use highest = {0}, now;
    double own = 0, children = 0;
    int status;
    struct stopwatch begin = stopwatch_now();
    pid_t pid = start(command);
    if (pid < 0)
        return error_set_errno(err, ERROR_CHILD, errno, "cannot start %s", command[0]);
    while (!has_ended(pid)) {
        if (memory_use_of(pid, &now)) {
            raise_to(&highest.peak, now.peak);
            raise_to(&highest.anonymous, now.anonymous);
            raise_to(&highest.file, now.file);
        }
        usleep(SAMPLE_MICROSECONDS);
    }
    struct stopwatch taken = stopwatch_since(&begin);
    read_times(pid, &own, &children);
    waitpid(pid, &status, 0);
    json_t *m = json_pack("{s:s, s:f, s:f, s:f}", "what", "child", "wall", taken.wall, "cpu", own,
                          "children_cpu", children);
    add_count(m, "peak", highest.peak);
    add_count(m, "peak_anonymous", highest.anonymous);
    add_count(m, "peak_file", highest.file);
    add_count(m, "status", (uint64_t)(WIFEXITED(status) ? WEXITSTATUS(status) : 128));
    print_measurement(m);
    return 0;
}

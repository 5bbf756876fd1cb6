/*
 * Ways to move a layer's data from the spool into the pipe to `cvmfs_server ingest`: copying
 * through a buffer as layers/tar_writer.c does, and splice(2), with pipes of two sizes. The reader
 * is a process that reads 16 KiB at a time, as cvmfs_swissknife does, and throws it away.
 */
#include "tests/bench/bench.h"

#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUFFER_SIZE ((size_t)1 << 20)
#define READ_SIZE   ((size_t)16 << 10)

static int move_copied(int in, int out, size_t size)
{
    _cleanup_free_ char *buffer = xmalloc(BUFFER_SIZE);
    for (size_t done = 0; done < size;) {
        size_t n = size - done < BUFFER_SIZE ? size - done : BUFFER_SIZE;
        if (file_pread_all(in, buffer, n, (off_t)done) < 0 || file_write_all(out, buffer, n) < 0)
            return -1;
        done += n;
    }
    return 0;
}

static int move_spliced(int in, int out, size_t size)
{
    for (off_t at = 0; (size_t)at < size;)
        if (splice(in, &at, out, NULL, size - (size_t)at, SPLICE_F_MORE) < 0 && errno != EINTR)
            return -1;
    return 0;
}

static const struct way {
    const char *name;
    int pipe_size;
    int (*move)(int in, int out, size_t size);
} ways[] = {
    {"copied, pipe of 64 KiB", 64 << 10, move_copied},
    {"copied, pipe of 1 MiB", 1 << 20, move_copied},
    {"spliced, pipe of 64 KiB", 64 << 10, move_spliced},
    {"spliced, pipe of 1 MiB", 1 << 20, move_spliced},
};

static void read_all(int fd)
{
    static char buffer[READ_SIZE];
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR))
        ;
    _exit(n < 0);
}

static int move(const struct way *way, int in, size_t size, struct error *err)
{
    int ends[2], status = 0;
    struct rusage reader = {0};
    if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[1], F_SETPIPE_SZ, way->pipe_size) < 0)
        return error_set_errno(err, ERROR_IO, errno, "cannot make a pipe");
    struct stopwatch start = stopwatch_now();
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        read_all(ends[0]);
    }
    close(ends[0]);
    int result = pid < 0 ? -1 : way->move(in, ends[1], size);
    if (result < 0)
        error_set_errno(err, ERROR_IO, errno, "%s: cannot write", way->name);
    close(ends[1]);
    if (pid > 0 && wait4(pid, &status, 0, &reader) < 0)
        return error_set_errno(err, ERROR_IO, errno, "cannot wait for the reader");
    struct stopwatch taken = stopwatch_since(&start);
    json_t *m = measurement(way->name, &taken);
    add_count(m, "bytes", size);
    json_object_set_new(
        m, "reader_cpu",
        json_real((double)(reader.ru_utime.tv_sec + reader.ru_stime.tv_sec) +
                  (double)(reader.ru_utime.tv_usec + reader.ru_stime.tv_usec) / 1e6));
    print_measurement(m);
    return result;
}

int bench_pipe(char **arguments, struct error *err)
{
    struct stat st;
    _cleanup_close_ int in = open(arguments[0], O_RDONLY | O_CLOEXEC);
    if (in < 0 || fstat(in, &st) < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot open", arguments[0]);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (move(&ways[i], in, (size_t)st.st_size, err) < 0)
            return -1;
    return 0;
}

#include "tests/bench/bench.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

struct stopwatch stopwatch_now(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (struct stopwatch){.wall = clock_monotonic(),
                              .cpu = seconds(use.ru_utime) + seconds(use.ru_stime)};
}

struct stopwatch stopwatch_since(const struct stopwatch *start)
{
    struct stopwatch now = stopwatch_now();
    return (struct stopwatch){.wall = now.wall - start->wall, .cpu = now.cpu - start->cpu};
}

/* From /proc and not from getrusage(): that counts what a process was before its execve(), too. */
bool memory_use_of(pid_t pid, struct memory_use *out)
{
    static const char *const keys[] = {"VmHWM: %lu", "RssAnon: %lu", "RssFile: %lu"};
    unsigned long values[3] = {0};
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *in = fopen(path, "re");
    if (!in)
        return false;
    while (fgets(line, sizeof line, in))
        for (int i = 0; i < 3; i++)
            (void)sscanf(line, keys[i], &values[i]);
    fclose(in);
    *out = (struct memory_use){.peak = (uint64_t)values[0] << 10,
                               .anonymous = (uint64_t)values[1] << 10,
                               .file = (uint64_t)values[2] << 10};
    return values[0] > 0;
}

json_t *measurement(const char *what, const struct stopwatch *taken)
{
    struct memory_use memory = {0};
    memory_use_of(getpid(), &memory);
    return json_pack("{s:s, s:f, s:f, s:I}", "what", what, "wall", taken->wall, "cpu", taken->cpu,
                     "peak", (json_int_t)memory.peak);
}

void add_count(json_t *m, const char *key, uint64_t value)
{
    json_object_set_new(m, key, json_integer((json_int_t)value));
}

void print_measurement(json_t *m)
{
    json_dumpf(m, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    fflush(stdout);
    json_decref(m);
}

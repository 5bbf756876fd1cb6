#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command {
    const char *name;
    int min, max; /* arguments */
    int (*run)(char **arguments, struct error *err);
    const char *arguments, *help;
} commands[] = {
    {"prepare", 2, 2, bench_prepare, "LAYOUT SPOOL", "prepare the layers of an image"},
    {"stream", 3, 3, bench_stream, "LAYOUT SPOOL OUT",
     "plan prepared layers for an empty repository and write the commit stream to OUT"},
    {"links", 3, 3, bench_links, "LAYOUT SPOOL OUT",
     "the same for a repository that holds the layers: one flat tree of links"},
    {"merge", 2, 2, bench_merge, "LAYOUT SPOOL", "merge the prepared layers"},
    {"index-open", 2, 2, bench_index_open, "LAYOUT SPOOL", "open the indexes, and check them"},
    {"pipe", 1, 1, bench_pipe, "FILE", "move a file into a pipe, in several ways"},
    {"synthetic", 1, 2, bench_synthetic, "N [BYTES]", "write the tar of a layer of N entries"},
    {"child", 1, 1000, bench_child, "COMMAND...", "run a command, and say what it took"},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static int usage(void)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(stderr, "ducc_bench %s %s\n        %s\n", commands[i].name, commands[i].arguments,
                commands[i].help);
    return 2;
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    for (size_t i = 0; argc > 1 && i < COMMAND_COUNT; i++) {
        const struct command *c = &commands[i];
        if (strcmp(c->name, argv[1]) != 0 || argc - 2 < c->min || argc - 2 > c->max)
            continue;
        if (c->run(argv + 2, &err) == 0)
            return 0;
        fprintf(stderr, "ducc_bench %s: %s\n", c->name, err.message);
        error_release(&err);
        return 1;
    }
    return usage();
}

/*
 * The tar of a layer with many entries and little content, on standard output: what costs memory
 * and time per entry. Names are about as long and as deep as in a real image (60 bytes, 6 levels);
 * one entry in 16 is a directory, one a symlink.
 */
#include "tests/bench/bench.h"

#include "base/memory.h"
#include "layers/tar_writer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUP 16 /* entries of one directory, itself included */

static char *directory_of(unsigned long group)
{
    return xasprintf("usr/lib/python3/dist-packages/package-%05lu/module-%02lu", group / 64,
                     group % 64);
}

static int add_entry(struct tar_writer *tar, unsigned long n, struct error *err)
{
    _cleanup_free_ char *dir = directory_of(n / GROUP);
    _cleanup_free_ char *path = xasprintf("%s/file_%lu.py", dir, n);
    _cleanup_free_ char *content = xasprintf("content of %lu\n", n);
    struct tar_member m = {.path = path, .mode = 0644, .mtime = 1600000000};
    switch (n % GROUP) {
    case 0:
        m.type = TAR_DIRECTORY;
        m.path = dir;
        m.mode = 0755;
        break;
    case 1:
        m.type = TAR_SYMLINK;
        m.link = "../module-00/file_2.py";
        break;
    default:
        m.type = TAR_FILE;
        m.size = strlen(content);
    }
    if (tar_writer_member(tar, &m, err) < 0)
        return -1;
    return m.type == TAR_FILE ? tar_writer_bytes(tar, content, m.size, err) : 0;
}

int bench_synthetic(char **arguments, struct error *err)
{
    unsigned long count = strtoul(arguments[0], NULL, 10);
    _cleanup_tar_writer_ struct tar_writer *tar = tar_writer_new(STDOUT_FILENO);
    for (unsigned long n = 0; n < count; n++)
        if (add_entry(tar, n, err) < 0)
            return -1;
    return tar_writer_finish(tar, err);
}

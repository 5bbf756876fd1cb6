/*
 * The tar of a layer with many entries, on standard output: what costs memory and time per entry.
 * Names are about as long and as deep as in a real image (60 bytes, 6 levels); one entry in 16 is a
 * directory, one a symlink. No two files have the same content: a line, repeated up to so many
 * bytes.
 */
#include "tests/bench/bench.h"

#include "base/buf.h"
#include "base/memory.h"
#include "layers/tar_writer.h"

#include <stdlib.h>
#include <unistd.h>

#define GROUP 16 /* entries of one directory, itself included */

static char *directory_of(unsigned long group)
{
    return xasprintf("usr/lib/python3/dist-packages/package-%05lu/module-%02lu", group / 64,
                     group % 64);
}

static void fill(struct buf *content, unsigned long n, size_t bytes)
{
    buf_truncate(content, 0);
    do
        buf_addf(content, "content of %lu\n", n);
    while (content->len < bytes);
}

static int add_entry(struct tar_writer *tar, unsigned long n, struct buf *content, size_t bytes,
                     struct error *err)
{
    _cleanup_free_ char *dir = directory_of(n / GROUP);
    _cleanup_free_ char *path = xasprintf("%s/file_%lu.py", dir, n);
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
        fill(content, n, bytes);
        m.size = content->len;
    }
    if (tar_writer_member(tar, &m, err) < 0)
        return -1;
    return m.type == TAR_FILE ? tar_writer_bytes(tar, content->data, m.size, err) : 0;
}

int bench_synthetic(char **arguments, struct error *err)
{
    unsigned long count = strtoul(arguments[0], NULL, 10);
    size_t bytes = arguments[1] ? strtoul(arguments[1], NULL, 10) : 0;
    _cleanup_buf_ struct buf content = BUF_INIT;
    _cleanup_tar_writer_ struct tar_writer *tar = tar_writer_new(STDOUT_FILENO);
    for (unsigned long n = 0; n < count; n++)
        if (add_entry(tar, n, &content, bytes, err) < 0)
            return -1;
    return tar_writer_finish(tar, err);
}

#include "layers/decompress.h"

#include "base/memory.h"
#include "layers/gunzip.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define INPUT_SIZE     ((size_t)256 * 1024)
#define BEGINNING_SIZE 512

struct decompressor {
    int fd;
    char *input;
    size_t start, end; /* unread bytes of the input */
    bool eof;
    bool in_stream; /* inside a gzip member or zstd frame */
    ssize_t (*step)(struct decompressor *d, char *bytes, size_t size, struct error *err);
    struct gunzip *gunzip;
    ZSTD_DStream *zstd;
};

/* Read behind what the input holds. */
static int read_more(struct decompressor *d, struct error *err)
{
    ssize_t n;
    do
        n = read(d->fd, d->input + d->end, INPUT_SIZE - d->end);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_set_errno(err, ERROR_IO, errno, "cannot read the blob from the spool");
    d->end += (size_t)n;
    d->eof = n == 0;
    return 0;
}

/* 1 if the input holds bytes, 0 at the end of the file. */
static int refill(struct decompressor *d, struct error *err)
{
    if (d->start < d->end)
        return 1;
    if (!d->eof) {
        d->start = d->end = 0;
        if (read_more(d, err) < 0)
            return -1;
    }
    return d->start < d->end;
}

/* As much as choose() looks at. */
static int read_beginning(struct decompressor *d, struct error *err)
{
    while (!d->eof && d->end < BEGINNING_SIZE)
        if (read_more(d, err) < 0)
            return -1;
    return 0;
}

static ssize_t step_plain(struct decompressor *d, char *bytes, size_t size, struct error *err)
{
    int more = refill(d, err);
    if (more <= 0)
        return more;
    size_t n = d->end - d->start < size ? d->end - d->start : size;
    memcpy(bytes, d->input + d->start, n);
    d->start += n;
    return (ssize_t)n;
}

/* Some writers pad a blob with zeros behind the last gzip member. */
static bool only_zeros_left(struct decompressor *d)
{
    struct error ignored = ERROR_INIT;
    while (refill(d, &ignored) > 0) {
        for (; d->start < d->end; d->start++)
            if (d->input[d->start] != 0)
                return false;
    }
    error_release(&ignored);
    return true;
}

static ssize_t step_gzip(struct decompressor *d, char *bytes, size_t size, struct error *err)
{
    int more = refill(d, err);
    if (more < 0)
        return -1;
    if (!d->in_stream) {
        if (more == 0 || (d->input[d->start] == 0 && only_zeros_left(d)))
            return 0;
        if (d->input[d->start] != '\x1f')
            return error_set(err, ERROR_CORRUPT, "the gzip data is damaged: bytes behind its end");
        gunzip_begin_member(d->gunzip);
        d->in_stream = true;
    }
    /* At the end of the input the decoder may still hold bytes. */
    const char *in = d->input + d->start;
    bool ended = false;
    ssize_t n = gunzip_read(d->gunzip, &in, d->input + d->end, bytes, size, &ended, err);
    if (n < 0)
        return -1;
    d->start = (size_t)(in - d->input);
    d->in_stream = !ended;
    if (n == 0 && more == 0 && d->in_stream)
        return error_set(err, ERROR_CORRUPT, "the gzip data ends early");
    return n;
}

static ssize_t step_zstd(struct decompressor *d, char *bytes, size_t size, struct error *err)
{
    int more = refill(d, err);
    if (more < 0)
        return -1;
    /* At the end of the input the decoder may still hold bytes. */
    ZSTD_inBuffer in = {d->input, d->end, d->start};
    ZSTD_outBuffer out = {bytes, size, 0};
    size_t result = ZSTD_decompressStream(d->zstd, &out, &in);
    if (ZSTD_isError(result))
        return error_set(err, ERROR_CORRUPT, "the zstd data is damaged: %s",
                         ZSTD_getErrorName(result));
    d->start = in.pos;
    if (more > 0)
        d->in_stream = result != 0;
    else if (out.pos == 0 && d->in_stream)
        return error_set(err, ERROR_CORRUPT, "the zstd data ends early");
    return (ssize_t)out.pos;
}

ssize_t decompressor_read(struct decompressor *d, void *bytes, size_t size, struct error *err)
{
    for (;;) {
        bool at_end = d->eof && d->start == d->end;
        ssize_t n = d->step(d, bytes, size, err);
        /* A step may consume input (a header) without making output. */
        if (n != 0 || at_end)
            return n;
    }
}

static int choose(struct decompressor *d, struct error *err)
{
    static const struct {
        const char *magic;
        size_t len;
        const char *name;
    } refused[] = {{"\xfd"
                    "7zXZ\0",
                    6, "xz"},
                   {"BZh", 3, "bzip2"}};
    const char *p = d->input;
    size_t len = d->end;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (len >= refused[i].len && memcmp(p, refused[i].magic, refused[i].len) == 0 &&
            !(len >= BEGINNING_SIZE && memcmp(p + 257, "ustar", 5) == 0))
            return error_set(err, ERROR_UNSUPPORTED,
                             "compressed with %s; expected gzip, zstd or none", refused[i].name);
    if (len >= 2 && memcmp(p, "\x1f\x8b", 2) == 0) {
        d->gunzip = gunzip_new();
        d->step = step_gzip;
    } else if (len >= 4 && (memcmp(p, "\x28\xb5\x2f\xfd", 4) == 0 ||
                            (memcmp(p + 1, "\x2a\x4d\x18", 3) == 0 && (p[0] & 0xf0) == 0x50))) {
        d->zstd = ZSTD_createDStream();
        /* The window decides how much memory a frame makes us use: 128 MiB, zstd's own default. */
        if (!d->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, 27)))
            abort();
        d->step = step_zstd;
    } else {
        d->step = step_plain;
    }
    return 0;
}

struct decompressor *decompressor_new(int fd, struct error *err)
{
    struct decompressor *d = xcalloc(1, sizeof *d);
    d->fd = fd;
    d->input = xmalloc(INPUT_SIZE);
    if (read_beginning(d, err) < 0 || choose(d, err) < 0) {
        decompressor_free(d);
        return NULL;
    }
    return d;
}

void decompressor_free(struct decompressor *d)
{
    if (!d)
        return;
    gunzip_free(d->gunzip);
    ZSTD_freeDStream(d->zstd);
    free(d->input);
    free(d);
}

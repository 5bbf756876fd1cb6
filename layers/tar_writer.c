#include "layers/tar_writer.h"

#include "base/cancel.h"
#include "base/file.h"
#include "base/memory.h"
#include "layers/tar_format.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define BUFFER_SIZE ((size_t)1 << 20)
/* Where in a block each write ends but the last, which is too short for a pipe to take in parts. A
 * long write is taken by pages, each of whole blocks: any part of it that gets through ends in the
 * middle of a block, too. */
#define HALF_BLOCK (TAR_BLOCK_SIZE / 2)

struct tar_writer {
    int fd;
    char *buffer;
    size_t used;
    uint64_t count;
    uint64_t written; /* bytes that have left the buffer */
    _Atomic uint64_t *told;
    bool broken;
};

struct tar_writer *tar_writer_new(int fd)
{
    struct tar_writer *w = xcalloc(1, sizeof *w);
    w->fd = fd;
    w->buffer = xmalloc(BUFFER_SIZE);
    return w;
}

void tar_writer_free(struct tar_writer *w)
{
    if (!w)
        return;
    free(w->buffer);
    free(w);
}

void tar_writer_tell(struct tar_writer *w, _Atomic uint64_t *written)
{
    w->told = written;
}

bool tar_writer_broken(const struct tar_writer *w)
{
    return w->broken;
}

uint64_t tar_writer_count(const struct tar_writer *w)
{
    return w->count;
}

static int write_out(struct tar_writer *w, size_t start, size_t len, struct error *err)
{
    if (file_write_all(w->fd, w->buffer + start, len) == 0) {
        w->written += len;
        if (w->told)
            atomic_store(w->told, w->written);
        return 0;
    }
    w->broken = errno == EPIPE;
    return error_set_errno(err, ERROR_IO, errno, "cannot write the tar stream");
}

/* The buffer, which holds a block or more, but for what would not end in the middle of a block. */
static int flush(struct tar_writer *w, struct error *err)
{
    size_t keep = (size_t)((w->written + w->used + HALF_BLOCK) % TAR_BLOCK_SIZE);
    /* The first write is half a block, and shifts the others off the boundary. */
    size_t start = w->written ? 0 : HALF_BLOCK;
    if (cancel_check(err) < 0 || (start > 0 && write_out(w, 0, start, err) < 0) ||
        write_out(w, start, w->used - keep - start, err) < 0)
        return -1;
    memmove(w->buffer, w->buffer + w->used - keep, keep);
    w->used = keep;
    return 0;
}

static int add(struct tar_writer *w, const void *bytes, size_t len, struct error *err)
{
    w->count += len;
    while (len > 0) {
        if (w->used == BUFFER_SIZE && flush(w, err) < 0)
            return -1;
        size_t n = BUFFER_SIZE - w->used < len ? BUFFER_SIZE - w->used : len;
        memcpy(w->buffer + w->used, bytes, n);
        w->used += n;
        bytes = (const char *)bytes + n;
        len -= n;
    }
    return 0;
}

static int pad(struct tar_writer *w, uint64_t size, struct error *err)
{
    static const char zeros[TAR_BLOCK_SIZE];
    return add(w, zeros, (size_t)(tar_padded(size) - size), err);
}

/* Octal with a NUL behind it, or base-256 where that is too small (GNU tar manual, "Basic Tar
 * Format"). */
static void put_number(char *field, size_t size, int64_t value)
{
    if (value >= 0 && (uint64_t)value >> (3 * (size - 1)) == 0) {
        for (size_t i = size - 1; i-- > 0; value >>= 3)
            field[i] = (char)('0' + (value & 7));
        field[size - 1] = '\0';
        return;
    }
    for (size_t i = size; i-- > 0; value >>= 8)
        field[i] = (char)(value & 0xff);
    field[0] = (char)(field[0] | 0x80);
}

static void put_checksum(struct tar_header *h)
{
    unsigned sum = 0;
    memset(h->checksum, ' ', sizeof h->checksum);
    for (size_t i = 0; i < sizeof *h; i++)
        sum += ((const unsigned char *)h)[i];
    put_number(h->checksum, 7, sum); /* six digits, NUL, and the blank that stays */
}

static const char magic_gnu[8] = {'u', 's', 't', 'a', 'r', ' ', ' ', '\0'};

/* A GNU entry whose content is the name that its field cannot hold. */
static int put_long_name(struct tar_writer *w, char typeflag, const char *name, struct error *err)
{
    size_t len = strlen(name) + 1;
    struct tar_header h = {.name = "././@LongLink", .typeflag = typeflag};
    put_number(h.mode, sizeof h.mode, 0644);
    put_number(h.uid, sizeof h.uid, 0);
    put_number(h.gid, sizeof h.gid, 0);
    put_number(h.size, sizeof h.size, (int64_t)len);
    put_number(h.mtime, sizeof h.mtime, 0);
    memcpy(h.magic, magic_gnu, sizeof h.magic);
    put_checksum(&h);
    if (add(w, &h, sizeof h, err) < 0 || add(w, name, len, err) < 0)
        return -1;
    return pad(w, len, err);
}

static int put_name(struct tar_writer *w, char field[100], char typeflag, const char *name,
                    struct error *err)
{
    size_t len = strlen(name);
    memcpy(field, name, len < 100 ? len : 100);
    return len > 100 ? put_long_name(w, typeflag, name, err) : 0;
}

int tar_writer_member(struct tar_writer *w, const struct tar_member *m, struct error *err)
{
    static const char typeflags[] = {
        [TAR_FILE] = '0',  [TAR_HARD_LINK] = '1', [TAR_SYMLINK] = '2', [TAR_CHAR] = '3',
        [TAR_BLOCK] = '4', [TAR_DIRECTORY] = '5', [TAR_FIFO] = '6'};
    struct tar_header h = {.typeflag = typeflags[m->type]};
    if (put_name(w, h.name, 'L', m->path, err) < 0 ||
        (m->link && put_name(w, h.link, 'K', m->link, err) < 0))
        return -1;
    put_number(h.mode, sizeof h.mode, m->mode);
    put_number(h.uid, sizeof h.uid, m->uid);
    put_number(h.gid, sizeof h.gid, m->gid);
    put_number(h.size, sizeof h.size, m->type == TAR_FILE ? (int64_t)m->size : 0);
    put_number(h.mtime, sizeof h.mtime, m->mtime);
    memcpy(h.magic, magic_gnu, sizeof h.magic);
    if (m->type == TAR_CHAR || m->type == TAR_BLOCK) {
        put_number(h.major, sizeof h.major, m->major);
        put_number(h.minor, sizeof h.minor, m->minor);
    }
    put_checksum(&h);
    return add(w, &h, sizeof h, err);
}

int tar_writer_bytes(struct tar_writer *w, const void *bytes, size_t len, struct error *err)
{
    if (add(w, bytes, len, err) < 0)
        return -1;
    return pad(w, len, err);
}

int tar_writer_file(struct tar_writer *w, int fd, uint64_t offset, uint64_t size, struct error *err)
{
    for (uint64_t left = size; left > 0;) {
        if (w->used == BUFFER_SIZE && flush(w, err) < 0)
            return -1;
        size_t n = BUFFER_SIZE - w->used;
        if (n > left)
            n = (size_t)left;
        if (file_pread_all(fd, w->buffer + w->used, n, (off_t)(offset + size - left)) < 0)
            return error_set_errno(err, ERROR_IO, errno, "cannot read a layer's data in the spool");
        w->used += n;
        w->count += n;
        left -= n;
    }
    return pad(w, size, err);
}

int tar_writer_finish(struct tar_writer *w, struct error *err)
{
    static const char zeros[2 * TAR_BLOCK_SIZE];
    if (add(w, zeros, sizeof zeros, err) < 0)
        return -1;
    if (flush(w, err) < 0 || write_out(w, 0, w->used, err) < 0)
        return -1;
    w->used = 0;
    return 0;
}

void tar_writer_spoil(struct tar_writer *w)
{
    /* Whatever comes before it, half a block is no end of an archive. */
    struct error ignored = ERROR_INIT;
    size_t len = w->used < HALF_BLOCK ? w->used : HALF_BLOCK;
    if (w->written == 0 && write_out(w, 0, len, &ignored) < 0)
        error_release(&ignored);
    w->used = 0;
}

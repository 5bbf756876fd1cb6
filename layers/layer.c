#include "layers/layer.h"

#include "base/cancel.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/path.h"
#include "layers/decompress.h"
#include "layers/layer_builder.h"
#include "layers/read_ahead.h"
#include "layers/tar_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_SIZE       ((size_t)1 << 20)
#define PROGRESS_ENTRIES 256
#define AHEAD_MIN_BYTES  ((off_t)1 << 20) /* of a blob for which a thread is worth making */

struct prepare {
    struct spool *spool;
    const struct prepare_options *options;
    uint64_t max_bytes;
    /* Of the thread that reads ahead, until it has come to the end. */
    struct decompressor *decompressor;
    struct hasher *diff_hasher;
    uint64_t diff_size;
    /* Of this thread. */
    struct read_ahead *ahead;
    struct hasher *content_hasher;
    struct layer_builder *builder;
    uint64_t read; /* of the tar */
    int data_fd;
    uint64_t data_size; /* bytes given to the data file, */
    uint64_t written;   /* and those that are in it, not in the buffer */
    char *buffer;
    size_t buffered;
    uint64_t entries;
};

/* Every byte of the tar passes the diff id's hasher. */
static ssize_t read_diff(void *arg, void *bytes, size_t size, struct error *err)
{
    struct prepare *p = arg;
    ssize_t n = decompressor_read(p->decompressor, bytes, size, err);
    if (n <= 0)
        return n;
    hasher_update(p->diff_hasher, bytes, (size_t)n);
    p->diff_size += (uint64_t)n;
    if (p->diff_size > p->max_bytes)
        return error_set(err, ERROR_LIMIT, "unpacks to more than %llu bytes",
                         (unsigned long long)p->max_bytes);
    return n;
}

/* The tar reader's source. */
static ssize_t read_tar(void *arg, void *bytes, size_t size, struct error *err)
{
    struct prepare *p = arg;
    ssize_t n = read_ahead_read(p->ahead, bytes, size, err);
    p->read += n > 0 ? (uint64_t)n : 0;
    return n;
}

static int flush_data(struct prepare *p, struct error *err)
{
    if (p->buffered == 0)
        return 0;
    if (spool_charge(p->spool, p->buffered, err) < 0)
        return -1;
    if (file_write_all(p->data_fd, p->buffer, p->buffered) < 0) {
        int saved = errno;
        spool_credit(p->spool, p->buffered);
        error_set_errno(err, ERROR_IO, saved, "cannot write to the spool %s", p->spool->dir);
        return err->kind == ERROR_LIMIT
                   ? error_wrap(err, "make room there, or give another place with --spool")
                   : -1;
    }
    p->written += p->buffered;
    p->buffered = 0;
    return 0;
}

static int append_data(struct prepare *p, const char *bytes, size_t len, struct error *err)
{
    p->data_size += len;
    if (p->data_size > p->max_bytes)
        return error_set(err, ERROR_LIMIT, "unpacks to more than %llu bytes",
                         (unsigned long long)p->max_bytes);
    while (len > 0) {
        size_t n = WRITE_SIZE - p->buffered < len ? WRITE_SIZE - p->buffered : len;
        memcpy(p->buffer + p->buffered, bytes, n);
        p->buffered += n;
        bytes += n;
        len -= n;
        if (p->buffered == WRITE_SIZE && flush_data(p, err) < 0)
            return -1;
    }
    return 0;
}

static int store_content(struct prepare *p, struct tar_reader *reader, struct content *out,
                         struct error *err)
{
    const void *bytes;
    size_t len;
    int more;
    out->offset = p->data_size;
    out->size = 0;
    while ((more = tar_reader_data(reader, &bytes, &len, err)) > 0) {
        hasher_update(p->content_hasher, bytes, len);
        if (append_data(p, bytes, len, err) < 0)
            return -1;
        out->size += len;
    }
    struct digest hash = hasher_finish(p->content_hasher);
    memcpy(out->hash, hash.bytes, sizeof out->hash);
    return more;
}

static int store_entries(struct prepare *p, struct error *err)
{
    _cleanup_tar_reader_ struct tar_reader *reader = tar_reader_new(read_tar, p);
    struct tar_entry entry;
    int more;
    while ((more = tar_reader_next(reader, &entry, err)) > 0) {
        struct content content = {0};
        if (entry.type == TAR_FILE && store_content(p, reader, &content, err) < 0)
            return -1;
        if (layer_builder_add(p->builder, &entry, &content, err) < 0 || cancel_check(err) < 0)
            return -1;
        if (++p->entries % PROGRESS_ENTRIES == 0 && p->options->progress)
            p->options->progress(p->options->arg, p->entries, p->read);
    }
    return more;
}

/* The diff id covers what stands behind the archive's end, too. */
static int read_to_end(struct prepare *p, struct error *err)
{
    ssize_t n;
    while ((n = read_tar(p, p->buffer, WRITE_SIZE, err)) > 0)
        if (cancel_check(err) < 0)
            return -1;
    return (int)n;
}

static int write_index(struct prepare *p, const char *dir, uint64_t compressed, struct error *err)
{
    struct digest diff_id = hasher_finish(p->diff_hasher);
    struct layer_index_header header = {.data_size = p->data_size,
                                        .compressed_size = compressed,
                                        .diff_size = p->diff_size,
                                        .diff_algorithm = (uint32_t)diff_id.algorithm};
    memcpy(header.diff_id, diff_id.bytes, sizeof header.diff_id);
    _cleanup_free_ char *path = path_join(dir, "index");
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot create", path);
    return layer_builder_write(p->builder, &header, fd, err);
}

static int prepare_into(struct prepare *p, int blob_fd, const char *dir, struct error *err)
{
    struct stat st;
    _cleanup_free_ char *data = path_join(dir, "data");
    p->data_fd = open(data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (p->data_fd < 0 || fstat(blob_fd, &st) < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot create", data);
    p->decompressor = decompressor_new(blob_fd, err);
    if (!p->decompressor)
        return -1;
    p->ahead = read_ahead_new(read_diff, p, st.st_size >= AHEAD_MIN_BYTES && processor_count() > 1);
    if (store_entries(p, err) < 0 || flush_data(p, err) < 0 || read_to_end(p, err) < 0 ||
        write_index(p, dir, (uint64_t)st.st_size, err) < 0)
        return -1;
    if (p->options->progress)
        p->options->progress(p->options->arg, p->entries, p->read);
    return 0;
}

static int prepare_and_place(struct prepare *p, const char *blob_path, const char *place,
                             struct error *err)
{
    _cleanup_free_ char *temporary = xasprintf("%s.tmp", place);
    _cleanup_close_ int blob_fd = open(blob_path, O_RDONLY | O_CLOEXEC);
    if (blob_fd < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot open", blob_path);
    if (tree_remove(temporary, err) < 0 || dir_make(temporary, 0700, err) < 0)
        return -1;
    int result = prepare_into(p, blob_fd, temporary, err);
    if (result == 0 && rename(temporary, place) < 0)
        result = error_set_errno(err, ERROR_IO, errno, "%s: cannot rename", temporary);
    if (result < 0) {
        struct error ignored = ERROR_INIT;
        spool_credit(p->spool, p->written);
        if (tree_remove(temporary, &ignored) < 0) /* left for the next run to remove */
            error_release(&ignored);
    }
    return result;
}

int layer_prepare(struct spool *spool, const struct digest *blob,
                  const struct prepare_options *options, struct error *err)
{
    struct prepare p = {.spool = spool,
                        .options = options,
                        .diff_hasher = hasher_new(options->diff_algorithm),
                        .content_hasher = hasher_new(DIGEST_SHA256),
                        .builder = layer_builder_new(),
                        .max_bytes = options->max_bytes ? options->max_bytes : LIMIT_LAYER_BYTES,
                        .data_fd = -1,
                        .buffer = xmalloc(WRITE_SIZE)};
    _cleanup_free_ char *blob_path = spool_blob_path(spool, blob);
    _cleanup_free_ char *place = spool_layer_path(spool, blob);
    int result = prepare_and_place(&p, blob_path, place, err);
    if (result == 0)
        spool_drop_blob(spool, blob);
    else
        error_wrap(err, "layer %s", digest_text(blob).s);
    read_ahead_free(p.ahead);
    decompressor_free(p.decompressor);
    hasher_free(p.diff_hasher);
    hasher_free(p.content_hasher);
    layer_builder_free(p.builder);
    if (p.data_fd >= 0)
        close(p.data_fd);
    free(p.buffer);
    return result;
}

int layer_open(const struct spool *spool, const struct digest *blob, struct layer *out,
               struct error *err)
{
    _cleanup_free_ char *dir = spool_layer_path(spool, blob);
    _cleanup_free_ char *index = path_join(dir, "index");
    _cleanup_free_ char *data = path_join(dir, "data");
    struct layer layer = {.blob = *blob, .data_fd = -1};
    if (layer_index_open(index, false, &layer.index, err) < 0)
        return -1;
    layer.data_fd = open(data, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (layer.data_fd < 0 && errno != ENOENT) {
        error_set_errno(err, ERROR_IO, errno, "%s: cannot open", data);
    } else if (layer.data_fd >= 0 && (fstat(layer.data_fd, &st) < 0 ||
                                      (uint64_t)st.st_size != layer.index.header->data_size)) {
        error_set(err, ERROR_CORRUPT, "%s: not the size its index says", data);
    } else {
        *out = layer;
        return 0;
    }
    layer_release(&layer);
    return -1;
}

int layer_adopt_index(struct spool *spool, const struct digest *blob, const char *index_path,
                      struct error *err)
{
    struct layer_index checked;
    if (layer_index_open(index_path, true, &checked, err) < 0)
        return -1;
    _cleanup_free_ char *dir = spool_layer_path(spool, blob);
    _cleanup_free_ char *index = path_join(dir, "index");
    int result = dir_make(dir, 0700, err);
    if (result == 0)
        result = file_write(index, checked.map, checked.map_size, 0600, err);
    layer_index_release(&checked);
    return result;
}

void layer_release(struct layer *layer)
{
    layer_index_release(&layer->index);
    if (layer->data_fd >= 0)
        close(layer->data_fd);
    layer->data_fd = -1;
}

static int memory_file(const char *name, const void *bytes, size_t len, struct error *err)
{
    _cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0 || (len > 0 && file_write_all(fd, bytes, len) < 0))
        return error_set_errno(err, ERROR_IO, errno, "cannot make a file in memory");
    return TAKE_FD(fd);
}

int layer_from_memory(struct layer_builder *builder, const struct layer_index_header *about,
                      const void *data, size_t len, struct layer *out, struct error *err)
{
    _cleanup_layer_builder_ struct layer_builder *b = builder;
    struct layer layer = {.data_fd = -1};
    struct layer_index_header header = {.diff_algorithm = DIGEST_SHA256};
    if (about)
        header = *about;
    if (data)
        header.data_size = len;
    _cleanup_close_ int index_fd = memory_file("index", "", 0, err);
    if (index_fd < 0 || layer_builder_write(b, &header, index_fd, err) < 0)
        return -1;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", index_fd);
    if (layer_index_open(path, false, &layer.index, err) < 0)
        return -1;
    layer.data_fd = memory_file("data", data, len, err);
    if (layer.data_fd < 0) {
        layer_release(&layer);
        return -1;
    }
    *out = layer;
    return 0;
}

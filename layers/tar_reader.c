#include "layers/tar_reader.h"

#include "base/limits.h"
#include "base/memory.h"
#include "layers/tar_format.h"
#include "layers/tar_sparse.h"

#include <string.h>

#define READ_SIZE ((size_t)256 * 1024)

struct tar_reader {
    tar_read_fn read;
    void *arg;
    char *buffer;
    size_t start, end; /* unread bytes of the buffer */
    uint64_t position; /* of buffer[start] in the archive */
    bool eof;

    uint64_t stored;  /* bytes of the entry's content still in the stream */
    uint64_t padding; /* zeros behind them */
    uint64_t logical; /* bytes of the content still to be delivered */
    uint64_t delivered;
    bool sparse;
    struct tar_sparse map;

    /* What extended headers said of the next entry. */
    struct buf name, link, xattrs;
    bool has_name, has_link, has_size, has_uid, has_gid, has_mtime, has_real_size;
    bool has_sparse_name; /* GNU.sparse.name: then "path" is made up, in whatever order they come */
    uint64_t size, uid, gid, real_size;
    int64_t mtime;
    uint32_t mtime_nsec;
    int sparse_major, sparse_minor; /* of GNU.sparse 1.0 */
};

struct tar_reader *tar_reader_new(tar_read_fn read, void *arg)
{
    struct tar_reader *r = xcalloc(1, sizeof *r);
    r->read = read;
    r->arg = arg;
    r->buffer = xmalloc(READ_SIZE);
    r->name = r->link = r->xattrs = (struct buf)BUF_INIT;
    return r;
}

void tar_reader_free(struct tar_reader *r)
{
    if (!r)
        return;
    buf_release(&r->name);
    buf_release(&r->link);
    buf_release(&r->xattrs);
    tar_sparse_release(&r->map);
    free(r->buffer);
    free(r);
}

static int parse_error(const struct tar_reader *r, struct error *err, const char *what)
{
    return error_set(err, ERROR_PARSE, "tar: offset %llu: %s", (unsigned long long)r->position,
                     what);
}

/* Make at least one byte available. 0 at the end of the stream. */
static int fill(struct tar_reader *r, struct error *err)
{
    if (r->start < r->end)
        return 1;
    if (r->eof)
        return 0;
    ssize_t n = r->read(r->arg, r->buffer, READ_SIZE, err);
    if (n < 0)
        return -1;
    r->start = 0;
    r->end = (size_t)n;
    r->eof = n == 0;
    return n > 0;
}

static void consume(struct tar_reader *r, size_t n)
{
    r->start += n;
    r->position += n;
}

static int skip(struct tar_reader *r, uint64_t count, struct error *err)
{
    while (count > 0) {
        int more = fill(r, err);
        if (more < 0)
            return -1;
        if (more == 0)
            return parse_error(r, err, "the archive ends in the middle of an entry");
        size_t n = r->end - r->start;
        if (n > count)
            n = (size_t)count;
        consume(r, n);
        count -= n;
    }
    return 0;
}

/* The zeros behind a content: 1, 0 when the stream ends in them, -1. */
static int skip_padding(struct tar_reader *r, struct error *err)
{
    while (r->padding > 0) {
        int more = fill(r, err);
        if (more <= 0)
            return more;
        size_t n = r->end - r->start;
        if (n > r->padding)
            n = (size_t)r->padding;
        consume(r, n);
        r->padding -= n;
    }
    return 1;
}

/* 1, 0 when the stream ends before the first byte, -1. */
static int read_block(struct tar_reader *r, void *block, struct error *err)
{
    size_t have = 0;
    while (have < TAR_BLOCK_SIZE) {
        int more = fill(r, err);
        if (more < 0)
            return -1;
        if (more == 0)
            return have == 0 ? 0
                             : parse_error(r, err, "the archive ends in the middle of a header");
        size_t n = r->end - r->start;
        if (n > TAR_BLOCK_SIZE - have)
            n = TAR_BLOCK_SIZE - have;
        memcpy((char *)block + have, r->buffer + r->start, n);
        consume(r, n);
        have += n;
    }
    return 1;
}

/* For tar_sparse.c: the map of a sparse file lies in blocks of the stream. */
static int read_map_block(void *arg, void *block, struct error *err)
{
    struct tar_reader *r = arg;
    if (r->stored < TAR_BLOCK_SIZE)
        return parse_error(r, err, "sparse file: its map is longer than its content");
    int more = read_block(r, block, err);
    if (more == 0)
        return parse_error(r, err, "the archive ends in the middle of a sparse map");
    r->stored -= TAR_BLOCK_SIZE;
    return more;
}

static int read_extension_block(void *arg, void *block, struct error *err)
{
    struct tar_reader *r = arg;
    int more = read_block(r, block, err);
    return more == 0 ? parse_error(r, err, "the archive ends in the middle of a sparse map") : more;
}

/* ---- numbers ---- */

/* Octal, or base-256 when the first byte's top bit is set (GNU, star). */
static int parse_number(const struct tar_reader *r, const char *field, size_t size,
                        const char *what, int64_t *out, struct error *err)
{
    const unsigned char *p = (const unsigned char *)field;
    if (p[0] & 0x80) {
        bool negative = p[0] & 0x40;
        uint64_t value = negative ? UINT64_MAX : 0;
        for (size_t i = 0; i < size; i++) {
            unsigned byte = i == 0 ? (negative ? p[0] | 0x80u : p[0] & 0x7fu) : p[i];
            if (i + 8 < size && byte != (negative ? 0xffu : 0u))
                return parse_error(r, err, what);
            value = value << 8 | byte;
        }
        if ((value >> 63) != (uint64_t)negative)
            return parse_error(r, err, what);
        *out = (int64_t)value;
        return 0;
    }
    size_t i = 0;
    while (i < size && p[i] == ' ')
        i++;
    uint64_t value = 0;
    for (; i < size && p[i] >= '0' && p[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(p[i] - '0');
    if (i < size && p[i] != ' ' && p[i] != '\0')
        return parse_error(r, err, what);
    *out = (int64_t)value;
    return 0;
}

static bool checksum_matches(const struct tar_reader *r, const struct tar_header *h)
{
    const unsigned char *p = (const unsigned char *)h;
    int64_t as_unsigned = 0, as_signed = 0, stated;
    for (size_t i = 0; i < TAR_BLOCK_SIZE; i++) {
        bool blank = i >= offsetof(struct tar_header, checksum) &&
                     i < offsetof(struct tar_header, checksum) + sizeof h->checksum;
        as_unsigned += blank ? ' ' : p[i];
        as_signed += blank ? ' ' : (signed char)p[i];
    }
    _cleanup_error_ struct error ignored = ERROR_INIT;
    if (parse_number(r, h->checksum, sizeof h->checksum, "checksum", &stated, &ignored) < 0)
        return false;
    return stated == as_unsigned || stated == as_signed;
}

static bool is_zero_block(const void *block)
{
    const char *p = block;
    return p[0] == '\0' && memcmp(p, p + 1, TAR_BLOCK_SIZE - 1) == 0;
}

/* ---- extended headers ---- */

static void forget_extensions(struct tar_reader *r)
{
    buf_truncate(&r->name, 0);
    buf_truncate(&r->link, 0);
    buf_truncate(&r->xattrs, 0);
    tar_sparse_clear(&r->map);
    r->has_name = r->has_link = r->has_size = r->has_uid = r->has_gid = false;
    r->has_mtime = r->has_real_size = r->has_sparse_name = r->sparse = false;
    r->sparse_major = r->sparse_minor = 0;
}

static int read_extension(struct tar_reader *r, uint64_t size, struct buf *out, struct error *err)
{
    if (size > LIMIT_PAX_BYTES)
        return error_set(
            err, ERROR_LIMIT, "tar: offset %llu: an extended header of %llu bytes (limit %zu)",
            (unsigned long long)r->position, (unsigned long long)size, LIMIT_PAX_BYTES);
    for (uint64_t left = size; left > 0;) {
        int more = fill(r, err);
        if (more < 0)
            return -1;
        if (more == 0)
            return parse_error(r, err, "the archive ends in the middle of an extended header");
        size_t n = r->end - r->start;
        if (n > left)
            n = (size_t)left;
        buf_add(out, r->buffer + r->start, n);
        consume(r, n);
        left -= n;
    }
    return skip(r, tar_padded(size) - size, err);
}

/* GNU 'L' and 'K': the name is the content, ended by a NUL. */
static int read_long_name(struct tar_reader *r, uint64_t size, struct buf *out, bool *has,
                          struct error *err)
{
    buf_truncate(out, 0);
    if (read_extension(r, size, out, err) < 0)
        return -1;
    buf_truncate(out, strnlen(out->data, out->len));
    *has = true;
    return 0;
}

static int pax_text(struct tar_reader *r, struct buf *out, bool *has, const char *value, size_t len,
                    struct error *err)
{
    if (memchr(value, '\0', len))
        return parse_error(r, err, "an extended header's name or link target holds a NUL");
    buf_truncate(out, 0);
    buf_add(out, value, len);
    *has = true;
    return 0;
}

static int pax_number(struct tar_reader *r, uint64_t *out, bool *has, const char *value, size_t len,
                      struct error *err)
{
    uint64_t n = 0;
    bool good = len > 0 && len < 20;
    for (size_t i = 0; good && i < len; i++) {
        good = value[i] >= '0' && value[i] <= '9' && n <= (UINT64_MAX - 9) / 10;
        n = n * 10 + (uint64_t)(value[i] - '0');
    }
    if (!good || n > INT64_MAX)
        return parse_error(r, err, "an extended header holds a number out of range");
    *out = n;
    *has = true;
    return 0;
}

/* "[-]SECONDS[.FRACTION]" (POSIX pax, mtime); digits beyond nanoseconds are cut. */
static int pax_time(struct tar_reader *r, const char *value, size_t len, struct error *err)
{
    bool negative = len > 0 && value[0] == '-';
    size_t start = negative ? 1 : 0, point = start;
    while (point < len && value[point] != '.')
        point++;
    uint64_t seconds = 0;
    bool has;
    if (pax_number(r, &seconds, &has, value + start, point - start, err) < 0)
        return -1;
    uint32_t nsec = 0, scale = 100000000;
    for (size_t i = point + 1; i < len; i++, scale /= 10) {
        if (value[i] < '0' || value[i] > '9')
            return parse_error(r, err, "an extended header holds a time that is no number");
        nsec += (uint32_t)(value[i] - '0') * scale;
    }
    r->mtime = negative ? -(int64_t)seconds : (int64_t)seconds;
    if (negative && nsec > 0) { /* -5.5 is 0.5 seconds after -6 */
        r->mtime--;
        nsec = 1000000000 - nsec;
    }
    r->mtime_nsec = nsec;
    r->has_mtime = true;
    return 0;
}

static int pax_xattr(struct tar_reader *r, const char *name, const char *value, size_t len,
                     struct error *err)
{
    uint32_t value_len = (uint32_t)len;
    if (r->xattrs.len + len + strlen(name) > LIMIT_XATTR_BYTES)
        return error_set(err, ERROR_LIMIT,
                         "tar: offset %llu: more than %zu bytes of extended attributes",
                         (unsigned long long)r->position, LIMIT_XATTR_BYTES);
    buf_add(&r->xattrs, name, strlen(name) + 1);
    buf_add(&r->xattrs, &value_len, sizeof value_len);
    buf_add(&r->xattrs, value, len);
    return 0;
}

static int pax_sparse(struct tar_reader *r, const char *key, const char *value, size_t len,
                      struct error *err)
{
    uint64_t n = 0;
    bool has;
    if (strcmp(key, "name") == 0) {
        r->has_sparse_name = true;
        return pax_text(r, &r->name, &r->has_name, value, len, err);
    }
    if (strcmp(key, "map") == 0) {
        r->sparse = true;
        return tar_sparse_parse_list(&r->map, value, len, err);
    }
    if (pax_number(r, &n, &has, value, len, err) < 0)
        return -1;
    if (strcmp(key, "major") == 0)
        r->sparse_major = (int)(n & 0xff);
    else if (strcmp(key, "minor") == 0)
        r->sparse_minor = (int)(n & 0xff);
    else if (strcmp(key, "realsize") == 0 || strcmp(key, "size") == 0) {
        r->real_size = n;
        r->has_real_size = true;
        r->sparse = true;
    } else if (strcmp(key, "offset") == 0 || strcmp(key, "numbytes") == 0) {
        r->sparse = true;
        return tar_sparse_add_number(&r->map, n, err);
    }
    return 0;
}

static int pax_record(struct tar_reader *r, const char *key, const char *value, size_t len,
                      struct error *err)
{
    if (strcmp(key, "path") == 0)
        return r->has_sparse_name ? 0 : pax_text(r, &r->name, &r->has_name, value, len, err);
    if (strcmp(key, "linkpath") == 0)
        return pax_text(r, &r->link, &r->has_link, value, len, err);
    if (strcmp(key, "size") == 0)
        return pax_number(r, &r->size, &r->has_size, value, len, err);
    if (strcmp(key, "uid") == 0)
        return pax_number(r, &r->uid, &r->has_uid, value, len, err);
    if (strcmp(key, "gid") == 0)
        return pax_number(r, &r->gid, &r->has_gid, value, len, err);
    if (strcmp(key, "mtime") == 0)
        return pax_time(r, value, len, err);
    if (starts_with(key, "SCHILY.xattr.") && key[13])
        return pax_xattr(r, key + 13, value, len, err);
    if (starts_with(key, "GNU.sparse."))
        return pax_sparse(r, key + 11, value, len, err);
    return 0;
}

/* Records "LENGTH KEY=VALUE\n", where LENGTH counts the whole record. */
static int parse_pax(struct tar_reader *r, struct buf *records, struct error *err)
{
    char *p = records->data, *end = p + records->len;
    while (p < end) {
        uint64_t len = 0;
        bool has;
        char *blank = memchr(p, ' ', (size_t)(end - p));
        if (!blank || pax_number(r, &len, &has, p, (size_t)(blank - p), err) < 0 ||
            len > (uint64_t)(end - p) || p + len <= blank + 2 || p[len - 1] != '\n')
            return parse_error(r, err, "an extended header's record has a wrong length");
        char *key = blank + 1, *stop = p + len - 1;
        char *equals = memchr(key, '=', (size_t)(stop - key));
        if (!equals || equals == key || memchr(key, '\0', (size_t)(equals - key)))
            return parse_error(r, err, "an extended header's record has no keyword");
        *equals = '\0';
        /* An empty value takes the record back (POSIX pax): nothing to remember here, since each
         * header starts from none. */
        size_t value_len = (size_t)(stop - equals) - 1;
        if ((value_len > 0 || starts_with(key, "SCHILY.xattr.")) &&
            pax_record(r, key, equals + 1, value_len, err) < 0)
            return -1;
        p += len;
    }
    return 0;
}

static int read_pax(struct tar_reader *r, uint64_t size, bool global, struct error *err)
{
    _cleanup_buf_ struct buf records = BUF_INIT;
    if (read_extension(r, size, &records, err) < 0)
        return -1;
    /* A global header (git archive writes one with a comment) is read by nobody who unpacks
     * layers: Podman and Docker leave it aside. */
    return global ? 0 : parse_pax(r, &records, err);
}

/* ---- entries ---- */

static enum tar_type type_of(char typeflag)
{
    switch (typeflag) {
    case '\0':
    case '0':
    case '7':
    case 'S':
        return TAR_FILE;
    case '1':
        return TAR_HARD_LINK;
    case '2':
        return TAR_SYMLINK;
    case '3':
        return TAR_CHAR;
    case '4':
        return TAR_BLOCK;
    case '5':
        return TAR_DIRECTORY;
    case '6':
        return TAR_FIFO;
    default:
        return TAR_OTHER;
    }
}

static void take_header_names(struct tar_reader *r, const struct tar_header *h)
{
    bool ustar = memcmp(h->magic, "ustar\0", 6) == 0;
    if (!r->has_name) {
        buf_truncate(&r->name, 0);
        /* star keeps access and change times at the end of the prefix, marked by "tar\0". */
        bool star = memcmp(h->padding + 8, "tar\0", 4) == 0;
        size_t prefix = ustar ? strnlen(h->prefix, star ? 131 : sizeof h->prefix) : 0;
        if (prefix > 0) {
            buf_add(&r->name, h->prefix, prefix);
            buf_addc(&r->name, '/');
        }
        buf_add(&r->name, h->name, strnlen(h->name, sizeof h->name));
    }
    if (!r->has_link) {
        buf_truncate(&r->link, 0);
        buf_add(&r->link, h->link, strnlen(h->link, sizeof h->link));
    }
}

static int id_of(struct tar_reader *r, bool has, uint64_t from_pax, const char *field,
                 uint32_t *out, struct error *err)
{
    int64_t value = (int64_t)from_pax;
    if (!has && parse_number(r, field, 8, "a user or group id is no number", &value, err) < 0)
        return -1;
    if (value < 0 || value > UINT32_MAX - 1)
        return parse_error(r, err, "a user or group id is out of range (0 to 4294967294)");
    *out = (uint32_t)value;
    return 0;
}

static int take_header_numbers(struct tar_reader *r, const struct tar_header *h,
                               struct tar_entry *e, struct error *err)
{
    int64_t mode, mtime, major = 0, minor = 0;
    if (parse_number(r, h->mode, sizeof h->mode, "the mode is no number", &mode, err) < 0 ||
        parse_number(r, h->mtime, sizeof h->mtime, "the time is no number", &mtime, err) < 0 ||
        id_of(r, r->has_uid, r->uid, h->uid, &e->uid, err) < 0 ||
        id_of(r, r->has_gid, r->gid, h->gid, &e->gid, err) < 0)
        return -1;
    if ((e->type == TAR_CHAR || e->type == TAR_BLOCK) &&
        (parse_number(r, h->major, sizeof h->major, "a device number is none", &major, err) < 0 ||
         parse_number(r, h->minor, sizeof h->minor, "a device number is none", &minor, err) < 0))
        return -1;
    if (major < 0 || minor < 0 || major > 0xfff || minor > 0xfffff)
        return parse_error(r, err, "a device number is out of range");
    e->mode = (uint32_t)mode & 07777;
    e->mtime = r->has_mtime ? r->mtime : mtime;
    e->mtime_nsec = r->has_mtime ? r->mtime_nsec : 0;
    e->major = (uint32_t)major;
    e->minor = (uint32_t)minor;
    return 0;
}

/* Where the entry's bytes lie, and for a sparse file which of the content they are. */
static int prepare_content(struct tar_reader *r, const struct tar_header *h, int64_t size,
                           struct tar_entry *e, struct error *err)
{
    if (r->has_size)
        size = (int64_t)r->size;
    /* Only files have content; some writers state the linked file's size in a hard link. */
    if (e->type != TAR_FILE && e->type != TAR_OTHER)
        size = 0;
    if (size < 0 || (uint64_t)size > LIMIT_LAYER_BYTES)
        return parse_error(r, err, "an entry's size is out of range");
    r->stored = (uint64_t)size;
    r->padding = tar_padded(r->stored) - r->stored;
    r->logical = r->stored;
    r->delivered = 0;
    if (e->type == TAR_FILE && e->typeflag == 'S') {
        r->sparse = true;
        if (tar_sparse_read_old(&r->map, h, &r->logical, read_extension_block, r, err) < 0)
            return -1;
    } else if (e->type == TAR_FILE && r->sparse_major == 1) {
        r->sparse = true;
        if (tar_sparse_read_1_0(&r->map, read_map_block, r, err) < 0)
            return -1;
    }
    if (r->sparse && e->type == TAR_FILE && e->typeflag != 'S')
        r->logical = r->has_real_size ? r->real_size : r->stored;
    if (r->logical > LIMIT_LAYER_BYTES)
        return parse_error(r, err, "an entry's size is out of range");
    if (r->sparse && e->type == TAR_FILE &&
        tar_sparse_check(&r->map, r->logical, r->stored, err) < 0)
        return error_wrap(err, "tar: offset %llu", (unsigned long long)r->position);
    r->sparse = r->sparse && e->type == TAR_FILE;
    return 0;
}

static int finish_entry(struct tar_reader *r, const struct tar_header *h, int64_t size,
                        struct tar_entry *out, struct error *err)
{
    struct tar_entry e = {.type = type_of(h->typeflag), .typeflag = h->typeflag};
    take_header_names(r, h);
    if (take_header_numbers(r, h, &e, err) < 0 || prepare_content(r, h, size, &e, err) < 0)
        return -1;
    /* v7 knows no directories: a file whose name ends in a slash is one (but not with a ustar
     * typeflag: there Podman and umoci make a file). */
    if (h->typeflag == '\0' && r->name.len > 0 && r->name.data[r->name.len - 1] == '/')
        e.type = TAR_DIRECTORY;
    e.name = r->name.data;
    e.link = e.type == TAR_HARD_LINK || e.type == TAR_SYMLINK ? r->link.data : "";
    e.size = r->logical;
    e.xattrs = &r->xattrs;
    *out = e;
    return 1;
}

int tar_reader_next(struct tar_reader *r, struct tar_entry *out, struct error *err)
{
    /* What a writer that was never closed (umoci insert) leaves: the last content whole, without
     * the zeros behind it. */
    if (skip(r, r->stored, err) < 0)
        return -1;
    r->stored = r->logical = 0;
    int complete = skip_padding(r, err);
    if (complete <= 0)
        return complete;
    forget_extensions(r);
    for (bool announced = false;;) {
        struct tar_header h;
        int64_t size;
        int more = read_block(r, &h, err);
        if (more < 0)
            return -1;
        if (more == 0 || is_zero_block(&h))
            return announced ? parse_error(r, err, "the archive ends behind an extended header")
                             : 0;
        if (!checksum_matches(r, &h))
            return parse_error(r, err, "not a tar header (its checksum is wrong)");
        if (parse_number(r, h.size, sizeof h.size, "the size is no number", &size, err) < 0)
            return -1;
        if (size < 0)
            return parse_error(r, err, "an entry's size is out of range");
        int result;
        if (h.typeflag == 'x' || h.typeflag == 'g' || h.typeflag == 'X')
            result = read_pax(r, (uint64_t)size, h.typeflag == 'g', err);
        else if (h.typeflag == 'L')
            result = read_long_name(r, (uint64_t)size, &r->name, &r->has_name, err);
        else if (h.typeflag == 'K')
            result = read_long_name(r, (uint64_t)size, &r->link, &r->has_link, err);
        else
            return finish_entry(r, &h, size, out, err);
        if (result < 0)
            return -1;
        announced = announced || h.typeflag != 'g';
    }
}

int tar_reader_data(struct tar_reader *r, const void **bytes, size_t *len, struct error *err)
{
    static const char zeros[64 * 1024];
    if (r->logical == 0)
        return 0;
    uint64_t want = r->logical;
    if (r->sparse) {
        bool hole;
        want = tar_sparse_at(&r->map, r->delivered, r->logical, &hole);
        if (hole) {
            *len = want < sizeof zeros ? (size_t)want : sizeof zeros;
            *bytes = zeros;
            r->logical -= *len;
            r->delivered += *len;
            return 1;
        }
    }
    int more = fill(r, err);
    if (more < 0)
        return -1;
    if (more == 0)
        return parse_error(r, err, "the archive ends in the middle of a file's content");
    *len = r->end - r->start;
    if (*len > want)
        *len = (size_t)want;
    *bytes = r->buffer + r->start;
    consume(r, *len);
    r->stored -= *len;
    r->logical -= *len;
    r->delivered += *len;
    return 1;
}

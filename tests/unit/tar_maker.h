/* Making tar archives byte by byte, bad ones too, and reading them into a text to compare. */
#ifndef TEST_TAR_MAKER_H
#define TEST_TAR_MAKER_H

#include "check.h"

#include "base/digest.h"
#include "layers/tar_format.h"
#include "layers/tar_reader.h"

#include <ctype.h>
#include <stdio.h>

/* ---- writing ---- */

MAYBE_UNUSED static void put_octal(char *field, size_t size, uint64_t value)
{
    field[size - 1] = '\0';
    for (size_t i = size - 1; i-- > 0; value /= 8)
        field[i] = (char)('0' + value % 8);
}

/* A ustar header with ordinary values; put_header() adds the checksum. */
MAYBE_UNUSED static struct tar_header header_of(const char *name, char typeflag, uint64_t size)
{
    struct tar_header h = {.typeflag = typeflag};
    memcpy(h.name, name, strnlen(name, sizeof h.name));
    put_octal(h.mode, sizeof h.mode, typeflag == '5' ? 0755 : 0644);
    put_octal(h.uid, sizeof h.uid, 0);
    put_octal(h.gid, sizeof h.gid, 0);
    put_octal(h.size, sizeof h.size, size);
    put_octal(h.mtime, sizeof h.mtime, 0);
    memcpy(h.magic,
           "ustar\0"
           "00",
           8);
    return h;
}

MAYBE_UNUSED static void put_header(struct buf *tar, struct tar_header *h)
{
    unsigned sum = 0;
    memset(h->checksum, ' ', sizeof h->checksum);
    for (size_t i = 0; i < sizeof *h; i++)
        sum += ((const unsigned char *)h)[i];
    put_octal(h->checksum, 7, sum);
    buf_add(tar, h, sizeof *h);
}

MAYBE_UNUSED static void put_content(struct buf *tar, const void *bytes, size_t len)
{
    static const char zeros[TAR_BLOCK_SIZE];
    buf_add(tar, bytes, len);
    buf_add(tar, zeros, tar_padded(len) - len);
}

MAYBE_UNUSED static void put_file(struct buf *tar, const char *name, const char *content)
{
    struct tar_header h = header_of(name, '0', strlen(content));
    put_header(tar, &h);
    put_content(tar, content, strlen(content));
}

MAYBE_UNUSED static void put_entry(struct buf *tar, const char *name, char typeflag,
                                   const char *link)
{
    struct tar_header h = header_of(name, typeflag, 0);
    memcpy(h.link, link, strnlen(link, sizeof h.link));
    put_header(tar, &h);
}

/* An entry whose content describes the next one: 'x', 'g', 'L', 'K'. */
MAYBE_UNUSED static void put_extension(struct buf *tar, char typeflag, const void *bytes,
                                       size_t len)
{
    struct tar_header h = header_of("extension", typeflag, len);
    put_header(tar, &h);
    put_content(tar, bytes, len);
}

/* "LENGTH KEY=VALUE\n" */
MAYBE_UNUSED static void add_pax_record(struct buf *records, const char *key, const void *value,
                                        size_t len)
{
    size_t rest = strlen(key) + len + 3, total = rest + 1;
    for (int i = 0; i < 3; i++)
        total = rest + (size_t)snprintf(NULL, 0, "%zu", total);
    buf_addf(records, "%zu %s=", total, key);
    buf_add(records, value, len);
    buf_addc(records, '\n');
}

/* A PAX header of one record. */
MAYBE_UNUSED static void put_pax(struct buf *tar, const char *key, const char *value)
{
    _cleanup_buf_ struct buf records = BUF_INIT;
    add_pax_record(&records, key, value, strlen(value));
    put_extension(tar, 'x', records.data, records.len);
}

MAYBE_UNUSED static void put_end(struct buf *tar)
{
    static const char zeros[2 * TAR_BLOCK_SIZE];
    buf_add(tar, zeros, sizeof zeros);
}

/* ---- reading ---- */

struct source {
    const char *bytes;
    size_t len, at;
    size_t piece; /* bytes given out at a time */
};

MAYBE_UNUSED static ssize_t read_source(void *arg, void *bytes, size_t size, struct error *err)
{
    struct source *s = arg;
    (void)err;
    size_t n = s->len - s->at < size ? s->len - s->at : size;
    n = s->piece && n > s->piece ? s->piece : n;
    memcpy(bytes, s->bytes + s->at, n);
    s->at += n;
    return (ssize_t)n;
}

/* The text itself where it is short and printable, else its size and hash. */
MAYBE_UNUSED static void add_content(struct buf *out, const char *bytes, size_t len)
{
    bool plain = len <= 40;
    for (size_t i = 0; plain && i < len; i++)
        plain = isgraph((unsigned char)bytes[i]) || bytes[i] == ' ';
    if (plain) {
        buf_addf(out, " =%.*s", (int)len, bytes);
        return;
    }
    struct digest d = digest_of(DIGEST_SHA256, bytes, len);
    buf_addf(out, " %zu bytes %.12s", len, digest_hex(&d).s);
}

MAYBE_UNUSED static void add_xattrs(struct buf *out, const struct buf *xattrs)
{
    for (const char *p = xattrs->data; p < xattrs->data + xattrs->len;) {
        uint32_t len;
        memcpy(&len, p + strlen(p) + 1, sizeof len);
        buf_addf(out, " {%s=", p);
        p += strlen(p) + 1 + sizeof len;
        buf_add_quoted(out, p, len);
        buf_addc(out, '}');
        p += len;
    }
}

/* One line: type "name" [-> "link"] [MODE UID:GID @MTIME, where not ordinary] [content]. */
MAYBE_UNUSED static int list_entry(struct tar_reader *r, const struct tar_entry *e, struct buf *out,
                                   struct error *err)
{
    const void *bytes;
    size_t len;
    int more;
    uint32_t ordinary = e->type == TAR_DIRECTORY ? 0755 : 0644;
    _cleanup_buf_ struct buf content = BUF_INIT;
    buf_addc(out, "fhscbdpx"[e->type]);
    buf_addc(out, ' ');
    buf_add_quoted(out, e->name, strlen(e->name));
    if (*e->link) {
        buf_adds(out, " -> ");
        buf_add_quoted(out, e->link, strlen(e->link));
    }
    if (e->mode != ordinary)
        buf_addf(out, " %o", e->mode);
    if (e->uid || e->gid)
        buf_addf(out, " %u:%u", e->uid, e->gid);
    if (e->mtime)
        buf_addf(out, " @%lld", (long long)e->mtime);
    if (e->mtime_nsec)
        buf_addf(out, "+%u", e->mtime_nsec);
    if (e->type == TAR_CHAR || e->type == TAR_BLOCK)
        buf_addf(out, " %u,%u", e->major, e->minor);
    add_xattrs(out, e->xattrs);
    while ((more = tar_reader_data(r, &bytes, &len, err)) > 0)
        buf_add(&content, bytes, len);
    if (more == 0 && content.len != e->size)
        fail_msg("\"%s\": %zu bytes of content, said to be %llu", e->name, content.len,
                 (unsigned long long)e->size);
    if (e->type == TAR_FILE)
        add_content(out, content.data, content.len);
    buf_addc(out, '\n');
    return more;
}

/* All entries as text. 0 at the end, -1. */
MAYBE_UNUSED static int list_archive(const void *bytes, size_t len, size_t piece, struct buf *out,
                                     struct error *err)
{
    struct source source = {bytes, len, 0, piece};
    _cleanup_tar_reader_ struct tar_reader *r = tar_reader_new(read_source, &source);
    struct tar_entry e;
    int more;
    while ((more = tar_reader_next(r, &e, err)) > 0)
        if (list_entry(r, &e, out, err) < 0)
            return -1;
    return more;
}

MAYBE_UNUSED static void assert_listing(const char *what, const struct buf *tar,
                                        const char *expected)
{
    static const size_t pieces[] = {0, 1, 511, 700};
    for (size_t i = 0; i < COUNT(pieces); i++) {
        _cleanup_buf_ struct buf listing = BUF_INIT;
        _cleanup_error_ struct error err = ERROR_INIT;
        if (list_archive(tar->data, tar->len, pieces[i], &listing, &err) < 0)
            fail_msg("%s: %s", what, err.message);
        assert_same_text(what, listing.data, expected);
    }
}

#endif

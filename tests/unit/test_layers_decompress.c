/* layers/decompress.h. gzip, zstd, xz and bzip2 (the programs) are the writers. */
#include "check.h"

#include "layers/decompress.h"

#include <sys/socket.h>
#include <sys/wait.h>

/* What a program makes of bytes on its standard input; appended. */
static void filter(const char *command, const struct buf *in, struct buf *out)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_free_ char *from = in_scratch("input"), *to = in_scratch("output");
    _cleanup_free_ char *line = xasprintf("%s < %s > %s", command, from, to);
    write_file(from, in->data, in->len);
    RUN("sh", "-c", line);
    assert_ok(file_read(to, (size_t)1 << 28, out, &err), &err);
}

static void sample(struct buf *out, size_t len)
{
    random_state = 7;
    while (out->len < len)
        buf_addf(out, "line %zu %llx\n", out->len, (unsigned long long)(random_u64() & 0xffff));
}

/* 0 and the bytes, or -1. */
static int decompress(const struct buf *in, size_t piece, struct buf *out, struct error *err)
{
    _cleanup_close_ int fd = fd_of(in->data, in->len);
    _cleanup_decompressor_ struct decompressor *d = decompressor_new(fd, err);
    _cleanup_free_ char *bytes = xmalloc(piece);
    ssize_t n;
    if (!d)
        return -1;
    while ((n = decompressor_read(d, bytes, piece, err)) > 0)
        buf_add(out, bytes, (size_t)n);
    return (int)n;
}

static void expect(const char *what, const struct buf *in, const struct buf *expected)
{
    static const size_t pieces[] = {1 << 20, 4096, 1};
    for (size_t i = 0; i < COUNT(pieces) && (pieces[i] > 1 || expected->len < 300000); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT;
        _cleanup_error_ struct error err = ERROR_INIT;
        if (decompress(in, pieces[i], &out, &err) < 0)
            fail_msg("%s: %s", what, err.message);
        if (out.len != expected->len || memcmp(out.data, expected->data, out.len) != 0)
            fail_msg("%s, by %zu bytes: %zu bytes come out, expected %zu", what, pieces[i], out.len,
                     expected->len);
    }
}

static void expect_bad(const char *what, const struct buf *in, enum error_kind kind,
                       const char *says)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_fails(what, decompress(in, 65536, &out, &err), &err, kind, says);
}

static const char *const compressors[] = {"gzip -1",     "gzip -9n",          "zstd -q -1",
                                          "zstd -q -19", "zstd -q --long=27", "zstd -q --no-check"};

/* For tests that try every offset: those whose frames make the decoder take little memory. */
static const char *const small_compressors[] = {"gzip -9n", "zstd -q -1", "zstd -q --no-check"};

static void test_decompress__what_programs_write(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 270000, 5000000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        _cleanup_buf_ struct buf plain = BUF_INIT;
        sample(&plain, sizes[i]);
        expect("plain", &plain, &plain);
        for (size_t k = 0; k < COUNT(compressors); k++) {
            _cleanup_buf_ struct buf in = BUF_INIT;
            filter(compressors[k], &plain, &in);
            expect(compressors[k], &in, &plain);
        }
    }
}

static void test_decompress__several_members_and_frames(void **state)
{
    (void)state;
    static const char skippable[] = "\x50\x2a\x4d\x18\x04\0\0\0abcd";
    static const char zeros[70000];
    _cleanup_buf_ struct buf one = BUF_INIT, two = BUF_INIT, both = BUF_INIT, empty = BUF_INIT;
    sample(&one, 1000);
    sample(&two, 270000);
    buf_add(&both, one.data, one.len);
    buf_add(&both, two.data, two.len);
    for (size_t k = 0; k < COUNT(compressors); k++) {
        bool gzip = starts_with(compressors[k], "gzip");
        _cleanup_buf_ struct buf in = BUF_INIT;
        if (!gzip)
            buf_add(&in, skippable, sizeof skippable - 1);
        filter(compressors[k], &one, &in);
        filter(compressors[k], &empty, &in);
        if (!gzip)
            buf_add(&in, skippable, sizeof skippable - 1);
        filter(compressors[k], &two, &in);
        expect(compressors[k], &in, &both);
        if (!gzip)
            buf_add(&in, skippable, sizeof skippable - 1);
        else
            buf_add(&in, zeros, sizeof zeros);
        expect(compressors[k], &in, &both);
    }
}

/* RFC 1952, 2.3.1: CRC-32 and length, low byte first. */
static void add_trailer(struct buf *out, const struct buf *plain)
{
    uint32_t crc = UINT32_MAX, words[2];
    for (size_t i = 0; i < plain->len; i++) {
        crc ^= (uint8_t)plain->data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    words[0] = ~crc;
    words[1] = (uint32_t)plain->len;
    buf_add(out, (const char *)words, sizeof words);
}

/* A descriptor that gives one byte a read(). *out_writer must be waited for. */
static int trickle(const struct buf *in, pid_t *out_writer)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    *out_writer = fork();
    assert_true(*out_writer >= 0);
    if (*out_writer == 0) {
        for (size_t i = 0; i < in->len; i++)
            if (send(ends[1], in->data + i, 1, MSG_NOSIGNAL) != 1)
                _exit(1);
        _exit(0);
    }
    close(ends[1]);
    return ends[0];
}

static void test_decompress__input_in_small_pieces(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf plain = BUF_INIT, both = BUF_INIT;
    _cleanup_free_ char *named = in_scratch("a name for the header");
    sample(&plain, 3000);
    buf_add(&both, plain.data, plain.len);
    buf_add(&both, plain.data, plain.len);
    write_file(named, plain.data, plain.len);
    _cleanup_free_ char *gzip_named = xasprintf("gzip -c '%s' #", named);
    const char *const with[] = {"gzip -1", gzip_named, "zstd -q -1"};
    for (size_t k = 0; k < COUNT(with); k++) {
        _cleanup_buf_ struct buf in = BUF_INIT, out = BUF_INIT;
        _cleanup_error_ struct error err = ERROR_INIT;
        char bytes[512];
        ssize_t n;
        pid_t writer;
        filter(with[k], &plain, &in);
        filter(with[k], &plain, &in);
        _cleanup_close_ int fd = trickle(&in, &writer);
        _cleanup_decompressor_ struct decompressor *d = decompressor_new(fd, &err);
        assert_non_null(d);
        while ((n = decompressor_read(d, bytes, sizeof bytes, &err)) > 0)
            buf_add(&out, bytes, (size_t)n);
        assert_ok((int)n, &err);
        assert_int_equal(waitpid(writer, NULL, 0), writer);
        assert_int_equal(out.len, both.len);
        assert_memory_equal(out.data, both.data, out.len);
    }
}

/* The input is read by 256 KiB: the end of one member and the header of the next, with all optional
 * fields, on and around such a border. */
static void test_decompress__members_across_the_input_buffer(void **state)
{
    (void)state;
    static const char border_header[] = "\x1f\x8b\x08\x1e\0\0\0\0\0\x03" /* FHCRC to FCOMMENT */
                                        "\x04\0"
                                        "abcd"
                                        "name\0"
                                        "comment\0"
                                        "\xe2\x48";
    _cleanup_buf_ struct buf noise = BUF_INIT, tail = BUF_INIT, second = BUF_INIT;
    random_state = 11;
    while (noise.len < 262144)
        buf_addc(&noise, (char)random_u64());
    sample(&tail, 400);
    filter("gzip -n", &tail, &second);
    for (size_t before = 262144 - 90; before < 262144 + 10; before++) {
        _cleanup_buf_ struct buf in = BUF_INIT, plain = BUF_INIT, expected = BUF_INIT;
        size_t overhead = 10 + 8 + 4 * 5; /* header, trailer, stored blocks of up to 65,535 bytes */
        buf_add(&plain, noise.data, before - overhead);
        buf_add(&in, "\x1f\x8b\x08\0\0\0\0\0\0\x03", 10);
        for (size_t at = 0, piece = 65535; piece == 65535; at += piece) {
            piece = plain.len - at < 65535 ? plain.len - at : 65535;
            const char head[] = {piece < 65535, (char)piece, (char)(piece >> 8), (char)~piece,
                                 (char)(~piece >> 8)};
            buf_add(&in, head, sizeof head);
            buf_add(&in, plain.data + at, piece);
        }
        add_trailer(&in, &plain);
        assert_int_equal(in.len, before);
        buf_add(&in, border_header, sizeof border_header - 1);
        buf_add(&in, second.data + 10, second.len - 10);
        buf_add(&expected, plain.data, plain.len);
        buf_add(&expected, tail.data, tail.len);
        expect("members on the border", &in, &expected);
    }
}

static void test_decompress__only_skippable_frames(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf in = BUF_INIT, nothing = BUF_INIT;
    buf_add(&in, "\x5f\x2a\x4d\x18\x04\0\0\0abcd", 12);
    expect("skippable", &in, &nothing);
}

static void test_decompress__cut_short(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf plain = BUF_INIT;
    sample(&plain, 300);
    for (size_t k = 0; k < COUNT(small_compressors); k++) {
        _cleanup_buf_ struct buf in = BUF_INIT;
        filter(small_compressors[k], &plain, &in);
        bool gzip = starts_with(small_compressors[k], "gzip");
        /* Fewer bytes than its magic number are plain data. */
        while (in.len > (gzip ? 2 : 4)) {
            buf_truncate(&in, in.len - 1);
            expect_bad(small_compressors[k], &in, ERROR_CORRUPT,
                       gzip ? "the gzip data ends early" : "the zstd data ends early");
        }
    }
    _cleanup_buf_ struct buf in = BUF_INIT; /* a whole skippable frame, and half of another */
    buf_add(&in, "\x50\x2a\x4d\x18\x04\0\0\0abcd", 12);
    buf_add(&in, "\x50\x2a\x4d\x18\x04\0\0\0ab", 10);
    expect_bad("skippable", &in, ERROR_CORRUPT, "the zstd data ends early");
}

static void test_decompress__the_second_member_cut_short(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf plain = BUF_INIT;
    sample(&plain, 300);
    for (size_t k = 0; k < COUNT(small_compressors); k++) {
        _cleanup_buf_ struct buf in = BUF_INIT;
        filter(small_compressors[k], &plain, &in);
        size_t first = in.len;
        filter(small_compressors[k], &plain, &in);
        for (size_t len = in.len - 1; len > first; len--) {
            buf_truncate(&in, len);
            expect_bad(small_compressors[k], &in, ERROR_CORRUPT, "ends early");
        }
    }
}

/* A changed byte is an error, or it is one that says nothing of the content (a name, a time). */
static void test_decompress__damaged(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf plain = BUF_INIT;
    sample(&plain, 300);
    for (size_t k = 0; k < COUNT(small_compressors); k++) {
        _cleanup_buf_ struct buf whole = BUF_INIT;
        filter(small_compressors[k], &plain, &whole);
        bool gzip = starts_with(small_compressors[k], "gzip");
        bool checked = !strstr(small_compressors[k], "--no-check");
        for (size_t i = gzip ? 2 : 4; i < whole.len; i++) {
            _cleanup_buf_ struct buf in = BUF_INIT, out = BUF_INIT;
            _cleanup_error_ struct error err = ERROR_INIT;
            buf_add(&in, whole.data, whole.len);
            in.data[i] = (char)(in.data[i] ^ 0x10);
            int rc = decompress(&in, 65536, &out, &err);
            if (rc < 0 && err.kind != ERROR_CORRUPT)
                fail_msg("%s: byte %zu: %s", small_compressors[k], i, err.message);
            bool same = out.len == plain.len && memcmp(out.data, plain.data, out.len) == 0;
            if (rc == 0 && !same && checked)
                fail_msg("%s: byte %zu: other bytes come out", small_compressors[k], i);
        }
    }
    _cleanup_buf_ struct buf in = BUF_INIT;
    filter("gzip", &plain, &in);
    buf_adds(&in, "garbage");
    expect_bad("garbage behind gzip", &in, ERROR_CORRUPT, "the gzip data is damaged");
    buf_truncate(&in, 0);
    filter("zstd -q", &plain, &in);
    buf_adds(&in, "garbage");
    expect_bad("garbage behind zstd", &in, ERROR_CORRUPT, "the zstd data is damaged");
}

static void test_decompress__others_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *command, *says;
    } table[] = {{"xz", "compressed with xz; expected gzip, zstd or none"},
                 {"bzip2", "compressed with bzip2; expected gzip, zstd or none"}};
    _cleanup_buf_ struct buf plain = BUF_INIT;
    sample(&plain, 300);
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_buf_ struct buf in = BUF_INIT;
        filter(table[i].command, &plain, &in);
        expect_bad(table[i].command, &in, ERROR_UNSUPPORTED, table[i].says);
    }
}

/* A tar whose first name begins as bzip2 does. */
static void test_decompress__a_tar_that_looks_like_bzip2(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf in = BUF_INIT;
    buf_adds(&in, "BZh91AY&SY");
    while (in.len < 1024)
        buf_addc(&in, '\0');
    memcpy(in.data + 257, "ustar", 5);
    expect("tar", &in, &in);
}

/* 1 GiB of window would be 1 GiB of memory: refused before it is used. */
static void test_decompress__zstd_windows_are_limited(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf in = BUF_INIT;
    buf_add(&in, "\x28\xb5\x2f\xfd\x00\xa0", 6); /* window descriptor: 2^30 */
    buf_add(&in, "\x01\x00\x00", 3);
    expect_bad("window", &in, ERROR_CORRUPT, "the zstd data is damaged: Frame requires too much");
}

static void test_decompress__starts_at_the_descriptors_position(void **state)
{
    (void)state;
    char byte;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_close_ int fd = fd_of("..x", 3);
    assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
    _cleanup_decompressor_ struct decompressor *d = decompressor_new(fd, &err);
    assert_non_null(d);
    assert_int_equal(decompressor_read(d, &byte, 1, &err), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(decompressor_read(d, &byte, 1, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decompress__what_programs_write),
        cmocka_unit_test(test_decompress__several_members_and_frames),
        cmocka_unit_test(test_decompress__input_in_small_pieces),
        cmocka_unit_test(test_decompress__members_across_the_input_buffer),
        cmocka_unit_test(test_decompress__only_skippable_frames),
        cmocka_unit_test(test_decompress__cut_short),
        cmocka_unit_test(test_decompress__the_second_member_cut_short),
        cmocka_unit_test(test_decompress__damaged),
        cmocka_unit_test(test_decompress__others_are_refused),
        cmocka_unit_test(test_decompress__a_tar_that_looks_like_bzip2),
        cmocka_unit_test(test_decompress__zstd_windows_are_limited),
        cmocka_unit_test(test_decompress__starts_at_the_descriptors_position),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

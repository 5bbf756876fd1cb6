/* layers/tar_writer.h. GNU tar, Python's tarfile and our own reader are the readers. */
#include "tar_maker.h"

#include "layers/tar_writer.h"

#include <pthread.h>
#include <signal.h>

static char *long_name(char c, size_t len)
{
    char *s = xmalloc(len + 1);
    for (size_t i = 0; i < len; i++)
        s[i] = i % 50 == 25 ? '/' : c;
    s[len] = '\0';
    return s;
}

static void put_member(struct tar_writer *w, const struct tar_member *m, const char *content)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_ok(tar_writer_member(w, m, &err), &err);
    if (m->type == TAR_FILE)
        assert_ok(tar_writer_bytes(w, content, m->size, &err), &err);
}

/* An archive with a member of each kind, and all that needs more than an ordinary header. */
static void write_sample(struct tar_writer *w)
{
    _cleanup_free_ char *n100 = long_name('n', 100), *n101 = long_name('m', 101);
    _cleanup_free_ char *n3000 = long_name('o', 3000);
    const struct tar_member members[] = {
        {.type = TAR_DIRECTORY, .path = "d", .mode = 01777, .uid = 1, .gid = 2, .mtime = 3},
        {.type = TAR_FILE, .path = "d/f", .mode = 04755, .mtime = 1700000000, .size = 5},
        {.type = TAR_FILE, .path = "empty", .mode = 0},
        {.type = TAR_HARD_LINK, .path = "hard", .link = "d/f", .mode = 04755, .size = 5},
        {.type = TAR_SYMLINK, .path = "sym", .link = "../x \xff", .mode = 0777},
        {.type = TAR_CHAR, .path = "whiteout", .mode = 0},
        {.type = TAR_BLOCK, .path = "block", .mode = 0660, .major = 4095, .minor = 1048575},
        {.type = TAR_FIFO, .path = "fifo", .mode = 0600},
        {.type = TAR_FILE, .path = n100, .mode = 0644, .size = 1},
        {.type = TAR_FILE, .path = n101, .mode = 0644, .size = 2},
        {.type = TAR_SYMLINK, .path = n3000, .link = n3000, .mode = 0777},
        {.type = TAR_HARD_LINK, .path = "hard2", .link = n101, .mode = 0644},
        {.type = TAR_FILE, .path = "ids", .uid = 2097152, .gid = 4294967294, .mode = 0644},
        {.type = TAR_FILE, .path = "before 1970", .mode = 0644, .mtime = -5},
        {.type = TAR_FILE, .path = "after 2242", .mode = 0644, .mtime = 8589934592},
        {.type = TAR_FILE, .path = "odd \xff\n*\\", .mode = 0644},
    };
    _cleanup_error_ struct error err = ERROR_INIT;
    for (size_t i = 0; i < COUNT(members); i++)
        put_member(w, &members[i], "12345");
    assert_ok(tar_writer_finish(w, &err), &err);
}

static void read_whole(int fd, struct buf *out)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_ok(file_read_fd(fd, "archive", (size_t)1 << 30, out, &err), &err);
}

static void test_tar_writer__our_reader_reads_it_back(void **state)
{
    (void)state;
    _cleanup_close_ int fd = fd_of("", 0);
    _cleanup_tar_writer_ struct tar_writer *w = tar_writer_new(fd);
    _cleanup_buf_ struct buf tar = BUF_INIT, expected = BUF_INIT;
    _cleanup_free_ char *n100 = long_name('n', 100), *n101 = long_name('m', 101);
    _cleanup_free_ char *n3000 = long_name('o', 3000);
    write_sample(w);
    read_whole(fd, &tar);
    assert_int_equal(tar.len, tar_writer_count(w));
    assert_int_equal(tar.len % TAR_BLOCK_SIZE, 0);
    buf_addf(&expected,
             "d \"d\" 1777 1:2 @3\nf \"d/f\" 4755 @1700000000 =12345\nf \"empty\" 0 =\n"
             "h \"hard\" -> \"d/f\" 4755\ns \"sym\" -> \"../x \\xff\" 777\n"
             "c \"whiteout\" 0 0,0\nb \"block\" 660 4095,1048575\np \"fifo\" 600\n"
             "f \"%s\" =1\nf \"%s\" =12\ns ",
             n100, n101);
    buf_add_quoted(&expected, n3000, 3000);
    buf_adds(&expected, " -> ");
    buf_add_quoted(&expected, n3000, 3000);
    buf_addf(&expected,
             " 777\nh \"hard2\" -> \"%s\"\nf \"ids\" 2097152:4294967294 =\n"
             "f \"before 1970\" @-5 =\nf \"after 2242\" @8589934592 =\n"
             "f \"odd \\xff\\x0a*\\x5c\" =\n",
             n101);
    assert_listing("sample", &tar, expected.data);
}

/* What Python's tarfile makes of it, in the order of the archive. */
static const char python_reader[] =
    "import sys, tarfile\n"
    "out = sys.stdout.buffer\n"
    "for m in tarfile.open(sys.argv[1], 'r:', encoding='latin-1'):\n"
    "    out.write(repr((m.name[:20], len(m.name), m.type.decode(), len(m.linkname), oct(m.mode),\n"
    "                    m.uid, m.gid, int(m.mtime), m.size, m.devmajor, m.devminor))"
    ".encode() + b'\\n')\n";

static void test_tar_writer__python_and_gnu_tar_read_it(void **state)
{
    (void)state;
    _cleanup_free_ char *path = in_scratch("archive.tar"), *script = in_scratch("reader.py");
    _cleanup_free_ char *target = new_folder("unpacked");
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    _cleanup_tar_writer_ struct tar_writer *w = tar_writer_new(fd);
    _cleanup_buf_ struct buf output = BUF_INIT;
    write_sample(w);
    write_file(script, python_reader, sizeof python_reader - 1);
    run_program((const char *const[]){"/usr/bin/python3", script, path, NULL}, &output);
    assert_same_text("Python", output.data,
                     "('d', 1, '5', 0, '0o1777', 1, 2, 3, 0, 0, 0)\n"
                     "('d/f', 3, '0', 0, '0o4755', 0, 0, 1700000000, 5, 0, 0)\n"
                     "('empty', 5, '0', 0, '0o0', 0, 0, 0, 0, 0, 0)\n"
                     "('hard', 4, '1', 3, '0o4755', 0, 0, 0, 0, 0, 0)\n"
                     "('sym', 3, '2', 6, '0o777', 0, 0, 0, 0, 0, 0)\n"
                     "('whiteout', 8, '3', 0, '0o0', 0, 0, 0, 0, 0, 0)\n"
                     "('block', 5, '4', 0, '0o660', 0, 0, 0, 0, 4095, 1048575)\n"
                     "('fifo', 4, '6', 0, '0o600', 0, 0, 0, 0, 0, 0)\n"
                     "('nnnnnnnnnnnnnnnnnnnn', 100, '0', 0, '0o644', 0, 0, 0, 1, 0, 0)\n"
                     "('mmmmmmmmmmmmmmmmmmmm', 101, '0', 0, '0o644', 0, 0, 0, 2, 0, 0)\n"
                     "('oooooooooooooooooooo', 3000, '2', 3000, '0o777', 0, 0, 0, 0, 0, 0)\n"
                     "('hard2', 5, '1', 101, '0o644', 0, 0, 0, 0, 0, 0)\n"
                     "('ids', 3, '0', 0, '0o644', 2097152, 4294967294, 0, 0, 0, 0)\n"
                     "('before 1970', 11, '0', 0, '0o644', 0, 0, -5, 0, 0, 0)\n"
                     "('after 2242', 10, '0', 0, '0o644', 0, 0, 8589934592, 0, 0, 0)\n"
                     "('odd \xc3\xbf\\n*\\\\', 8, '0', 0, '0o644', 0, 0, 0, 0, 0, 0)\n");
    RUN("tar", "-C", target, "--numeric-owner", "-p", "-xf", path);
    RUN("tar", "-C", target, "-df", path); /* says where archive and folder differ */
}

/* ---- the stream never ends between two members before it is complete ---- */

struct watched {
    int fd;
    size_t total, ends_on_block; /* reads that ended on a block boundary */
};

/* Reads as the writer writes: each read takes what is in the pipe. */
static void *watch_pipe(void *arg)
{
    struct watched *watched = arg;
    static char bytes[1 << 16];
    ssize_t n;
    while ((n = read(watched->fd, bytes, sizeof bytes)) > 0) {
        watched->total += (size_t)n;
        watched->ends_on_block += watched->total % TAR_BLOCK_SIZE == 0;
    }
    return NULL;
}

/* Members of one block, so that any block boundary is a member's end. */
static void write_many(struct tar_writer *w, size_t members)
{
    for (size_t i = 0; i < members; i++) {
        _cleanup_free_ char *name = xasprintf("d%zu", i);
        struct tar_member m = {.type = TAR_DIRECTORY, .path = name, .mode = 0755};
        put_member(w, &m, "");
    }
}

static void test_tar_writer__writes_end_inside_a_block(void **state)
{
    (void)state;
    int ends[2];
    pthread_t thread;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct watched watched = {.fd = ends[0]};
    assert_int_equal(pthread_create(&thread, NULL, watch_pipe, &watched), 0);
    struct tar_writer *w = tar_writer_new(ends[1]);
    write_many(w, 10000);
    uint64_t before = tar_writer_count(w);
    assert_ok(tar_writer_finish(w, &err), &err);
    tar_writer_free(w);
    close(ends[1]);
    pthread_join(thread, NULL);
    close(ends[0]);
    assert_int_equal(watched.total, before + 1024);
    assert_int_equal(watched.ends_on_block, 1); /* the last */
}

/* A writer that is gone at once leaves an archive that every reader finds cut, at any number of
 * members: its buffer's size and all around it among them. */
static void test_tar_writer__cut_streams_are_no_archives(void **state)
{
    (void)state;
    static const size_t counts[] = {0,    1,    2,    3,    2047, 2048, 2049, 2050,
                                    4095, 4096, 4097, 6000, 6144, 6145, 8193};
    for (size_t i = 0; i < COUNT(counts); i++) {
        _cleanup_close_ int fd = fd_of("", 0);
        _cleanup_buf_ struct buf tar = BUF_INIT, listing = BUF_INIT;
        _cleanup_error_ struct error err = ERROR_INIT;
        struct tar_writer *w = tar_writer_new(fd);
        write_many(w, counts[i]);
        tar_writer_spoil(w);
        tar_writer_free(w);
        read_whole(fd, &tar);
        if (tar.len == 0) /* nothing at all: the caller knows that it has sent nothing */
            continue;
        assert_fails("spoilt", list_archive(tar.data, tar.len, 0, &listing, &err), &err,
                     ERROR_PARSE, "ends in the middle of a header");
    }
}

static void test_tar_writer__file_contents_come_from_an_offset(void **state)
{
    (void)state;
    _cleanup_close_ int fd = fd_of("", 0), data = fd_of("..hello", 7);
    _cleanup_tar_writer_ struct tar_writer *w = tar_writer_new(fd);
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf tar = BUF_INIT, big = BUF_INIT, content = BUF_INIT;
    for (size_t i = 0; i < 3000000; i++)
        buf_addc(&big, (char)(i * 7 + i / 1000));
    _cleanup_close_ int big_fd = fd_of(big.data, big.len);
    struct tar_member m = {.type = TAR_FILE, .path = "small", .mode = 0644, .size = 5};
    assert_ok(tar_writer_member(w, &m, &err), &err);
    assert_ok(tar_writer_file(w, data, 2, 5, &err), &err);
    m = (struct tar_member){.type = TAR_FILE, .path = "big", .mode = 0644, .size = big.len - 1};
    assert_ok(tar_writer_member(w, &m, &err), &err);
    assert_ok(tar_writer_file(w, big_fd, 1, big.len - 1, &err), &err);
    assert_ok(tar_writer_finish(w, &err), &err);
    read_whole(fd, &tar);
    buf_adds(&content, "f \"small\" =hello\nf \"big\"");
    add_content(&content, big.data + 1, big.len - 1);
    buf_addc(&content, '\n');
    assert_listing("offset", &tar, content.data);
    /* A file that is shorter than its index says. */
    assert_ok(tar_writer_member(w, &m, &err), &err);
    assert_fails("short", tar_writer_file(w, data, 2, 6, &err), &err, ERROR_IO,
                 "cannot read a layer's data in the spool");
}

static void test_tar_writer__a_reader_that_left_is_noticed(void **state)
{
    (void)state;
    int ends[2];
    _cleanup_error_ struct error err = ERROR_INIT;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    struct tar_writer *w = tar_writer_new(ends[1]);
    assert_false(tar_writer_broken(w));
    assert_fails("pipe", tar_writer_finish(w, &err), &err, ERROR_IO, "cannot write the tar stream");
    assert_true(tar_writer_broken(w));
    assert_false(err.retryable);
    tar_writer_free(w);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tar_writer__our_reader_reads_it_back),
        cmocka_unit_test(test_tar_writer__python_and_gnu_tar_read_it),
        cmocka_unit_test(test_tar_writer__writes_end_inside_a_block),
        cmocka_unit_test(test_tar_writer__cut_streams_are_no_archives),
        cmocka_unit_test(test_tar_writer__file_contents_come_from_an_offset),
        cmocka_unit_test(test_tar_writer__a_reader_that_left_is_noticed),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

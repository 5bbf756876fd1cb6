/* layers/tar_reader.h and tar_sparse.h. GNU tar is the independent writer. */
#include "tar_maker.h"

#include "base/limits.h"

#include <sys/sysmacros.h>

/* ---- archives of GNU tar, compared with the folder they were made of ---- */

static char *string_of(char c, size_t len)
{
    char *s = xmalloc(len + 1);
    memset(s, c, len);
    s[len] = '\0';
    return s;
}

static void put_attributes(const char *path, mode_t mode, uid_t uid, gid_t gid, time_t seconds,
                           long nsec)
{
    struct timespec times[2] = {{seconds, nsec}, {seconds, nsec}};
    assert_int_equal(lchown(path, uid, gid), 0);
    if (mode)
        assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* A folder with an entry of each kind; with names and numbers that v7 cannot hold if `rich`. */
static char *make_tree(bool rich)
{
    char *root = new_folder("tree");
    _cleanup_free_ char *dir = path_join(root, "dir");
    _cleanup_free_ char *file = path_join(dir, "file");
    _cleanup_free_ char *empty = path_join(dir, "empty");
    _cleanup_free_ char *odd = path_join(root, "odd \xff\xfe\n*");
    _cleanup_free_ char *hard = path_join(root, "hard");
    _cleanup_free_ char *link = path_join(root, "link");
    assert_int_equal(mkdir(dir, 0700), 0);
    _cleanup_free_ char *content = string_of('x', 70000);
    write_file(file, content, 70000);
    write_file(empty, "", 0);
    write_file(odd, "odd", 3);
    assert_int_equal(symlink("dir/nowhere", link), 0);
    assert_int_equal(linkat(AT_FDCWD, file, AT_FDCWD, hard, 0), 0);
    put_attributes(link, 0, 5, 6, 7, 0);
    put_attributes(file, 04751, 1000, 1001, 1700000000, rich ? 123456789 : 0);
    put_attributes(empty, 01, 07777777, 07777777, 0, 0);
    if (rich) {
        _cleanup_free_ char *fifo = path_join(root, "fifo");
        _cleanup_free_ char *device = path_join(root, "device");
        _cleanup_free_ char *deep = xasprintf("%s/%0120d/%0120d", root, 1, 2);
        _cleanup_free_ char *deep_file = xasprintf("%s/%0100d", deep, 3);
        _cleanup_error_ struct error err = ERROR_INIT;
        assert_int_equal(mkfifo(fifo, 0600), 0);
        assert_int_equal(mknod(device, S_IFBLK | 0660, makedev(7, 260)), 0);
        assert_ok(dir_make(deep, 0755, &err), &err);
        write_file(deep_file, "deep", 4);
    }
    put_attributes(dir, 01777, 0, 0, 1000000000, 0);
    return root;
}

static void compare_content(struct tar_reader *r, const char *path)
{
    _cleanup_buf_ struct buf got = BUF_INIT, expected = BUF_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    const void *bytes;
    size_t len;
    int more;
    while ((more = tar_reader_data(r, &bytes, &len, &err)) > 0)
        buf_add(&got, bytes, len);
    assert_ok(more, &err);
    assert_ok(file_read(path, 1 << 26, &expected, &err), &err);
    if (got.len != expected.len || memcmp(got.data, expected.data, got.len) != 0)
        fail_msg("%s: the archive has other content", path);
}

static void compare_entry(struct tar_reader *r, const struct tar_entry *e, const char *root,
                          bool nsec)
{
    static const mode_t types[] = {
        [TAR_FILE] = S_IFREG, [TAR_HARD_LINK] = S_IFREG, [TAR_SYMLINK] = S_IFLNK,
        [TAR_CHAR] = S_IFCHR, [TAR_BLOCK] = S_IFBLK,     [TAR_DIRECTORY] = S_IFDIR,
        [TAR_FIFO] = S_IFIFO};
    _cleanup_free_ char *path = path_join(root, e->name);
    size_t len = strlen(path);
    struct stat st;
    while (path[len - 1] == '/')
        path[--len] = '\0';
    if (lstat(path, &st) < 0)
        fail_msg("%s: not in the folder", path);
    assert_int_equal(st.st_mode & S_IFMT, types[e->type]);
    assert_int_equal(st.st_mode & 07777, e->type == TAR_SYMLINK ? 0777 : e->mode);
    assert_int_equal(st.st_uid, e->uid);
    assert_int_equal(st.st_gid, e->gid);
    assert_int_equal(st.st_mtim.tv_sec, e->mtime);
    assert_int_equal(nsec ? st.st_mtim.tv_nsec : 0, e->mtime_nsec);
    if (e->type == TAR_FILE) {
        assert_int_equal(st.st_size, e->size);
        compare_content(r, path);
    } else if (e->type == TAR_HARD_LINK) {
        struct stat other;
        _cleanup_free_ char *target = path_join(root, e->link);
        assert_int_equal(lstat(target, &other), 0);
        assert_int_equal(other.st_ino, st.st_ino);
    } else if (e->type == TAR_SYMLINK) {
        char text[4096] = "";
        assert_true(readlink(path, text, sizeof text - 1) > 0);
        assert_string_equal(text, e->link);
    } else if (e->type == TAR_BLOCK) {
        assert_int_equal(major(st.st_rdev), e->major);
        assert_int_equal(minor(st.st_rdev), e->minor);
    }
}

static ssize_t read_fd(void *arg, void *bytes, size_t size, struct error *err)
{
    ssize_t n = read(*(int *)arg, bytes, size);
    return n < 0 ? error_set(err, ERROR_IO, "read") : n;
}

static size_t compare_archive(const char *archive, const char *root, bool nsec)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_close_ int fd = open(archive, O_RDONLY | O_CLOEXEC);
    _cleanup_tar_reader_ struct tar_reader *r = tar_reader_new(read_fd, &fd);
    struct tar_entry e;
    size_t count = 0;
    int more;
    for (; (more = tar_reader_next(r, &e, &err)) > 0; count++)
        compare_entry(r, &e, root, nsec);
    assert_ok(more, &err);
    return count;
}

static void test_tar_reader__gnu_tar_in_every_format(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        bool rich, nsec;
        size_t count;
    } table[] = {
        {"--format=v7", false, false, 7},     {"--format=ustar", false, false, 7},
        {"--format=oldgnu", true, false, 12}, {"--format=gnu", true, false, 12},
        {"--format=posix", true, true, 12},
    };
    _cleanup_free_ char *archive = in_scratch("archive");
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_free_ char *root = make_tree(table[i].rich);
        RUN("tar", "-C", root, table[i].format, "--numeric-owner", "-cf", archive, ".");
        assert_int_equal(compare_archive(archive, root, table[i].nsec), table[i].count);
    }
}

/* Ids and times that need base-256 or PAX records. */
static void test_tar_reader__gnu_tar_large_numbers(void **state)
{
    (void)state;
    static const char *const formats[] = {"--format=gnu", "--format=posix"};
    _cleanup_free_ char *root = new_folder("tree");
    _cleanup_free_ char *archive = in_scratch("archive");
    static const time_t times[] = {-1, -2000000000, 8589934592, 20000000000};
    for (size_t i = 0; i < COUNT(times); i++) {
        _cleanup_free_ char *file = xasprintf("%s/%zu", root, i);
        write_file(file, "x", 1);
        put_attributes(file, 0600, 3000000000, 4294967294, times[i], 0);
    }
    for (size_t i = 0; i < COUNT(formats); i++) {
        RUN("tar", "-C", root, formats[i], "--numeric-owner", "-cf", archive, ".");
        /* The folder's own time has a fraction. */
        assert_int_equal(chdir(root), 0);
        RUN("touch", "-d", "@5", root);
        RUN("tar", "-C", root, formats[i], "--numeric-owner", "-cf", archive, ".");
        assert_int_equal(compare_archive(archive, root, true), COUNT(times) + 1);
    }
    assert_int_equal(chdir("/"), 0);
}

/* A file of `pieces` stored parts between holes. */
static void make_sparse(const char *path, size_t pieces, off_t size)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    for (size_t i = 0; i < pieces; i++) {
        char text[32];
        int len = snprintf(text, sizeof text, "piece %zu", i);
        assert_int_equal(file_pwrite_all(fd, text, (size_t)len, (off_t)(i * 65536 + 40000)), 0);
    }
    assert_int_equal(ftruncate(fd, size), 0);
}

static void test_tar_reader__gnu_tar_sparse_files(void **state)
{
    (void)state;
    static const char *const formats[][2] = {{"--format=gnu", "--sparse-version=0.0"},
                                             {"--format=oldgnu", "--sparse-version=0.0"},
                                             {"--format=posix", "--sparse-version=0.0"},
                                             {"--format=posix", "--sparse-version=0.1"},
                                             {"--format=posix", "--sparse-version=1.0"}};
    _cleanup_free_ char *root = new_folder("sparse");
    _cleanup_free_ char *archive = in_scratch("archive");
    /* More pieces than a header (4) and an extension block (21) hold; a hole at the end; only a
     * hole; and a long name. */
    static const struct {
        const char *name;
        size_t pieces;
        off_t size;
    } files[] = {{"few", 3, 3 * 65536},
                 {"many", 60, 60 * 65536},
                 {"hole-behind", 2, 1000001},
                 {"only-hole", 0, 300000},
                 {"a-name-of-more-than-one-hundred-bytes-that-does-not-fit-into-the-name-field-of-"
                  "an-ordinary-tar-header-block",
                  5, 5 * 65536}};
    for (size_t i = 0; i < COUNT(files); i++) {
        _cleanup_free_ char *path = path_join(root, files[i].name);
        make_sparse(path, files[i].pieces, files[i].size);
    }
    RUN("sh", "-c", "touch -d @77 \"$1\"/* \"$1\"", "sh", root);
    for (size_t i = 0; i < COUNT(formats); i++) {
        struct stat st;
        RUN("tar", "-C", root, "-S", formats[i][0], formats[i][1], "-cf", archive, ".");
        assert_int_equal(stat(archive, &st), 0);
        assert_true(st.st_size < 1000000); /* or tar has not made it sparse */
        assert_int_equal(compare_archive(archive, root, true), COUNT(files) + 1);
    }
}

/* ---- archives made byte by byte ---- */

static void test_tar_reader__names_and_links(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf tar = BUF_INIT;
    _cleanup_free_ char *long_name = string_of('n', 300), *long_link = string_of('l', 300);
    struct tar_header h = header_of("name", '0', 0);
    memcpy(h.prefix, "some/prefix", 11);
    put_header(&tar, &h);
    h = header_of("", '0', 0); /* all 100 and all 155 bytes, without a NUL */
    memset(h.name, 'a', 100);
    memset(h.prefix, 'b', 155);
    put_header(&tar, &h);
    h = header_of("gnu", '0', 0); /* GNU keeps other things in the prefix */
    memcpy(h.magic, "ustar  ", 8);
    memcpy(h.prefix, "12345", 5);
    put_header(&tar, &h);
    put_extension(&tar, 'L', long_name, 301);
    put_extension(&tar, 'K', long_link, 301);
    put_entry(&tar, "short", '2', "short");
    put_extension(&tar, 'L', "no NUL behind", 13);
    put_entry(&tar, "short", '0', "");
    put_pax(&tar, "path", "from pax \xff");
    put_entry(&tar, "short", '0', "");
    put_pax(&tar, "linkpath", long_link);
    put_entry(&tar, "h", '1', "short");
    put_entry(&tar, "plain again", '0', "");
    put_end(&tar);
    _cleanup_buf_ struct buf expected = BUF_INIT;
    _cleanup_free_ char *a = string_of('a', 100), *b = string_of('b', 155);
    buf_addf(&expected, "f \"some/prefix/name\" =\nf ");
    _cleanup_free_ char *both = xasprintf("%s/%s", b, a);
    buf_add_quoted(&expected, both, strlen(both));
    buf_adds(&expected, " =\nf \"gnu\" =\ns ");
    buf_add_quoted(&expected, long_name, 300);
    buf_adds(&expected, " -> ");
    buf_add_quoted(&expected, long_link, 300);
    buf_adds(&expected, "\nf \"no NUL behind\" =\nf \"from pax \\xff\" =\nh \"h\" -> ");
    buf_add_quoted(&expected, long_link, 300);
    buf_adds(&expected, "\nf \"plain again\" =\n");
    assert_listing("names", &tar, expected.data);
}

static void test_tar_reader__types(void **state)
{
    (void)state;
    static const struct {
        char typeflag;
        const char *name, *expected;
    } table[] = {
        {'0', "x", "f \"x\" =\n"},      {'\0', "x", "f \"x\" =\n"},  {'7', "x", "f \"x\" =\n"},
        {'\0', "x/", "d \"x/\" 644\n"}, {'0', "x/", "f \"x/\" =\n"}, {'5', "x/", "d \"x/\"\n"},
        {'5', "x", "d \"x\"\n"},        {'6', "x", "p \"x\"\n"},     {'3', "x", "c \"x\" 0,0\n"},
        {'4', "x", "b \"x\" 0,0\n"},    {'V', "x", "x \"x\"\n"},     {'Z', "x", "x \"x\"\n"},
        {'1', "x", "h \"x\"\n"},        {'2', "x", "s \"x\"\n"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_buf_ struct buf tar = BUF_INIT;
        put_entry(&tar, table[i].name, table[i].typeflag, "");
        put_end(&tar);
        assert_listing(table[i].expected, &tar, table[i].expected);
    }
}

static void test_tar_reader__pax_numbers_and_times(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *expected;
    } table[] = {
        {"uid", "4294967294", "f \"x\" 4294967294:0 =\n"},
        {"gid", "70000", "f \"x\" 0:70000 =\n"},
        {"mtime", "1234567890", "f \"x\" @1234567890 =\n"},
        {"mtime", "1.5", "f \"x\" @1+500000000 =\n"},
        {"mtime", "1.0000000019", "f \"x\" @1+1 =\n"},
        {"mtime", "1.", "f \"x\" @1 =\n"},
        {"mtime", "-5", "f \"x\" @-5 =\n"},
        {"mtime", "-5.5", "f \"x\" @-6+500000000 =\n"},
        {"mtime", "-0.25", "f \"x\" @-1+750000000 =\n"},
        {"mtime", "-1.0", "f \"x\" @-1 =\n"},
        {"mtime", "8589934592", "f \"x\" @8589934592 =\n"},
        {"uid", "", "f \"x\" =\n"}, /* taken back */
        {"path", "", "f \"x\" =\n"},
        {"comment", "who cares", "f \"x\" =\n"},
        {"atime", "no number, but not ours to read", "f \"x\" =\n"},
        {"SCHILY.xattr.user.a", "v", "f \"x\" {user.a=\"v\"} =\n"},
        {"SCHILY.xattr.user.a", "", "f \"x\" {user.a=\"\"} =\n"},
        {"SCHILY.xattr.user.a", "b=c\nd", "f \"x\" {user.a=\"b=c\\x0ad\"} =\n"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_buf_ struct buf tar = BUF_INIT;
        _cleanup_free_ char *what = xasprintf("%s=%s", table[i].key, table[i].value);
        put_pax(&tar, table[i].key, table[i].value);
        put_entry(&tar, "x", '0', "");
        put_end(&tar);
        assert_listing(what, &tar, table[i].expected);
    }
}

static void test_tar_reader__pax_size_and_binary_attributes(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf tar = BUF_INIT, records = BUF_INIT;
    struct tar_header h = header_of("x", '0', 0); /* the header's own size is not used */
    add_pax_record(&records, "size", "5", 1);
    add_pax_record(&records, "SCHILY.xattr.security.capability", "\x01\0\xff", 3);
    add_pax_record(&records, "SCHILY.xattr.user.b", "two", 3);
    add_pax_record(&records, "LIBARCHIVE.xattr.user.c", "Zm9v", 4);
    put_extension(&tar, 'x', records.data, records.len);
    put_header(&tar, &h);
    put_content(&tar, "12345", 5);
    put_file(&tar, "y", "next");
    put_end(&tar);
    assert_listing("size", &tar,
                   "f \"x\" {security.capability=\"\\x01\\x00\\xff\"} {user.b=\"two\"} =12345\n"
                   "f \"y\" =next\n");
}

/* Podman and Docker leave global headers aside; git archive writes one. */
static void test_tar_reader__global_headers_are_left_aside(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf tar = BUF_INIT, records = BUF_INIT;
    add_pax_record(&records, "path", "other", 5);
    add_pax_record(&records, "uid", "7", 1);
    put_extension(&tar, 'g', records.data, records.len);
    put_file(&tar, "x", "y");
    put_end(&tar);
    assert_listing("global", &tar, "f \"x\" =y\n");
}

static void test_tar_reader__header_numbers(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf tar = BUF_INIT;
    struct tar_header h = header_of("base-256", '0', 0);
    memcpy(h.uid, "\x80\0\0\0\xff\xff\xff\xfe", 8);
    memcpy(h.mtime, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfb", 12);
    put_header(&tar, &h);
    h = header_of("blanks", '0', 0); /* old writers: blanks in front, a blank or nothing behind */
    memcpy(h.mode, "  4755 ", 8);
    memcpy(h.mtime, "       1750 ", 12);
    memcpy(h.gid, "0000012 ", 8);
    put_header(&tar, &h);
    h = header_of("type bits in the mode", '0', 0);
    memcpy(h.mode, "0104755", 8);
    put_header(&tar, &h);
    h = header_of("all digits", '0', 0);
    memcpy(h.mtime, "777777777777", 12);
    put_header(&tar, &h);
    h = header_of("device", '3', 0);
    put_octal(h.major, sizeof h.major, 0xfff);
    put_octal(h.minor, sizeof h.minor, 0xfffff);
    put_header(&tar, &h);
    h = header_of("size of a directory", '5', 4096); /* stated, but not there */
    put_header(&tar, &h);
    h = header_of("size of a link", '1', 4096);
    h.link[0] = 'x';
    put_header(&tar, &h);
    put_end(&tar);
    assert_listing("numbers", &tar,
                   "f \"base-256\" 4294967294:0 @-5 =\n"
                   "f \"blanks\" 4755 0:10 @1000 =\n"
                   "f \"type bits in the mode\" 4755 =\n"
                   "f \"all digits\" @68719476735 =\n"
                   "c \"device\" 4095,1048575\n"
                   "d \"size of a directory\"\n"
                   "h \"size of a link\" -> \"x\"\n");
}

/* Checksums of old writers that added signed bytes. */
static void test_tar_reader__signed_checksum(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf tar = BUF_INIT;
    struct tar_header h = header_of("caf\xc3\xa9", '0', 0);
    int sum = 0;
    memset(h.checksum, ' ', sizeof h.checksum);
    for (size_t i = 0; i < sizeof h; i++)
        sum += ((const signed char *)&h)[i];
    put_octal(h.checksum, 7, (uint64_t)sum);
    buf_add(&tar, &h, sizeof h);
    put_end(&tar);
    assert_listing("signed", &tar, "f \"caf\\xc3\\xa9\" =\n");
}

static void test_tar_reader__ends(void **state)
{
    (void)state;
    static const char zeros[TAR_BLOCK_SIZE];
    _cleanup_buf_ struct buf tar = BUF_INIT;
    assert_listing("no byte", &tar, "");
    put_end(&tar);
    assert_listing("only the end", &tar, "");
    put_file(&tar, "behind", "x");
    assert_listing("behind the end", &tar, "");
    buf_truncate(&tar, 0);
    put_file(&tar, "x", "y");
    assert_listing("no end", &tar, "f \"x\" =y\n");
    buf_add(&tar, zeros, sizeof zeros);
    assert_listing("half an end", &tar, "f \"x\" =y\n");
}

/* ---- bad archives ---- */

static void set(char *field, size_t size, const char *text)
{
    memset(field, '\0', size);
    memcpy(field, text, strlen(text));
}

static void expect_bad(const char *what, const struct buf *tar, enum error_kind kind,
                       const char *says)
{
    _cleanup_buf_ struct buf listing = BUF_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    assert_fails(what, list_archive(tar->data, tar->len, 0, &listing, &err), &err, kind, says);
}

static void test_tar_reader__bad_header_fields(void **state)
{
    (void)state;
    struct tar_header h;
#define FIELD(name) offsetof(struct tar_header, name), sizeof h.name
    static const struct {
        char typeflag;
        size_t offset, size;
        const char *text, *says;
    } table[] = {
        {'0', FIELD(size), "9", "the size is no number"},
        {'0', FIELD(size), "-1", "the size is no number"},
        {'0', FIELD(size), "1x", "the size is no number"},
        {'0', FIELD(size), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "out of range"},
        {'0', FIELD(size), "\x80\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", "is no number"},
        {'0', FIELD(size), "777777777777", "ends in the middle of a file's content"},
        {'x', FIELD(size), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "out of range"},
        {'0', FIELD(mode), "rwx", "the mode is no number"},
        {'0', FIELD(mtime), "now", "the time is no number"},
        {'0', FIELD(uid), "root", "id is no number"},
        {'0', FIELD(uid), "\x80\x01\x01\x01\x01\x01\x01\x01", "id is out of range"},
        {'0', FIELD(gid), "\xff\xff\xff\xff\xff\xff\xff\xff", "id is out of range"},
        {'3', FIELD(major), "10000", "device number is out of range"},
        {'4', FIELD(minor), "4000000", "device number is out of range"},
        {'4', FIELD(minor), "zero", "device number is none"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_buf_ struct buf tar = BUF_INIT;
        _cleanup_free_ char *what = xasprintf("row %zu", i);
        h = header_of("x", table[i].typeflag, 0);
        set((char *)&h + table[i].offset, table[i].size, table[i].text);
        put_header(&tar, &h);
        expect_bad(what, &tar, ERROR_PARSE, table[i].says);
    }
}

static void test_tar_reader__size_beyond_the_limit(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf tar = BUF_INIT;
    struct tar_header h = header_of("x", '0', 0);
    memcpy(h.size, "\x80\0\0\0\0\0\x02\0\0\0\0", 12); /* 2 TiB */
    put_header(&tar, &h);
    expect_bad("size", &tar, ERROR_PARSE, "size is out of range");
    buf_truncate(&tar, 0);
    put_pax(&tar, "size", "9223372036854775807");
    put_entry(&tar, "x", '0', "");
    expect_bad("pax size", &tar, ERROR_PARSE, "size is out of range");
}

static void test_tar_reader__bad_pax_records(void **state)
{
    (void)state;
    static const struct {
        const char *records;
        size_t len;
        const char *says;
    } table[] = {
#define TEXT(s) s, sizeof(s) - 1
        {TEXT("garbage"), "wrong length"},
        {TEXT("99 path=x\n"), "wrong length"},
        {TEXT("5 path=x\n"), "wrong length"},
        {TEXT("0 path=x\n"), "wrong length"},
        {TEXT("-9 path=x\n"), "wrong length"},
        {TEXT("99999999999999999999 path=x\n"), "wrong length"},
        {TEXT("9 path=xy"), "wrong length"},
        {TEXT("9 pathxx\n"), "no keyword"},
        {TEXT("7 =xyz\n"), "no keyword"},
        {TEXT("11 p\0th=xy\n"), "no keyword"},
        {TEXT("12 path=a\0b\n"), "holds a NUL"},
        {TEXT("16 linkpath=a\0b\n"), "holds a NUL"},
        {TEXT("9 uid=-1\n"), "number out of range"},
        {TEXT("8 uid=x\n"), "number out of range"},
        {TEXT("18 uid=4294967295\n"), "id is out of range"},
        {TEXT("27 size=99999999999999999999\n"), "wrong length"},
        {TEXT("29 size=99999999999999999999\n"), "number out of range"},
        {TEXT("11 mtime=x\n"), "number out of range"},
        {TEXT("13 mtime=1.x\n"), "time that is no number"},
        {TEXT("10 mtime=-"
              "\n"),
         "wrong length"},
        {TEXT("11 mtime=-\n"), "number out of range"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_buf_ struct buf tar = BUF_INIT;
        _cleanup_free_ char *what = quoted_bytes(table[i].records, table[i].len);
        put_extension(&tar, 'x', table[i].records, table[i].len);
        put_entry(&tar, "x", '0', "");
        put_end(&tar);
        expect_bad(what, &tar, ERROR_PARSE, table[i].says);
    }
}

static void test_tar_reader__extended_headers_are_limited(void **state)
{
    (void)state;
    static const char types[] = {'x', 'g', 'L', 'K'};
    for (size_t i = 0; i < COUNT(types); i++) {
        _cleanup_buf_ struct buf tar = BUF_INIT;
        struct tar_header h = header_of("x", types[i], LIMIT_PAX_BYTES + 1);
        put_header(&tar, &h);
        expect_bad("long", &tar, ERROR_LIMIT, "an extended header of 1048577 bytes");
    }
    _cleanup_buf_ struct buf tar = BUF_INIT, records = BUF_INIT;
    _cleanup_free_ char *value = string_of('v', LIMIT_XATTR_BYTES);
    add_pax_record(&records, "SCHILY.xattr.user.a", value, LIMIT_XATTR_BYTES);
    put_extension(&tar, 'x', records.data, records.len);
    put_entry(&tar, "x", '0', "");
    expect_bad("xattrs", &tar, ERROR_LIMIT, "bytes of extended attributes");
}

/* Headers without end that describe one entry must not be read forever, nor cost memory. */
static void test_tar_reader__not_a_tar(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf tar = BUF_INIT;
    put_file(&tar, "x", "y");
    tar.data[0] = 'z';
    expect_bad("changed name", &tar, ERROR_PARSE, "tar: offset 512: not a tar header");
    buf_truncate(&tar, 0);
    for (int i = 0; i < 100; i++)
        buf_adds(&tar, "<html>this is no archive</html>");
    expect_bad("text", &tar, ERROR_PARSE, "not a tar header (its checksum is wrong)");
    buf_truncate(&tar, 100);
    expect_bad("short text", &tar, ERROR_PARSE, "ends in the middle of a header");
}

static void put_sparse(struct buf *tar, const char *records, const char *content, size_t stored)
{
    _cleanup_buf_ struct buf pax = BUF_INIT;
    for (const char *p = records; *p;) { /* KEY=VALUE;... */
        size_t len = strcspn(p, ";"), key = strcspn(p, "=");
        _cleanup_free_ char *name = xasprintf("GNU.sparse.%.*s", (int)key, p);
        add_pax_record(&pax, name, p + key + 1, len - key - 1);
        p += len + (p[len] == ';');
    }
    put_extension(tar, 'x', pax.data, pax.len);
    struct tar_header h = header_of("x", '0', stored);
    put_header(tar, &h);
    put_content(tar, content, stored);
    put_end(tar);
}

static void test_tar_reader__sparse_maps_made_by_hand(void **state)
{
    (void)state;
    static const struct {
        const char *records, *content;
        size_t stored;
        const char *expected; /* or the error */
        bool bad;
    } table[] = {
        {"size=4;numblocks=1;map=0,4", "abcd", 4, "f \"x\" =abcd\n", false},
        {"name=other;size=4;map=0,4", "abcd", 4, "f \"other\" =abcd\n", false},
        {"size=4;numblocks=2;offset=0;numbytes=2;offset=2;numbytes=2", "abcd", 4, "f \"x\" =abcd\n",
         false},
        {"major=1;minor=0;realsize=3;name=n", "1\n0\n3\n", 512 + 3, "f \"n\"", false},
        {"size=4;map=0,5", "abcde", 5, "map does not fit its size", true},
        {"size=4;map=0,3", "abcd", 4, "map does not fit its size", true},
        {"size=4;map=2,2,0,2", "abcd", 4, "map does not fit its size", true},
        {"size=4;map=0,3,2,1", "abcd", 4, "map does not fit its size", true},
        {"size=4;map=0,4,", "abcd", 4, "f \"x\" =abcd\n", false},
        {"size=4;map=0", "", 0, "map does not fit its size", true},
        {"size=4;map=a,b", "", 0, "not a list of numbers", true},
        {"size=4;map=0,,4", "", 0, "not a list of numbers", true},
        {"size=4;map=9999999999999999999,4", "", 0, "not a list of numbers", true},
        {"size=4;offset=999999999999999999;numbytes=999999999999999999", "", 0,
         "map does not fit its size", true},
        {"major=1;minor=0;realsize=3", "1\n0\n3\n", 100, "longer than its content", true},
        {"major=1;minor=0;realsize=3", "x\n0\n3\n", 512, "not a list of numbers", true},
        {"major=1;minor=0;realsize=3", "999999999\n", 512, "not a list of numbers", true},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        _cleanup_buf_ struct buf tar = BUF_INIT, content = BUF_INIT;
        buf_adds(&content, table[i].content);
        while (content.len < table[i].stored)
            buf_addc(&content, '\0');
        put_sparse(&tar, table[i].records, content.data, table[i].stored);
        if (table[i].bad) {
            expect_bad(table[i].records, &tar, ERROR_PARSE, table[i].expected);
            continue;
        }
        _cleanup_buf_ struct buf listing = BUF_INIT;
        _cleanup_error_ struct error err = ERROR_INIT;
        assert_ok(list_archive(tar.data, tar.len, 0, &listing, &err), &err);
        if (!starts_with(listing.data, table[i].expected))
            fail_msg("%s: %s", table[i].records, listing.data);
    }
}

/* A sparse file may state a terabyte of zeros: bounded like any other file. */
static void test_tar_reader__sparse_size_is_limited(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf tar = BUF_INIT;
    _cleanup_error_ struct error err = ERROR_INIT;
    put_sparse(&tar, "size=9000000000000000000;map=0,4", "abcd", 4);
    struct source source = {tar.data, tar.len, 0, 0};
    _cleanup_tar_reader_ struct tar_reader *r = tar_reader_new(read_source, &source);
    struct tar_entry e;
    assert_fails("size", tar_reader_next(r, &e, &err), &err, ERROR_PARSE, "out of range");
}

/* ---- cut and damaged ---- */

/* A member may end the archive, and so may its content: writers that are never closed leave the
 * zeros behind it out (umoci insert). */
struct good_ends {
    size_t from[16], to[16];
    size_t count;
};

static void note_end(struct good_ends *ends, size_t content, size_t whole)
{
    ends->from[ends->count] = content;
    ends->to[ends->count++] = whole;
}

static void make_sample(struct buf *tar, struct good_ends *ends)
{
    static const char map[515] = "1\n8997\n3\n";
    _cleanup_buf_ struct buf records = BUF_INIT, sparse = BUF_INIT;
    note_end(ends, 0, 0);
    put_file(tar, "one", "content");
    note_end(ends, TAR_BLOCK_SIZE + 7, tar->len);
    put_extension(tar, 'L', "a long name, if you like", 25);
    put_entry(tar, "two", '5', "");
    note_end(ends, tar->len, tar->len);
    add_pax_record(&records, "path", "three", 5);
    add_pax_record(&records, "SCHILY.xattr.user.x", "y", 1);
    put_extension(tar, 'x', records.data, records.len);
    put_file(tar, "short", "more content");
    note_end(ends, tar->len - TAR_BLOCK_SIZE + 12, tar->len);
    put_entry(tar, "four", '1', "one");
    note_end(ends, tar->len, tar->len);
    put_sparse(&sparse, "major=1;minor=0;realsize=9000;name=n", map, sizeof map);
    buf_add(tar, sparse.data, sparse.len - 2 * TAR_BLOCK_SIZE);
    note_end(ends, tar->len - TAR_BLOCK_SIZE + 3, tar->len);
    put_end(tar);
    note_end(ends, tar->len - TAR_BLOCK_SIZE, tar->len);
}

static bool is_good_end(const struct good_ends *ends, size_t at)
{
    for (size_t i = 0; i < ends->count; i++)
        if (at >= ends->from[i] && at <= ends->to[i])
            return true;
    return false;
}

static void test_tar_reader__cut_at_every_offset(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf tar = BUF_INIT;
    struct good_ends ends = {.count = 0};
    make_sample(&tar, &ends);
    for (size_t len = 0; len <= tar.len; len++) {
        struct buf listing = BUF_INIT;
        struct error err = ERROR_INIT;
        char *copy = xmalloc(len); /* just as long, for the sanitizer */
        memcpy(copy, tar.data, len);
        int rc = list_archive(copy, len, 0, &listing, &err);
        bool good = is_good_end(&ends, len);
        if (rc == 0 && !good)
            fail_msg("cut at %zu, and accepted:\n%s", len, listing.data);
        if (rc < 0 && (good || err.kind != ERROR_PARSE))
            fail_msg("cut at %zu: %s", len, err.message);
        free(copy);
        buf_release(&listing);
        error_release(&err);
    }
}

static void test_tar_reader__damage_never_crashes(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf tar = BUF_INIT;
    struct good_ends ends = {.count = 0};
    make_sample(&tar, &ends);
    random_state = 1;
    for (int i = 0; i < 20000; i++) {
        _cleanup_buf_ struct buf copy = BUF_INIT, listing = BUF_INIT;
        _cleanup_error_ struct error err = ERROR_INIT;
        buf_add(&copy, tar.data, tar.len);
        size_t block = random_below(copy.len / TAR_BLOCK_SIZE) * TAR_BLOCK_SIZE;
        for (size_t n = 1 + random_below(3); n > 0; n--)
            copy.data[block + random_below(TAR_BLOCK_SIZE)] = (char)random_u64();
        struct tar_header h; /* with a good checksum, or nobody reads further */
        memcpy(&h, copy.data + block, sizeof h);
        _cleanup_buf_ struct buf fixed = BUF_INIT;
        put_header(&fixed, &h);
        memcpy(copy.data + block, fixed.data, sizeof h);
        if (list_archive(copy.data, copy.len, random_below(700), &listing, &err) < 0 &&
            err.kind != ERROR_PARSE && err.kind != ERROR_LIMIT)
            fail_msg("%s: %s", error_kind_name(err.kind), err.message);
    }
}

static ssize_t failing_read(void *arg, void *bytes, size_t size, struct error *err)
{
    (void)arg;
    (void)bytes;
    (void)size;
    return error_set(err, ERROR_CORRUPT, "the source says so");
}

static void test_tar_reader__the_sources_error_is_passed_on(void **state)
{
    (void)state;
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_tar_reader_ struct tar_reader *r = tar_reader_new(failing_read, NULL);
    struct tar_entry e;
    assert_fails("read", tar_reader_next(r, &e, &err), &err, ERROR_CORRUPT, "the source says so");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tar_reader__gnu_tar_in_every_format),
        cmocka_unit_test(test_tar_reader__gnu_tar_large_numbers),
        cmocka_unit_test(test_tar_reader__gnu_tar_sparse_files),
        cmocka_unit_test(test_tar_reader__names_and_links),
        cmocka_unit_test(test_tar_reader__types),
        cmocka_unit_test(test_tar_reader__pax_numbers_and_times),
        cmocka_unit_test(test_tar_reader__pax_size_and_binary_attributes),
        cmocka_unit_test(test_tar_reader__global_headers_are_left_aside),
        cmocka_unit_test(test_tar_reader__header_numbers),
        cmocka_unit_test(test_tar_reader__signed_checksum),
        cmocka_unit_test(test_tar_reader__ends),
        cmocka_unit_test(test_tar_reader__bad_header_fields),
        cmocka_unit_test(test_tar_reader__size_beyond_the_limit),
        cmocka_unit_test(test_tar_reader__bad_pax_records),
        cmocka_unit_test(test_tar_reader__extended_headers_are_limited),
        cmocka_unit_test(test_tar_reader__not_a_tar),
        cmocka_unit_test(test_tar_reader__sparse_maps_made_by_hand),
        cmocka_unit_test(test_tar_reader__sparse_size_is_limited),
        cmocka_unit_test(test_tar_reader__cut_at_every_offset),
        cmocka_unit_test(test_tar_reader__damage_never_crashes),
        cmocka_unit_test(test_tar_reader__the_sources_error_is_passed_on),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

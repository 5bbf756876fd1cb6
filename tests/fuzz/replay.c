/*
 * Feeds a fuzz target without libFuzzer: every file of its corpus (a folder, the only argument),
 * then MUTATIONS changed copies. The changes come from a fixed seed, so a failure can be repeated;
 * the input that a crash was about is left in ./replay-crash.
 */
#include "base/buf.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define MUTATIONS 4000
#define MAX_BYTES ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buf corpus[1000];
static size_t corpus_count;
static const struct buf *under_way; /* for the signal handler */

static uint64_t random_state = 0x6475636320726570;

/* splitmix64 */
static uint64_t random_u64(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static size_t random_below(size_t n)
{
    return n ? (size_t)(random_u64() % n) : 0;
}

static void keep_input(int signal_number)
{
    int fd = open("replay-crash", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0 && under_way && write(fd, under_way->data, under_way->len) >= 0)
        close(fd);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void run(const struct buf *input)
{
    under_way = input;
    /* A copy of just its size, so that a sanitizer sees a read behind the end. */
    _cleanup_free_ uint8_t *bytes = xmalloc(input->len);
    memcpy(bytes, input->data, input->len);
    LLVMFuzzerTestOneInput(bytes, input->len);
    under_way = NULL;
}

static int by_content(const void *a, const void *b)
{
    const struct buf *x = a, *y = b;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return memcmp(x->data, y->data, x->len);
}

static int read_corpus(const char *folder, struct error *err)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return error_set(err, ERROR_IO, "%s: cannot read", folder);
    int result = 0;
    for (struct dirent *e; result == 0 && (e = readdir(dir));) {
        if (e->d_name[0] == '.' || corpus_count == sizeof corpus / sizeof *corpus)
            continue;
        _cleanup_free_ char *path = path_join(folder, e->d_name);
        corpus[corpus_count] = (struct buf)BUF_INIT;
        result = file_read(path, MAX_BYTES, &corpus[corpus_count++], err);
    }
    closedir(dir);
    /* The order of a folder is the file system's: not ours to depend on. */
    qsort(corpus, corpus_count, sizeof *corpus, by_content);
    return result == 0 && corpus_count == 0 ? error_set(err, ERROR_NOT_FOUND, "%s: empty", folder)
                                            : result;
}

/* Replace `len` bytes at `at` by others. */
static void replace(struct buf *b, size_t at, size_t len, const char *bytes, size_t new_len)
{
    struct buf out = BUF_INIT;
    buf_add(&out, b->data, at);
    buf_add(&out, bytes, new_len);
    buf_add(&out, b->data + at + len, b->len - at - len);
    buf_release(b);
    *b = out;
}

static void mutate(struct buf *b)
{
    static const char bytes[] = {'\0', '\x01', '\x7f', '\x80', '\xff', '/',
                                 '.',  '"',    '0',    '7',    '\n'};
    const struct buf *other = &corpus[random_below(corpus_count)];
    size_t at = random_below(b->len), from = random_below(other->len);
    size_t len = random_below(b->len - at < 64 ? b->len - at : 64);
    size_t other_len = random_below(other->len - from < 1024 ? other->len - from : 1024);
    switch (b->len ? random_below(7) : 6) {
    case 0: /* a bit */
        b->data[at] = (char)(b->data[at] ^ 1 << random_below(8));
        break;
    case 1: /* a byte */
        b->data[at] = bytes[random_below(sizeof bytes)];
        break;
    case 2: /* any byte */
        b->data[at] = (char)random_u64();
        break;
    case 3: /* the end is missing */
        buf_truncate(b, at);
        break;
    case 4: /* a piece is missing */
        replace(b, at, len, "", 0);
        break;
    case 5: { /* a piece twice */
        _cleanup_free_ char *piece = xmalloc(len + 1);
        memcpy(piece, b->data + at, len);
        replace(b, at, 0, piece, len);
        break;
    }
    default: /* a piece of another input */
        replace(b, at, 0, other->data + from, other_len);
    }
}

int main(int argc, char **argv)
{
    static const int fatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
    _cleanup_error_ struct error err = ERROR_INIT;
    if (argc != 2 || read_corpus(argv[1], &err) < 0) {
        fprintf(stderr, "%s\n", argc == 2 ? err.message : "usage: fuzz_X CORPUS");
        return 1;
    }
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        signal(fatal[i], keep_input);
    for (size_t i = 0; i < corpus_count; i++)
        run(&corpus[i]);
    for (size_t i = 0; i < MUTATIONS; i++) {
        _cleanup_buf_ struct buf input = BUF_INIT;
        const struct buf *start = &corpus[i % corpus_count];
        buf_add(&input, start->data, start->len);
        for (size_t n = 1 + random_below(4); n > 0; n--)
            mutate(&input);
        run(&input);
    }
    printf("%zu files, %d mutations\n", corpus_count, MUTATIONS);
    for (size_t i = 0; i < corpus_count; i++)
        buf_release(&corpus[i]);
    return 0;
}

/*
 * gzip decoders side by side on real layers: ducc_bench_decoders BLOB...
 *
 * Each decodes a whole blob from memory and throws the result away, several times; the fastest time
 * is printed, in MB of unpacked data a second. Beside them the work that prepare does on the same
 * bytes: SHA-256, once for the diff id and once for the files' contents. Of these decoders
 * libdeflate cannot stream: it needs the whole output in memory.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define OUTPUT_SIZE ((size_t)256 * 1024)
#define ROUNDS      3

struct input {
    const struct buf *blob;
    uint8_t *plain; /* room for the whole output */
    size_t plain_size;
};

static uint8_t output[OUTPUT_SIZE];

static size_t decode_zlib(const struct input *in)
{
    z_stream z = {.next_in = (Bytef *)in->blob->data, .avail_in = (uInt)in->blob->len};
    size_t size = 0;
    int result;
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        abort();
    do {
        z.next_out = output;
        z.avail_out = OUTPUT_SIZE;
        result = inflate(&z, Z_NO_FLUSH);
        size += OUTPUT_SIZE - z.avail_out;
    } while (result == Z_OK);
    inflateEnd(&z);
    return result == Z_STREAM_END ? size : 0;
}

static size_t decode_isal(const struct input *in)
{
    struct inflate_state *s = xcalloc(1, sizeof *s);
    size_t size = 0;
    isal_inflate_init(s);
    s->crc_flag = ISAL_GZIP;
    s->next_in = (uint8_t *)in->blob->data;
    s->avail_in = (uint32_t)in->blob->len;
    while (s->block_state != ISAL_BLOCK_FINISH) {
        s->next_out = output;
        s->avail_out = OUTPUT_SIZE;
        if (isal_inflate(s) != ISAL_DECOMP_OK) {
            size = 0;
            break;
        }
        size += OUTPUT_SIZE - s->avail_out;
    }
    free(s);
    return size;
}

static size_t decode_libdeflate(const struct input *in)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    size_t size = 0;
    if (libdeflate_gzip_decompress(d, in->blob->data, in->blob->len, in->plain, in->plain_size,
                                   &size) != LIBDEFLATE_SUCCESS)
        size = 0;
    libdeflate_free_decompressor(d);
    return size;
}

static size_t hash_plain(const struct input *in)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    return EVP_Digest(in->plain, in->plain_size, digest, NULL, EVP_sha256(), NULL) ? in->plain_size
                                                                                   : 0;
}

static const struct decoder {
    const char *name;
    size_t (*run)(const struct input *in);
} decoders[] = {
    {"zlib", decode_zlib},
    {"isa-l", decode_isal},
    {"libdeflate", decode_libdeflate}, /* leaves the plain bytes for the hash */
    {"sha256", hash_plain},
};
#define DECODER_COUNT (sizeof decoders / sizeof *decoders)

static double fastest(const struct decoder *d, const struct input *in)
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double start = clock_monotonic();
        if (d->run(in) != in->plain_size) {
            fprintf(stderr, "%s: failed\n", d->name);
            exit(1);
        }
        double taken = clock_monotonic() - start;
        best = taken < best ? taken : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    double sums[DECODER_COUNT] = {0}, bytes = 0;
    printf("%-22s %9s", "blob", "MB");
    for (size_t d = 0; d < DECODER_COUNT; d++)
        printf(" %10s", decoders[d].name);
    printf("   (MB/s of unpacked data)\n");
    for (int i = 1; i < argc; i++) {
        _cleanup_buf_ struct buf blob = BUF_INIT;
        struct error err = ERROR_INIT;
        if (file_read(argv[i], UINT32_MAX, &blob, &err) < 0) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        struct input in = {.blob = &blob};
        in.plain_size = decode_zlib(&in);
        if (in.plain_size == 0) {
            fprintf(stderr, "%s: not gzip\n", argv[i]);
            continue;
        }
        in.plain = xmalloc(in.plain_size);
        const char *slash = strrchr(argv[i], '/');
        printf("%-22.20s %9.1f", slash ? slash + 1 : argv[i], (double)in.plain_size / 1e6);
        for (size_t d = 0; d < DECODER_COUNT; d++) {
            double taken = fastest(&decoders[d], &in);
            sums[d] += taken;
            printf(" %10.0f", (double)in.plain_size / 1e6 / taken);
        }
        printf("\n");
        bytes += (double)in.plain_size;
        free(in.plain);
    }
    printf("%-22s %9.1f", "in sum", bytes / 1e6);
    for (size_t d = 0; d < DECODER_COUNT; d++)
        printf(" %10.0f", bytes / 1e6 / sums[d]);
    printf("\n");
    return 0;
}

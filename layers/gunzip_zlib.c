#include "layers/gunzip.h"

#include "base/memory.h"

#include <zlib.h>

struct gunzip {
    z_stream zlib;
};

struct gunzip *gunzip_new(void)
{
    struct gunzip *g = xcalloc(1, sizeof *g);
    if (inflateInit2(&g->zlib, 16 + MAX_WBITS) != Z_OK)
        abort(); /* out of memory */
    return g;
}

void gunzip_free(struct gunzip *g)
{
    if (!g)
        return;
    inflateEnd(&g->zlib);
    free(g);
}

void gunzip_begin_member(struct gunzip *g)
{
    inflateReset(&g->zlib);
}

ssize_t gunzip_read(struct gunzip *g, const char **in, const char *in_end, char *bytes, size_t size,
                    bool *out_ended, struct error *err)
{
    g->zlib.next_in = (Bytef *)*in;
    g->zlib.avail_in = (uInt)(in_end - *in);
    g->zlib.next_out = (Bytef *)bytes;
    g->zlib.avail_out = (uInt)size;
    int result = inflate(&g->zlib, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return error_set(err, ERROR_CORRUPT, "the gzip data is damaged: %s",
                         g->zlib.msg ? g->zlib.msg : "unknown reason");
    *in = in_end - g->zlib.avail_in;
    *out_ended = result == Z_STREAM_END;
    return (ssize_t)(size - g->zlib.avail_out);
}

#include "layers/gunzip.h"

#include "base/memory.h"

#include <isa-l/igzip_lib.h>

struct gunzip {
    struct inflate_state state;
    struct isal_gzip_header header;
    bool header_is_read;
};

struct gunzip *gunzip_new(void)
{
    return xcalloc(1, sizeof(struct gunzip));
}

void gunzip_free(struct gunzip *g)
{
    free(g);
}

void gunzip_begin_member(struct gunzip *g)
{
    isal_inflate_init(&g->state);
    isal_gzip_header_init(&g->header);
    /* The header is read apart: isal_inflate() would want all of it in one piece. */
    g->state.crc_flag = ISAL_GZIP_NO_HDR_VER;
    g->header_is_read = false;
}

static int damaged(int result, struct error *err)
{
    static const struct {
        int result;
        const char *text;
    } reasons[] = {{ISAL_INVALID_BLOCK, "invalid block"},
                   {ISAL_INVALID_SYMBOL, "invalid code"},
                   {ISAL_INVALID_LOOKBACK, "invalid distance too far back"},
                   {ISAL_INVALID_WRAPPER, "incorrect header"},
                   {ISAL_UNSUPPORTED_METHOD, "unknown compression method"},
                   {ISAL_INCORRECT_CHECKSUM, "incorrect checksum or length"}};
    const char *text = "unknown reason";
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].result == result)
            text = reasons[i].text;
    return error_set(err, ERROR_CORRUPT, "the gzip data is damaged: %s", text);
}

ssize_t gunzip_read(struct gunzip *g, const char **in, const char *in_end, char *bytes, size_t size,
                    bool *out_ended, struct error *err)
{
    struct inflate_state *s = &g->state;
    s->next_in = (uint8_t *)*in;
    s->avail_in = (uint32_t)(in_end - *in);
    s->next_out = (uint8_t *)bytes;
    s->avail_out = (uint32_t)size;
    int result = ISAL_DECOMP_OK;
    if (!g->header_is_read) {
        result = isal_read_gzip_header(s, &g->header);
        g->header_is_read = result == ISAL_DECOMP_OK;
    }
    if (g->header_is_read)
        result = isal_inflate(s);
    if (result != ISAL_DECOMP_OK && result != ISAL_END_INPUT)
        return damaged(result, err);
    *in = in_end - s->avail_in;
    *out_ended = s->block_state == ISAL_BLOCK_FINISH;
    return (ssize_t)(size - s->avail_out);
}

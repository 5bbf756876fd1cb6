/* A layer's tar, from any bytes, through the reader and the builder. An even first byte asks for
 * good checksums, without which hardly a mutated header would be read. */
#include "base/memory.h"
#include "layers/layer.h"
#include "layers/layer_builder.h"
#include "layers/tar_format.h"
#include "layers/tar_reader.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONTENT_MAX ((uint64_t)1 << 20)

struct input {
    uint8_t *bytes;
    size_t size, at;
};

static ssize_t read_input(void *arg, void *bytes, size_t size, struct error *err)
{
    struct input *in = arg;
    (void)err;
    size_t n = in->size - in->at < size ? in->size - in->at : size;
    memcpy(bytes, in->bytes + in->at, n);
    in->at += n;
    return (ssize_t)n;
}

/* In every block that could be a header: a content that looks like one may change, too. */
static void repair_checksums(struct input *in)
{
    for (size_t at = 0; at + TAR_BLOCK_SIZE <= in->size; at += TAR_BLOCK_SIZE) {
        struct tar_header *h = (void *)(in->bytes + at);
        unsigned sum = 0;
        if (memcmp(h->magic, "ustar", 5) != 0)
            continue;
        memset(h->checksum, ' ', sizeof h->checksum);
        for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
            sum += in->bytes[at + i];
        snprintf(h->checksum, sizeof h->checksum, "%06o", sum);
    }
}

static int add_entry(struct layer_builder *b, struct tar_reader *r, const struct tar_entry *e,
                     struct error *err)
{
    struct content content = {0};
    const void *bytes;
    size_t len;
    int more;
    while (content.size < CONTENT_MAX && (more = tar_reader_data(r, &bytes, &len, err)) > 0)
        content.size += len;
    if (content.size >= CONTENT_MAX || more < 0)
        return -1;
    if (content.size != e->size)
        abort();
    content.size = 0; /* there is no data behind the index */
    return layer_builder_add(b, e, &content, err);
}

static void check_layer(struct layer_builder *b)
{
    struct layer layer;
    struct layer_index index;
    _cleanup_error_ struct error err = ERROR_INIT;
    if (layer_from_memory(b, NULL, "", 0, &layer, &err) < 0)
        abort();
    if (layer_index_open_memory(layer.index.map, layer.index.map_size, &index, &err) < 0)
        abort(); /* what we write is what we read */
    layer_release(&layer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct input in = {.size = size ? size - 1 : 0};
    struct layer_builder *b = layer_builder_new();
    struct tar_entry e;
    in.bytes = xmalloc(in.size);
    memcpy(in.bytes, data + (size > 0), in.size);
    if (size > 0 && data[0] % 2 == 0)
        repair_checksums(&in);
    struct tar_reader *r = tar_reader_new(read_input, &in);
    while (tar_reader_next(r, &e, &err) > 0 && add_entry(b, r, &e, &err) == 0)
        ;
    check_layer(b);
    tar_reader_free(r);
    free(in.bytes);
    return 0;
}

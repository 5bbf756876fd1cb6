/* Preparing the layers of an image, one after the other in one thread: what each byte costs. */
#include "tests/bench/bench.h"

static int prepare_layer(struct spool *spool, const struct image_layer *l, struct error *err)
{
    const struct digest *blob = &l->descriptor->blob.digest;
    struct prepare_options options = {.diff_algorithm = l->diff_id.algorithm};
    struct layer layer;
    struct stopwatch start = stopwatch_now();
    spool_drop_layer(spool, blob);
    if (layer_prepare(spool, blob, &options, err) < 0)
        return -1;
    struct stopwatch taken = stopwatch_since(&start);
    if (layer_open(spool, blob, &layer, err) < 0)
        return -1;
    const struct layer_index_header *h = layer.index.header;
    json_t *m = measurement("prepare", &taken);
    add_count(m, "compressed", h->compressed_size);
    add_count(m, "bytes", h->diff_size);
    add_count(m, "entries", h->entry_count);
    add_count(m, "index_bytes", layer.index.map_size);
    print_measurement(m);
    layer_release(&layer);
    return 0;
}

int bench_prepare(char **arguments, struct error *err)
{
    struct spool spool;
    struct image image;
    if (image_of_layout(arguments[0], &image, err) < 0 ||
        spool_open(&spool, arguments[1], 0, err) < 0)
        return -1;
    int result = spool_blobs(&spool, &image, arguments[0], err);
    for (size_t i = 0; result == 0 && i < image.layer_count; i++)
        result = prepare_layer(&spool, &image.layers[i], err);
    spool_release(&spool);
    image_release(&image);
    return result;
}

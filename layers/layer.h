/*
 * A prepared layer: its index, mapped, and the contents of its files.
 *
 * Prepare is the only stage that decompresses and parses. It reads the blob once, checks every
 * entry, hashes every file, computes the diff id, and leaves plain data with an index in the spool
 * (layers/spool.h); everything after works on those two.
 */
#ifndef LAYERS_LAYER_H
#define LAYERS_LAYER_H

#include "base/digest.h"
#include "base/error.h"
#include "layers/layer_index.h"
#include "layers/spool.h"

struct layer {
    struct digest blob; /* digest of the compressed blob: the layer's public name */
    struct layer_index index;
    int data_fd; /* -1: the repository holds the contents already, only the index is here */
};

struct prepare_options {
    enum digest_algorithm diff_algorithm; /* of the diff id to compute */
    uint64_t max_bytes;                   /* unpacked; 0: LIMIT_LAYER_BYTES */
    /* Called now and then with how much is done; may be NULL. */
    void (*progress)(void *arg, uint64_t entries, uint64_t bytes);
    void *arg;
};

/* The blob lies in the spool; afterwards the layer does too, and the blob is gone. ERROR_CORRUPT
 * for damaged compression, ERROR_PARSE and ERROR_LIMIT for what the tar holds, ERROR_LIMIT for a
 * full spool. The caller compares the diff id with the image's configuration. */
MUST_CHECK int layer_prepare(struct spool *spool, const struct digest *blob,
                             const struct prepare_options *options, struct error *err);

/* Open a layer that lies in the spool. ERROR_NOT_FOUND if it does not. */
MUST_CHECK int layer_open(const struct spool *spool, const struct digest *blob, struct layer *out,
                          struct error *err);
/* Put an index that the repository holds into the spool, as a layer without data. It is checked
 * record by record. */
MUST_CHECK int layer_adopt_index(struct spool *spool, const struct digest *blob,
                                 const char *index_path, struct error *err);
void layer_release(struct layer *layer);

/* A layer made in memory (Apptainer's files): `builder` is consumed, `data` copied. It has no blob
 * digest. `about` (may be NULL) has the diff id and sizes. */
struct layer_builder;
MUST_CHECK int layer_from_memory(struct layer_builder *builder,
                                 const struct layer_index_header *about, const void *data,
                                 size_t len, struct layer *out, struct error *err);

#endif

/*
 * The spool: where fetched blobs and prepared layers lie until they are published.
 *
 *     DIR/blobs/HEX          a compressed blob, whole or a beginning of it (fetch resumes)
 *     DIR/layers/HEX/index   a prepared layer: its index (layers/layer_index.h)
 *     DIR/layers/HEX/data    and the contents of its files, one behind another; missing if the
 *                            layer is in the repository already and only its index was needed
 *     DIR/layers/HEX.tmp/    a layer being prepared
 *
 * HEX is the digest of the compressed blob. A layer's folder appears by rename when it is complete,
 * so what a killed process leaves behind is either whole and used again, or removed. One process at
 * a time uses a spool (it belongs to a repository, whose lock that process holds); its threads may
 * use it together.
 *
 * The budget counts the bytes that blobs and layer data take. It is a limit, not a reservation: a
 * write beyond it fails with ERROR_LIMIT as a full disk does.
 */
#ifndef LAYERS_SPOOL_H
#define LAYERS_SPOOL_H

#include "base/digest.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct spool {
    char *dir;
    _Atomic uint64_t limit_bytes; /* 0: none; may be changed at any time */
    _Atomic uint64_t used_bytes;
};

MUST_CHECK int spool_open(struct spool *spool, const char *dir, uint64_t limit_bytes,
                          struct error *err);
void spool_release(struct spool *spool);

/* Owned paths. */
char *spool_blob_path(const struct spool *spool, const struct digest *blob);
char *spool_layer_path(const struct spool *spool, const struct digest *blob);

/* Count bytes about to be written, or no longer there. */
MUST_CHECK int spool_charge(struct spool *spool, uint64_t bytes, struct error *err);
void spool_credit(struct spool *spool, uint64_t bytes);
/* Count bytes that have been written already: they count even if this fails. */
MUST_CHECK int spool_charge_written(struct spool *spool, uint64_t bytes, struct error *err);

/* Remove a blob or a layer, and give its bytes back to the budget. */
void spool_drop_blob(struct spool *spool, const struct digest *blob);
void spool_drop_layer(struct spool *spool, const struct digest *blob);
/* Remove what earlier runs left and nobody wants any more: everything for whose HEX `wanted` says
 * false. */
void spool_sweep(struct spool *spool, bool (*wanted)(void *arg, const char *hex), void *arg);

#endif

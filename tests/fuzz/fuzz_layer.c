/* A blob as a registry sends it, compressed or not, prepared into a spool on tmpfs. */
#include "base/file.h"
#include "base/memory.h"
#include "layers/layer.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct spool spool;
static char folder[] = "/dev/shm/ducc-fuzz-XXXXXX";

static void remove_folder(void)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    spool_release(&spool);
    if (tree_remove(folder, &err) < 0)
        fprintf(stderr, "%s\n", err.message);
}

static void open_spool(void)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    if (!mkdtemp(folder) || spool_open(&spool, folder, (uint64_t)64 << 20, &err) < 0)
        abort();
    atexit(remove_folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct digest blob = digest_of(DIGEST_SHA256, data, size);
    struct prepare_options options = {.diff_algorithm = DIGEST_SHA256,
                                      .max_bytes = (uint64_t)4 << 20};
    struct layer layer;
    if (!spool.dir)
        open_spool();
    _cleanup_free_ char *path = spool_blob_path(&spool, &blob);
    if (file_write(path, data, size, 0600, &err) < 0 || spool_charge(&spool, size, &err) < 0)
        abort();
    if (layer_prepare(&spool, &blob, &options, &err) == 0) {
        if (layer_open(&spool, &blob, &layer, &err) < 0)
            abort();
        layer_release(&layer);
        spool_drop_layer(&spool, &blob);
    } else {
        spool_drop_blob(&spool, &blob);
    }
    if (spool.used_bytes != 0)
        abort();
    return 0;
}

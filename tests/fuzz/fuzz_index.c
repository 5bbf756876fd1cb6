/* An index that somebody published: what passes the check must be good for everything else. The
 * input is also stacked on itself. */
#include "base/memory.h"
#include "layers/stack.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct layer_index *const *indexes, size_t count)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct stack stack;
    struct tree tree;
    size_t bad;
    if (stack_init(&stack, indexes, count, &bad, &err) < 0)
        return;
    stack_merge(&stack, count, &tree);
    for (size_t i = 0; i < tree.count; i++) {
        size_t len;
        const char *path = node_path(&stack, &tree.nodes[i], &len);
        (void)tree_find_following(&stack, &tree, path, len);
    }
    tree_release(&tree);
    stack_layer_tree(&stack, count - 1, &tree);
    tree_release(&tree);
    stack_release(&stack);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct layer_index index;
    /* Aligned as a mapped file is. */
    _cleanup_free_ void *bytes = xmalloc(size);
    memcpy(bytes, data, size);
    if (layer_index_open_memory(bytes, size, &index, &err) < 0)
        return 0;
    const struct layer_index *indexes[] = {&index, &index, &index};
    for (size_t count = 1; count <= 3; count++)
        use(indexes, count);
    return 0;
}

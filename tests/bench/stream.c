/*
 * From prepared layers to the stream that a commit sends: assemble, plan, write. The planner looks
 * at an empty directory, or (links) at one that holds the layers already, so that the only thing
 * new is one flat tree of links.
 */
#include "tests/bench/bench.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"
#include "layers/tar_writer.h"
#include "repository/cvmfs.h"
#include "repository/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- writing ---- */

static int write_change(void *arg, const struct change *c, struct error *err)
{
    return cvmfs_write_change(arg, c, err);
}

static int write_stream(const struct changeset *cs, const char *path, uint64_t *out_bytes,
                        struct error *err)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot open", path);
    _cleanup_tar_writer_ struct tar_writer *tar = tar_writer_new(fd);
    struct changeset_visitor v = {.change = write_change, .arg = tar};
    int result = changeset_visit(cs, &v, err);
    if (result == 0)
        result = tar_writer_finish(tar, err);
    *out_bytes = tar_writer_count(tar);
    return result;
}

/* ---- the repository that the planner sees ---- */

static int make_layer_folders(const char *root, const struct image *image, struct error *err)
{
    for (size_t i = 0; i < image->layer_count; i++) {
        _cleanup_free_ char *layer = layout_layer(&image->layers[i].descriptor->blob.digest);
        _cleanup_free_ char *path = path_join(root, layer);
        if (dir_make(path, 0755, err) < 0)
            return -1;
    }
    return 0;
}

static int plan_and_write(struct image *image, const char *root, const struct policy *policy,
                          const char *out, struct error *err)
{
    struct repository *repository;
    struct plan_summary summary;
    uint64_t bytes = 0;
    size_t bad;
    if (repository_open(root, &repository, err) < 0)
        return -1;
    struct podman_lists podman = {0};
    struct plan_target target = {repository, policy, &podman, "/tmp"};
    struct changeset *cs = changeset_new();
    struct stopwatch start = stopwatch_now();
    int result = plan_group(&target, &image, 1, cs, &summary, &bad, err);
    if (result == 0) {
        struct stopwatch taken = stopwatch_since(&start);
        const struct changeset_counts *c = &summary.counts;
        json_t *m = measurement("plan", &taken);
        add_count(m, "entries", c->directories + c->files + c->links + c->symlinks + c->devices);
        add_count(m, "links", c->links);
        add_count(m, "content_bytes", c->content_bytes);
        print_measurement(m);
        start = stopwatch_now();
        result = write_stream(cs, out, &bytes, err);
    }
    if (result == 0) {
        struct stopwatch taken = stopwatch_since(&start);
        json_t *m = measurement("stream", &taken);
        add_count(m, "bytes", bytes);
        print_measurement(m);
    }
    podman_lists_release(&podman);
    changeset_free(cs);
    repository_free(repository);
    return result;
}

/* *image must not move afterwards: its stack points into it. */
static int assemble(const char *layout, const char *spool_dir, struct image *image,
                    struct error *err)
{
    struct spool spool;
    if (image_of_layout(layout, image, err) < 0)
        return -1;
    if (spool_open(&spool, spool_dir, 0, err) < 0) {
        image_release(image);
        return -1;
    }
    struct stopwatch start = stopwatch_now();
    int result = image_assemble(image, &spool, err);
    struct stopwatch taken = stopwatch_since(&start);
    spool_release(&spool);
    if (result < 0)
        image_release(image);
    else
        print_measurement(measurement("assemble", &taken));
    return result;
}

static int stream(char **arguments, bool layers_are_there, struct error *err)
{
    struct image image;
    struct policy policy = {.chains = layers_are_there ? CHAINS_NONE : CHAINS_TOP};
    char root[] = "/tmp/ducc-bench-XXXXXX";
    if (!mkdtemp(root))
        return error_set_errno(err, ERROR_IO, errno, "cannot make a temporary directory");
    int result = assemble(arguments[0], arguments[1], &image, err);
    if (result == 0) {
        if (layers_are_there)
            result = make_layer_folders(root, &image, err);
        if (result == 0)
            result = plan_and_write(&image, root, &policy, arguments[2], err);
        image_release(&image);
    }
    struct error ignored = ERROR_INIT;
    if (tree_remove(root, &ignored) < 0)
        error_release(&ignored);
    return result;
}

int bench_stream(char **arguments, struct error *err)
{
    return stream(arguments, false, err);
}

int bench_links(char **arguments, struct error *err)
{
    return stream(arguments, true, err);
}

/* ---- the parts of planning ---- */

int bench_merge(char **arguments, struct error *err)
{
    struct image image;
    if (assemble(arguments[0], arguments[1], &image, err) < 0)
        return -1;
    struct tree tree;
    struct stopwatch start = stopwatch_now();
    stack_merge(&image.stack, image.stack.count, &tree);
    struct stopwatch taken = stopwatch_since(&start);
    json_t *m = measurement("merge", &taken);
    add_count(m, "entries", tree.count);
    print_measurement(m);
    tree_release(&tree);

    uint64_t entries = 0;
    start = stopwatch_now();
    for (size_t k = 0; k < image.stack_count; k++) {
        stack_layer_tree(&image.stack, k, &tree);
        entries += tree.count;
        tree_release(&tree);
    }
    taken = stopwatch_since(&start);
    m = measurement("layer-trees", &taken);
    add_count(m, "entries", entries);
    print_measurement(m);
    image_release(&image);
    return 0;
}

static int open_index(const char *path, bool check_all, struct error *err)
{
    struct layer_index index;
    struct stopwatch start = stopwatch_now();
    if (layer_index_open(path, check_all, &index, err) < 0)
        return -1;
    struct stopwatch taken = stopwatch_since(&start);
    json_t *m = measurement(check_all ? "index-check" : "index-open", &taken);
    add_count(m, "entries", index.count);
    print_measurement(m);
    layer_index_release(&index);
    return 0;
}

int bench_index_open(char **arguments, struct error *err)
{
    struct spool spool;
    struct image image;
    if (spool_open(&spool, arguments[1], 0, err) < 0)
        return -1;
    int result = image_of_layout(arguments[0], &image, err);
    for (size_t i = 0; result == 0 && i < image.layer_count; i++) {
        _cleanup_free_ char *dir =
            spool_layer_path(&spool, &image.layers[i].descriptor->blob.digest);
        _cleanup_free_ char *path = path_join(dir, "index");
        result = open_index(path, false, err);
        if (result == 0)
            result = open_index(path, true, err);
    }
    image_release(&image);
    spool_release(&spool);
    return result;
}

/* Files of new layers that the repository has: which layers are new, and where to look. */
#include "repository/planner.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"
#include "repository/earlier.h"

#include <string.h>

/* Reading and checking an index takes 0.3 seconds a million entries. */
#define EARLIER_ENTRIES_MAX ((size_t)5 * 1000 * 1000)

struct search {
    struct planner *p;
    struct known_files *known;
    struct earlier_layers there; /* the images' layers that are not new: seen to first */
    struct earlier_layers earlier;
    size_t wanted;
};

static char *layerfs_of(const struct digest *blob)
{
    _cleanup_free_ char *folder = layout_layer(blob);
    return path_join(folder, "layerfs");
}

static void may_link(void *arg, const struct known_source *source, const uint32_t *entries,
                     size_t count, bool *out)
{
    const struct planner *p = arg;
    planner_can_link(p->repository, source->home, &source->index, entries, count, out);
}

static bool is_seen(const struct earlier_layers *layers, const struct digest *blob)
{
    for (size_t i = 0; i < layers->count; i++)
        if (digest_equal(&layers->blobs[i], blob))
            return true;
    return false;
}

static int sort_levels(struct search *s, const struct image *image, const struct known_range *range,
                       bool wants, struct error *err)
{
    for (size_t i = 0; i < image->stack_count; i++) {
        const struct image_layer *l = &image->layers[image->stack_layers[i]];
        _cleanup_free_ char *folder = layout_layer(&l->layer.blob);
        _cleanup_free_ char *layerfs = layerfs_of(&l->layer.blob);
        bool fresh;
        if (planner_is_new(s->p, folder, &fresh, err) < 0)
            return -1;
        if (fresh && wants && i >= range->first && i - range->first < range->count) {
            known_files_want(s->known, &l->layer.blob, &l->layer.index, layerfs);
            s->wanted++;
        } else if (!fresh && !wants && !is_seen(&s->there, &l->layer.blob)) {
            struct known_source source = {.index = l->layer.index,
                                          .home = layerfs,
                                          .not_linkable = l->not_linkable,
                                          .may_link = may_link,
                                          .arg = s->p};
            known_files_offer(s->known, &source);
            ARRAY_GROW(s->there.blobs, s->there.count, s->there.capacity);
            s->there.blobs[s->there.count++] = l->layer.blob;
        }
    }
    return 0;
}

/* Its index lies beside the layer; without one (somebody else published it) it is passed over. */
static void offer_earlier(struct search *s, const struct digest *blob, size_t *entries)
{
    _cleanup_free_ char *folder = layout_layer(blob);
    _cleanup_free_ char *index = path_join(folder, ".metadata/index");
    _cleanup_free_ char *path = repository_path(s->p->repository, index);
    _cleanup_free_ char *layerfs = layerfs_of(blob);
    _cleanup_error_ struct error why = ERROR_INIT;
    struct known_source source = {
        .owned = true, .home = layerfs, .may_link = may_link, .arg = s->p};
    repository_reading_begin(s->p->repository);
    int opened = layer_index_open_copy(path, s->p->scratch, &source.index, &why);
    repository_reading_end(s->p->repository);
    if (opened < 0) {
        log_debug("layer %s of an earlier version is not looked at: %s", digest_text(blob).s,
                  why.message);
        return;
    }
    *entries += source.index.count;
    known_files_offer(s->known, &source);
}

static int search(struct search *s, struct image *const *images, size_t count,
                  const struct known_range *range, struct error *err)
{
    size_t entries = 0;
    for (int wants = 1; wants >= 0; wants--)
        for (size_t i = 0; i < count && (wants || s->wanted > 0); i++)
            if (images[i]->stack.count > 0 && sort_levels(s, images[i], range, wants != 0, err) < 0)
                return -1;
    if (s->wanted == 0 || !s->p->scratch)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (images[i]->stack.count > 0)
            earlier_layers_add(&s->earlier, s->p->repository, images[i]);
    for (size_t i = 0; i < s->earlier.count && entries < EARLIER_ENTRIES_MAX; i++)
        if (!is_seen(&s->there, &s->earlier.blobs[i]) &&
            !known_layer_find(s->known, &s->earlier.blobs[i]))
            offer_earlier(s, &s->earlier.blobs[i], &entries);
    return 0;
}

int planner_find_known(struct planner *p, struct image *const *images, size_t count,
                       const struct known_range *range, struct error *err)
{
    if (p->policy->skip_layers)
        return 0; /* nothing is published that links could lead to */
    struct search s = {.p = p, .known = known_files_new(p->repository->backend == &cvmfs_backend)};
    int result = search(&s, images, count, range, err);
    if (result == 0)
        known_files_finish(s.known, &p->summary->known);
    earlier_layers_release(&s.there);
    earlier_layers_release(&s.earlier);
    p->known = s.known;
    changeset_keep_known_files(p->cs, s.known);
    return result;
}

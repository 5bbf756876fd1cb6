/* repair_apply(): repository/verify.h says what it does. */
#include "repository/verify.h"

#include "base/json.h"
#include "base/memory.h"
#include "base/path.h"
#include "repository/image.h"

#include <string.h>

void mending_init(struct mending *m)
{
    *m = (struct mending){.changes = changeset_new(), .origins = json_object()};
}

void mending_release(struct mending *m)
{
    changeset_free(m->changes);
    string_list_release(&m->remove);
    string_list_release(&m->rebuild);
    string_list_release(&m->layers);
    string_list_release(&m->names);
    podman_store_release(&m->podman);
    json_decref(m->origins);
    *m = (struct mending){0};
}

/* The lists as they should be: layers first, so that no image names one that is not there. */
static int add_lists(struct mending *m, struct error *err)
{
    if (!m->podman_changed)
        return 0;
    _cleanup_free_ char *layers = podman_store_layers_text(&m->podman);
    _cleanup_free_ char *images = podman_store_images_text(&m->podman);
    if (!changeset_has(m->changes, PODMAN_LAYERS_JSON) &&
        changeset_add_file(m->changes, PODMAN_LAYERS_JSON, layers, strlen(layers), err) < 0)
        return -1;
    if (changeset_has(m->changes, PODMAN_IMAGES_JSON))
        return 0;
    return changeset_add_file(m->changes, PODMAN_IMAGES_JSON, images, strlen(images), err);
}

static int add_origins(struct mending *m, struct error *err)
{
    const char *path;
    json_t *list;
    json_object_foreach(m->origins, path, list)
    {
        _cleanup_json_ json_t *object = json_pack("{s:O}", "origin", list);
        _cleanup_free_ char *text = json_text(object);
        if (!changeset_has(m->changes, path) &&
            changeset_add_file(m->changes, path, text, strlen(text), err) < 0)
            return -1;
    }
    return 0;
}

int repair_apply(struct repository *r, struct mending *m, struct repair_done *out,
                 struct error *err)
{
    struct changeset_counts counts;
    struct commit_report report = {0};
    struct commit_options options = {0};
    *out = (struct repair_done){.removed = m->remove.count + m->rebuild.count};
    if (add_origins(m, err) < 0 || add_lists(m, err) < 0 ||
        changeset_count(m->changes, &counts, err) < 0)
        return -1;
    if (m->remove.count > 0 &&
        repository_remove(r, (const char *const *)m->remove.items, m->remove.count, err) < 0)
        return -1;
    if (m->rebuild.count > 0 &&
        repository_delete(r, (const char *const *)m->rebuild.items, m->rebuild.count, err) < 0)
        return -1;
    out->revisions = (m->remove.count ? 1u : 0u) + (m->rebuild.count ? 1u : 0u);
    if (changeset_is_empty(m->changes))
        return 0;
    if (repository_commit(r, m->changes, &options, &report, err) < 0)
        return -1;
    free(report.extras_failed);
    out->changes =
        counts.directories + counts.files + counts.links + counts.symlinks + counts.devices;
    out->revisions += report.revisions;
    return 0;
}

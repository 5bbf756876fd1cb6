/* The records of Podman's store: repository/verify.h. */
#include "repository/verifier.h"

#include "base/json.h"
#include "base/memory.h"
#include "repository/planner.h"
#include "repository/published.h"

#include <string.h>

/* An id that a list has twice: Podman takes one, nobody knows which. */
static void look_for_twins(struct verifier *v, const char *path)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    if (published_read(v->repository, path, PODMAN_LIMIT_BYTES, &text, &ignored) < 0)
        return;
    _cleanup_json_ json_t *list =
        json_parse(path, text.data, text.len, PODMAN_LIMIT_BYTES, &ignored);
    _cleanup_json_ json_t *seen = json_object();
    size_t i;
    json_t *record;
    json_array_foreach(list, i, record)
    {
        const char *id = json_string_value(json_object_get(record, "id"));
        if (id && json_object_get(seen, id)) {
            findings_add(v->findings, FOUND_PODMAN_LISTS, NULL, path, "it has %s twice", id);
            if (v->options->mending)
                v->options->mending->podman_changed = true;
        } else if (id) {
            json_object_set(seen, id, json_true());
        }
    }
}

void verify_podman_read(struct verifier *v)
{
    struct mending *m = v->options->mending;
    _cleanup_error_ struct error why = ERROR_INIT;
    static const struct buf empty = BUF_INIT;
    v->podman_broken = published_podman(v->repository, &v->podman, &why) < 0;
    if (v->podman_broken) {
        findings_add(v->findings, FOUND_PODMAN_LISTS, NULL, PODMAN_STORE, "%s", why.message);
        error_release(&why);
        if (podman_store_parse(&empty, &empty, &v->podman, &why) < 0)
            abort(); /* of nothing */
    } else {
        look_for_twins(v, PODMAN_IMAGES_JSON);
        look_for_twins(v, PODMAN_LAYERS_JSON);
    }
    if (!m)
        return;
    podman_store_release(&m->podman);
    m->podman = (struct podman_store){.images = json_deep_copy(v->podman.images),
                                      .layers = json_deep_copy(v->podman.layers),
                                      .names = json_deep_copy(v->podman.names)};
    m->podman_changed |= v->podman_broken;
}

enum podman_policy verify_podman_form(const struct verifier *v, const struct image *image)
{
    if (!v->has_podman)
        return PODMAN_NONE;
    struct policy merged = {.podman = PODMAN_MERGED}, stacked = {.podman = PODMAN_LAYERS};
    return !plan_podman_has_layers(&v->podman, image, &stacked) &&
                   plan_podman_has_layers(&v->podman, image, &merged)
               ? PODMAN_MERGED
               : PODMAN_LAYERS;
}

/* ---- records ---- */

static bool same_field(const json_t *a, const json_t *b, const char *field)
{
    const json_t *x = json_object_get(a, field), *y = json_object_get(b, field);
    return x == y || json_equal(x, y);
}

static bool has_all(const json_t *wanted, const json_t *there)
{
    size_t i;
    json_t *item;
    json_array_foreach(wanted, i, item)
    {
        if (!json_array_has(there, item))
            return false;
    }
    return true;
}

static bool check_layer(struct verifier *v, const char *name, const char *id, const json_t *wanted)
{
    static const char *const fields[] = {"parent", "diff-digest", "compressed-diff-digest"};
    const json_t *there = json_object_get(v->podman.layers, id);
    if (!there) {
        findings_add(v->findings, FOUND_PODMAN_LAYER, name, PODMAN_LAYERS_JSON,
                     "there is no record of the layer %s", id);
        return false;
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (same_field(wanted, there, fields[i]))
            continue;
        findings_add(v->findings, FOUND_PODMAN_LAYER, name, PODMAN_LAYERS_JSON,
                     "layer %s: the field \"%s\" is not the image's", id, fields[i]);
        return false;
    }
    return true;
}

/* Whether another image of the repository has taken the name before. */
static void claim_name(struct verifier *v, const char *name, const char *podman_name,
                       const char *id)
{
    const char *other = json_string_value(json_object_get(v->claimed, podman_name));
    if (other && strcmp(other, id) != 0)
        findings_add(v->findings, FOUND_COLLISION, name, PODMAN_IMAGES_JSON,
                     "two published images are called %s there: sha256:%s, too", podman_name,
                     other);
    json_object_set_new(v->claimed, podman_name, json_string(id));
}

static bool check_names(struct verifier *v, const char *name, const char *id, const json_t *wanted)
{
    bool right = true;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(wanted, "names"), i, item)
    {
        const char *podman_name = json_string_value(item);
        const char *owner = json_string_value(json_object_get(v->podman.names, podman_name));
        claim_name(v, name, podman_name, id);
        if (owner && strcmp(owner, id) == 0)
            continue;
        findings_add(v->findings, FOUND_PODMAN_NAME, name, PODMAN_IMAGES_JSON,
                     owner ? "%s names another image there" : "no image is called %s there",
                     podman_name);
        right = false;
    }
    return right;
}

static bool check_image(struct verifier *v, const char *name, const char *id, const json_t *wanted)
{
    const json_t *there = json_object_get(v->podman.images, id);
    if (!there) {
        findings_add(v->findings, FOUND_PODMAN_IMAGE, name, PODMAN_IMAGES_JSON,
                     "there is no record of the image sha256:%s", id);
        claim_name(v, name, name, id);
        return false;
    }
    bool right = check_names(v, name, id, wanted);
    if (!same_field(wanted, there, "layer")) {
        findings_add(v->findings, FOUND_PODMAN_IMAGE, name, PODMAN_IMAGES_JSON,
                     "image sha256:%s: its topmost layer is not the image's", id);
        right = false;
    } else if (!has_all(json_object_get(wanted, "big-data-names"),
                        json_object_get(there, "big-data-names"))) {
        findings_add(v->findings, FOUND_PODMAN_IMAGE, name, PODMAN_IMAGES_JSON,
                     "image sha256:%s: its manifest or configuration is not recorded", id);
        right = false;
    }
    return right;
}

void verify_podman_image(struct verifier *v, const char *name, const struct podman_store *expected)
{
    bool right = true;
    const char *id;
    json_t *record;
    json_object_foreach(expected->layers, id, record)
    {
        right &= check_layer(v, name, id, record);
    }
    json_object_foreach(expected->images, id, record)
    {
        right &= check_image(v, name, id, record);
    }
    if (right || !v->options->mending)
        return;
    podman_store_merge(&v->options->mending->podman, expected);
    v->options->mending->podman_changed = true;
}

void verify_podman_names(struct verifier *v)
{
    const char *podman_name;
    json_t *id;
    json_object_foreach(v->podman.names, podman_name, id)
    {
        if (json_object_get(v->claimed, podman_name))
            continue;
        findings_add(v->findings, FOUND_PODMAN_NAME, NULL, PODMAN_IMAGES_JSON,
                     "%s is no image that is published", podman_name);
        if (!v->options->mending)
            continue;
        podman_store_remove_name(&v->options->mending->podman, podman_name);
        v->options->mending->podman_changed = true;
    }
}

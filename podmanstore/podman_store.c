#include "podmanstore/podman_store.h"

#include "base/json.h"
#include "base/memory.h"

#include <ctype.h>
#include <string.h>

/* ---- reading ---- */

static void index_names(struct podman_store *store, const char *id, const json_t *image)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(image, "names"), i, name)
    {
        if (json_is_string(name))
            json_object_set_new(store->names, json_string_value(name), json_string(id));
    }
}

static int parse_list(const struct buf *text, const char *path, json_t *into, struct error *err)
{
    if (text->len == 0)
        return 0;
    _cleanup_json_ json_t *list = json_parse(path, text->data, text->len, PODMAN_LIMIT_BYTES, err);
    if (!list)
        return -1;
    if (!json_is_array(list))
        return error_set(err, ERROR_PARSE, "%s: expected a list", path);
    size_t i;
    json_t *record;
    json_array_foreach(list, i, record)
    {
        const char *id;
        if (!json_is_object(record))
            return error_set(err, ERROR_PARSE, "%s: entry %zu: expected an object", path, i);
        if (json_get_string(record, path, "id", &id, err) < 0)
            return -1;
        json_object_set(into, id, record);
    }
    return 0;
}

int podman_store_parse(const struct buf *images, const struct buf *layers, struct podman_store *out,
                       struct error *err)
{
    struct podman_store s = {json_object(), json_object(), json_object()};
    if (parse_list(images, PODMAN_IMAGES_JSON, s.images, err) < 0 ||
        parse_list(layers, PODMAN_LAYERS_JSON, s.layers, err) < 0) {
        podman_store_release(&s);
        return -1;
    }
    const char *id;
    json_t *image;
    json_object_foreach(s.images, id, image)
    {
        index_names(&s, id, image);
    }
    *out = s;
    return 0;
}

void podman_store_release(struct podman_store *store)
{
    json_decref(store->images);
    json_decref(store->layers);
    json_decref(store->names);
    *store = (struct podman_store){0};
}

/* ---- looking ---- */

bool podman_store_has_layer(const struct podman_store *store, const struct digest *id)
{
    return json_object_get(store->layers, digest_hex(id).s) != NULL;
}

static char *manifest_key(const struct digest *manifest)
{
    return xasprintf("manifest-%s", digest_text(manifest).s);
}

bool podman_store_has_names(const struct podman_store *store, const struct podman_image *image)
{
    struct digest_text id = digest_hex(&image->id);
    json_t *record = json_object_get(store->images, id.s);
    _cleanup_free_ char *key = manifest_key(&image->manifest);
    if (!record || !json_object_get(json_object_get(record, "big-data-sizes"), key))
        return false;
    for (const char *const *name = image->names; *name; name++) {
        const char *owner = json_string_value(json_object_get(store->names, *name));
        if (!owner || strcmp(owner, id.s) != 0)
            return false;
    }
    return true;
}

/* ---- layers ---- */

/* As containers/storage numbers them (pkg/archive, Compression). */
static int compression_number(enum compression c)
{
    static const int numbers[] = {
        [COMPRESSION_NONE] = 0, [COMPRESSION_GZIP] = 2, [COMPRESSION_ZSTD] = 4};
    return numbers[c];
}

static json_t *id_set(const uint32_t *ids, size_t count)
{
    json_t *set = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(set, json_integer(ids[i]));
    return set;
}

static void set_text(json_t *record, const char *field, const char *text)
{
    json_object_set_new(record, field, json_string(text));
}

void podman_store_add_layer(struct podman_store *store, const struct podman_layer *l)
{
    json_t *r = json_object();
    set_text(r, "id", digest_hex(&l->id).s);
    if (digest_is_set(&l->parent))
        set_text(r, "parent", digest_hex(&l->parent).s);
    set_text(r, "created", l->created);
    if (digest_is_set(&l->blob)) {
        set_text(r, "compressed-diff-digest", digest_text(&l->blob).s);
        json_object_set_new(r, "compressed-size", json_integer((json_int_t)l->compressed_size));
    }
    set_text(r, "diff-digest", digest_text(&l->diff_id).s);
    json_object_set_new(r, "diff-size", json_integer((json_int_t)l->diff_size));
    if (l->compression != COMPRESSION_NONE) /* containers/storage leaves a zero out */
        json_object_set_new(r, "compression", json_integer(compression_number(l->compression)));
    if (l->uid_count)
        json_object_set_new(r, "uidset", id_set(l->uids, l->uid_count));
    if (l->gid_count)
        json_object_set_new(r, "gidset", id_set(l->gids, l->gid_count));
    json_object_set_new(store->layers, digest_hex(&l->id).s, r);
}

/* ---- images ---- */

/* The field, made if it is not there or something else. */
static json_t *field_of(json_t *record, const char *field, json_t *fresh)
{
    json_t *old = json_object_get(record, field);
    if (old && json_typeof(old) == json_typeof(fresh)) {
        json_decref(fresh);
        return old;
    }
    json_object_set_new(record, field, fresh);
    return fresh;
}

static void remove_text(json_t *list, const char *text)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        const char *item = json_string_value(json_array_get(list, i));
        if (item && strcmp(item, text) == 0)
            json_array_remove(list, i);
    }
}

static void append_once(json_t *list, const char *text)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), text) == 0)
            return;
    }
    json_array_append_new(list, json_string(text));
}

static void add_name(struct podman_store *store, json_t *record, const char *id, const char *name)
{
    const char *owner = json_string_value(json_object_get(store->names, name));
    if (owner && strcmp(owner, id) != 0)
        remove_text(json_object_get(json_object_get(store->images, owner), "names"), name);
    append_once(field_of(record, "names", json_array()), name);
    append_once(field_of(record, "names-history", json_array()), name);
    json_object_set_new(store->names, name, json_string(id));
}

static void add_big_data(json_t *record, const char *key, const struct digest *digest,
                         uint64_t size)
{
    append_once(field_of(record, "big-data-names", json_array()), key);
    json_object_set_new(field_of(record, "big-data-sizes", json_object()), key,
                        json_integer((json_int_t)size));
    set_text(field_of(record, "big-data-digests", json_object()), key, digest_text(digest).s);
}

/* What Podman notes of signatures: that there are none. */
static void add_signatures(json_t *record, const struct digest *manifest)
{
    struct digest nothing = digest_of(DIGEST_SHA256, "", 0);
    _cleanup_free_ char *key = xasprintf("signature-%s", digest_hex(manifest).s);
    add_big_data(record, key, &nothing, 0);
    _cleanup_json_ json_t *metadata =
        json_pack("{s:{s:[]}}", "signatures-sizes", digest_text(manifest).s);
    _cleanup_free_ char *text = json_text(metadata);
    set_text(record, "metadata", text);
}

void podman_store_add_image(struct podman_store *store, const struct podman_image *image)
{
    struct digest_text id = digest_hex(&image->id);
    json_t *record = json_object_get(store->images, id.s);
    if (!record) {
        record = json_object();
        json_object_set_new(store->images, id.s, record);
    }
    set_text(record, "id", id.s);
    if (!json_object_get(record, "digest")) /* of several manifests the first, as Podman has it */
        set_text(record, "digest",
                 digest_text(digest_is_set(&image->index) ? &image->index : &image->manifest).s);
    for (const char *const *name = image->names; *name; name++)
        add_name(store, record, id.s, *name);
    if (digest_is_set(&image->top_layer))
        set_text(record, "layer", digest_hex(&image->top_layer).s);
    add_big_data(record, digest_text(&image->id).s, &image->id, image->config_size);
    if (digest_is_set(&image->index)) {
        _cleanup_free_ char *key = manifest_key(&image->index);
        add_big_data(record, key, &image->index, image->index_size);
    }
    _cleanup_free_ char *key = manifest_key(&image->manifest);
    add_big_data(record, key, &image->manifest, image->manifest_size);
    add_big_data(record, "manifest", &image->manifest, image->manifest_size);
    add_signatures(record, &image->manifest);
    set_text(record, "created", image->created);
}

static void append_all(json_t *to, const json_t *from)
{
    size_t i;
    json_t *item;
    json_array_foreach(from, i, item)
    {
        if (json_is_string(item))
            append_once(to, json_string_value(item));
    }
}

void podman_store_merge(struct podman_store *store, const struct podman_store *other)
{
    static const char *const lists[] = {"names", "names-history"};
    const char *id;
    json_t *record, *name;
    size_t i;
    json_object_update(store->layers, other->layers);
    json_object_foreach(other->images, id, record)
    {
        json_t *merged = json_deep_copy(record);
        json_array_foreach(json_object_get(record, "names"), i, name)
        {
            if (json_is_string(name))
                podman_store_remove_name(store, json_string_value(name));
        }
        const json_t *old = json_object_get(store->images, id);
        for (i = 0; i < sizeof lists / sizeof *lists; i++)
            append_all(field_of(merged, lists[i], json_array()), json_object_get(old, lists[i]));
        json_object_set_new(store->images, id, merged);
        index_names(store, id, merged);
    }
}

/* ---- taking away ---- */

bool podman_store_remove_name(struct podman_store *store, const char *name)
{
    const char *owner = json_string_value(json_object_get(store->names, name));
    if (!owner)
        return false;
    remove_text(json_object_get(json_object_get(store->images, owner), "names"), name);
    json_object_del(store->names, name);
    return true;
}

bool podman_store_remove_image(struct podman_store *store, const struct digest *id)
{
    struct digest_text hex = digest_hex(id);
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(json_object_get(store->images, hex.s), "names"), i, name)
    {
        if (json_is_string(name))
            json_object_del(store->names, json_string_value(name));
    }
    return json_object_del(store->images, hex.s) == 0;
}

bool podman_store_remove_layer(struct podman_store *store, const struct digest *id)
{
    return json_object_del(store->layers, digest_hex(id).s) == 0;
}

bool podman_store_add_name(struct podman_store *store, const struct digest *id, const char *name)
{
    struct digest_text hex = digest_hex(id);
    json_t *record = json_object_get(store->images, hex.s);
    const char *owner = json_string_value(json_object_get(store->names, name));
    if (!record || (owner && strcmp(owner, hex.s) == 0))
        return false;
    add_name(store, record, hex.s, name);
    return true;
}

/* ---- writing ---- */

static char *list_text(const json_t *by_id)
{
    _cleanup_json_ json_t *list = json_array();
    const char *id;
    json_t *record;
    json_object_foreach((json_t *)by_id, id, record)
    {
        json_array_append(list, record);
    }
    return json_text(list);
}

char *podman_store_images_text(const struct podman_store *store)
{
    return list_text(store->images);
}

char *podman_store_layers_text(const struct podman_store *store)
{
    return list_text(store->layers);
}

struct podman_link podman_link(const struct digest *id)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    struct podman_link link;
    unsigned bits = 0;
    int have = 0;
    const uint8_t *p = id->bytes;
    for (size_t i = 0; i < sizeof link.s - 1; i++) {
        if (have < 5) {
            bits = bits << 8 | *p++;
            have += 8;
        }
        have -= 5;
        link.s[i] = alphabet[bits >> have & 31];
    }
    link.s[sizeof link.s - 1] = '\0';
    return link;
}

static char *base64(const char *text)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf out = BUF_INIT;
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (i + k < len ? (uint8_t)text[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            buf_addc(&out, i + k <= len ? alphabet[v >> (18 - 6 * k) & 63] : '=');
    }
    return buf_take(&out);
}

/* containers/storage, makeBigDataBaseName: a name of lower-case letters, digits and dots stays. */
char *podman_big_data_file(const char *name)
{
    bool plain = name[0] != '\0';
    for (const char *p = name; *p; p++)
        plain &= islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '.';
    if (plain)
        return xstrdup(name);
    _cleanup_free_ char *encoded = base64(name);
    return xasprintf("=%s", encoded);
}

char **podman_names(const char *registry, const char *repository, const char *public_name)
{
    static const char *const hubs[] = {"registry.hub.docker.com", "registry-1.docker.io",
                                       "index.docker.io", "docker.io"};
    char **names = xcalloc(3, sizeof *names);
    size_t count = 0;
    names[count++] = xstrdup(public_name);
    for (size_t i = 0; i < sizeof hubs / sizeof *hubs; i++) {
        if (strcmp(hubs[i], registry) != 0)
            continue;
        const char *library = strchr(repository, '/') ? "" : "library/";
        char *hub = xasprintf("docker.io/%s%s", library, public_name + strlen(registry) + 1);
        if (strcmp(hub, public_name) != 0)
            names[count++] = hub;
        else
            free(hub);
    }
    return names;
}

void podman_names_free(char **names)
{
    for (char **n = names; n && *n; n++)
        free(*n);
    free(names);
}

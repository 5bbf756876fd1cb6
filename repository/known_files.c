#include "repository/known_files.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

struct known_link {
    uint32_t entry;
    uint32_t home; /* of struct known_files */
    uint32_t home_entry;
};

/* Where files lie that can be linked to. */
struct home {
    char *path;
    struct layer_index index;
    bool owned; /* the index */
};

struct known_layer {
    struct known_files *known;
    struct digest blob;
    uint32_t home;            /* its own: wanted layers come first, so it is also its number */
    struct known_link *links; /* sorted by entry, when finished */
    size_t count, capacity;
    uint8_t *linked; /* one bit an entry */
};

/* Files of wanted layers, no two of them equal: open addressing, a power of two of slots. */
struct file_set {
    uint64_t *slots; /* home << 32 | entry, plus 1; 0: free */
    size_t mask;
    bool attributes; /* compared, too; else the content alone */
};

struct known_files {
    bool whole_seconds, sealed;
    struct known_layer **layers;
    size_t layer_count, layer_capacity;
    struct home *homes;
    size_t home_count, home_capacity;
    struct file_set files, contents;
    uint8_t *elsewhere; /* one a slot of `contents`: the repository has it, too */
};

struct known_files *known_files_new(bool whole_seconds)
{
    struct known_files *k = xcalloc(1, sizeof *k);
    k->whole_seconds = whole_seconds;
    return k;
}

static void release_sets(struct known_files *k)
{
    free(k->files.slots);
    free(k->contents.slots);
    free(k->elsewhere);
    k->files.slots = k->contents.slots = NULL;
    k->elsewhere = NULL;
}

void known_files_free(struct known_files *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->layer_count; i++) {
        free(k->layers[i]->links);
        free(k->layers[i]->linked);
        free(k->layers[i]);
    }
    for (size_t i = 0; i < k->home_count; i++) {
        free(k->homes[i].path);
        if (k->homes[i].owned)
            layer_index_release(&k->homes[i].index);
    }
    release_sets(k);
    free(k->layers);
    free(k->homes);
    free(k);
}

static uint32_t add_home(struct known_files *k, const struct layer_index *index, bool owned,
                         const char *path)
{
    ARRAY_GROW(k->homes, k->home_count, k->home_capacity);
    k->homes[k->home_count] = (struct home){xstrdup(path), *index, owned};
    return (uint32_t)k->home_count++;
}

void known_files_want(struct known_files *k, const struct digest *blob,
                      const struct layer_index *index, const char *home)
{
    if (known_layer_find(k, blob))
        return;
    struct known_layer *layer = xcalloc(1, sizeof *layer);
    *layer = (struct known_layer){.known = k, .blob = *blob};
    layer->home = add_home(k, index, false, home);
    layer->linked = xcalloc(index->count / 8 + 1, 1);
    ARRAY_GROW(k->layers, k->layer_count, k->layer_capacity);
    k->layers[k->layer_count++] = layer;
}

/* ---- sets ---- */

static bool is_first_name(const struct layer_index *index, size_t i)
{
    return index->entries[i].type == ENTRY_FILE && index->entries[i].primary == i;
}

static uint64_t hash_of(const struct file_set *set, const struct layer_entry *e)
{
    uint64_t h;
    memcpy(&h, e->content, sizeof h); /* uniform already */
    if (set->attributes)
        h = (h ^ (uint64_t)e->mtime ^ (uint64_t)e->mode << 32 ^ (uint64_t)e->uid << 44 ^ e->gid) *
            0x9e3779b97f4a7c15;
    return h ^ h >> 32;
}

static bool same_attributes(const struct known_files *k, const struct layer_index *x,
                            const struct layer_entry *a, const struct layer_index *y,
                            const struct layer_entry *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->mtime == b->mtime &&
           (k->whole_seconds || a->mtime_nsec == b->mtime_nsec) && a->xattrs_len == b->xattrs_len &&
           memcmp(x->names + a->xattrs, y->names + b->xattrs, a->xattrs_len) == 0;
}

/* The slot of a file's equal, or the free one where it would be. */
static size_t find_slot(const struct known_files *k, const struct file_set *set,
                        const struct layer_index *index, const struct layer_entry *e)
{
    for (size_t i = hash_of(set, e) & set->mask;; i = (i + 1) & set->mask) {
        if (set->slots[i] == 0)
            return i;
        const struct layer_index *other = &k->homes[(set->slots[i] - 1) >> 32].index;
        const struct layer_entry *o = &other->entries[(uint32_t)(set->slots[i] - 1)];
        if (o->size == e->size && memcmp(o->content, e->content, sizeof o->content) == 0 &&
            (!set->attributes || same_attributes(k, index, e, other, o)))
            return i;
    }
}

static void make_set(struct file_set *set, size_t files, bool attributes)
{
    size_t slots = 16;
    while (slots < files + files / 2)
        slots *= 2;
    *set = (struct file_set){xcalloc(slots, sizeof *set->slots), slots - 1, attributes};
}

static void add_link(struct known_layer *layer, uint32_t entry, uint32_t home, uint32_t home_entry)
{
    layer->linked[entry / 8] |= (uint8_t)(1 << entry % 8);
    ARRAY_GROW(layer->links, layer->count, layer->capacity);
    layer->links[layer->count++] = (struct known_link){entry, home, home_entry};
}

static bool is_linked(const struct known_layer *layer, uint32_t entry)
{
    return layer->linked[entry / 8] & 1 << entry % 8;
}

/* Files of a wanted layer, each of which is equal to an earlier one or joins the sets. */
static void add_layer(struct known_files *k, struct known_layer *layer)
{
    const struct layer_index *index = &k->homes[layer->home].index;
    for (uint32_t i = 0; i < index->count; i++) {
        if (!is_first_name(index, i))
            continue;
        const struct layer_entry *e = &index->entries[i];
        uint64_t self = ((uint64_t)layer->home << 32 | i) + 1;
        size_t slot = find_slot(k, &k->files, index, e);
        if (k->files.slots[slot]) {
            uint64_t first = k->files.slots[slot] - 1;
            add_link(layer, i, (uint32_t)(first >> 32), (uint32_t)first);
            continue;
        }
        k->files.slots[slot] = self;
        slot = find_slot(k, &k->contents, index, e);
        if (!k->contents.slots[slot])
            k->contents.slots[slot] = self;
    }
}

/* All that is wanted is known now. */
static void seal(struct known_files *k)
{
    size_t files = 0;
    if (k->sealed)
        return;
    k->sealed = true;
    for (size_t i = 0; i < k->home_count; i++)
        for (size_t e = 0; e < k->homes[i].index.count; e++)
            files += is_first_name(&k->homes[i].index, e);
    make_set(&k->files, files, true);
    make_set(&k->contents, files, false);
    k->elsewhere = xcalloc(k->contents.mask + 1, 1);
    for (size_t i = 0; i < k->layer_count; i++)
        add_layer(k, k->layers[i]);
}

/* ---- what is there ---- */

/* Files of a source that are equal to wanted ones. */
struct candidates {
    const struct known_source *source;
    uint64_t *wanted; /* as in struct file_set */
    uint32_t *entries;
    size_t count, wanted_capacity, entry_capacity;
};

static bool is_refused(const struct known_source *source, uint32_t entry)
{
    return source->not_linkable && source->not_linkable[entry / 8] & 1 << entry % 8;
}

static void compare_file(struct known_files *k, struct candidates *found, uint32_t entry)
{
    const struct layer_index *index = &found->source->index;
    const struct layer_entry *e = &index->entries[entry];
    size_t slot = find_slot(k, &k->contents, index, e);
    if (!k->contents.slots[slot])
        return;
    k->elsewhere[slot] = 1;
    uint64_t wanted = k->files.slots[find_slot(k, &k->files, index, e)];
    if (!wanted || is_refused(found->source, entry) ||
        is_linked(k->layers[(wanted - 1) >> 32], (uint32_t)(wanted - 1)))
        return;
    ARRAY_GROW(found->wanted, found->count, found->wanted_capacity);
    ARRAY_GROW(found->entries, found->count, found->entry_capacity);
    found->wanted[found->count] = wanted;
    found->entries[found->count++] = entry;
}

static void link_candidates(struct known_files *k, const struct candidates *found, uint32_t *home)
{
    const struct known_source *source = found->source;
    _cleanup_free_ bool *may_link = xcalloc(found->count + 1, sizeof *may_link);
    if (source->may_link)
        source->may_link(source->arg, source, found->entries, found->count, may_link);
    for (size_t i = 0; i < found->count; i++) {
        uint64_t wanted = found->wanted[i] - 1;
        struct known_layer *layer = k->layers[wanted >> 32];
        if ((source->may_link && !may_link[i]) || is_linked(layer, (uint32_t)wanted))
            continue;
        if (*home == UINT32_MAX)
            *home = add_home(k, &source->index, source->owned, source->home);
        add_link(layer, (uint32_t)wanted, *home, found->entries[i]);
    }
}

void known_files_offer(struct known_files *k, struct known_source *source)
{
    struct candidates found = {.source = source};
    uint32_t home = UINT32_MAX;
    seal(k);
    for (uint32_t i = 0; i < source->index.count; i++)
        if (is_first_name(&source->index, i))
            compare_file(k, &found, i);
    link_candidates(k, &found, &home);
    free(found.wanted);
    free(found.entries);
    if (!source->owned)
        return;
    if (home == UINT32_MAX)
        layer_index_release(&source->index);
    else
        layer_index_forget_pages(&source->index);
}

/* ---- the result ---- */

static int by_entry(const void *a, const void *b)
{
    const struct known_link *x = a, *y = b;
    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

static const struct known_link *find_link(const struct known_layer *layer, uint32_t entry)
{
    struct known_link key = {.entry = entry};
    return layer->count ? bsearch(&key, layer->links, layer->count, sizeof key, by_entry) : NULL;
}

/* A file that another one is linked to may have become a link itself: to the same place, then. */
static void skip_links(struct known_files *k, struct known_layer *layer)
{
    for (size_t i = 0; i < layer->count; i++) {
        struct known_link *l = &layer->links[i];
        const struct known_link *further =
            l->home < k->layer_count ? find_link(k->layers[l->home], l->home_entry) : NULL;
        if (further) {
            l->home = further->home;
            l->home_entry = further->home_entry;
        }
    }
}

static void count_layer(const struct known_files *k, const struct known_layer *layer,
                        struct known_counts *out)
{
    const struct layer_index *index = &k->homes[layer->home].index;
    for (uint32_t i = 0; i < index->count; i++) {
        if (!is_first_name(index, i))
            continue;
        const struct layer_entry *e = &index->entries[i];
        bool linked = is_linked(layer, i);
        size_t slot = find_slot(k, &k->contents, index, e);
        uint64_t self = ((uint64_t)layer->home << 32 | i) + 1;
        bool differs = !linked && (k->elsewhere[slot] || k->contents.slots[slot] != self);
        out->files += linked;
        out->bytes += linked ? e->size : 0;
        out->files_differing += differs;
        out->bytes_differing += differs ? e->size : 0;
    }
}

void known_files_finish(struct known_files *k, struct known_counts *out)
{
    *out = (struct known_counts){0};
    seal(k);
    for (size_t i = 0; i < k->layer_count; i++)
        if (k->layers[i]->count > 0)
            qsort(k->layers[i]->links, k->layers[i]->count, sizeof(struct known_link), by_entry);
    for (size_t i = 0; i < k->layer_count; i++)
        skip_links(k, k->layers[i]);
    for (size_t i = 0; i < k->layer_count; i++)
        count_layer(k, k->layers[i], out);
    release_sets(k);
}

const struct known_layer *known_layer_find(const struct known_files *k, const struct digest *blob)
{
    for (size_t i = 0; i < k->layer_count; i++)
        if (digest_equal(&k->layers[i]->blob, blob))
            return k->layers[i];
    return NULL;
}

bool known_layer_path(const struct known_layer *layer, uint32_t entry, struct buf *out)
{
    const struct known_link *link = find_link(layer, entry);
    if (!link)
        return false;
    const struct home *home = &layer->known->homes[link->home];
    const struct layer_entry *e = &home->index.entries[link->home_entry];
    buf_truncate(out, 0);
    buf_adds(out, home->path);
    buf_addc(out, '/');
    buf_add(out, entry_path(&home->index, e), e->path_len);
    return true;
}

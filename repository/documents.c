#include "repository/documents.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"

#include <dirent.h>
#include <string.h>

#define NESTED_MAX 3

/* --- from the repository --- */

static bool read_document(const struct document_source *s, const char *name, const char *document,
                          struct buf *out)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_free_ char *dir = layout_metadata(name);
    _cleanup_free_ char *path = path_join(dir, document);
    buf_truncate(out, 0);
    return repository_read(s->repository, path, LIMIT_CONFIG_BYTES_MAX, out, &ignored) == 0;
}

static bool matches(const struct buf *bytes, const struct digest *expected)
{
    struct digest got = digest_of(expected->algorithm, bytes->data, bytes->len);
    return digest_equal(&got, expected);
}

/* A document of this digest that stands beside one of the image's names. */
static bool find_published(const struct document_source *s, const struct image *image,
                           const char *document, const struct digest *digest, struct buf *out)
{
    for (size_t i = 0; !s->again && i < image->name_count; i++) {
        _cleanup_free_ char *plain = image_public_name(image, i);
        const char *directory = image->multiarch.directory;
        _cleanup_free_ char *name = directory ? multiarch_name(directory, plain) : xstrdup(plain);
        if ((read_document(s, name, document, out) && matches(out, digest)) ||
            (directory && read_document(s, plain, document, out) && matches(out, digest)))
            return true;
    }
    buf_truncate(out, 0);
    return false;
}

bool documents_known_digest(const struct document_source *s, const struct reference *ref,
                            struct digest *out)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    _cleanup_free_ char *plain = reference_name(ref);
    _cleanup_free_ char *name = path_join(s->prefix ? s->prefix : "", plain);
    if (s->again || (!read_document(s, name, "index.json", &bytes) &&
                     !read_document(s, name, "manifest.json", &bytes)))
        return false;
    *out = digest_of(DIGEST_SHA256, bytes.data, bytes.len);
    return true;
}

void documents_known_tags(const struct document_source *s, const struct reference *ref,
                          void (*found)(void *arg, const char *tag), void *arg)
{
    struct reference any = {
        .registry = ref->registry, .repository = ref->repository, .tag = (char *)""};
    _cleanup_free_ char *plain = reference_name(&any); /* "REGISTRY/REPOSITORY:" */
    _cleanup_free_ char *name = path_join(s->prefix ? s->prefix : "", plain);
    _cleanup_free_ char *metadata = layout_metadata(name);
    _cleanup_free_ char *folder = path_parent(metadata);
    _cleanup_free_ char *path = repository_path(s->repository, folder);
    const char *start = path_name(metadata);
    repository_reading_begin(s->repository);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (starts_with(e->d_name, start) && reference_tag_is_valid(e->d_name + strlen(start)))
            found(arg, e->d_name + strlen(start));
    if (dir)
        closedir(dir);
    repository_reading_end(s->repository);
}

/* --- from the registries --- */

static bool same_source(const struct reference *a, const struct reference *b)
{
    return a->plain_http == b->plain_http && strcmp(a->registry, b->registry) == 0 &&
           strcmp(a->repository, b->repository) == 0;
}

/* The names of an image may lie in different registries: one that answers is enough. */
static int from_any(const struct image *image,
                    int (*get)(void *arg, const struct reference *ref, struct error *err),
                    void *arg, struct error *err)
{
    int result = -1;
    for (size_t i = 0; result < 0 && i < image->name_count; i++) {
        bool tried = false;
        for (size_t k = 0; k < i; k++)
            tried |= same_source(&image->names[k], &image->names[i]);
        if (!tried)
            result = get(arg, &image->names[i], err);
    }
    return result;
}

struct manifest_want {
    const struct document_source *source;
    const struct digest *digest;
    struct fetched_manifest got;
};

static int get_manifest(void *arg, const struct reference *ref, struct error *err)
{
    struct manifest_want *w = arg;
    return registry_get_manifest(w->source->client, ref, w->digest, &w->got, err);
}

static int fetch_manifest(const struct document_source *s, const struct image *image,
                          const struct digest *digest, struct fetched_manifest *out,
                          struct error *err)
{
    struct manifest_want w = {.source = s, .digest = digest_is_set(digest) ? digest : NULL};
    if (from_any(image, get_manifest, &w, err) < 0)
        return -1;
    *out = w.got;
    return 0;
}

struct blob_want {
    const struct document_source *source;
    const struct descriptor *blob;
    struct buf *out;
};

static int get_config(void *arg, const struct reference *ref, struct error *err)
{
    struct blob_want *w = arg;
    return registry_get_config(w->source->client, ref, w->blob, w->out, err);
}

/* --- the top --- */

int documents_top(const struct document_source *s, const struct image *image,
                  const struct digest *digest, struct fetched_manifest *out, struct error *err)
{
    struct buf bytes = BUF_INIT;
    /* In this order: where a tag no longer names an index, both hold the manifest. */
    static const struct {
        const char *document;
        enum media_kind kind;
    } places[] = {{"manifest.json", MEDIA_MANIFEST}, {"index.json", MEDIA_INDEX}};
    for (size_t i = 0; digest_is_set(digest) && i < 2; i++) {
        if (!find_published(s, image, places[i].document, digest, &bytes))
            continue;
        *out = (struct fetched_manifest){.bytes = bytes, .digest = *digest, .kind = places[i].kind};
        return 0;
    }
    buf_release(&bytes);
    return fetch_manifest(s, image, digest, out, err);
}

/* --- what an index leads to --- */

void document_choice_release(struct document_choice *choice)
{
    free(choice->media_type);
    buf_release(&choice->nested);
    *choice = (struct document_choice){.nested = BUF_INIT};
}

/* What came must be what the descriptor said: no manifest where an index was announced, nor the
 * other way round, whatever its own field says. */
static int check_choice(const struct document_choice *choice, const struct fetched_manifest *m,
                        struct error *err)
{
    if (m->bytes.len != choice->size)
        return error_set(err, ERROR_CORRUPT,
                         "the index says that its manifest has %llu bytes, but it has %zu",
                         (unsigned long long)choice->size, m->bytes.len);
    bool same_kind = media_kind_of(choice->media_type) == m->kind;
    if (same_kind && (!m->media_type || media_type_is_same(m->media_type, choice->media_type)))
        return 0;
    _cleanup_free_ char *said = quoted(choice->media_type);
    _cleanup_free_ char *got = quoted(m->media_type ? m->media_type : "(not said)");
    return error_set(err, ERROR_CORRUPT, "the index announces a manifest of type %s, but it is %s",
                     said, got);
}

static int choose_in(const struct buf *index, const struct platform *platform,
                     struct document_choice *out, struct error *err)
{
    struct index parsed = {0};
    if (index_parse(index->data, index->len, &parsed, err) < 0)
        return -1;
    const struct index_entry *e = index_find(&parsed, platform, err);
    if (e) {
        out->digest = e->manifest.digest;
        out->size = e->manifest.size;
        free(out->media_type);
        out->media_type = xstrdup(e->manifest.media_type);
        out->attestations += index_attestations(&parsed);
    }
    index_release(&parsed);
    return e ? 0 : -1;
}

/* The index inside an index that was chosen, into choice->nested. */
static int enter_nested(const struct document_source *s, const struct image *image,
                        struct document_choice *choice, struct error *err)
{
    struct fetched_manifest m = {.bytes = BUF_INIT};
    if (find_published(s, image, "nested.json", &choice->digest, &choice->nested))
        return 0;
    int rc = fetch_manifest(s, image, &choice->digest, &m, err);
    if (rc == 0)
        rc = check_choice(choice, &m, err);
    if (rc == 0)
        buf_add(&choice->nested, m.bytes.data, m.bytes.len);
    fetched_manifest_release(&m);
    return rc;
}

int documents_choose(const struct document_source *s, const struct image *image,
                     const struct platform *platform, struct document_choice *out,
                     struct error *err)
{
    struct document_choice choice = {.nested = BUF_INIT};
    int rc = choose_in(&image->index, platform, &choice, err);
    for (int depth = 0; rc == 0 && media_kind_of(choice.media_type) == MEDIA_INDEX; depth++) {
        if (depth == NESTED_MAX)
            rc = error_set(err, ERROR_LIMIT, "more than %d indexes inside each other", NESTED_MAX);
        else
            rc = enter_nested(s, image, &choice, err);
        if (rc == 0)
            rc = choose_in(&choice.nested, platform, &choice, err);
    }
    if (rc < 0)
        document_choice_release(&choice);
    else
        *out = choice;
    return rc;
}

/* --- manifest and configuration --- */

static int find_config(const struct document_source *s, struct image *image, struct error *err)
{
    struct manifest parsed = {0};
    if (manifest_parse(image->manifest.data, image->manifest.len, &parsed, err) < 0)
        return -1;
    struct blob_want want = {s, &parsed.config, &image->config};
    int rc = 0;
    if (!find_published(s, image, "config.json", &parsed.config.digest, &image->config))
        rc = from_any(image, get_config, &want, err);
    manifest_release(&parsed);
    return rc;
}

int documents_complete(const struct document_source *s, struct image *image,
                       const struct document_choice *choice, struct error *err)
{
    struct fetched_manifest m = {.bytes = BUF_INIT};
    int rc = 0;
    image->manifest_digest = choice->digest;
    buf_truncate(&image->nested, 0);
    buf_add(&image->nested, choice->nested.data, choice->nested.len);
    if (!find_published(s, image, "manifest.json", &choice->digest, &image->manifest)) {
        rc = fetch_manifest(s, image, &choice->digest, &m, err);
        if (rc == 0)
            rc = check_choice(choice, &m, err);
        if (rc == 0)
            buf_add(&image->manifest, m.bytes.data, m.bytes.len);
        fetched_manifest_release(&m);
    }
    return rc < 0 ? -1 : find_config(s, image, err);
}

int documents_complete_plain(const struct document_source *s, struct image *image,
                             struct fetched_manifest *manifest, struct error *err)
{
    image->manifest_digest = manifest->digest;
    buf_truncate(&image->manifest, 0);
    buf_add(&image->manifest, manifest->bytes.data, manifest->bytes.len);
    return find_config(s, image, err);
}

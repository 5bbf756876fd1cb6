#include "publisher/resolve.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/path.h"
#include "wishlist/glob.h"

#include <search.h>
#include <string.h>

void wanted_add(struct wanted_list *list, struct reference *ref, bool is_pattern,
                const char *origin)
{
    ARRAY_GROW(list->items, list->count, list->capacity);
    list->items[list->count++] = (struct wanted){
        .ref = *ref, .is_pattern = is_pattern, .origin = origin ? xstrdup(origin) : NULL};
    *ref = (struct reference){0};
}

void wanted_release(struct wanted_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        reference_release(&list->items[i].ref);
        free(list->items[i].origin);
    }
    free(list->items);
    *list = (struct wanted_list){0};
}

/* One wanted public name. */
struct name {
    struct reference ref;
    const struct wanted *wish;
    struct digest digest;
    struct error error;
};

struct resolver {
    const struct resolve_options *o;
    const struct wanted_list *wanted;
    struct report *report;
    struct name *names;
    size_t name_count, name_capacity;
    struct jobs *jobs;
    /* one a wish: what its wildcard matched */
    struct expansion {
        struct reference *refs;
        size_t count, capacity;
        struct error error;
    } * expansions;
};

static void report_failure(struct resolver *r, const struct reference *ref,
                           const struct wanted *wish, struct error *err)
{
    struct result result = {.name = reference_name(ref), .outcome = OUTCOME_FAILED};
    if (wish && wish->origin)
        error_wrap(err, "wanted by %s", wish->origin);
    error_move(&result.error, err);
    report_result(r->report, &result);
}

/* ---- 1: wildcards ---- */

struct expand {
    struct expansion *to;
    const struct reference *pattern;
};

static int match_tag(void *arg, const char *tag, struct error *err)
{
    struct expand *e = arg;
    (void)err;
    if (!glob_match(e->pattern->tag, tag))
        return 0;
    ARRAY_GROW(e->to->refs, e->to->count, e->to->capacity);
    reference_with_tag(&e->to->refs[e->to->count++], e->pattern, tag);
    return 0;
}

static void expand_one(void *arg, size_t i)
{
    struct resolver *r = arg;
    struct expansion *x = &r->expansions[i];
    const struct wanted *w = &r->wanted->items[i];
    struct expand e = {.to = x, .pattern = &w->ref};
    if (!w->is_pattern) {
        ARRAY_GROW(x->refs, x->count, x->capacity);
        reference_copy(&x->refs[x->count++], &w->ref);
    } else if (registry_list_tags(r->o->client, &w->ref, match_tag, &e, &x->error) == 0 &&
               x->count == 0) {
        error_set(&x->error, ERROR_NOT_FOUND, "no tag matches \"%s\"", w->ref.tag);
    }
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void add_name(struct resolver *r, struct reference *ref, const struct wanted *wish,
                     void **seen)
{
    char *text = reference_name(ref);
    char **known = tsearch(text, seen, compare_text);
    if (*known != text) { /* wanted twice: once is enough */
        free(text);
        reference_release(ref);
        return;
    }
    ARRAY_GROW(r->names, r->name_count, r->name_capacity);
    r->names[r->name_count++] = (struct name){.ref = *ref, .wish = wish};
}

static void expand_wishes(struct resolver *r)
{
    void *seen = NULL;
    r->expansions = xcalloc(r->wanted->count, sizeof *r->expansions);
    parallel_for(r->wanted->count, r->o->threads, expand_one, r);
    for (size_t i = 0; i < r->wanted->count; i++) {
        struct expansion *x = &r->expansions[i];
        const struct wanted *w = &r->wanted->items[i];
        if (x->error.kind != ERROR_NONE) {
            /* Half a list of tags is not acted on: it will be whole another time. */
            report_failure(r, &w->ref, w, &x->error);
            for (size_t k = 0; k < x->count; k++)
                reference_release(&x->refs[k]);
        } else {
            for (size_t k = 0; k < x->count; k++)
                add_name(r, &x->refs[k], w, &seen);
        }
        free(x->refs);
    }
    free(r->expansions);
    tdestroy(seen, free);
}

/* ---- 2: digests ---- */

static void head_one(void *arg, size_t i)
{
    struct resolver *r = arg;
    struct name *n = &r->names[i];
    if (digest_is_set(&n->ref.digest))
        n->digest = n->ref.digest;
    else if (registry_head_manifest(r->o->client, &n->ref, &n->digest, &n->error) < 0)
        n->digest = (struct digest){0};
}

static int compare_jobs(const void *a, const void *b)
{
    const struct job *x = a, *y = b;
    if (x->tag_digest.algorithm != y->tag_digest.algorithm)
        return x->tag_digest.algorithm < y->tag_digest.algorithm ? -1 : 1;
    return memcmp(x->tag_digest.bytes, y->tag_digest.bytes, sizeof x->tag_digest.bytes);
}

static void ignore_node(void *node)
{
    (void)node;
}

static void group_names(struct resolver *r)
{
    void *by_digest = NULL;
    for (size_t i = 0; i < r->name_count; i++) {
        struct name *n = &r->names[i];
        if (n->error.kind != ERROR_NONE) {
            report_failure(r, &n->ref, n->wish, &n->error);
            reference_release(&n->ref);
            continue;
        }
        struct job key = {.tag_digest = n->digest};
        struct job **found =
            digest_is_set(&n->digest) ? tfind(&key, &by_digest, compare_jobs) : NULL;
        struct job *job = found ? *found : jobs_add(r->jobs);
        job->tag_digest = n->digest;
        if (!found && digest_is_set(&n->digest) && !tsearch(job, &by_digest, compare_jobs))
            abort();
        job_add_name(job, &n->ref);
    }
    tdestroy(by_digest, ignore_node);
    free(r->names);
}

/* ---- 3: documents ---- */

static bool read_document(const struct resolver *r, const char *name, const char *document,
                          struct buf *out)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_free_ char *dir = layout_metadata(name);
    _cleanup_free_ char *path = path_join(dir, document);
    buf_truncate(out, 0);
    return repository_read(r->o->repository, path, LIMIT_CONFIG_BYTES, out, &ignored) == 0;
}

static bool matches(const struct buf *bytes, const struct digest *expected)
{
    struct digest got = digest_of(expected->algorithm, bytes->data, bytes->len);
    return digest_equal(&got, expected);
}

/* The manifest's digest that an index gives for our platform. */
static int choose_manifest(const struct resolver *r, const struct buf *index, struct digest *out,
                           uint64_t *out_size, struct error *err)
{
    struct index parsed = {0};
    if (index_parse(index->data, index->len, &parsed, err) < 0)
        return -1;
    const struct index_entry *e = index_find(&parsed, &r->o->platform, err);
    if (e) {
        *out = e->manifest.digest;
        *out_size = e->manifest.size;
    }
    index_release(&parsed);
    return e ? 0 : -1;
}

/* The documents of a name that was published before, if they are what its tag names still. */
static bool load_published(struct resolver *r, struct image *image, const char *name,
                           const struct digest *tag_digest)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    struct digest manifest = *tag_digest;
    uint64_t size;
    bool through_index = read_document(r, name, "index.json", &image->index) &&
                         matches(&image->index, tag_digest) &&
                         choose_manifest(r, &image->index, &manifest, &size, &ignored) == 0;
    if (!through_index)
        buf_truncate(&image->index, 0);
    if (!read_document(r, name, "manifest.json", &image->manifest) ||
        !matches(&image->manifest, &manifest))
        return false;
    image->manifest_digest = manifest;
    struct manifest parsed = {0};
    bool good = manifest_parse(image->manifest.data, image->manifest.len, &parsed, &ignored) == 0 &&
                read_document(r, name, "config.json", &image->config) &&
                matches(&image->config, &parsed.config.digest);
    manifest_release(&parsed);
    return good;
}

static void forget_documents(struct image *image)
{
    buf_truncate(&image->index, 0);
    buf_truncate(&image->manifest, 0);
    buf_truncate(&image->config, 0);
}

static int fetch_manifest(struct resolver *r, const struct reference *ref,
                          const struct digest *digest, struct fetched_manifest *out,
                          struct error *err)
{
    return registry_get_manifest(r->o->client, ref, digest_is_set(digest) ? digest : NULL, out,
                                 err);
}

static int fetch_platform_manifest(struct resolver *r, struct image *image,
                                   const struct reference *ref, struct fetched_manifest *m,
                                   struct error *err)
{
    struct digest chosen;
    uint64_t size;
    buf_add(&image->index, m->bytes.data, m->bytes.len);
    fetched_manifest_release(m);
    *m = (struct fetched_manifest){.bytes = BUF_INIT};
    if (choose_manifest(r, &image->index, &chosen, &size, err) < 0 ||
        fetch_manifest(r, ref, &chosen, m, err) < 0)
        return -1;
    if (m->kind != MEDIA_MANIFEST)
        return error_set(err, ERROR_UNSUPPORTED, "an index inside an index");
    if (m->bytes.len != size)
        return error_set(err, ERROR_CORRUPT,
                         "the index says that its manifest has %llu bytes, but "
                         "it has %zu",
                         (unsigned long long)size, m->bytes.len);
    return 0;
}

static int fetch_documents(struct resolver *r, struct image *image, const struct reference *ref,
                           const struct digest *digest, struct error *err)
{
    struct fetched_manifest m = {.bytes = BUF_INIT};
    struct manifest parsed = {0};
    int result = fetch_manifest(r, ref, digest, &m, err);
    if (result == 0 && m.kind == MEDIA_INDEX)
        result = fetch_platform_manifest(r, image, ref, &m, err);
    if (result == 0)
        result = manifest_parse(m.bytes.data, m.bytes.len, &parsed, err);
    if (result == 0)
        result = registry_get_blob(r->o->client, ref, &parsed.config, LIMIT_CONFIG_BYTES,
                                   &image->config, err);
    if (result == 0) {
        image->manifest_digest = m.digest;
        buf_add(&image->manifest, m.bytes.data, m.bytes.len);
    }
    manifest_release(&parsed);
    fetched_manifest_release(&m);
    return result;
}

static bool same_source(const struct reference *a, const struct reference *b)
{
    return a->plain_http == b->plain_http && strcmp(a->registry, b->registry) == 0 &&
           strcmp(a->repository, b->repository) == 0;
}

/* The names of a job may lie in different registries: one that answers is enough. */
static int fetch_from_any(struct resolver *r, struct job *job, struct error *err)
{
    struct image *image = &job->image;
    int result = -1;
    for (size_t i = 0; result < 0 && i < image->name_count; i++) {
        bool tried = false;
        for (size_t k = 0; k < i; k++)
            tried |= same_source(&image->names[k], &image->names[i]);
        if (tried)
            continue;
        forget_documents(image);
        result = fetch_documents(r, image, &image->names[i], &job->tag_digest, err);
    }
    return result;
}

static int find_documents(struct resolver *r, struct job *job, struct error *err)
{
    for (size_t i = 0; digest_is_set(&job->tag_digest) && !r->o->again && i < job->image.name_count;
         i++) {
        _cleanup_free_ char *name = reference_name(&job->image.names[i]);
        if (load_published(r, &job->image, name, &job->tag_digest))
            return 0;
    }
    return fetch_from_any(r, job, err);
}

static void resolve_job(void *arg, size_t i)
{
    struct resolver *r = arg;
    struct job *job = r->jobs->items[i];
    struct error err = ERROR_INIT;
    job->tracked.name = image_name(&job->image);
    job->tracked.more_names = job->image.name_count - 1;
    if (find_documents(r, job, &err) < 0 || image_parse(&job->image, &err) < 0 ||
        plan_needs(r->o->repository, r->o->podman, &job->image, r->o->policy, &job->needs, &err) <
            0)
        job_fail(job, &err);
    else
        job->state = job->needs.content ? JOB_WAITING
                     : job->needs.names ? JOB_READY
                                        : JOB_UNCHANGED;
}

void resolve(const struct resolve_options *options, const struct wanted_list *wanted,
             struct jobs *out, struct report *report)
{
    struct resolver r = {.o = options, .wanted = wanted, .report = report, .jobs = out};
    expand_wishes(&r);
    parallel_for(r.name_count, options->threads, head_one, &r);
    group_names(&r);
    parallel_for(out->count, options->threads, resolve_job, &r);
}

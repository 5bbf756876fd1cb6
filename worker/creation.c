#include "worker/creation.h"

#include "base/memory.h"
#include "base/parallel.h"

#include <pthread.h>
#include <search.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define REMEMBERED_MAX ((size_t)200000)

/* ---- text ---- */

static bool number_at(const char *text, size_t len, int *out)
{
    int n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        n = n * 10 + (text[i] - '0');
    }
    *out = n;
    return true;
}

/* "Z" or "+02:00", in seconds. */
static bool read_zone(const char *p, int64_t *out)
{
    int hours, minutes;
    if (p[0] == '.')
        p += 1 + strspn(p + 1, "0123456789");
    *out = 0;
    if ((p[0] == 'Z' || p[0] == 'z') && p[1] == '\0')
        return true;
    if ((p[0] != '+' && p[0] != '-') || strlen(p) != 6 || p[3] != ':' ||
        !number_at(p + 1, 2, &hours) || !number_at(p + 4, 2, &minutes))
        return false;
    *out = (int64_t)(hours * 3600 + minutes * 60) * (p[0] == '-' ? -1 : 1);
    return true;
}

int64_t creation_parse(const char *text)
{
    struct tm tm = {0};
    int64_t zone;
    if (!text || strlen(text) < 20 || text[4] != '-' || text[7] != '-' ||
        !(text[10] == 'T' || text[10] == 't') || text[13] != ':' || text[16] != ':' ||
        !number_at(text, 4, &tm.tm_year) || !number_at(text + 5, 2, &tm.tm_mon) ||
        !number_at(text + 8, 2, &tm.tm_mday) || !number_at(text + 11, 2, &tm.tm_hour) ||
        !number_at(text + 14, 2, &tm.tm_min) || !number_at(text + 17, 2, &tm.tm_sec) ||
        !read_zone(text + 19, &zone))
        return INT64_MIN;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int64_t seconds = (int64_t)timegm(&tm) - zone;
    return seconds < 366 * 86400 ? INT64_MIN : seconds;
}

/* ---- what is remembered ---- */

struct remembered {
    struct digest digest;
    char *platform; /* that was asked for */
    int64_t created;
    bool gone;
};

struct creation_times {
    pthread_mutex_t lock;
    void *by_digest; /* tsearch() */
    size_t count;
};

struct creation_times *creation_times_new(void)
{
    struct creation_times *times = xcalloc(1, sizeof *times);
    pthread_mutex_init(&times->lock, NULL);
    return times;
}

static void free_remembered(void *p)
{
    free(((struct remembered *)p)->platform);
    free(p);
}

void creation_times_free(struct creation_times *times)
{
    if (!times)
        return;
    tdestroy(times->by_digest, free_remembered);
    pthread_mutex_destroy(&times->lock);
    free(times);
}

static int compare(const void *a, const void *b)
{
    const struct remembered *x = a, *y = b;
    int c = memcmp(x->digest.bytes, y->digest.bytes, sizeof x->digest.bytes);
    return c ? c : strcmp(x->platform, y->platform);
}

/* The platforms asked for, as one text. Owned. */
static char *platforms_text(const struct creation_lookup *l)
{
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < l->platform_count; i++) {
        _cleanup_free_ char *text = platform_text(&l->platforms[i]);
        buf_addf(&out, "%s ", text);
    }
    return buf_take(&out);
}

static bool recall(struct creation_times *times, const struct digest *digest, char *platform,
                   struct tag_time *out)
{
    if (!times)
        return false;
    struct remembered key = {.digest = *digest, .platform = platform};
    pthread_mutex_lock(&times->lock);
    struct remembered **found = tfind(&key, &times->by_digest, compare);
    if (found) {
        out->created = (*found)->created;
        out->gone = (*found)->gone;
    }
    pthread_mutex_unlock(&times->lock);
    return found;
}

static void remember(struct creation_times *times, const struct digest *digest,
                     const char *platform, const struct tag_time *what)
{
    if (!times)
        return;
    struct remembered *r = xmalloc(sizeof *r);
    *r = (struct remembered){*digest, xstrdup(platform), what->created, what->gone};
    pthread_mutex_lock(&times->lock);
    if (times->count >= REMEMBERED_MAX) { /* it is only a cache */
        tdestroy(times->by_digest, free_remembered);
        times->by_digest = NULL;
        times->count = 0;
    }
    struct remembered **found = tsearch(r, &times->by_digest, compare);
    if (!found)
        abort(); /* out of memory, as everywhere */
    times->count += *found == r;
    bool twice = *found != r;
    pthread_mutex_unlock(&times->lock);
    if (twice)
        free_remembered(r);
}

/* ---- asking ---- */

struct asking {
    const struct creation_lookup *lookup;
    struct tag_time *tags;
    char *platforms;
    atomic_size_t fetched;
    struct error *errors; /* one a tag */
};

/* The documents of the first platform that is there. */
static int complete(const struct creation_lookup *l, struct image *image,
                    struct fetched_manifest *top, struct error *err)
{
    if (top->kind != MEDIA_INDEX)
        return documents_complete_plain(l->source, image, top, err);
    int rc = -1;
    buf_add(&image->index, top->bytes.data, top->bytes.len);
    for (size_t i = 0; rc < 0 && i < l->platform_count; i++) {
        struct document_choice choice;
        rc = documents_choose(l->source, image, &l->platforms[i], &choice, err);
        if (rc < 0 && err->kind != ERROR_NOT_FOUND)
            return -1;
        if (rc < 0)
            continue;
        rc = documents_complete(l->source, image, &choice, err);
        document_choice_release(&choice);
        return rc;
    }
    return rc;
}

static int read_created(const struct creation_lookup *l, const struct reference *ref,
                        const struct digest *digest, int64_t *out, struct error *err)
{
    struct image image = {
        .index = BUF_INIT, .manifest = BUF_INIT, .config = BUF_INIT, .nested = BUF_INIT};
    struct fetched_manifest top = {.bytes = BUF_INIT};
    image.names = xcalloc(1, sizeof *image.names);
    reference_copy(&image.names[0], ref);
    image.name_count = image.name_capacity = 1;
    image.prefix = l->source->prefix ? xstrdup(l->source->prefix) : NULL;
    int rc = documents_top(l->source, &image, digest, &top, err);
    if (rc == 0)
        rc = complete(l, &image, &top, err);
    if (rc == 0)
        rc = image_parse(&image, err);
    if (rc == 0)
        *out = creation_parse(image.parsed_config.created);
    fetched_manifest_release(&top);
    image_release(&image);
    return rc;
}

/* Whether it says that this is no image for us, rather than that we could not find out. */
static bool is_no_image(const struct error *err)
{
    return err->kind == ERROR_NOT_FOUND || err->kind == ERROR_UNSUPPORTED ||
           err->kind == ERROR_PARSE;
}

static int find_one(struct asking *a, const struct reference *ref, struct tag_time *tag,
                    struct error *err)
{
    const struct creation_lookup *l = a->lookup;
    struct digest digest = {0}, known = {0};
    if (registry_head_manifest(l->source->client, ref, &digest, err) < 0)
        return -1;
    if (digest_is_set(&digest) && recall(l->times, &digest, a->platforms, tag))
        return 0;
    bool published = digest_is_set(&digest) && documents_known_digest(l->source, ref, &known) &&
                     digest_equal(&known, &digest);
    if (!published && atomic_fetch_add(&a->fetched, 1) >= CREATION_LOOKUPS_MAX)
        return error_set(err, ERROR_LIMIT,
                         "more than %zu images that are not published would have to be looked at "
                         "for the time they were made; narrow it with glob, regex or semver",
                         CREATION_LOOKUPS_MAX);
    int rc = read_created(l, ref, &digest, &tag->created, err);
    tag->gone = rc < 0 && is_no_image(err);
    if (digest_is_set(&digest) && (rc == 0 || tag->gone))
        remember(l->times, &digest, a->platforms, tag);
    return rc;
}

static void find(void *arg, size_t i)
{
    struct asking *a = arg;
    struct tag_time *tag = &a->tags[i];
    struct reference ref;
    if (atomic_load(&a->fetched) > CREATION_LOOKUPS_MAX)
        return; /* it has failed */
    reference_with_tag(&ref, a->lookup->repository, tag->tag);
    if (find_one(a, &ref, tag, &a->errors[i]) < 0 && is_no_image(&a->errors[i])) {
        tag->gone = true;
        error_release(&a->errors[i]);
    }
    reference_release(&ref);
}

int creation_find(const struct creation_lookup *lookup, struct tag_time *tags, size_t count,
                  struct error *err)
{
    struct asking a = {.lookup = lookup,
                       .tags = tags,
                       .platforms = platforms_text(lookup),
                       .errors = xcalloc(count + 1, sizeof *a.errors)};
    int rc = 0;
    parallel_for(count, lookup->threads, find, &a);
    for (size_t i = 0; i < count; i++) {
        if (rc == 0 && a.errors[i].kind != ERROR_NONE) {
            error_move(err, &a.errors[i]);
            error_wrap(err, "tag \"%s\"", tags[i].tag);
            rc = -1;
        }
        error_release(&a.errors[i]);
    }
    free(a.errors);
    free(a.platforms);
    return rc;
}

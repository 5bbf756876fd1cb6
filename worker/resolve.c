#include "worker/resolve.h"

#include "base/memory.h"
#include "base/parallel.h"
#include "base/path.h"
#include "worker/expand.h"
#include "worker/gone.h"
#include "worker/recorder.h"
#include "repository/documents.h"
#include "registry/cosign.h"

#include <pthread.h>
#include <search.h>
#include <string.h>

void wanted_add(struct wanted_list *list, struct reference *ref, const struct selector *selector,
                const char *origin)
{
    ARRAY_GROW(list->items, list->count, list->capacity);
    list->items[list->count++] =
        (struct wanted){.ref = *ref,
                        .selector = selector ? selector_copy(selector) : NULL,
                        .origin = origin ? xstrdup(origin) : NULL};
    *ref = (struct reference){0};
}

void wanted_set_entry(struct wanted_list *list, const char *url, const char *entry)
{
    struct wanted *last = &list->items[list->count - 1];
    last->list = xstrdup(url);
    last->entry = xstrdup(entry);
}

void wanted_copy(struct wanted_list *list, const struct wanted *from)
{
    struct reference ref;
    reference_copy(&ref, &from->ref);
    wanted_add(list, &ref, from->selector, from->origin);
    if (from->list)
        wanted_set_entry(list, from->list, from->entry);
    list->items[list->count - 1].partly = from->partly;
}

void wanted_truncate(struct wanted_list *list, size_t count)
{
    while (list->count > count) {
        struct wanted *w = &list->items[--list->count];
        reference_release(&w->ref);
        selector_free(w->selector);
        free(w->origin);
        free(w->list);
        free(w->entry);
    }
}

void wanted_release(struct wanted_list *list)
{
    wanted_truncate(list, 0);
    free(list->items);
    *list = (struct wanted_list){0};
}

/* One wanted public name. */
struct name {
    struct reference ref;
    const struct wanted *wish;
    struct digest digest;
    struct fetched_manifest polled; /* what a GET brought, where HEAD does not tell */
    struct error error;
    bool is_gone; /* the error says that it is not there, and that is certain */
};

struct resolver {
    const struct resolve_options *o;
    const struct wanted_list *wanted;
    struct report *report;
    struct name *names;
    size_t name_count, name_capacity;
    struct tag_lists tag_lists;
    struct jobs *jobs;
    pthread_mutex_t mutex; /* guards `siblings` */
    struct jobs siblings;  /* further platforms of a job's names */
};

/* Owned. */
static char *public_name(const struct resolver *r, const struct reference *ref)
{
    _cleanup_free_ char *name = reference_name(ref);
    return path_join(r->o->prefix ? r->o->prefix : "", name);
}

static void report_failure(struct resolver *r, const struct reference *ref,
                           const struct wanted *wish, struct error *err)
{
    struct result result = {.name = public_name(r, ref), .outcome = OUTCOME_FAILED};
    if (wish && wish->origin)
        error_wrap(err, "wanted by %s", wish->origin);
    error_move(&result.error, err);
    report_result(r->report, &result);
}

static void record_failure(struct resolver *r, const struct reference *ref, const struct error *why)
{
    _cleanup_free_ char *name = public_name(r, ref);
    recorder_failed(r->o->recorder, name, why);
}

/* ---- 1: names ---- */

static void add_name(struct resolver *r, struct reference *ref, const struct wanted *wish)
{
    _cleanup_free_ char *name = public_name(r, ref);
    if (!name_set_add(r->o->names, name)) { /* wanted twice: once is enough */
        reference_release(ref);
        return;
    }
    ARRAY_GROW(r->names, r->name_count, r->name_capacity);
    r->names[r->name_count++] = (struct name){.ref = *ref, .wish = wish};
    *ref = (struct reference){0};
}

static void record_names(struct resolver *r, const struct wanted *w, const struct expansion *x)
{
    if ((!w->selector && !w->partly) || !r->o->recorder)
        return; /* it stands for itself */
    char **names = xcalloc(x->count + 1, sizeof *names);
    for (size_t i = 0; i < x->count; i++)
        names[i] = public_name(r, &x->refs[i]);
    recorder_expanded(r->o->recorder, w, (const char *const *)names, x->count);
    for (size_t i = 0; i < x->count; i++)
        free(names[i]);
    free(names);
}

static void expand_wishes(struct resolver *r)
{
    struct expansion *expansions = xcalloc(r->wanted->count + 1, sizeof *expansions);
    expand(r->o, r->wanted, &r->tag_lists, expansions);
    for (size_t i = 0; i < r->wanted->count; i++) {
        struct expansion *x = &expansions[i];
        const struct wanted *w = &r->wanted->items[i];
        if (x->error.kind != ERROR_NONE) {
            recorder_not_expanded(r->o->recorder, w, &x->error);
            report_failure(r, &w->ref, w, &x->error);
        } else {
            record_names(r, w, x);
        }
        for (size_t k = 0; k < x->count; k++)
            add_name(r, &x->refs[k], w);
        expansion_release(x);
    }
    free(expansions);
}

/* ---- 2: digests ---- */

static struct document_source source_of(const struct resolver *r)
{
    return (struct document_source){.client = r->o->client,
                                    .repository = r->o->target->repository,
                                    .prefix = r->o->prefix,
                                    .again = r->o->again};
}

/* A registry without HEAD, or without digests: a GET, which costs nothing either if the registry
 * knows the digest that we know. */
static int poll_with_get(struct resolver *r, struct name *n)
{
    struct digest known;
    struct document_source source = source_of(r);
    bool has_known = documents_known_digest(&source, &n->ref, &known);
    int changed = registry_get_manifest_unless(r->o->client, &n->ref, has_known ? &known : NULL,
                                               &n->polled, &n->error);
    if (changed >= 0)
        n->digest = changed ? n->polled.digest : known;
    return changed < 0 ? -1 : 0;
}

static void head_one(void *arg, size_t i)
{
    struct resolver *r = arg;
    struct name *n = &r->names[i];
    n->polled.bytes = (struct buf)BUF_INIT;
    if (digest_is_set(&n->ref.digest)) {
        n->digest = n->ref.digest;
        return;
    }
    if (registry_head_manifest(r->o->client, &n->ref, &n->digest, &n->error) < 0 ||
        (!digest_is_set(&n->digest) && poll_with_get(r, n) < 0))
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

static struct job *new_job(struct resolver *r)
{
    struct job *job = jobs_add(r->jobs);
    job->image.prefix = r->o->prefix ? xstrdup(r->o->prefix) : NULL;
    return job;
}

static void find_gone(struct resolver *r)
{
    struct document_source source = source_of(r);
    struct missing_tag *tags = xcalloc(r->name_count + 1, sizeof *tags);
    struct name **names = xcalloc(r->name_count + 1, sizeof(struct name *));
    size_t count = 0;
    for (size_t i = 0; i < r->name_count; i++) {
        struct name *n = &r->names[i];
        if (n->error.kind != ERROR_NOT_FOUND || digest_is_set(&n->ref.digest))
            continue;
        names[count] = n;
        tags[count++] = (struct missing_tag){.ref = &n->ref};
    }
    gone_find(&source, &r->tag_lists, r->o->threads, tags, count);
    for (size_t i = 0; i < count; i++)
        names[i]->is_gone = tags[i].is_gone;
    free(names);
    free(tags);
}

/* What fails here has no job. That a tag which a selector chose is there no more is no failure. */
static void dismiss_name(struct resolver *r, struct name *n)
{
    _cleanup_free_ char *name = public_name(r, &n->ref);
    if (n->is_gone) {
        recorder_gone(r->o->recorder, name);
        report_event(r->report, "gone", name,
                     "the registry has no such tag any more; what is published of it stays, unless "
                     "ducc gc is told otherwise (docs/deletion.md)");
    }
    if (n->is_gone && n->wish->selector) {
        error_release(&n->error);
    } else {
        record_failure(r, &n->ref, &n->error);
        report_failure(r, &n->ref, n->wish, &n->error);
    }
    reference_release(&n->ref);
    fetched_manifest_release(&n->polled);
}

static void group_names(struct resolver *r)
{
    void *by_digest = NULL;
    for (size_t i = 0; i < r->name_count; i++) {
        struct name *n = &r->names[i];
        if (n->error.kind != ERROR_NONE) {
            dismiss_name(r, n);
            continue;
        }
        struct job key = {.tag_digest = n->digest};
        struct job **found =
            digest_is_set(&n->digest) ? tfind(&key, &by_digest, compare_jobs) : NULL;
        struct job *job = found ? *found : new_job(r);
        job->tag_digest = n->digest;
        if (!found && digest_is_set(&n->digest) && !tsearch(job, &by_digest, compare_jobs))
            abort();
        job_add_name(job, &n->ref);
        if (job->polled.bytes.len == 0) {
            fetched_manifest_release(&job->polled);
            job->polled = n->polled;
        } else {
            fetched_manifest_release(&n->polled);
        }
    }
    tdestroy(by_digest, ignore_node);
    free(r->names);
}

/* ---- 3: documents ---- */

/* What the names point to. */
static int find_top(struct resolver *r, struct job *job, struct fetched_manifest *out,
                    struct error *err)
{
    struct document_source source = source_of(r);
    if (job->polled.bytes.len == 0)
        return documents_top(&source, &job->image, &job->tag_digest, out, err);
    *out = job->polled;
    job->polled = (struct fetched_manifest){.bytes = BUF_INIT};
    return 0;
}

/* The platforms of an index that are wanted and there. */
struct targets {
    struct document_choice *choices;
    const struct platform **platforms;
    size_t count;
};

static void targets_release(struct targets *t)
{
    for (size_t i = 0; i < t->count; i++)
        document_choice_release(&t->choices[i]);
    free(t->choices);
    free(t->platforms);
}

static bool has_directory(const struct targets *t, const struct platform *platform)
{
    _cleanup_free_ char *wanted = multiarch_directory(platform);
    for (size_t i = 0; i < t->count; i++) {
        _cleanup_free_ char *directory = multiarch_directory(t->platforms[i]);
        if (strcmp(directory, wanted) == 0)
            return true;
    }
    return false;
}

/* One that is missing is said, and is an error if no other is there. */
static int choose_targets(struct resolver *r, const struct image *image, struct targets *out,
                          struct error *err)
{
    struct document_source source = source_of(r);
    size_t n = r->o->platform_count;
    struct error missing = ERROR_INIT;
    int rc = 0;
    *out =
        (struct targets){xcalloc(n, sizeof *out->choices), xcalloc(n, sizeof *out->platforms), 0};
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct platform *platform = &r->o->platforms[i];
        if (has_directory(out, platform))
            continue;
        rc = documents_choose(&source, image, platform, &out->choices[out->count], err);
        if (rc == 0) {
            out->platforms[out->count++] = platform;
        } else if (err->kind == ERROR_NOT_FOUND) {
            error_move(&missing, err);
            rc = 0;
        }
    }
    if (rc == 0 && out->count == 0) {
        error_copy(err, &missing);
        rc = -1;
    } else if (rc == 0 && missing.kind != ERROR_NONE) {
        _cleanup_free_ char *name = image_name(image);
        report_warning(r->report, name, missing.message);
    }
    error_release(&missing);
    return rc;
}

/* amd64 where it is there: what most clients are. */
static size_t leading(const struct targets *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->platforms[i]->architecture, "amd64") == 0 && !t->platforms[i]->variant)
            return i;
    return 0;
}

/* A job for another platform of the same names. */
static struct job *add_sibling(struct resolver *r, const struct job *of)
{
    pthread_mutex_lock(&r->mutex);
    struct job *job = jobs_add(&r->siblings);
    pthread_mutex_unlock(&r->mutex);
    job->tag_digest = of->tag_digest;
    job->image.prefix = r->o->prefix ? xstrdup(r->o->prefix) : NULL;
    for (size_t i = 0; i < of->image.name_count; i++) {
        struct reference ref;
        reference_copy(&ref, &of->image.names[i]);
        job_add_name(job, &ref);
    }
    buf_add(&job->image.index, of->image.index.data, of->image.index.len);
    return job;
}

static void finish_job(struct resolver *r, struct job *job, const struct document_choice *choice);

static void resolve_index(struct resolver *r, struct job *job, const struct targets *t)
{
    size_t lead = leading(t);
    struct job **jobs = xcalloc(t->count, sizeof(struct job *));
    for (size_t i = 0; i < t->count; i++) {
        jobs[i] = i == lead ? job : add_sibling(r, job);
        if (t->count > 1)
            jobs[i]->image.multiarch =
                (struct multiarch){multiarch_directory(t->platforms[i]), i == lead};
    }
    for (size_t i = 0; i < t->count; i++)
        finish_job(r, jobs[i], &t->choices[i]);
    free(jobs);
}

static int resolve_top(struct resolver *r, struct job *job, struct error *err)
{
    struct fetched_manifest top = {.bytes = BUF_INIT};
    struct document_source source = source_of(r);
    struct targets targets = {0};
    if (find_top(r, job, &top, err) < 0)
        return -1;
    int rc = 0;
    if (top.kind == MEDIA_INDEX) {
        buf_add(&job->image.index, top.bytes.data, top.bytes.len);
        rc = choose_targets(r, &job->image, &targets, err);
    } else {
        rc = documents_complete_plain(&source, &job->image, &top, err);
    }
    fetched_manifest_release(&top);
    if (rc == 0 && targets.count > 0)
        resolve_index(r, job, &targets);
    else if (rc == 0)
        finish_job(r, job, NULL);
    targets_release(&targets);
    return rc;
}

static int decide(struct resolver *r, struct job *job, struct error *err)
{
    pthread_rwlock_rdlock(r->o->podman_lock);
    int result = plan_needs(r->o->target, &job->image, &job->needs, err);
    pthread_rwlock_unlock(r->o->podman_lock);
    return result;
}

/* What is worth a word when an image is published, and need not be repeated when it is not. */
static void remark(struct resolver *r, const struct job *job, const struct document_choice *choice)
{
    const struct platform *is = &job->image.parsed_config.platform;
    bool wanted = !is->os || !is->architecture;
    for (size_t i = 0; i < r->o->platform_count; i++)
        wanted |= platform_matches(is, &r->o->platforms[i]);
    if (!wanted && !choice) {
        _cleanup_free_ char *platform = platform_text(is);
        _cleanup_free_ char *text =
            xasprintf("there is no index, and the image is for %s", platform);
        report_warning(r->report, job->tracked.name, text);
    }
    if (choice && choice->attestations > 0) {
        _cleanup_free_ char *text =
            xasprintf("%zu attestations in the index are no images", choice->attestations);
        report_event(r->report, "left-out", job->tracked.name, text);
    }
}

/* ---- 4: signatures ---- */

/* By the index that the name points to, or by the manifest itself: the first names the second. */
static int check_rule(struct resolver *r, const struct job *job, const struct reference *ref,
                      const struct site_rule *rule, struct error *err)
{
    const struct digest *manifest = &job->image.manifest_digest;
    if (!rule || cosign_check(r->o->client, ref, &job->tag_digest, rule, err) == 0)
        return 0;
    if (err->kind != ERROR_POLICY || digest_equal(&job->tag_digest, manifest))
        return -1;
    error_release(err);
    return cosign_check(r->o->client, ref, manifest, rule, err);
}

/* What the site wants, and what the list does. */
static int check_signature(struct resolver *r, const struct job *job, const struct reference *ref,
                           struct error *err)
{
    const struct site_rules *own = r->o->signatures;
    if (check_rule(r, job, ref, site_signature_rule(r->o->site, ref), err) < 0)
        return -1;
    return check_rule(r, job, ref, own && own->count > 0 ? &own->items[0] : NULL, err);
}

/* Names that must be signed and are not leave the job; without any left, it has failed. */
static int check_signatures(struct resolver *r, struct job *job, struct error *err)
{
    struct image *image = &job->image;
    for (size_t i = 0; i < image->name_count;) {
        struct error why = ERROR_INIT;
        if (check_signature(r, job, &image->names[i], &why) == 0) {
            i++;
            continue;
        }
        if (image->name_count == 1) {
            error_move(err, &why);
            return -1;
        }
        record_failure(r, &image->names[i], &why);
        report_failure(r, &image->names[i], NULL, &why);
        reference_release(&image->names[i]);
        memmove(&image->names[i], &image->names[i + 1],
                (--image->name_count - i) * sizeof image->names[0]);
    }
    return 0;
}

/* ---- 5: the list's limit ---- */

/* Compressed, each layer once: what has to be fetched of it at most. */
static int check_size(const struct resolver *r, const struct job *job, struct error *err)
{
    uint64_t bytes = image_compressed_size(&job->image), max = r->o->image_size_max;
    if (max == 0 || bytes <= max)
        return 0;
    return error_set(
        err, ERROR_LIMIT,
        "its layers have %s compressed, more than the %s that its list allows (limits: "
        "image_size)",
        size_text(bytes).s, size_text(max).s);
}

static int finish(struct resolver *r, struct job *job, const struct document_choice *choice,
                  struct error *err)
{
    struct document_source source = source_of(r);
    if ((choice && documents_complete(&source, &job->image, choice, err) < 0) ||
        image_parse(&job->image, err) < 0 || decide(r, job, err) < 0)
        return -1;
    if (!job->needs.content && !job->needs.names)
        return 0;
    if ((job->needs.content && check_size(r, job, err) < 0) || check_signatures(r, job, err) < 0 ||
        decide(r, job, err) < 0)
        return -1;
    if (job->needs.content)
        remark(r, job, choice);
    return 0;
}

/* From the choice of a manifest (NULL: the names point to it) to the job's state. */
static void finish_job(struct resolver *r, struct job *job, const struct document_choice *choice)
{
    struct error err = ERROR_INIT;
    if (!job->tracked.name) {
        job->tracked.name = image_label(&job->image, 0);
        job->tracked.more_names = job->image.name_count - 1;
    }
    if (finish(r, job, choice, &err) < 0)
        job_fail(job, &err);
    else
        job->state = job->needs.content ? JOB_WAITING
                     : job->needs.names ? JOB_READY
                                        : JOB_UNCHANGED;
}

/* Nothing of it is due: then nothing is asked for that a registry might count as a pull. */
static bool must_wait(const struct resolver *r, const struct job *job)
{
    bool due = !r->o->heeds_pauses;
    for (size_t i = 0; !due && i < job->image.name_count; i++) {
        _cleanup_free_ char *name = image_public_name(&job->image, i);
        due = recorder_is_due(r->o->recorder, name, &job->tag_digest);
    }
    return !due;
}

static void resolve_job(void *arg, size_t i)
{
    struct resolver *r = arg;
    struct job *job = r->jobs->items[i];
    struct error err = ERROR_INIT;
    bool waits = must_wait(r, job);
    if (!waits && resolve_top(r, job, &err) == 0)
        return;
    if (waits)
        job->state = JOB_PAUSED;
    else
        job_fail(job, &err);
    job->tracked.name = image_name(&job->image);
    job->tracked.more_names = job->image.name_count - 1;
}

static void take_siblings(struct jobs *from, struct jobs *to)
{
    for (size_t i = 0; i < from->count; i++) {
        ARRAY_GROW(to->items, to->count, to->capacity);
        to->items[to->count++] = from->items[i];
    }
    free(from->items);
}

void resolve_for_order(struct resolve_options *options, const struct order *order)
{
    options->client = order->access->client;
    options->site = &order->access->config.site;
    options->platforms = order->platforms;
    options->platform_count = order->platform_count;
    options->prefix = order->prefix;
    options->image_size_max = order->image_size_max;
    options->tags_max = order->tags_max;
    options->signatures = &order->signatures;
    options->names = order->names;
    options->again = order->again;
    options->heeds_pauses = order->heeds_pauses;
}

void resolve(const struct resolve_options *options, const struct wanted_list *wanted,
             struct jobs *out, struct report *report)
{
    struct resolver r = {.o = options,
                         .wanted = wanted,
                         .report = report,
                         .jobs = out,
                         .mutex = PTHREAD_MUTEX_INITIALIZER};
    expand_wishes(&r);
    parallel_for(r.name_count, options->threads, head_one, &r);
    find_gone(&r);
    tag_lists_release(&r.tag_lists);
    group_names(&r);
    parallel_for(out->count, options->threads, resolve_job, &r);
    take_siblings(&r.siblings, out);
}

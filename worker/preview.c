#include "worker/preview.h"

#include "base/cancel.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/path.h"
#include "worker/batches.h"
#include "worker/beside.h"
#include "repository/documents.h"
#include "wishlist/repository.h"

#include <search.h>
#include <string.h>

#define RESOLVE_THREADS 16 /* for one batch */
#define LANES_MAX       8  /* registries at a time */

const char *preview_word(enum preview_fate fate)
{
    static const char *const words[PREVIEW_FATES] = {[PREVIEW_NEW] = "new",
                                                     [PREVIEW_MOVED] = "moved",
                                                     [PREVIEW_REFUSED] = "refused",
                                                     [PREVIEW_INCOMPLETE] = "incomplete",
                                                     [PREVIEW_SUSPENDED] = "suspended",
                                                     [PREVIEW_UNCHANGED] = "unchanged"};
    return words[fate];
}

static void release_repository(struct preview_repository *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->items[i].name);
        free(r->items[i].platform);
        error_release(&r->items[i].error);
    }
    free(r->items);
    free(r->name);
}

void preview_release(struct preview *p)
{
    for (size_t i = 0; i < p->count; i++)
        release_repository(&p->repositories[i]);
    free(p->repositories);
    *p = (struct preview){0};
}

/* ---- one repository ---- */

struct looker {
    struct access *access;
    struct repository *repository;
    struct podman_lists podman;
    pthread_rwlock_t podman_lock; /* nobody writes them here */
    struct creation_times *times;
    struct report *report; /* collects what is refused while resolving */
    pthread_mutex_t lock;  /* guards all below */
    struct batches batches;
    struct preview_repository *out;
    void *layers; /* tsearch(): struct known_layer */
};

/* A layer that an image has been seen with. */
struct known_layer {
    struct digest blob;
    bool held;     /* by the repository */
    bool fetched;  /* counted as to be fetched */
    size_t viewer; /* the last job that was counted with it */
};

static struct preview_item *add_item(struct looker *l, enum preview_fate fate, char *name)
{
    struct preview_repository *r = l->out;
    ARRAY_GROW(r->items, r->count, r->capacity);
    struct preview_item *item = &r->items[r->count++];
    *item = (struct preview_item){.fate = fate, .name = name};
    r->fates[fate]++;
    return item;
}

/* ---- layers ---- */

static int compare_layers(const void *a, const void *b)
{
    const struct known_layer *x = a, *y = b;
    if (x->blob.algorithm != y->blob.algorithm)
        return x->blob.algorithm < y->blob.algorithm ? -1 : 1;
    return memcmp(x->blob.bytes, y->blob.bytes, sizeof x->blob.bytes);
}

static bool holds(const struct looker *l, const struct digest *blob)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_free_ char *folder = layout_layer(blob);
    _cleanup_free_ char *index = path_join(folder, ".metadata/index");
    mode_t type = 0;
    return repository_type(l->repository, index, &type, &ignored) == 0 && type != 0;
}

static struct known_layer *find_layer(struct looker *l, const struct layer_descriptor *layer)
{
    struct known_layer key = {.blob = layer->blob.digest};
    struct known_layer **found = tfind(&key, &l->layers, compare_layers);
    if (found)
        return *found;
    struct known_layer *new = xcalloc(1, sizeof *new);
    new->blob = layer->blob.digest;
    new->held = holds(l, &new->blob);
    if (!tsearch(new, &l->layers, compare_layers))
        abort(); /* out of memory, as everywhere */
    l->out->layers++;
    l->out->bytes += layer->blob.size;
    return new;
}

static void count_layer(struct looker *l, const struct layer_descriptor *layer, bool fetch,
                        struct preview_item *sum)
{
    struct known_layer *known = find_layer(l, layer);
    if (known->viewer == l->out->count + 1)
        return; /* the image has it twice */
    known->viewer = l->out->count + 1;
    sum->layers++;
    sum->bytes += layer->blob.size;
    if (!fetch)
        return;
    sum->layers_to_fetch++;
    sum->bytes_to_fetch += layer->blob.size;
    l->out->layers_to_fetch += !known->fetched;
    l->out->bytes_to_fetch += known->fetched ? 0 : layer->blob.size;
    known->fetched = true;
}

/* What worker/layer_task.h would fetch of it. */
static void count_layers(struct looker *l, const struct job *job, const struct policy *policy,
                         struct preview_item *sum)
{
    for (size_t i = 0; i < job->image.layer_count; i++) {
        const struct layer_descriptor *layer = job->image.layers[i].descriptor;
        if (layer->foreign)
            continue;
        bool held = !policy->skip_layers && find_layer(l, layer)->held;
        count_layer(l, layer, job->state == JOB_WAITING && !held, sum);
    }
}

/* ---- images ---- */

static enum preview_fate fate_of(const struct looker *l, const struct job *job, size_t name,
                                 const struct digest *before)
{
    if (job->state == JOB_DONE)
        return PREVIEW_REFUSED;
    if (job->state == JOB_UNCHANGED)
        return PREVIEW_UNCHANGED;
    if (digest_is_set(before))
        return digest_equal(before, &job->tag_digest) ? PREVIEW_INCOMPLETE : PREVIEW_MOVED;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_free_ char *public = image_public_name(&job->image, name);
    mode_t type = 0;
    bool there = repository_type(l->repository, public, &type, &ignored) == 0 && type != 0;
    return there ? PREVIEW_MOVED : PREVIEW_NEW;
}

static void take_name(struct looker *l, const struct batch *batch, const struct job *job,
                      size_t name, const struct preview_item *sum)
{
    struct document_source source = {.repository = l->repository, .prefix = batch->order->prefix};
    const struct platform *platform = &job->image.parsed_config.platform;
    struct digest before = {0};
    if (!documents_known_digest(&source, &job->image.names[name], &before))
        before = (struct digest){0};
    enum preview_fate fate = fate_of(l, job, name, &before);
    struct preview_item *item = add_item(l, fate, image_label(&job->image, name));
    item->digest = job->tag_digest;
    item->before = before;
    item->platform = platform->os && platform->architecture ? platform_text(platform) : NULL;
    item->bytes = sum->bytes;
    item->layers = sum->layers;
    if (fate == PREVIEW_REFUSED) {
        error_copy(&item->error, &job->error);
        return;
    }
    item->bytes_to_fetch = sum->bytes_to_fetch;
    item->layers_to_fetch = sum->layers_to_fetch;
}

static void take_job(struct looker *l, const struct batch *batch, const struct job *job)
{
    struct preview_item sum = {0};
    pthread_mutex_lock(&l->lock);
    if (job->state != JOB_DONE)
        count_layers(l, job, &batch->order->policy, &sum);
    for (size_t i = 0; i < job->image.name_count; i++)
        take_name(l, batch, job, i, &sum);
    pthread_mutex_unlock(&l->lock);
}

/* ---- looking ---- */

static void look_at(struct looker *l, const struct batch *batch)
{
    struct jobs jobs = {0};
    struct plan_target target = {l->repository, &batch->order->policy, &l->podman, NULL};
    struct resolve_options options = {.target = &target,
                                      .podman_lock = &l->podman_lock,
                                      .times = l->times,
                                      .threads = RESOLVE_THREADS};
    resolve_for_order(&options, batch->order);
    resolve(&options, &batch->wanted, &jobs, l->report);
    for (size_t i = 0; i < jobs.count; i++)
        take_job(l, batch, jobs.items[i]);
    jobs_release(&jobs);
}

/* Batches until no lane is free: who has the last of one goes on with what becomes free. */
static void look_at_lane(void *arg, size_t i)
{
    struct looker *l = arg;
    (void)i;
    pthread_mutex_lock(&l->lock);
    for (struct batch *b; !cancel_requested() && (b = batches_next(&l->batches, false));) {
        pthread_mutex_unlock(&l->lock);
        look_at(l, b);
        pthread_mutex_lock(&l->lock);
        batches_end(&l->batches, b);
        batch_free(b);
    }
    pthread_mutex_unlock(&l->lock);
}

static int compare_items(const void *a, const void *b)
{
    const struct preview_item *x = a, *y = b;
    return x->fate != y->fate ? (int)x->fate - (int)y->fate : strcmp(x->name, y->name);
}

static void look_at_all(struct looker *l)
{
    size_t lanes = batches_lanes(&l->batches);
    parallel_for(lanes, lanes < LANES_MAX ? lanes : LANES_MAX, look_at_lane, l);
    for (struct batch *b; (b = batches_next(&l->batches, false)); batch_free(b))
        batches_end(&l->batches, b); /* cancelled */
    size_t refused;
    const struct result *results = report_results(l->report, &refused);
    for (size_t i = 0; i < refused; i++) {
        struct preview_item *item = add_item(l, PREVIEW_REFUSED, xstrdup(results[i].name));
        error_copy(&item->error, &results[i].error);
    }
    if (l->out->count > 0)
        qsort(l->out->items, l->out->count, sizeof *l->out->items, compare_items);
}

/* ---- wishes ---- */

static void add_orders(struct looker *l, struct wishes *wishes)
{
    for (size_t i = 0; i < wishes->count; i++) {
        struct wish_group *g = &wishes->groups[i];
        if (strcmp(g->repository, l->out->name) != 0)
            continue;
        struct order_options options = wish_group_order(g, l->access);
        struct order *order = order_new(&options);
        batches_add(&l->batches, order, &g->wanted);
        order_unref(order);
    }
}

static void add_suspended(struct looker *l, const struct wishes *wishes)
{
    for (size_t i = 0; i < wishes->list_count; i++) {
        const struct wished_list *list = &wishes->lists[i];
        for (size_t k = 0; k < list->entry_count; k++)
            if (list->entries[k].suspended && strcmp(list->repository, l->out->name) == 0)
                add_item(l, PREVIEW_SUSPENDED,
                         xstrdup(list->plain[k] ? list->plain[k] : list->entries[k].text));
    }
}

/* The lists of the Podman store, if any group wants one. */
static int read_podman(struct looker *l, const struct wishes *wishes, struct error *err)
{
    for (size_t i = 0; i < wishes->count; i++) {
        const struct wish_group *g = &wishes->groups[i];
        struct plan_target target = {l->repository, &g->policy, &l->podman, NULL};
        if (strcmp(g->repository, l->out->name) == 0 && g->policy.podman != PODMAN_NONE)
            return plan_read_podman(&target, err);
    }
    return 0;
}

/* A directory is made when it is needed; a CernVM-FS repository that cannot be seen is not empty.
 */
static int check_there(const struct repository *r, struct error *err)
{
    mode_t type;
    if (repository_type(r, "", &type, err) < 0)
        return -1;
    if (type == 0 && !repository_is_directory(r->name))
        return error_set(err, ERROR_NOT_FOUND,
                         "repository %s: there is nothing at %s; is it mounted?", r->name, r->root);
    return 0;
}

static int look(struct looker *l, struct wishes *wishes, struct error *err)
{
    const char *state_dir = l->access->config.service.state_dir;
    if (open_beside(l->out->name, state_dir, &l->repository, err) < 0 ||
        check_there(l->repository, err) < 0 || read_podman(l, wishes, err) < 0)
        return -1;
    add_orders(l, wishes);
    add_suspended(l, wishes);
    look_at_all(l);
    return cancel_check(err);
}

static int look_at_repository(struct access *access, struct wishes *wishes,
                              struct preview_repository *out, struct error *err)
{
    struct looker l = {.access = access,
                       .times = creation_times_new(),
                       .report = report_new(REPORT_COLLECT, true),
                       .lock = PTHREAD_MUTEX_INITIALIZER,
                       .podman_lock = PTHREAD_RWLOCK_INITIALIZER,
                       .out = out};
    int rc = look(&l, wishes, err);
    report_free(l.report);
    creation_times_free(l.times);
    podman_lists_release(&l.podman);
    repository_free(l.repository);
    tdestroy(l.layers, free);
    return rc;
}

static void add_repository(struct preview *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->repositories[i].name, name) == 0)
            return;
    ARRAY_GROW(p->repositories, p->count, p->capacity);
    p->repositories[p->count++] = (struct preview_repository){.name = xstrdup(name)};
}

int preview_make(struct access *access, struct wishes *wishes, struct preview *out,
                 struct error *err)
{
    struct preview p = {0};
    int rc = 0;
    for (size_t i = 0; i < wishes->count; i++)
        add_repository(&p, wishes->groups[i].repository);
    for (size_t i = 0; i < wishes->list_count; i++) /* all of it may be suspended */
        add_repository(&p, wishes->lists[i].repository);
    for (size_t i = 0; rc == 0 && i < p.count; i++)
        rc = look_at_repository(access, wishes, &p.repositories[i], err);
    if (rc == 0)
        *out = p;
    else
        preview_release(&p);
    return rc;
}

#include "worker/status_copy.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "repository/plan.h"
#include "web/page.h"

#include <string.h>

#define HTML        STATUS_COPY_FOLDER "/index.html"
#define JSON        STATUS_COPY_FOLDER "/images.json"
#define JSON_MAX    ((size_t)256 << 20)
#define RETRY_AFTER 600 /* seconds */
#define LOOK_AGAIN  60  /* the same, where nothing had changed */

struct status_copy {
    const struct repository *repository;
    struct recorder *recorder;
    int64_t interval, next;
    int64_t look;    /* without a commit that it could go with, nothing is done before */
    char *published; /* the key of what is in the repository; NULL: none, or not known */
    char *added;     /* of what is on its way */
};

/* What the repository has, so that a pass every ten minutes does not begin anew. */
static void read_published(struct status_copy *copy)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    const char *key;
    uint64_t at = 0;
    if (repository_read(copy->repository, JSON, JSON_MAX, &text, &ignored) < 0)
        return;
    json_t *root _cleanup_json_ = json_parse(JSON, text.data, text.len, JSON_MAX, &ignored);
    if (!root || json_get_string(root, JSON, "key", &key, &ignored) < 0 ||
        json_get_size(root, JSON, "published_at", &at, &ignored) < 0)
        return;
    copy->published = xstrdup(key);
    copy->next = (int64_t)at + copy->interval;
}

struct status_copy *status_copy_new(const struct repository *repository, struct recorder *recorder,
                                    int64_t interval)
{
    struct status_copy *copy = xcalloc(1, sizeof *copy);
    *copy =
        (struct status_copy){.repository = repository, .recorder = recorder, .interval = interval};
    read_published(copy);
    return copy;
}

void status_copy_free(struct status_copy *copy)
{
    if (!copy)
        return;
    free(copy->published);
    free(copy->added);
    free(copy);
}

bool status_copy_wants_revision(const struct status_copy *copy)
{
    int64_t now = clock_now();
    return copy && now >= copy->next && now >= copy->look;
}

/* ---- what it says ---- */

static void add_part(struct buf *b, const char *text)
{
    buf_add(b, text ? text : "", text ? strlen(text) + 1 : 1);
}

static void add_image(struct buf *b, const struct image_status *image)
{
    const struct name_record *r = &image->record;
    add_part(b, r->name);
    add_part(b, name_state_word(image->state));
    add_part(b, digest_is_set(&r->wanted) ? digest_text(&r->wanted).s : NULL);
    add_part(b, digest_is_set(&r->published) ? digest_text(&r->published).s : NULL);
    add_part(b, r->failure);
}

/* Equal for two snapshots that differ in nothing that matters. Owned. */
static char *key_of(const struct snapshot *all)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    for (size_t i = 0; i < all->image_count; i++)
        add_image(&b, &all->images[i]);
    for (size_t i = 0; i < all->lists.count; i++) {
        add_part(&b, all->lists.items[i].url);
        add_part(&b, all->lists.items[i].revision);
        add_part(&b, all->lists.items[i].error);
    }
    struct digest d = digest_of(DIGEST_SHA256, b.data, b.len);
    return xstrdup(digest_text(&d).s);
}

static char *json_of(const struct snapshot *all, const char *key)
{
    json_t *root _cleanup_json_ = snapshot_json(all);
    json_object_del(root, "events");
    json_object_del(root, "runs");
    json_object_set_new(root, "published_at", json_integer(all->taken_at));
    json_object_set_new(root, "key", json_string(key));
    return json_dumps(root, JSON_COMPACT);
}

static int add_files(struct status_copy *copy, const struct snapshot *all,
                     const struct history *history, struct changeset *cs, struct error *err)
{
    _cleanup_free_ char *key = key_of(all);
    copy->look = clock_now() + LOOK_AGAIN;
    if (copy->published && strcmp(key, copy->published) == 0)
        return 0;
    _cleanup_buf_ struct buf html = BUF_INIT;
    _cleanup_free_ char *json = json_of(all, key);
    page_static(&html, all, history);
    if (plan_own_file(copy->repository, HTML, html.data, html.len, cs, err) < 0 ||
        plan_own_file(copy->repository, JSON, json, strlen(json), cs, err) < 0)
        return -1;
    copy->added = TAKE_PTR(key);
    return 0;
}

int status_copy_add(struct status_copy *copy, struct job *const *jobs, size_t count,
                    struct changeset *cs, struct error *err)
{
    struct snapshot all _cleanup_snapshot_ = {0};
    struct history history = {0};
    _cleanup_error_ struct error why = ERROR_INIT;
    if (!copy || clock_now() < copy->next)
        return 0;
    free(copy->added);
    copy->added = NULL;
    int64_t since = clock_now() - (int64_t)PAGE_PLOT_DAYS * 86400;
    if (recorder_foresee(copy->recorder, jobs, count, since, &all, &history, &why) < 0) {
        log_warning("the copy of the status page stays as it is for now: %s", why.message);
        status_copy_failed(copy);
        return 0; /* images are not held up for it */
    }
    int result = add_files(copy, &all, &history, cs, err);
    history_release(&history);
    if (result < 0)
        status_copy_failed(copy);
    return result;
}

void status_copy_published(struct status_copy *copy)
{
    if (!copy || !copy->added)
        return;
    free(copy->published);
    copy->published = copy->added;
    copy->added = NULL;
    copy->next = clock_now() + copy->interval;
}

void status_copy_failed(struct status_copy *copy)
{
    if (copy)
        copy->next = clock_now() + (copy->interval < RETRY_AFTER ? copy->interval : RETRY_AFTER);
}

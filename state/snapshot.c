#include "state/snapshot.h"

#include "base/clock.h"
#include "base/memory.h"

#include <fnmatch.h>
#include <string.h>

#define RUNS_SHOWN 20

void snapshot_release(struct snapshot *s)
{
    for (size_t i = 0; i < s->image_count; i++)
        name_record_release(&s->images[i].record);
    free(s->images);
    list_records_release(&s->lists);
    runs_release(&s->runs);
    wants_release(&s->wants);
    *s = (struct snapshot){0};
}

/* ---- filtering ---- */

/* "recipe.yaml" and "lists/recipe.yaml" name "/etc/ducc/lists/recipe.yaml". */
static bool is_list(const char *url, const char *wanted)
{
    size_t len = strlen(url), wanted_len = strlen(wanted);
    if (len < wanted_len || strcmp(url + len - wanted_len, wanted) != 0)
        return false;
    return len == wanted_len || url[len - wanted_len - 1] == '/' || wanted[0] == '/';
}

static bool is_asked_by(const struct image_status *image, const char *list)
{
    for (size_t i = 0; i < image->want_count; i++)
        if (!image->wants[i].left_out && is_list(image->wants[i].url, list))
            return true;
    return false;
}

static bool is_named(const char *name, const struct snapshot_filter *f)
{
    for (size_t i = 0; i < f->image_count; i++)
        if (fnmatch(f->images[i], name, 0) == 0)
            return true;
    return f->image_count == 0;
}

static bool is_shown(const struct image_status *image, const struct snapshot_filter *f)
{
    return (!f->failed_only || image->state == NAME_FAILED) && is_named(image->record.name, f) &&
           (!f->search || strcasestr(image->record.name, f->search)) &&
           (!f->list || is_asked_by(image, f->list));
}

/* ---- reading ---- */

/* Whether the want is of an earlier name than the record: both are in the same order. */
static int compare(const struct want *w, const struct name_record *r)
{
    int order = strcmp(w->repository, r->repository);
    return order ? order : strcmp(w->name, r->name);
}

/* Each record with its wants, as far as the filter lets it through; records are taken over. */
static void add_images(struct snapshot *s, struct name_records *records,
                       const struct snapshot_filter *f)
{
    size_t want = 0;
    for (size_t i = 0; i < records->count; i++) {
        struct image_status image = {.record = records->items[i]};
        records->items[i] = (struct name_record){0};
        image.state = name_state(&image.record);
        while (want < s->wants.count && compare(&s->wants.items[want], &image.record) < 0)
            want++; /* left out: there is no record of it */
        image.wants = s->wants.items + want;
        while (want < s->wants.count && compare(&s->wants.items[want], &image.record) == 0) {
            image.want_count++;
            want++;
        }
        if (!is_shown(&image, f)) {
            name_record_release(&image.record);
            continue;
        }
        s->state_counts[image.state]++;
        s->bytes += image.record.bytes;
        ARRAY_GROW(s->images, s->image_count, s->image_capacity);
        s->images[s->image_count++] = image;
    }
}

static int read_all(struct database *db, const struct snapshot_filter *f, struct snapshot *s,
                    struct error *err)
{
    struct name_records records = {0};
    if (lists_list(db, f->repository, &s->lists, err) < 0 ||
        lists_wants(db, f->repository, NULL, &s->wants, err) < 0 ||
        runs_list(db, f->repository, RUNS_SHOWN, &s->runs, err) < 0 ||
        events_count(db, &s->events, err) < 0 || names_list(db, f->repository, &records, err) < 0)
        return -1;
    add_images(s, &records, f);
    name_records_release(&records);
    return 0;
}

int snapshot_take(struct database *db, const struct snapshot_filter *filter, struct snapshot *out,
                  struct error *err)
{
    struct transaction t _cleanup_transaction_ = TRANSACTION_INIT;
    struct snapshot s = {.taken_at = clock_now()};
    if (transaction_begin_read(db, &t, err) < 0)
        return -1;
    if (read_all(db, filter, &s, err) < 0) {
        snapshot_release(&s);
        return -1;
    }
    *out = s;
    return 0;
}

#include "base/buf.h"
#include "base/clock.h"
#include "base/memory.h"
#include "state/explain.h"

#include <string.h>

/* Bytes that are no UTF-8 (a path of a list) are shown escaped. */
static json_t *text_json(const char *text)
{
    json_t *string = text ? json_string(text) : json_null();
    if (string)
        return string;
    _cleanup_free_ char *escaped = quoted(text);
    return json_string(escaped);
}

static json_t *time_json(int64_t at)
{
    return at ? json_string(clock_text(at).s) : json_null();
}

static json_t *size_json(uint64_t size)
{
    return json_integer((json_int_t)(size > INT64_MAX ? INT64_MAX : size));
}

static json_t *digest_json(const struct digest *d)
{
    return digest_is_set(d) ? json_string(digest_text(d).s) : json_null();
}

static json_t *want_json(const struct want *w)
{
    json_t *o = json_object();
    json_object_set_new(o, "list", text_json(w->url));
    json_object_set_new(o, "revision", text_json(w->revision));
    json_object_set_new(o, "contact", text_json(w->contact));
    json_object_set_new(o, "line", w->line ? json_integer(w->line) : json_null());
    json_object_set_new(o, "column", w->column ? json_integer(w->column) : json_null());
    json_object_set_new(o, "entry", text_json(w->text));
    json_object_set_new(o, "suspended", json_boolean(w->suspended));
    json_object_set_new(o, "left_out", text_json(w->left_out));
    return o;
}

static json_t *failure_json(const struct name_record *r)
{
    if (r->failure_kind == ERROR_NONE)
        return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "kind", json_string(error_kind_name(r->failure_kind)));
    json_object_set_new(o, "reason", text_json(r->failure));
    json_object_set_new(o, "platform", text_json(r->failed_platform));
    json_object_set_new(o, "at", time_json(r->failed_at));
    json_object_set_new(o, "attempts", json_integer(r->attempts));
    json_object_set_new(o, "next_try_at", time_json(r->next_try_at));
    return o;
}

static json_t *gone_json(const struct name_record *r)
{
    if (r->gone_count == 0)
        return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "first_at", time_json(r->gone_first_at));
    json_object_set_new(o, "last_at", time_json(r->gone_last_at));
    json_object_set_new(o, "count", json_integer(r->gone_count));
    return o;
}

/* "linux/amd64, linux/arm64" as a list. */
static json_t *platforms_json(const char *platforms)
{
    json_t *list = json_array();
    for (const char *p = platforms; p && *p; p += strspn(p, ", ")) {
        size_t len = strcspn(p, ",");
        _cleanup_free_ char *one = xstrndup(p, len);
        json_array_append_new(list, text_json(one));
        p += len;
    }
    return list;
}

json_t *image_status_json(const struct image_status *image)
{
    const struct name_record *r = &image->record;
    _cleanup_free_ char *path = name_path(r->repository, r->name);
    json_t *o = json_object(), *asked_by = json_array();
    json_object_set_new(o, "repository", text_json(r->repository));
    json_object_set_new(o, "name", text_json(r->name));
    json_object_set_new(o, "path", text_json(path));
    json_object_set_new(o, "state", json_string(name_state_word(image->state)));
    json_object_set_new(o, "wanted_digest", digest_json(&r->wanted));
    json_object_set_new(o, "published_digest", digest_json(&r->published));
    json_object_set_new(o, "image_id", digest_json(&r->image_id));
    json_object_set_new(o, "platforms", platforms_json(r->platforms));
    json_object_set_new(o, "checked_at", time_json(r->checked_at));
    json_object_set_new(o, "changed_at", time_json(r->changed_at));
    json_object_set_new(o, "published_at", time_json(r->published_at));
    json_object_set_new(o, "seconds", r->published_at ? json_real(r->seconds) : json_null());
    json_object_set_new(o, "bytes", size_json(r->bytes));
    json_object_set_new(o, "bytes_shared",
                        size_json(r->bytes > r->bytes_new ? r->bytes - r->bytes_new : 0));
    json_object_set_new(o, "revision", r->revision ? size_json(r->revision) : json_null());
    json_object_set_new(o, "published_for", text_json(r->asked_by));
    json_object_set_new(o, "failure", failure_json(r));
    json_object_set_new(o, "unwanted_since", time_json(r->unwanted_since));
    json_object_set_new(o, "removed_at", time_json(r->removed_at));
    json_object_set_new(o, "gone", gone_json(r));
    for (size_t i = 0; i < image->want_count; i++)
        json_array_append_new(asked_by, want_json(&image->wants[i]));
    json_object_set_new(o, "asked_by", asked_by);
    return o;
}

static json_t *entry_json(const struct list_entry *e)
{
    json_t *o = json_object();
    json_object_set_new(o, "line", json_integer(e->line));
    json_object_set_new(o, "column", json_integer(e->column));
    json_object_set_new(o, "entry", text_json(e->text));
    json_object_set_new(o, "suspended", json_boolean(e->suspended));
    json_object_set_new(o, "names", size_json(e->names));
    json_object_set_new(o, "error", text_json(e->error));
    json_object_set_new(o, "failed_at", time_json(e->failed_at));
    return o;
}

json_t *list_record_json(const struct list_record *l)
{
    json_t *o = json_object(), *entries = json_array();
    json_object_set_new(o, "repository", text_json(l->repository));
    json_object_set_new(o, "url", text_json(l->url));
    json_object_set_new(o, "revision", text_json(l->revision));
    json_object_set_new(o, "contact", text_json(l->contact));
    json_object_set_new(o, "fetched_at", time_json(l->fetched_at));
    json_object_set_new(o, "good_at", time_json(l->good_at));
    json_object_set_new(o, "error", text_json(l->error));
    json_object_set_new(o, "names", size_json(l->names));
    for (size_t i = 0; i < l->entry_count; i++)
        json_array_append_new(entries, entry_json(&l->entries[i]));
    json_object_set_new(o, "entries", entries);
    return o;
}

json_t *run_json(const struct run *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "id", json_integer(r->id));
    json_object_set_new(o, "kind", text_json(r->kind));
    json_object_set_new(o, "repository", text_json(r->repository));
    json_object_set_new(o, "started_at", time_json(r->started_at));
    json_object_set_new(o, "ended_at", time_json(r->ended_at));
    json_object_set_new(o, "pid", json_integer(r->pid));
    json_object_set_new(o, "published", size_json(r->counts.published));
    json_object_set_new(o, "unchanged", size_json(r->counts.unchanged));
    json_object_set_new(o, "failed", size_json(r->counts.failed));
    json_object_set_new(o, "removed", size_json(r->counts.removed));
    json_object_set_new(o, "revisions", size_json(r->counts.revisions));
    json_object_set_new(o, "bytes", size_json(r->counts.bytes));
    json_object_set_new(o, "outcome", text_json(r->outcome));
    return o;
}

static json_t *counts_json(const struct snapshot *s)
{
    json_t *o = json_object();
    for (int i = 0; i < NAME_STATE_COUNT; i++)
        json_object_set_new(o, name_state_word((enum name_state)i), size_json(s->state_counts[i]));
    return o;
}

static json_t *events_json(const struct event_counts *c)
{
    json_t *o = json_object();
    json_object_set_new(o, "waiting", size_json(c->waiting));
    json_object_set_new(o, "taken", size_json(c->taken));
    json_object_set_new(o, "done", size_json(c->done));
    json_object_set_new(o, "oldest_waiting_at", time_json(c->oldest_waiting_at));
    return o;
}

json_t *snapshot_json(const struct snapshot *s)
{
    json_t *o = json_object(), *images = json_array(), *lists = json_array(), *runs = json_array();
    for (size_t i = 0; i < s->image_count; i++)
        json_array_append_new(images, image_status_json(&s->images[i]));
    for (size_t i = 0; i < s->lists.count; i++)
        json_array_append_new(lists, list_record_json(&s->lists.items[i]));
    for (size_t i = 0; i < s->runs.count; i++)
        json_array_append_new(runs, run_json(&s->runs.items[i]));
    json_object_set_new(o, "taken_at", time_json(s->taken_at));
    json_object_set_new(o, "counts", counts_json(s));
    json_object_set_new(o, "bytes", size_json(s->bytes));
    json_object_set_new(o, "images", images);
    json_object_set_new(o, "lists", lists);
    json_object_set_new(o, "runs", runs);
    json_object_set_new(o, "events", events_json(&s->events));
    return o;
}

/* ---- explanations ---- */

json_t *history_item_json(const struct history_item *h)
{
    json_t *o = json_object();
    json_object_set_new(o, "at", time_json(h->at));
    json_object_set_new(o, "what", json_string(history_word(h->what)));
    json_object_set_new(o, "digest", digest_json(&h->digest));
    json_object_set_new(o, "image_id", digest_json(&h->image_id));
    json_object_set_new(o, "platform", text_json(h->platform));
    json_object_set_new(o, "revision", h->revision ? size_json(h->revision) : json_null());
    json_object_set_new(o, "seconds", json_real(h->seconds));
    json_object_set_new(o, "bytes", size_json(h->bytes));
    json_object_set_new(o, "bytes_new", size_json(h->bytes_new));
    json_object_set_new(
        o, "kind", h->kind == ERROR_NONE ? json_null() : json_string(error_kind_name(h->kind)));
    json_object_set_new(o, "text", text_json(h->text));
    json_object_set_new(o, "published_for", text_json(h->asked_by));
    return o;
}

json_t *explanation_json(const struct explanation *e)
{
    static const char *const parts[] = {[EXPLAIN_WANTED] = "wanted",
                                        [EXPLAIN_UPSTREAM] = "upstream",
                                        [EXPLAIN_PUBLISHED] = "published",
                                        [EXPLAIN_PROBLEM] = "problem"};
    json_t *o = json_object(), *lines = json_array(), *history = json_array();
    json_t *asked_by = json_array();
    for (size_t i = 0; i < e->line_count; i++) {
        json_t *line = json_object();
        json_object_set_new(line, "about", json_string(parts[e->lines[i].part]));
        json_object_set_new(line, "text", text_json(e->lines[i].text));
        json_array_append_new(lines, line);
    }
    for (size_t i = 0; i < e->history.count; i++)
        json_array_append_new(history, history_item_json(&e->history.items[i]));
    for (size_t i = 0; i < e->wants.count; i++)
        json_array_append_new(asked_by, want_json(&e->wants.items[i]));
    json_object_set_new(o, "verdict", text_json(e->verdict));
    json_object_set_new(o, "image", e->known ? image_status_json(&e->status) : json_null());
    json_object_set_new(o, "asked_by", asked_by);
    json_object_set_new(o, "lines", lines);
    json_object_set_new(o, "history", history);
    return o;
}

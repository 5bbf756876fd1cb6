/* The page of one image, and those of lists and of what happened. */
#include "base/memory.h"
#include "web/page_parts.h"
#include "web/plot.h"

#include <string.h>

#define HISTORY_ROWS 100

static void explain_lines(struct buf *b, const struct explanation *e)
{
    static const char *const parts[] = {[EXPLAIN_WANTED] = "Wanted",
                                        [EXPLAIN_UPSTREAM] = "In the registry",
                                        [EXPLAIN_PUBLISHED] = "Published",
                                        [EXPLAIN_PROBLEM] = "Problem"};
    buf_adds(b, "<dl>");
    int last = -1;
    for (size_t i = 0; i < e->line_count; i++) {
        if ((int)e->lines[i].part != last)
            buf_addf(b, "%s<dt>%s</dt><dd>", last < 0 ? "" : "</dd>", parts[e->lines[i].part]);
        last = (int)e->lines[i].part;
        buf_adds(b, last == EXPLAIN_PROBLEM ? "<p class=\"why\">" : "<p>");
        html_text(b, e->lines[i].text);
        buf_adds(b, "</p>");
    }
    buf_adds(b, last < 0 ? "</dl>\n" : "</dd></dl>\n");
}

static void digest_fact(struct buf *b, const char *title, const struct digest *digest)
{
    if (digest_is_set(digest))
        buf_addf(b, "<dt>%s</dt><dd><code>%s</code></dd>", title, digest_text(digest).s);
}

static void facts(struct buf *b, const struct name_record *r)
{
    buf_adds(b, "<h2>Facts</h2>\n<dl>");
    digest_fact(b, "Wanted digest", &r->wanted);
    digest_fact(b, "Published digest", &r->published);
    digest_fact(b, "Image id", &r->image_id);
    if (r->platforms) {
        buf_adds(b, "<dt>Platforms</dt><dd>");
        html_text(b, r->platforms);
        buf_adds(b, "</dd>");
    }
    buf_adds(b, "<dt>Checked</dt><dd>");
    html_time(b, r->checked_at);
    buf_adds(b, "</dd><dt>Changed</dt><dd>");
    html_time(b, r->changed_at);
    buf_adds(b, "</dd><dt>Published</dt><dd>");
    html_time(b, r->published_at);
    if (r->published_at) {
        buf_adds(b, ", it took ");
        html_seconds(b, r->seconds);
    }
    buf_adds(b, "</dd><dt>Size</dt><dd>");
    html_size(b, r->bytes);
    buf_adds(b, " compressed, of which ");
    html_size(b, r->bytes_new);
    buf_adds(b, " were new</dd></dl>\n");
}

static void one(struct buf *b, const struct explanation *e, int64_t now)
{
    if (e->known) {
        buf_adds(b, "<p class=\"soft\">in ");
        html_text(b, e->status.record.repository);
        buf_adds(b, "</p>\n<p class=\"verdict\">");
        page_state_badge(b, e->status.state);
        buf_adds(b, " ");
    } else {
        buf_adds(b, "<p class=\"verdict\">");
    }
    if (!e->known || strcmp(e->verdict, name_state_word(e->status.state)) != 0)
        html_text(b, e->verdict);
    buf_adds(b, "</p>\n");
    explain_lines(b, e);
    if (!e->known)
        return;
    facts(b, &e->status.record);
    buf_adds(b, "<h2>History</h2>\n");
    plot_publications(b, &e->history, now, PAGE_PLOT_DAYS);
    page_history(b, &e->history, HISTORY_ROWS, false);
}

void page_image(struct buf *b, const char *name, const struct explanations *explanations,
                int64_t now)
{
    page_begin(b, name, PLACE_IMAGE, now);
    buf_adds(b, "<h1>");
    html_text(b, name);
    buf_adds(b, "</h1>\n");
    for (size_t i = 0; i < explanations->count; i++)
        one(b, &explanations->items[i], now);
    page_end(b);
}

/* --- lists --- */

static void list_problems(struct buf *b, const struct list_record *l)
{
    if (l->error) {
        buf_adds(b, "<span class=\"why\">");
        html_text(b, l->error);
        buf_adds(b, "</span>");
    }
    for (size_t i = 0; i < l->entry_count; i++) {
        const struct list_entry *e = &l->entries[i];
        if (!e->error)
            continue;
        buf_adds(b, "<span class=\"why\">");
        if (e->line)
            buf_addf(b, "line %d: ", e->line);
        html_text(b, e->error);
        buf_adds(b, "</span>");
    }
}

static void list_row(struct buf *b, const struct list_record *l)
{
    buf_adds(b, "<tr><td class=\"name\">");
    html_text(b, l->url);
    buf_adds(b, "<small>for ");
    html_text(b, l->repository);
    if (l->contact) {
        buf_adds(b, "; contact: ");
        html_text(b, l->contact);
    }
    buf_adds(b, "</small>");
    list_problems(b, l);
    buf_adds(b, "</td><td data-label=\"Revision\"><code>");
    html_text_short(b, l->revision ? l->revision : "–", 12);
    buf_adds(b, "</code></td><td data-label=\"Read\">");
    html_time(b, l->good_at);
    buf_adds(b, "</td><td data-label=\"Tried\">");
    html_time(b, l->fetched_at);
    buf_addf(b, "</td><td class=\"n\" data-label=\"Entries\">%zu</td>", l->entry_count);
    buf_adds(b, "<td class=\"n\" data-label=\"Images\"><a href=\"/?list=");
    html_url(b, l->url);
    buf_addf(b, "\">%zu</a></td></tr>\n", l->names);
}

void page_lists(struct buf *b, const struct snapshot *all)
{
    page_begin(b, "Lists", PLACE_LISTS, all->taken_at);
    buf_adds(b, "<h1>Lists</h1>\n");
    if (all->lists.count == 0)
        buf_adds(b, "<p>No list has been read yet.</p>\n");
    else
        buf_adds(b, "<table><caption>Where wishes come from</caption><thead><tr>"
                    "<th scope=\"col\">List</th><th scope=\"col\">Revision</th>"
                    "<th scope=\"col\">Read</th><th scope=\"col\">Tried</th>"
                    "<th scope=\"col\" class=\"n\">Entries</th>"
                    "<th scope=\"col\" class=\"n\">Images</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < all->lists.count; i++)
        list_row(b, &all->lists.items[i]);
    if (all->lists.count)
        buf_adds(b, "</tbody></table>\n");
    page_end(b);
}

/* --- activity --- */

static void run_row(struct buf *b, const struct run *r)
{
    buf_adds(b, "<tr><td>");
    html_time(b, r->started_at);
    buf_adds(b, "</td><td class=\"name\">");
    html_text(b, r->kind);
    buf_adds(b, "<small>in ");
    html_text(b, r->repository);
    buf_adds(b, "</small></td><td data-label=\"Outcome\">");
    html_text_short(b, r->outcome ? r->outcome : "running, or was ended", 200);
    buf_adds(b, "</td><td class=\"n\" data-label=\"Took\">");
    if (r->ended_at)
        html_seconds(b, (double)(r->ended_at - r->started_at));
    else
        buf_adds(b, "–");
    buf_addf(b, "</td><td class=\"n\" data-label=\"Published\">%llu</td>",
             (unsigned long long)r->counts.published);
    buf_addf(b, "<td class=\"n\" data-label=\"Failed\">%llu</td>",
             (unsigned long long)r->counts.failed);
    buf_adds(b, "<td class=\"n\" data-label=\"New\">");
    html_size(b, r->counts.bytes);
    buf_adds(b, "</td></tr>\n");
}

static void runs(struct buf *b, const struct runs *runs)
{
    buf_adds(b, "<h2>Runs</h2>\n");
    if (runs->count == 0) {
        buf_adds(b, "<p class=\"soft\">None yet.</p>\n");
        return;
    }
    buf_adds(b, "<table><thead><tr><th scope=\"col\">Started</th><th scope=\"col\">Run</th>"
                "<th scope=\"col\">Outcome</th><th scope=\"col\" class=\"n\">Took</th>"
                "<th scope=\"col\" class=\"n\">Published</th>"
                "<th scope=\"col\" class=\"n\">Failed</th>"
                "<th scope=\"col\" class=\"n\">New</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < runs->count; i++)
        run_row(b, &runs->items[i]);
    buf_adds(b, "</tbody></table>\n");
}

void page_activity(struct buf *b, const struct snapshot *all, const struct history *history)
{
    page_begin(b, "Activity", PLACE_ACTIVITY, all->taken_at);
    buf_adds(b, "<h1>Activity</h1>\n");
    buf_addf(b, "<p>%zu events wait, %zu are at work, %zu are done.</p>\n", all->events.waiting,
             all->events.taken, all->events.done);
    plot_publications(b, history, all->taken_at, PAGE_PLOT_DAYS);
    runs(b, &all->runs);
    buf_adds(b, "<h2>What happened</h2>\n");
    page_history(b, history, HISTORY_ROWS, true);
    page_end(b);
}

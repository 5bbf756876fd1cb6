#include "web/page_parts.h"

#include "base/clock.h"
#include "base/memory.h"
#include "web/style.h"

#include <string.h>

#define REASON_MAX 300 /* letters, in a table; the image's page has all */

static const struct {
    const char *path, *title;
    enum page_place place;
} places[] = {
    {"/", "Images", PLACE_IMAGES},
    {"/lists", "Lists", PLACE_LISTS},
    {"/activity", "Activity", PLACE_ACTIVITY},
};

static void head(struct buf *b, const char *title)
{
    buf_adds(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                "<title>");
    html_text(b, title);
    buf_adds(b, " · ducc</title>\n");
}

void page_begin(struct buf *b, const char *title, enum page_place place, int64_t at)
{
    head(b, title);
    buf_adds(b, "<link rel=\"stylesheet\" href=\"/style.css\">\n"
                "<link rel=\"icon\" href=\"/icon.svg\" type=\"image/svg+xml\">\n</head>\n<body>\n"
                "<header><strong>ducc</strong><nav aria-label=\"Pages\">");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        buf_addf(b, "<a href=\"%s\"%s>%s</a>", places[i].path,
                 places[i].place == place ? " aria-current=\"page\"" : "", places[i].title);
    buf_adds(b, "</nav><small>as of ");
    html_time(b, at - at % 60);
    buf_adds(b, " UTC</small></header>\n<main>\n");
}

void page_begin_static(struct buf *b, int64_t at)
{
    head(b, "Images");
    buf_adds(b, "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                "style-src 'unsafe-inline'\">\n<style>\n");
    buf_adds(b, page_style);
    buf_adds(b, "</style>\n</head>\n<body>\n<header><strong>ducc</strong><small>as of ");
    html_time(b, at);
    buf_adds(b, " UTC, in this repository as <code>.metadata/status/</code></small></header>\n"
                "<main>\n");
}

void page_end(struct buf *b)
{
    buf_adds(b, "</main>\n<footer>Container images on CernVM-FS. Times are UTC.</footer>\n"
                "</body>\n</html>\n");
}

void page_state_badge(struct buf *b, enum name_state state)
{
    buf_addf(b, "<span class=\"state %s\">%s</span>", name_state_word(state),
             name_state_word(state));
}

void page_image_link(struct buf *b, const char *repository, const char *name)
{
    buf_adds(b, "<a href=\"/image/");
    html_url(b, name);
    buf_adds(b, "?repository=");
    html_url(b, repository);
    buf_adds(b, "\">");
    html_text(b, name);
    buf_adds(b, "</a>");
}

int page_state(const char *word)
{
    for (int i = 0; word && i < NAME_STATE_COUNT; i++)
        if (strcmp(word, name_state_word((enum name_state)i)) == 0)
            return i;
    return -1;
}

static void add_parameter(struct buf *b, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    buf_addf(b, "%s%s=", b->data[b->len - 1] == '?' ? "" : "&amp;", name);
    html_url(b, value);
}

void page_query_link(struct buf *b, const struct page_query *query, const char *state, size_t page)
{
    struct buf link = BUF_INIT;
    buf_adds(&link, "/?");
    add_parameter(&link, "q", query->search);
    add_parameter(&link, "state", state);
    add_parameter(&link, "list", query->list);
    add_parameter(&link, "repository", query->repository);
    if (page > 1)
        buf_addf(&link, "%spage=%zu", link.data[link.len - 1] == '?' ? "" : "&amp;", page);
    if (link.data[link.len - 1] == '?')
        buf_truncate(&link, link.len - 1);
    buf_add(b, link.data, link.len);
    buf_release(&link);
}

static void tile(struct buf *b, const struct page_query *query, const char *state,
                 const char *title, size_t count)
{
    bool current = query && (query->state ? state && !strcmp(state, query->state) : !state);
    buf_adds(b, "<li>");
    if (query) {
        buf_adds(b, "<a href=\"");
        page_query_link(b, query, state, 1);
        buf_addf(b, "\"%s", current ? " aria-current=\"true\"" : "");
    } else {
        buf_adds(b, "<span");
    }
    buf_addf(b, " class=\"tile %s\"><b>%zu</b>%s</%s></li>", state && count ? state : "", count,
             title, query ? "a" : "span");
}

void page_tiles(struct buf *b, const struct snapshot *shown, const struct page_query *query)
{
    buf_adds(b, "<ul class=\"tiles\">");
    tile(b, query, NULL, "images", shown->image_count);
    for (int i = 0; i < NAME_STATE_COUNT; i++) {
        const char *word = name_state_word((enum name_state)i);
        bool asked = query && query->state && strcmp(query->state, word) == 0;
        if (shown->state_counts[i] > 0 || i == NAME_FAILED || i == NAME_PUBLISHED || asked)
            tile(b, query, word, word, shown->state_counts[i]);
    }
    buf_adds(b, "<li><span class=\"tile\"><b>");
    html_size(b, shown->bytes);
    buf_adds(b, "</b>compressed</span></li></ul>\n");
}

const char page_image_columns[] =
    "<thead><tr><th scope=\"col\">State</th><th scope=\"col\">Image</th>"
    "<th scope=\"col\">Published</th><th scope=\"col\">Checked</th>"
    "<th scope=\"col\" class=\"n\">Took</th><th scope=\"col\" class=\"n\">Size</th>"
    "<th scope=\"col\" class=\"n\">New</th></tr></thead>\n";

static void failure(struct buf *b, const struct name_record *r)
{
    buf_adds(b, "<span class=\"why\">");
    html_text_short(b, r->failure, REASON_MAX);
    if (r->next_try_at) {
        buf_adds(b, " – next try ");
        html_time(b, r->next_try_at);
    }
    buf_adds(b, "</span>");
}

/* "for URL, URL" */
static void asked_by(struct buf *b, const struct image_status *image)
{
    size_t lists = 0;
    for (size_t i = 0; i < image->want_count; i++) {
        const struct want *w = &image->wants[i];
        if (w->left_out || (i > 0 && strcmp(w->url, image->wants[i - 1].url) == 0))
            continue;
        buf_adds(b, lists++ ? ", " : "<small>for ");
        html_text_short(b, w->url, REASON_MAX);
    }
    if (lists)
        buf_adds(b, "</small>");
}

static void size_or_nothing(struct buf *b, const struct name_record *r, uint64_t bytes)
{
    if (digest_is_set(&r->published))
        html_size(b, bytes);
    else
        buf_adds(b, "–");
}

void page_image_row(struct buf *b, const struct image_status *image, bool links,
                    bool with_repository)
{
    const struct name_record *r = &image->record;
    buf_adds(b, "<tr><td>");
    page_state_badge(b, image->state);
    buf_adds(b, "</td><td class=\"name\">");
    if (links)
        page_image_link(b, r->repository, r->name);
    else
        html_text(b, r->name);
    if (with_repository) {
        buf_adds(b, "<small>in ");
        html_text(b, r->repository);
        buf_adds(b, "</small>");
    }
    asked_by(b, image);
    if (r->failure_kind != ERROR_NONE)
        failure(b, r);
    buf_adds(b, "</td><td data-label=\"Published\">");
    html_time(b, r->published_at);
    buf_adds(b, "</td><td data-label=\"Checked\">");
    html_time(b, r->checked_at);
    buf_adds(b, "</td><td class=\"n\" data-label=\"Took\">");
    if (r->published_at)
        html_seconds(b, r->seconds);
    else
        buf_adds(b, "–");
    buf_adds(b, "</td><td class=\"n\" data-label=\"Size\">");
    size_or_nothing(b, r, r->bytes);
    buf_adds(b, "</td><td class=\"n\" data-label=\"New\">");
    size_or_nothing(b, r, r->bytes_new);
    buf_adds(b, "</td></tr>\n");
}

static const char *history_class(enum history_what what)
{
    return what == HISTORY_PUBLISHED || what == HISTORY_RESTORED ? "published"
           : what == HISTORY_FAILED                              ? "failed"
                                                                 : "unwanted";
}

static void history_row(struct buf *b, const struct history_item *h, bool names)
{
    buf_adds(b, "<tr><td>");
    html_time(b, h->at);
    buf_addf(b, "</td><td><span class=\"state %s\">%s</span></td>", history_class(h->what),
             history_word(h->what));
    if (names) {
        buf_adds(b, "<td class=\"name\">");
        page_image_link(b, h->repository, h->name);
        buf_adds(b, "</td>");
    }
    buf_adds(b, "<td class=\"text\">");
    if (h->what == HISTORY_FAILED)
        buf_adds(b, "<span class=\"why\">");
    html_text_short(b, h->text, REASON_MAX);
    if (h->what == HISTORY_FAILED)
        buf_adds(b, "</span>");
    if (h->what == HISTORY_PUBLISHED) {
        if (h->platform) {
            html_text(b, h->platform);
            buf_adds(b, ", ");
        }
        html_size(b, h->bytes);
        buf_adds(b, ", of it ");
        html_size(b, h->bytes_new);
        buf_adds(b, " new, in ");
        html_seconds(b, h->seconds);
        if (h->revision)
            buf_addf(b, ", revision %llu", (unsigned long long)h->revision);
    }
    buf_adds(b, "</td></tr>\n");
}

void page_history(struct buf *b, const struct history *history, size_t max, bool names)
{
    if (history->count == 0) {
        buf_adds(b, "<p class=\"soft\">Nothing yet.</p>\n");
        return;
    }
    buf_addf(b,
             "<table><thead><tr><th scope=\"col\">When</th><th scope=\"col\">What</th>%s"
             "<th scope=\"col\">Details</th></tr></thead>\n<tbody>\n",
             names ? "<th scope=\"col\">Image</th>" : "");
    for (size_t i = 0; i < history->count && i < max; i++)
        history_row(b, &history->items[i], names);
    buf_adds(b, "</tbody></table>\n");
}

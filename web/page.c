#include "web/page.h"

#include "base/memory.h"
#include "web/page_parts.h"
#include "web/plot.h"

#include <string.h>

static void option(struct buf *b, const char *value, const char *text, const char *chosen)
{
    buf_adds(b, "<option value=\"");
    html_text(b, value);
    buf_addf(b, "\"%s>", chosen && strcmp(value, chosen) == 0 ? " selected" : "");
    html_text(b, text);
    buf_adds(b, "</option>");
}

static void select_state(struct buf *b, const char *chosen)
{
    buf_adds(b, "<label>State<select name=\"state\">");
    option(b, "", "any", chosen);
    for (int i = 0; i < NAME_STATE_COUNT; i++) {
        const char *word = name_state_word((enum name_state)i);
        option(b, word, word, chosen);
    }
    buf_adds(b, "</select></label>");
}

static void select_list(struct buf *b, const struct list_records *lists, const char *chosen)
{
    if (lists->count < 2 && !chosen)
        return;
    buf_adds(b, "<label>List<select name=\"list\">");
    option(b, "", "any", chosen);
    const char *last = "";
    for (size_t i = 0; i < lists->count; i++) {
        if (strcmp(last, lists->items[i].url) != 0)
            option(b, lists->items[i].url, lists->items[i].url, chosen);
        last = lists->items[i].url;
    }
    buf_adds(b, "</select></label>");
}

/* The repositories there are, of images that are ordered by them. */
static size_t count_repositories(const struct snapshot *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->image_count; i++)
        count += i == 0 ||
                 strcmp(s->images[i].record.repository, s->images[i - 1].record.repository) != 0;
    return count;
}

static void select_repository(struct buf *b, const struct snapshot *all, const char *chosen)
{
    if (count_repositories(all) < 2 && !chosen)
        return;
    buf_adds(b, "<label>Repository<select name=\"repository\">");
    option(b, "", "any", chosen);
    const char *last = "";
    for (size_t i = 0; i < all->image_count; i++) {
        const char *repository = all->images[i].record.repository;
        if (strcmp(last, repository) != 0)
            option(b, repository, repository, chosen);
        last = repository;
    }
    buf_adds(b, "</select></label>");
}

static void search_form(struct buf *b, const struct snapshot *all, const struct page_query *query)
{
    buf_adds(b, "<form method=\"get\" action=\"/\" role=\"search\">"
                "<label class=\"wide\">Search<input type=\"search\" name=\"q\" value=\"");
    html_text(b, query->search);
    buf_adds(b, "\" placeholder=\"a part of the name\"></label>");
    select_state(b, query->state);
    select_list(b, &all->lists, query->list);
    select_repository(b, all, query->repository);
    buf_adds(b, "<button type=\"submit\">Show</button></form>\n");
}

static void pages(struct buf *b, const struct page_query *query, size_t count)
{
    size_t last = (count + PAGE_ROWS - 1) / PAGE_ROWS;
    if (last < 2)
        return;
    buf_adds(b, "<nav class=\"pages\" aria-label=\"Parts of the table\">");
    if (query->page > 1) {
        buf_adds(b, "<a rel=\"prev\" href=\"");
        page_query_link(b, query, query->state, query->page - 1);
        buf_adds(b, "\">← back</a>");
    }
    buf_addf(b, "<span>page %zu of %zu</span>", query->page, last);
    if (query->page < last) {
        buf_adds(b, "<a rel=\"next\" href=\"");
        page_query_link(b, query, query->state, query->page + 1);
        buf_adds(b, "\">more →</a>");
    }
    buf_adds(b, "</nav>\n");
}

struct rows {
    struct buf *b;
    size_t first, count; /* number of the first that is shown; how many there are */
    bool with_repository;
};

/* Those that have failed, or the others. */
static void add_rows(struct rows *rows, const struct snapshot *shown,
                     const struct page_query *query, bool failed)
{
    int state = page_state(query->state);
    for (size_t i = 0; i < shown->image_count; i++) {
        const struct image_status *image = &shown->images[i];
        if ((query->state && (int)image->state != state) || (image->state == NAME_FAILED) != failed)
            continue;
        if (rows->count >= rows->first && rows->count < rows->first + PAGE_ROWS)
            page_image_row(rows->b, image, true, rows->with_repository);
        rows->count++;
    }
}

static void table(struct buf *b, const struct snapshot *all, const struct snapshot *shown,
                  const struct page_query *query)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct rows rows = {.b = &body,
                        .first = (query->page - 1) * PAGE_ROWS,
                        .with_repository = count_repositories(all) > 1};
    add_rows(&rows, shown, query, true); /* they want somebody's eye */
    add_rows(&rows, shown, query, false);
    size_t count = rows.count;
    if (count == 0) {
        buf_adds(b, all->image_count ? "<p>No image is like that.</p>\n"
                                     : "<p>No list asks for an image yet.</p>\n");
        return;
    }
    buf_addf(b, "<table><caption>%zu %s%s</caption>\n%s<tbody>\n", count,
             query->state ? query->state : "", count == 1 ? " image" : " images",
             page_image_columns);
    buf_add(b, body.data, body.len);
    buf_adds(b, "</tbody></table>\n");
    pages(b, query, count);
}

/* What needs somebody's eye, above everything else. */
static void warnings(struct buf *b, const struct snapshot *all)
{
    size_t broken = 0;
    for (size_t i = 0; i < all->lists.count; i++)
        broken += all->lists.items[i].error != NULL;
    if (broken)
        buf_addf(b,
                 "<p class=\"why\">%zu %s could not be read the last time; what was known of it "
                 "stays. <a href=\"/lists\">Why</a></p>\n",
                 broken, broken == 1 ? "list" : "lists");
}

void page_images(struct buf *b, const struct snapshot *all, const struct snapshot *shown,
                 const struct page_query *query, const struct history *history)
{
    page_begin(b, "Images", PLACE_IMAGES, all->taken_at);
    buf_adds(b, "<h1>Images</h1>\n");
    warnings(b, all);
    page_tiles(b, shown, query);
    search_form(b, all, query);
    table(b, all, shown, query);
    if (history && history->count && query->page == 1) {
        buf_adds(b, "<h2>Published lately</h2>\n");
        plot_publications(b, history, all->taken_at, PAGE_PLOT_DAYS);
    }
    page_end(b);
}

void page_static(struct buf *b, const struct snapshot *all, const struct history *history)
{
    bool with_repository = count_repositories(all) > 1;
    page_begin_static(b, all->taken_at);
    buf_adds(b, "<h1>Images</h1>\n");
    page_tiles(b, all, NULL);
    buf_addf(b, "<table><caption>%zu images; all about them in images.json</caption>\n%s<tbody>\n",
             all->image_count, page_image_columns);
    size_t count = 0;
    for (int failed = 1; failed >= 0; failed--)
        for (size_t i = 0; i < all->image_count && count < PAGE_STATIC_ROWS; i++) {
            if ((all->images[i].state == NAME_FAILED) != failed)
                continue;
            page_image_row(b, &all->images[i], false, with_repository);
            count++;
        }
    buf_adds(b, "</tbody></table>\n");
    if (count < all->image_count)
        buf_addf(b, "<p>And %zu more.</p>\n", all->image_count - count);
    if (history)
        plot_publications(b, history, all->taken_at, PAGE_PLOT_DAYS);
    page_end(b);
}

/* Status out: the page, /api/v1/ and the style sheet. */
#include "web/frontend.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "state/explain.h"
#include "web/page.h"
#include "web/style.h"

#include <string.h>

#define HTML            "text/html; charset=utf-8"
#define PLOT_ITEMS_MAX  50000 /* the sums of days must be whole */
#define PER_PAGE_MAX    1000
#define PER_PAGE        100
#define HISTORY_MAX     1000
#define HISTORY_DEFAULT 100

/* What most routes begin with: a database and everything in it. */
struct view {
    struct frontend *frontend;
    struct database *db;
    struct snapshot all;
    struct http_response *response;
};

static void view_end(struct view *v)
{
    snapshot_release(&v->all);
    if (v->db)
        frontend_database_return(v->frontend, v->db);
}
#define _cleanup_view_ __attribute__((cleanup(view_end)))

static void fail(struct view *v, struct error *err)
{
    /* A connection that met an error is not used again: what it saw may be gone. */
    if (err->kind != ERROR_PARSE && v->db) {
        database_free(v->db);
        v->db = NULL;
    }
    if (err->kind == ERROR_NOT_FOUND)
        err->kind = ERROR_BUSY; /* the database is not there yet: not the fault of who asks */
    response_error(v->response, err);
}

static bool view_begin(struct view *v, struct frontend *frontend, struct http_response *response)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    v->frontend = frontend;
    v->response = response;
    v->db = frontend_database(frontend, &err);
    if (v->db && snapshot_take(v->db, &(struct snapshot_filter){0}, &v->all, &err) == 0)
        return true;
    fail(v, &err);
    return false;
}

static int64_t plot_from(int64_t now)
{
    return now - (int64_t)(PAGE_PLOT_DAYS + 1) * 86400;
}

static void send_html(struct http_response *response)
{
    response->type = HTML;
    response->cacheable = true;
}

/* What a form asks for. ERROR_PARSE: no such state. */
static int read_query(const struct http_request *request, struct page_query *out, struct error *err)
{
    *out = (struct page_query){.search = http_query(request, "q"),
                               .list = http_query(request, "list"),
                               .repository = http_query(request, "repository"),
                               .state = http_query(request, "state")};
    if (out->state && page_state(out->state) < 0)
        return error_set(err, ERROR_PARSE, "parameter \"state\": no state is called like that");
    return http_query_number(request, "page", 1000000, 1, &out->page, err);
}

static int take_shown(struct view *v, const struct page_query *query, struct snapshot *out,
                      struct error *err)
{
    return snapshot_take(v->db,
                         &(struct snapshot_filter){.repository = query->repository,
                                                   .list = query->list,
                                                   .search = query->search},
                         out, err);
}

void route_page(struct frontend *frontend, const struct http_request *request,
                struct http_response *response)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct page_query query;
    if (read_query(request, &query, &err) < 0) {
        response_error(response, &err);
        return;
    }
    struct view v _cleanup_view_ = {0};
    struct snapshot shown _cleanup_snapshot_ = {0};
    struct history history = {0};
    if (!view_begin(&v, frontend, response))
        return;
    if (take_shown(&v, &query, &shown, &err) < 0 ||
        history_list(v.db, query.repository, NULL, plot_from(v.all.taken_at), PLOT_ITEMS_MAX,
                     &history, &err) < 0)
        fail(&v, &err);
    else {
        page_images(&response->body, &v.all, &shown, &query, &history);
        send_html(response);
    }
    history_release(&history);
}

void route_lists(struct frontend *frontend, const struct http_request *request,
                 struct http_response *response)
{
    struct view v _cleanup_view_ = {0};
    (void)request;
    if (!view_begin(&v, frontend, response))
        return;
    page_lists(&response->body, &v.all);
    send_html(response);
}

void route_activity(struct frontend *frontend, const struct http_request *request,
                    struct http_response *response)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct view v _cleanup_view_ = {0};
    struct history history = {0};
    (void)request;
    if (!view_begin(&v, frontend, response))
        return;
    if (history_list(v.db, NULL, NULL, plot_from(v.all.taken_at), PLOT_ITEMS_MAX, &history, &err) <
        0)
        fail(&v, &err);
    else {
        page_activity(&response->body, &v.all, &history);
        send_html(response);
    }
    history_release(&history);
}

/* What is known of request->rest. False: *v->response says why not. */
static bool explain_image(struct view *v, const struct http_request *request,
                          struct explanations *out, int64_t now)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct question question = {
        .repository = http_query(request, "repository"), .image = request->rest, .now = now};
    v->db = frontend_database(v->frontend, &err);
    if (v->db && explain(v->db, &question, out, &err) == 0)
        return true;
    fail(v, &err);
    return false;
}

static bool is_known(const struct explanations *e)
{
    return e->count > 0 && e->items[0].known;
}

void route_image(struct frontend *frontend, const struct http_request *request,
                 struct http_response *response)
{
    struct view v _cleanup_view_ = {.frontend = frontend, .response = response};
    struct explanations explanations = {0};
    int64_t now = clock_now();
    if (explain_image(&v, request, &explanations, now)) {
        page_image(&response->body, request->rest, &explanations, now);
        send_html(response);
        response->status = is_known(&explanations) ? HTTP_OK : 404;
    }
    explanations_release(&explanations);
}

void route_style(struct frontend *frontend, const struct http_request *request,
                 struct http_response *response)
{
    (void)frontend, (void)request;
    buf_adds(&response->body, page_style);
    response->type = "text/css; charset=utf-8";
    response->cacheable = true;
}

void route_icon(struct frontend *frontend, const struct http_request *request,
                struct http_response *response)
{
    (void)frontend, (void)request;
    buf_adds(&response->body, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\">"
                              "<path fill=\"#3b7dbf\" d=\"M2 3h12v3H2zm0 4h12v3H2zm0 4h7v3H2z\"/>"
                              "</svg>\n");
    response->type = "image/svg+xml";
    response->cacheable = true;
}

/* --- /api/v1/ --- */

static void send_json(struct http_response *response, json_t *value)
{
    response_json(response, HTTP_OK, value);
    response->cacheable = true;
}

/* One page of the images, in the fields of docs/web.md. */
static json_t *images_json(const struct snapshot *shown, const struct page_query *query,
                           size_t per_page)
{
    json_t *images = json_array();
    size_t count = 0, first = (query->page - 1) * per_page;
    int state = page_state(query->state);
    for (size_t i = 0; i < shown->image_count; i++) {
        if (query->state && (int)shown->images[i].state != state)
            continue;
        if (count >= first && count < first + per_page)
            json_array_append_new(images, image_status_json(&shown->images[i]));
        count++;
    }
    return json_pack("{s:s, s:I, s:I, s:I, s:o}", "taken_at", clock_text(shown->taken_at).s,
                     "total", (json_int_t)count, "page", (json_int_t)query->page, "per_page",
                     (json_int_t)per_page, "images", images);
}

void route_api_images(struct frontend *frontend, const struct http_request *request,
                      struct http_response *response)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct page_query query;
    size_t per_page;
    if (read_query(request, &query, &err) < 0 ||
        http_query_number(request, "per_page", PER_PAGE_MAX, PER_PAGE, &per_page, &err) < 0) {
        response_error(response, &err);
        return;
    }
    struct view v _cleanup_view_ = {.frontend = frontend, .response = response};
    struct snapshot shown _cleanup_snapshot_ = {0};
    v.db = frontend_database(frontend, &err);
    if (!v.db || take_shown(&v, &query, &shown, &err) < 0)
        fail(&v, &err);
    else
        send_json(response, images_json(&shown, &query, per_page));
}

void route_api_image(struct frontend *frontend, const struct http_request *request,
                     struct http_response *response)
{
    struct view v _cleanup_view_ = {.frontend = frontend, .response = response};
    struct explanations explanations = {0};
    if (explain_image(&v, request, &explanations, clock_now())) {
        json_t *list = json_array();
        for (size_t i = 0; i < explanations.count; i++)
            json_array_append_new(list, explanation_json(&explanations.items[i]));
        send_json(response, json_pack("{s:o}", "explanations", list));
        response->status = is_known(&explanations) ? HTTP_OK : 404;
    }
    explanations_release(&explanations);
}

/* One part of what snapshot_json() has: "lists", "runs". */
static void send_part(struct frontend *frontend, struct http_response *response,
                      const char *const *parts)
{
    struct view v _cleanup_view_ = {0};
    if (!view_begin(&v, frontend, response))
        return;
    json_t *all _cleanup_json_ = snapshot_json(&v.all);
    json_t *out = json_object();
    for (; *parts; parts++)
        json_object_set(out, *parts, json_object_get(all, *parts));
    send_json(response, out);
}

void route_api_lists(struct frontend *frontend, const struct http_request *request,
                     struct http_response *response)
{
    (void)request;
    send_part(frontend, response, (const char *const[]){"taken_at", "lists", NULL});
}

void route_api_runs(struct frontend *frontend, const struct http_request *request,
                    struct http_response *response)
{
    (void)request;
    send_part(frontend, response, (const char *const[]){"taken_at", "runs", NULL});
}

void route_api_status(struct frontend *frontend, const struct http_request *request,
                      struct http_response *response)
{
    (void)request;
    send_part(frontend, response,
              (const char *const[]){"taken_at", "counts", "bytes", "events", NULL});
}

void route_api_history(struct frontend *frontend, const struct http_request *request,
                       struct http_response *response)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct view v _cleanup_view_ = {.frontend = frontend, .response = response};
    struct history history = {0};
    size_t max;
    const char *repository = http_query(request, "repository"),
               *image = http_query(request, "image");
    if (http_query_number(request, "max", HISTORY_MAX, HISTORY_DEFAULT, &max, &err) < 0) {
        response_error(response, &err);
        return;
    }
    if (image && !repository) {
        response_message(response, 400, "parameter \"image\": it needs \"repository\", too");
        return;
    }
    v.db = frontend_database(frontend, &err);
    if (!v.db || history_list(v.db, repository, image, 0, max, &history, &err) < 0)
        fail(&v, &err);
    else {
        json_t *items = json_array();
        for (size_t i = 0; i < history.count; i++) {
            json_t *item = history_item_json(&history.items[i]);
            json_object_set_new(item, "repository", json_string(history.items[i].repository));
            json_object_set_new(item, "image", json_string(history.items[i].name));
            json_array_append_new(items, item);
        }
        send_json(response, json_pack("{s:o}", "history", items));
    }
    history_release(&history);
}

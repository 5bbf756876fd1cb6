#include "web/frontend.h"

#include "base/clock.h"
#include "base/memory.h"

#include <math.h>
#include <string.h>

/* --- the database --- */

struct database *frontend_database(struct frontend *frontend, struct error *err)
{
    struct database *db = NULL;
    pthread_mutex_lock(&frontend->mutex);
    if (frontend->idle_count > 0)
        db = frontend->idle[--frontend->idle_count];
    pthread_mutex_unlock(&frontend->mutex);
    if (!db && database_open(frontend->state_dir, DATABASE_READ, &db, err) < 0)
        return NULL;
    return db;
}

void frontend_database_return(struct frontend *frontend, struct database *db)
{
    pthread_mutex_lock(&frontend->mutex);
    bool keep = frontend->idle_count < FRONTEND_IDLE_MAX;
    if (keep)
        frontend->idle[frontend->idle_count++] = db;
    pthread_mutex_unlock(&frontend->mutex);
    if (!keep)
        database_free(db);
}

/* --- rates --- */

bool frontend_admit(struct frontend *frontend, struct bucket *bucket,
                    struct http_response *response)
{
    double wait = 0;
    pthread_mutex_lock(&frontend->mutex);
    bool ok = bucket_take(bucket, clock_monotonic(), &wait);
    pthread_mutex_unlock(&frontend->mutex);
    if (ok)
        return true;
    response_message(response, 429, "too many requests; try again later");
    response->retry_after = (unsigned)ceil(wait);
    return false;
}

/* --- routes --- */

static const struct route {
    const char *pattern; /* ends with '/': everything below */
    const char *method;
    route_answer *answer;
} routes[] = {
    {"/", "GET", route_page},
    {"/image/", "GET", route_image},
    {"/lists", "GET", route_lists},
    {"/activity", "GET", route_activity},
    {"/style.css", "GET", route_style},
    {"/icon.svg", "GET", route_icon},
    {"/api/v1/status", "GET", route_api_status},
    {"/api/v1/images", "GET", route_api_images},
    {"/api/v1/images/", "GET", route_api_image},
    {"/api/v1/lists", "GET", route_api_lists},
    {"/api/v1/runs", "GET", route_api_runs},
    {"/api/v1/history", "GET", route_api_history},
    {"/metrics", "GET", route_metrics},
    {"/hook/", "POST", route_hook},
    {"/api/v1/refresh", "POST", route_refresh},
    {"/healthz", "GET", route_health},
    {0},
};

static const struct route *route_find(const char *path)
{
    for (const struct route *r = routes; r->pattern; r++) {
        size_t len = strlen(r->pattern);
        if (r->pattern[len - 1] == '/' && len > 1 ? strncmp(path, r->pattern, len) == 0
                                                  : strcmp(path, r->pattern) == 0)
            return r;
    }
    return NULL;
}

static void not_found(struct http_response *response)
{
    response_message(response, 404, "nothing is here; see / and /api/v1/");
}

static void not_allowed(const struct route *route, struct http_response *response)
{
    response_message(response, 405, "expected %s", route->method);
    response->allow = strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method;
}

bool frontend_accepts_body(const char *path, struct http_response *response)
{
    const struct route *route = route_find(path);
    if (!route)
        not_found(response);
    else if (strcmp(route->method, "POST") != 0)
        not_allowed(route, response);
    else
        return true;
    return false;
}

void frontend_answer(struct frontend *frontend, struct http_request *request,
                     struct http_response *response)
{
    const struct route *route = route_find(request->path);
    if (!route) {
        not_found(response);
        return;
    }
    if (strcmp(route->method, request->method) != 0) {
        not_allowed(route, response);
        return;
    }
    request->rest = request->path + strlen(route->pattern);
    route->answer(frontend, request, response);
}

/* What the routes share (internal to web/): settings, connections to the database, counters. */
#ifndef WEB_FRONTEND_H
#define WEB_FRONTEND_H

#include "state/database.h"
#include "web/bucket.h"
#include "web/http.h"
#include "web/inbox.h"
#include "web/server.h"

#include <pthread.h>

#define FRONTEND_IDLE_MAX 16 /* connections to the database that are kept */
#define STATUS_MAX        600

struct sender_state {
    struct bucket bucket;
    uint64_t requests, events, replays, ignored;
};

struct frontend {
    /* Held for reading while a request is answered: it guards the settings, and which senders'
     * states there are. */
    pthread_rwlock_t settings_lock;
    struct web_settings settings;
    struct web_hooks hooks;
    char *state_dir;
    struct inbox *inbox;
    int64_t started_at;
    pthread_mutex_t mutex; /* of all below */
    struct database *idle[FRONTEND_IDLE_MAX];
    size_t idle_count;
    struct sender_state *senders; /* as settings.senders */
    struct bucket refused;        /* answers to requests without a right to be here */
    uint64_t refused_count;
    struct sender_state refresh;
    uint64_t answers[STATUS_MAX]; /* by status */
};

/* A connection for reading, to be given back. NULL on failure. */
struct database *frontend_database(struct frontend *frontend, struct error *err);
void frontend_database_return(struct frontend *frontend, struct database *db);

/* Let one request of a sender pass, or answer 429. */
MUST_CHECK bool frontend_admit(struct frontend *frontend, struct bucket *bucket,
                               struct http_response *response);

/* Finds the route and calls it. */
void frontend_answer(struct frontend *frontend, struct http_request *request,
                     struct http_response *response);
/* Whether a path may be posted to, told before the body is read; else *response says why not. */
MUST_CHECK bool frontend_accepts_body(const char *path, struct http_response *response);

/* Routes: the table of frontend.c says which paths they are. */
typedef void route_answer(struct frontend *frontend, const struct http_request *request,
                          struct http_response *response);
route_answer route_hook, route_refresh; /* route_events.c */
route_answer route_page, route_image, route_lists, route_activity, route_style, route_icon;
route_answer route_api_status, route_api_images, route_api_image, route_api_lists, route_api_runs,
    route_api_history;                    /* route_status.c, all of the two lines */
route_answer route_health, route_metrics; /* route_health.c, metrics.c */

#endif

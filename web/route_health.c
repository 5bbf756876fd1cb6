/* GET /healthz: whether work goes on. */
#include "web/frontend.h"

#include "base/clock.h"
#include "base/memory.h"
#include "state/events.h"

/* Events are taken within seconds. */
#define STUCK_SECONDS 900

static int check_database(struct frontend *frontend, struct event_counts *out, struct error *err)
{
    struct database *db = frontend_database(frontend, err);
    if (!db)
        return -1;
    if (events_count(db, out, err) < 0) {
        database_free(db);
        return -1;
    }
    frontend_database_return(frontend, db);
    return 0;
}

void route_health(struct frontend *frontend, const struct http_request *request,
                  struct http_response *response)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf reason = BUF_INIT;
    struct event_counts events = {0};
    (void)request;
    bool ok = check_database(frontend, &events, &err) == 0;
    if (!ok)
        buf_adds(&reason, err.message);
    else if (events.oldest_waiting_at && clock_now() - events.oldest_waiting_at > STUCK_SECONDS)
        buf_addf(&reason, "an event waits since %s", clock_text(events.oldest_waiting_at).s);
    else if (frontend->hooks.is_healthy)
        frontend->hooks.is_healthy(frontend->hooks.arg, &reason);
    response->type = "text/plain; charset=utf-8";
    response->status = reason.len ? 503 : HTTP_OK;
    buf_addf(&response->body, "%s\n", reason.len ? reason.data : "ok");
}

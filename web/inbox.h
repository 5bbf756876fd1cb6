/*
 * The inbox: events on their way into the database. Who stores some returns when they are on the
 * disk. What comes while a transaction is being synced shares the next one, so that a crowd costs a
 * few syncs, not one each.
 */
#ifndef WEB_INBOX_H
#define WEB_INBOX_H

#include "web/webhook.h"

#include <stdint.h>

struct inbox;
/* The database is opened for writing with the first event. `state_dir` as for database_open(). */
struct inbox *inbox_new(const char *state_dir);
/* Nobody may be storing. */
void inbox_free(struct inbox *inbox);

/* All or none. *out_new: how many were not known yet. Errors of the database; nothing is stored. */
MUST_CHECK int inbox_store(struct inbox *inbox, const char *source,
                           const struct webhook_events *events, int64_t now, size_t *out_new,
                           struct error *err);

#endif

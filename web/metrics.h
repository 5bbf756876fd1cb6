/*
 * /metrics: what a Prometheus server reads, in its text format 0.0.4. docs/web.md lists the names;
 * deploy/prometheus/alerts.yml and deploy/grafana/dashboard.json use them.
 */
#ifndef WEB_METRICS_H
#define WEB_METRICS_H

#include "base/buf.h"
#include "state/history.h"
#include "state/snapshot.h"

/* What is known of images, lists, runs and events. `lately`: the history of METRICS_SECONDS. */
#define METRICS_SECONDS 86400
void metrics_state(struct buf *b, const struct snapshot *all, const struct history *lately);
/* What the process uses: memory, descriptors, threads. */
void metrics_process(struct buf *b, int64_t started_at);

/* "# HELP …" and "# TYPE …" of a metric; then one sample, with labels in pairs (name, value) that
 * end with NULL. Values may hold anything. */
void metrics_family(struct buf *b, const char *name, const char *type, const char *help);
void metrics_sample(struct buf *b, const char *name, double value, const char *const *labels);

#endif

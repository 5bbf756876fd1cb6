#include "publisher/convert.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/memory.h"
#include "worker/recorder.h"
#include "worker/workers.h"

#include <string.h>

/* All repositories must be usable before anything is done. */
static int open_all(struct workers *workers, const struct wishes *wishes, struct error *err)
{
    for (size_t i = 0; i < wishes->count; i++) {
        struct worker *worker;
        if (workers_get(workers, wishes->groups[i].repository, &worker, err) < 0)
            return -1;
    }
    return 0;
}

static int record_lists(struct workers *workers, const struct wishes *wishes, struct error *err)
{
    for (size_t i = 0; i < wishes->list_count; i++) {
        struct worker *worker;
        if (workers_get(workers, wishes->lists[i].repository, &worker, err) < 0)
            return -1;
        recorder_list(worker_recorder(worker), &wishes->lists[i]);
    }
    return 0;
}

static int submit(const struct convert_options *o, struct workers *workers, struct wish_group *g,
                  struct error *err)
{
    struct worker *worker;
    if (workers_get(workers, g->repository, &worker, err) < 0)
        return -1;
    struct order_options options = wish_group_order(g, o->access);
    options.again = o->again;
    struct order *order = order_new(&options);
    worker_submit(worker, order, &g->wanted);
    order_unref(order);
    return 0;
}

static int work(const struct convert_options *o, struct workers *workers, struct wishes *wishes,
                struct error *err)
{
    for (size_t i = 0; i < wishes->failed_count; i++)
        report_result(workers->report, &wishes->failed[i]);
    wishes->failed_count = 0;
    for (size_t i = 0; i < wishes->count; i++)
        if (submit(o, workers, &wishes->groups[i], err) < 0)
            return -1;
    if (!o->worker.dry_run) /* which leaves its layers to the real run */
        workers_sweep(workers);
    const struct error *broken = workers_drain(workers);
    if (!broken)
        return 0;
    error_copy(err, broken);
    cancel_request(); /* what is still being fetched cannot be published */
    return -1;
}

enum exit_status convert(const struct convert_options *o, struct wishes *wishes, struct error *err)
{
    double start = clock_monotonic();
    struct report *report = report_new(o->form, true);
    struct workers workers = {.options = o->worker, .report = report};
    workers.options.run = "convert";
    bool opened = open_all(&workers, wishes, err) == 0 && record_lists(&workers, wishes, err) == 0;
    int result = opened ? work(o, &workers, wishes, err) : -1;
    workers_stop(&workers);
    if (opened)
        report_finish(report, clock_monotonic() - start);
    bool failed = report_count(report, OUTCOME_FAILED) > 0;
    report_free(report);
    return result < 0 ? EXIT_REPOSITORY : failed ? EXIT_SOME_FAILED : EXIT_OK;
}

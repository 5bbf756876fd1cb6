#include "publisher/convert.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/memory.h"

static void drop_results(struct result *results, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(results[i].name);
        error_release(&results[i].error);
    }
}

static void work(const struct convert_options *o, struct worker *worker, struct wanted_list *wanted)
{
    struct order *order = order_new(&(struct order_options){.access = o->access,
                                                            .policy = &o->policy,
                                                            .platforms = o->platforms,
                                                            .platform_count = o->platform_count,
                                                            .urgency = URGENCY_POLL,
                                                            .again = o->again});
    worker_submit(worker, order, wanted);
    order_unref(order);
    if (!o->worker.dry_run) /* which leaves its layers to the real run */
        worker_sweep(worker);
    worker_drain(worker);
    if (worker_error(worker))
        cancel_request(); /* what is still being fetched cannot be published */
}

enum exit_status convert(const struct convert_options *o, struct wanted_list *wanted,
                         struct result *failed, size_t failed_count, struct error *err)
{
    double start = clock_monotonic();
    struct worker *worker;
    struct report *report = report_new(o->form, true);
    if (worker_start(&o->worker, report, &worker, err) < 0) {
        drop_results(failed, failed_count);
        report_free(report);
        return EXIT_REPOSITORY;
    }
    for (size_t i = 0; i < failed_count; i++)
        report_result(report, &failed[i]);
    work(o, worker, wanted);
    if (worker_error(worker))
        error_copy(err, worker_error(worker));
    worker_stop(worker);
    report_finish(report, clock_monotonic() - start);
    enum exit_status status = report_count(report, OUTCOME_FAILED) ? EXIT_SOME_FAILED : EXIT_OK;
    report_free(report);
    return err->kind != ERROR_NONE ? EXIT_REPOSITORY : status;
}

/*
 * The service: looks at lists again and again, and brings what they wish into repositories.
 *
 *     ducc poll      one pass over all lists of the configuration, for timers
 *     ducc loop      one recipe, for ever (the Go tool's command)
 *     ducc daemon    all lists of the configuration, for ever
 *
 * A few threads visit the lists that are due (publisher/watched_list.h) and hand what they wish to
 * the workers of the repositories. The calling thread waits for signals:
 *
 *     SIGTERM, SIGINT   a clean stop: the commit under way is cancelled or ends, nothing is lost
 *     SIGHUP            the configuration and all lists are read again. A wrong configuration is
 *                       refused, and the old one stays in force. What is under way ends as it
 * began.
 *
 * A repository that another process has, or somebody else's transaction, is waited for by those who
 * run for ever, and an error for a pass.
 */
#ifndef PUBLISHER_SERVICE_H
#define PUBLISHER_SERVICE_H

#include "config/config.h"
#include "publisher/convert.h"

enum service_mode {
    SERVICE_POLL,
    SERVICE_LOOP,
    SERVICE_DAEMON,
};

struct service_options {
    enum service_mode mode;
    const char *config, *authfile;         /* NULL: the usual ones */
    const char *recipe;                    /* of SERVICE_LOOP */
    struct wish_settings settings;         /* what the command line says */
    const struct convert_options *convert; /* of it, worker, again, form; and what is not given
                                              there is taken from the configuration */
    const char *notification_file;         /* NULL: none */
    bool log_given;                        /* the level of the log was given, too */
};

/* What the configuration says, where an option has not. Strings are borrowed. */
void service_settings_apply(const struct service_settings *settings,
                            struct worker_options *options);

/* Until a stop is asked for, or the pass has ended. *err says what a status other than EXIT_OK and
 * EXIT_SOME_FAILED is about. */
enum exit_status service_run(const struct service_options *options, struct error *err);

/* From a handler of SIGHUP. */
void service_reload(void);

#endif

/*
 * Logging. Libraries log at debug level only; the program's top layer says the rest, once, where
 * it is handled. One line a message on standard error:
 *
 *     2026-11-21T03:05:38Z warning image localhost:5000/a:1: ...
 *
 * or, if that is read by the journal of systemd, a message with fields (base/journal.h).
 *
 * Thread-safe: a line is written with one write(). A terminal progress display registers a hook
 * that is called around each line, so that lines and display do not mix.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARNING,
    LOG_ERROR,
};

void log_set_level(enum log_level level);
/* Called with true before and with false after each line is written; NULL for none. */
void log_set_hook(void (*hook)(int before));
void log_message(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What a message is about, for the journal. NULL, 0: nothing is said of it. */
struct log_subject {
    const char *image;
    uint64_t revision;
};
void log_about(enum log_level level, const struct log_subject *subject, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* All messages of the calling thread are about this repository. Borrowed; NULL ends it. */
void log_set_repository(const char *repository);

#define log_debug(...)   log_message(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)    log_message(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, __VA_ARGS__)
#define log_error(...)   log_message(LOG_ERROR, __VA_ARGS__)

#endif

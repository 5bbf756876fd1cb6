#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/journal.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic enum log_level threshold = LOG_INFO;
static void (*line_hook)(int before);
static _Thread_local const char *repository_of_thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, level);
}

void log_set_hook(void (*hook)(int before))
{
    pthread_mutex_lock(&lock);
    line_hook = hook;
    pthread_mutex_unlock(&lock);
}

void log_set_repository(const char *repository)
{
    repository_of_thread = repository;
}

static int send(enum log_level level, const struct log_subject *subject, const char *text)
{
    static const int priorities[] = {
        [LOG_DEBUG] = 7, [LOG_INFO] = 6, [LOG_WARNING] = 4, [LOG_ERROR] = 3};
    const struct journal_message message = {.text = text,
                                            .priority = priorities[level],
                                            .repository = repository_of_thread,
                                            .image = subject ? subject->image : NULL,
                                            .revision = subject ? subject->revision : 0};
    return journal_send(&message);
}

static void write_line(enum log_level level, const char *text)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    _cleanup_buf_ struct buf line = BUF_INIT;
    buf_addf(&line, "%s %s %s\n", clock_text(clock_now()).s, names[level], text);
    pthread_mutex_lock(&lock);
    if (line_hook)
        line_hook(1);
    if (file_write_all(STDERR_FILENO, line.data, line.len) < 0) {
        /* nobody reads our log: nothing to be done about it */
    }
    if (line_hook)
        line_hook(0);
    pthread_mutex_unlock(&lock);
}

static void __attribute__((format(printf, 3, 0)))
vlog(enum log_level level, const struct log_subject *subject, const char *fmt, va_list ap)
{
    if (level < atomic_load(&threshold))
        return;
    _cleanup_free_ char *text = xvasprintf(fmt, ap);
    if (!journal_is_read() || send(level, subject, text) < 0)
        write_line(level, text);
}

void log_message(enum log_level level, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vlog(level, NULL, fmt, ap);
    va_end(ap);
}

void log_about(enum log_level level, const struct log_subject *subject, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vlog(level, subject, fmt, ap);
    va_end(ap);
}

#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic enum log_level threshold = LOG_INFO;
static void (*line_hook)(int before);
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

void log_message(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    if (level < atomic_load(&threshold))
        return;
    va_list ap;
    va_start(ap, fmt);
    _cleanup_free_ char *text = xvasprintf(fmt, ap);
    va_end(ap);
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

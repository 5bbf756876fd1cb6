#include "base/notify.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    if (len == 0 || (path[0] != '/' && path[0] != '@') || len >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') /* an abstract one */
        address.sun_path[0] = '\0';
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (fd >= 0 &&
        sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0) {
        /* systemd is gone: nobody to tell */
    }
}

void notify_ready(void)
{
    notify("READY=1\n");
}

/* systemd wants to know when that was: it takes no answer for one to an earlier signal. */
void notify_reloading(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    _cleanup_free_ char *text =
        xasprintf("RELOADING=1\nMONOTONIC_USEC=%lld\n",
                  (long long)t.tv_sec * 1000000 + (long long)t.tv_nsec / 1000);
    notify(text);
}

void notify_stopping(void)
{
    notify("STOPPING=1\n");
}

void notify_alive(size_t at_work)
{
    static double last = -1e9;
    static size_t last_at_work = SIZE_MAX;
    const char *usec = getenv("WATCHDOG_USEC");
    double pause = usec ? strtod(usec, NULL) * 1e-6 / 2 : 0;
    double now = clock_monotonic();
    if (pause > 0 && now - last >= pause) {
        notify("WATCHDOG=1\n");
        last = now;
    }
    if (at_work == last_at_work)
        return;
    last_at_work = at_work;
    _cleanup_free_ char *text = at_work ? xasprintf("STATUS=%zu at work\n", at_work)
                                        : xstrdup("STATUS=everything is up to date\n");
    notify(text);
}

#include "base/journal.h"

#include "base/memory.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#define FIELDS_MAX 8

static bool is_read;

static void look(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    if (!stream || fstat(STDERR_FILENO, &st) < 0)
        return;
    _cleanup_free_ char *ours =
        xasprintf("%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    is_read = strcmp(stream, ours) == 0;
}

bool journal_is_read(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look);
    return is_read;
}

struct fields {
    struct iovec items[FIELDS_MAX];
    int count;
};

/* Takes the text over. */
static void add_field(struct fields *f, char *text)
{
    f->items[f->count++] = (struct iovec){text, strlen(text)};
}

static bool is_host(const char *component, size_t len)
{
    static const char local[] = "localhost";
    return memchr(component, '.', len) || memchr(component, ':', len) ||
           (len == sizeof local - 1 && memcmp(component, local, len) == 0);
}

/* The first component that is a host (registry/reference.h): a list's prefix may stand before it.
 * The last component is never one: it has the tag. */
static void add_registry(struct fields *f, const char *image)
{
    for (const char *slash; (slash = strchr(image, '/')); image = slash + 1) {
        size_t len = (size_t)(slash - image);
        if (!is_host(image, len))
            continue;
        add_field(f, xasprintf("REGISTRY=%.*s", (int)len, image));
        return;
    }
}

static void add_fields(struct fields *f, const struct journal_message *m)
{
    add_field(f, xasprintf("MESSAGE=%s", m->text));
    add_field(f, xasprintf("PRIORITY=%d", m->priority));
    if (m->repository)
        add_field(f, xasprintf("REPOSITORY=%s", m->repository));
    if (m->revision)
        add_field(f, xasprintf("REVISION=%llu", (unsigned long long)m->revision));
    if (m->image) {
        add_field(f, xasprintf("IMAGE=%s", m->image));
        add_registry(f, m->image);
    }
}

int journal_send(const struct journal_message *message)
{
    struct fields f = {.count = 0};
    add_fields(&f, message);
    int result = sd_journal_sendv(f.items, f.count);
    for (int i = 0; i < f.count; i++)
        free(f.items[i].iov_base);
    return result < 0 ? -1 : 0;
}

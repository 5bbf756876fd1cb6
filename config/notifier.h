/*
 * Notifications: what was published, what failed, told to a file, a webhook, or a command
 * (docs/configuration.md, "notifications"). One JSON object each, all values texts; field names are
 * the Go tool's where it had one.
 *
 * Nobody waits for them: each target has a thread and a queue of NOTIFY_QUEUE_MAX; what does not
 * fit, or is not taken after NOTIFY_TRIES, is lost, and the log says so. A stop of the program
 * (base/cancel.h) ends what is under way to a webhook.
 *
 *     notifier_new()
 *     notifier_aim()       whom to tell: the first tells "start_ducc". The configuration was read
 *                          again: another; what was told before goes where it was told
 *     notifier_tell()      from any thread
 *     notifier_free()      tells "end_ducc"; NOTIFY_STOP_SECONDS later no try is begun any more
 */
#ifndef CONFIG_NOTIFIER_H
#define CONFIG_NOTIFIER_H

#include "base/digest.h"
#include "base/error.h"

#include <stdint.h>

#define NOTIFY_QUEUE_MAX    10000
#define NOTIFY_TRIES        6 /* with pauses of 1, 2, 4, 8, 16 s */
#define NOTIFY_STOP_SECONDS 10.0

enum notification_kind {
    NOTIFY_RUNS = 1, /* the program's start and end */
    NOTIFY_PUBLISHED = 2,
    NOTIFY_FAILED = 4,
    NOTIFY_REMOVED = 8,
};
#define NOTIFY_IMAGES (NOTIFY_PUBLISHED | NOTIFY_FAILED | NOTIFY_REMOVED)

enum notify_target_kind { NOTIFY_FILE, NOTIFY_WEBHOOK, NOTIFY_COMMAND };

struct notify_target {
    enum notify_target_kind kind;
    unsigned events; /* of enum notification_kind */
    char *where;     /* path, or URL */
    char *secret;    /* of a webhook: the key that bodies are signed with; NULL: unsigned */
    char **argv;     /* of a command, NULL-ended */
    size_t argc;
};
struct notify_targets {
    struct notify_target *items;
    size_t count, capacity;
};
/* An empty one, zeroed but for kind and events. */
struct notify_target *notify_targets_add(struct notify_targets *targets,
                                         enum notify_target_kind kind);
void notify_targets_release(struct notify_targets *targets);

struct notification {
    enum notification_kind kind;
    const char *repository, *name;
    struct digest digest, image_id;
    const char *platform;      /* NULL: not known */
    uint64_t bytes, bytes_new; /* published */
    double seconds;
    uint64_t revision;          /* 0: not known */
    enum error_kind error_kind; /* failed */
    const char *text;           /* why it failed, or was removed; NULL */
};

struct access;
struct notifier;
/* `file`, one more target whatever the configuration says, may be NULL. */
struct notifier *notifier_new(const char *file);
/* The targets and certificates are the configuration's (config/access.h), of which it keeps a
 * reference. ERROR_IO if a file cannot be written: it goes on with what it had. From one thread. */
MUST_CHECK int notifier_aim(struct notifier *notifier, struct access *access, struct error *err);
/* NULL as notifier does nothing, in all that follow. */
void notifier_tell(struct notifier *notifier, const struct notification *notification);
void notifier_free(struct notifier *notifier);

#endif

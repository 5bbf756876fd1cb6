/*
 * The journal of systemd: messages with fields, so that `journalctl IMAGE=…` finds all that was
 * said of one image. Used by base/log.h alone.
 *
 *     MESSAGE, PRIORITY, SYSLOG_IDENTIFIER    the message, without a time of its own
 *     IMAGE       the name it is published under
 *     REGISTRY    where the image comes from: the part of IMAGE that is a host
 *     REPOSITORY  of CernVM-FS, or the directory
 *     REVISION    of the repository, that published it
 *
 * sd_journal_sendv(3) and not the line on standard error that the journal would take as well: that
 * has one field.
 */
#ifndef BASE_JOURNAL_H
#define BASE_JOURNAL_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* NULL, 0: not known. */
struct journal_message {
    const char *text;
    int priority; /* of syslog(3): 0, the worst, to 7 */
    const char *image, *repository;
    uint64_t revision;
};

/* Whether standard error is read by the journal: $JOURNAL_STREAM names it (systemd.exec(5)). Looked
 * up once. */
bool journal_is_read(void);
/* -1: the journal did not take it. */
MUST_CHECK int journal_send(const struct journal_message *message);

#endif

/*
 * Telling systemd how the service is (sd_notify(3)): lines of NAME=VALUE in one datagram to the
 * socket that $NOTIFY_SOCKET names. Without one, nothing is done. Written by ourselves: it is a
 * datagram, and libsystemd would be the only thing in base/ that needs it.
 */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

#include <stddef.h>

void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
/* Call often: tells the watchdog twice in its time ($WATCHDOG_USEC), and how many images are at
 * work when that has changed. */
void notify_alive(size_t at_work);

#endif

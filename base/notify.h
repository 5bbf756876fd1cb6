/*
 * Telling systemd how the service is: sd_notify(3). Where $NOTIFY_SOCKET is not set, nothing is
 * done.
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

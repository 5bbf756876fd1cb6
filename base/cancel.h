/*
 * Asking the program to stop. One flag for the process, set by a signal handler or by a fatal
 * error; everything that waits or loops for long looks at it and returns ERROR_CANCELLED.
 */
#ifndef BASE_CANCEL_H
#define BASE_CANCEL_H

#include "base/error.h"

/* Async-signal-safe. */
void cancel_request(void);
bool cancel_requested(void);
/* For tests. */
void cancel_reset(void);
/* -1 with ERROR_CANCELLED once a stop was asked for. */
MUST_CHECK int cancel_check(struct error *err);

#endif

/* What an answer means that is not the one hoped for (internal to registry/). */
#ifndef REGISTRY_ANSWER_H
#define REGISTRY_ANSWER_H

#include "base/digest.h"
#include "registry/http.h"
#include "registry/reference.h"

/* 408, 429 and 5xx but 501: worth another try. */
bool answer_is_transient(const struct http_response *response);
/* Seconds that Retry-After asks to wait, as a number or a date (RFC 9110, section 10.2.3); -1 if
 * it is not there. */
double answer_retry_after(const struct http_response *response);
/* Sets the error that the status stands for (registry/client.h, "Errors") and returns -1. The
 * message ends with what the registry said in its JSON. */
int answer_error(const struct http_response *response, struct error *err);
/* ERROR_CORRUPT for bytes with another digest than they should have; `what` is "blob" or
 * "manifest". Returns -1. */
int answer_wrong_digest(const struct reference *ref, const char *what,
                        const struct digest *expected, const struct digest *got, struct error *err);

#endif

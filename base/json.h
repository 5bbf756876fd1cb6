/*
 * JSON from outside, read through jansson with limits: size, depth, no NUL in strings, no
 * duplicate keys. The getters check the type and name the field in the error:
 *
 *     manifest: field "layers": expected an array
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* An owned reference, ERROR_PARSE with the line and column, or ERROR_LIMIT. `what` begins the
 * message. */
json_t *json_parse(const char *what, const char *text, size_t len, size_t max_bytes,
                   struct error *err);

/* The same for text that holds secrets: the message repeats nothing of it. */
json_t *json_parse_secret(const char *what, const char *text, size_t len, size_t max_bytes,
                          struct error *err);

/* Fields of an object, borrowed. A missing or null field is *out = NULL with the optional getters,
 * an error with the others. */
MUST_CHECK int json_get_string(const json_t *object, const char *what, const char *field,
                               const char **out, struct error *err);
MUST_CHECK int json_get_optional_string(const json_t *object, const char *what, const char *field,
                                        const char **out, struct error *err);
MUST_CHECK int json_get_optional_array(const json_t *object, const char *what, const char *field,
                                       json_t **out, struct error *err);
MUST_CHECK int json_get_optional_object(const json_t *object, const char *what, const char *field,
                                        json_t **out, struct error *err);
/* A whole number from 0 to 2^62. */
MUST_CHECK int json_get_size(const json_t *object, const char *what, const char *field,
                             uint64_t *out, struct error *err);

/* The value on one line, owned; keys in the order they were set. */
char *json_text(const json_t *value);

/* Whether an array has an item that equals this one. */
bool json_array_has(const json_t *array, const json_t *item);

static inline void cleanup_json(json_t **value)
{
    json_decref(*value);
}
#define _cleanup_json_ __attribute__((cleanup(cleanup_json)))

#endif

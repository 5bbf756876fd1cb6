#include "base/json.h"

#include "base/buf.h"
#include "base/memory.h"

#include <string.h>

json_t *json_parse(const char *what, const char *text, size_t len, size_t max_bytes,
                   struct error *err)
{
    if (len > max_bytes) {
        error_set(err, ERROR_LIMIT, "%s: %zu bytes, more than the %zu that are accepted", what, len,
                  max_bytes);
        return NULL;
    }
    json_error_t where;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!value) {
        _cleanup_free_ char *q = quoted(where.text);
        error_set(err, ERROR_PARSE, "%s: line %d, column %d: not valid JSON: %s", what, where.line,
                  where.column, q);
    }
    return value;
}

json_t *json_parse_secret(const char *what, const char *text, size_t len, size_t max_bytes,
                          struct error *err)
{
    _cleanup_error_ struct error why = ERROR_INIT;
    json_t *value = json_parse(what, text, len, max_bytes, &why);
    if (value)
        return value;
    static const char last_of_ours[] = "not valid JSON";
    char *end = strstr(why.message, last_of_ours); /* jansson quotes what stands there */
    if (end)
        end[strlen(last_of_ours)] = '\0';
    error_move(err, &why);
    return NULL;
}

static int wrong_type(const char *what, const char *field, const char *expected, struct error *err)
{
    return error_set(err, ERROR_PARSE, "%s: field \"%s\": expected %s", what, field, expected);
}

/* The field if it is there and not null. */
static json_t *present(const json_t *object, const char *field)
{
    json_t *value = json_object_get(object, field);
    return json_is_null(value) ? NULL : value;
}

int json_get_optional_string(const json_t *object, const char *what, const char *field,
                             const char **out, struct error *err)
{
    json_t *value = present(object, field);
    if (value && !json_is_string(value))
        return wrong_type(what, field, "a string", err);
    *out = value ? json_string_value(value) : NULL;
    return 0;
}

int json_get_string(const json_t *object, const char *what, const char *field, const char **out,
                    struct error *err)
{
    const char *value = NULL;
    if (json_get_optional_string(object, what, field, &value, err) < 0)
        return -1;
    if (!value)
        return wrong_type(what, field, "a string, but it is missing", err);
    *out = value;
    return 0;
}

int json_get_optional_array(const json_t *object, const char *what, const char *field, json_t **out,
                            struct error *err)
{
    json_t *value = present(object, field);
    if (value && !json_is_array(value))
        return wrong_type(what, field, "an array", err);
    *out = value;
    return 0;
}

int json_get_optional_object(const json_t *object, const char *what, const char *field,
                             json_t **out, struct error *err)
{
    json_t *value = present(object, field);
    if (value && !json_is_object(value))
        return wrong_type(what, field, "an object", err);
    *out = value;
    return 0;
}

int json_get_size(const json_t *object, const char *what, const char *field, uint64_t *out,
                  struct error *err)
{
    json_t *value = present(object, field);
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    if (n < 0 || n > (json_int_t)1 << 62)
        return wrong_type(what, field, "a whole number that is not negative", err);
    *out = (uint64_t)n;
    return 0;
}

char *json_text(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    return text ? text : xstrdup("null");
}

bool json_array_has(const json_t *array, const json_t *item)
{
    size_t i;
    json_t *there;
    json_array_foreach(array, i, there)
    {
        if (json_equal(there, item))
            return true;
    }
    return false;
}

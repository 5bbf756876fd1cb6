#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "registry/manifest.h"

#define WHAT "image configuration"

static char *copy_or_null(const char *s)
{
    return s && *s ? xstrdup(s) : NULL;
}

/* An array of strings as a NULL-ended array; missing and null are empty. *out is filled also on
 * failure, for the caller to release. */
static int get_strings(const json_t *object, const char *field, char ***out, struct error *err)
{
    json_t *array = NULL;
    if (object && json_get_optional_array(object, WHAT, field, &array, err) < 0)
        return -1;
    size_t count = json_array_size(array);
    if (count > LIMIT_ENV)
        return error_set(err, ERROR_LIMIT,
                         WHAT ": field \"%s\": %zu values, more than the %zu that are accepted",
                         field, count, LIMIT_ENV);
    *out = xcalloc(count + 1, sizeof **out);
    for (size_t i = 0; i < count; i++) {
        const char *s = json_string_value(json_array_get(array, i));
        if (!s)
            return error_set(err, ERROR_PARSE, WHAT ": field \"%s\": expected strings", field);
        (*out)[i] = xstrdup(s);
    }
    return 0;
}

static int get_labels(const json_t *object, struct image_config *out, struct error *err)
{
    json_t *labels = NULL, *value;
    const char *name;
    if (object && json_get_optional_object(object, WHAT, "Labels", &labels, err) < 0)
        return -1;
    size_t count = json_object_size(labels), i = 0;
    if (count > LIMIT_ENV)
        return error_set(err, ERROR_LIMIT, WHAT ": %zu labels, more than the %zu that are accepted",
                         count, LIMIT_ENV);
    out->label_names = xcalloc(count + 1, sizeof *out->label_names);
    out->label_values = xcalloc(count + 1, sizeof *out->label_values);
    json_object_foreach(labels, name, value)
    {
        if (!json_is_string(value))
            return error_set(err, ERROR_PARSE, WHAT ": field \"Labels\": expected strings");
        out->label_names[i] = xstrdup(name);
        out->label_values[i++] = xstrdup(json_string_value(value));
    }
    return 0;
}

/* The `config` object: how to run it. Missing altogether in some images. */
static int get_execution(const json_t *doc, struct image_config *out, struct error *err)
{
    json_t *config;
    const char *working_dir = NULL, *user = NULL;
    if (json_get_optional_object(doc, WHAT, "config", &config, err) < 0)
        return -1;
    if (get_strings(config, "Env", &out->env, err) < 0 ||
        get_strings(config, "Entrypoint", &out->entrypoint, err) < 0 ||
        get_strings(config, "Cmd", &out->cmd, err) < 0 || get_labels(config, out, err) < 0)
        return -1;
    if (config && (json_get_optional_string(config, WHAT, "WorkingDir", &working_dir, err) < 0 ||
                   json_get_optional_string(config, WHAT, "User", &user, err) < 0))
        return -1;
    out->working_dir = copy_or_null(working_dir);
    out->user = copy_or_null(user);
    return 0;
}

static int get_platform(const json_t *doc, struct image_config *out, struct error *err)
{
    const char *os, *architecture, *variant, *created;
    if (json_get_optional_string(doc, WHAT, "os", &os, err) < 0 ||
        json_get_optional_string(doc, WHAT, "architecture", &architecture, err) < 0 ||
        json_get_optional_string(doc, WHAT, "variant", &variant, err) < 0 ||
        json_get_optional_string(doc, WHAT, "created", &created, err) < 0)
        return -1;
    out->platform.os = copy_or_null(os);
    out->platform.architecture = copy_or_null(architecture);
    out->platform.variant = copy_or_null(variant);
    out->created = copy_or_null(created);
    return 0;
}

static int get_diff_ids(const json_t *doc, size_t layer_count, struct image_config *out,
                        struct error *err)
{
    json_t *rootfs, *ids = NULL;
    if (json_get_optional_object(doc, WHAT, "rootfs", &rootfs, err) < 0)
        return -1;
    if (rootfs && json_get_optional_array(rootfs, WHAT, "diff_ids", &ids, err) < 0)
        return -1;
    size_t count = json_array_size(ids);
    if (count != layer_count)
        return error_set(err, ERROR_PARSE, WHAT ": %zu diff ids for %zu layers", count,
                         layer_count);
    out->diff_ids = xcalloc(count + 1, sizeof *out->diff_ids);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(ids, i));
        if (!text)
            return error_set(err, ERROR_PARSE, WHAT ": field \"diff_ids\": expected strings");
        if (digest_parse(text, &out->diff_ids[i], err) < 0)
            return error_wrap(err, WHAT ": diff id %zu", i + 1);
        out->diff_id_count++;
    }
    return 0;
}

static int fill(const json_t *doc, size_t layer_count, struct image_config *out, struct error *err)
{
    if (!json_is_object(doc))
        return error_set(err, ERROR_PARSE, WHAT ": expected a JSON object");
    if (get_platform(doc, out, err) < 0 || get_execution(doc, out, err) < 0)
        return -1;
    return get_diff_ids(doc, layer_count, out, err);
}

int image_config_parse(const char *bytes, size_t len, size_t layer_count, struct image_config *out,
                       struct error *err)
{
    struct image_config config = {0};
    _cleanup_json_ json_t *doc = json_parse(WHAT, bytes, len, LIMIT_CONFIG_BYTES, err);
    if (!doc)
        return -1;
    if (fill(doc, layer_count, &config, err) < 0) {
        image_config_release(&config);
        return -1;
    }
    *out = config;
    return 0;
}

static void strings_free(char **strings)
{
    for (size_t i = 0; strings && strings[i]; i++)
        free(strings[i]);
    free(strings);
}

void image_config_release(struct image_config *config)
{
    platform_release(&config->platform);
    free(config->diff_ids);
    free(config->created);
    strings_free(config->env);
    strings_free(config->entrypoint);
    strings_free(config->cmd);
    free(config->working_dir);
    free(config->user);
    strings_free(config->label_names);
    strings_free(config->label_values);
    *config = (struct image_config){0};
}

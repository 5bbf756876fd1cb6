#include "layers/apptainer.h"

#include "base/json.h"
#include "base/memory.h"
#include "base/path.h"
#include "layers/apptainer_scripts.h"

#include <string.h>

#define MISSING true

/* Files whose content depends on the image; the others stand in the table. */
enum made_of {
    FIXED,
    IMAGE_ENV,
    RUNSCRIPT,
    LABELS,
};

/* Modes as Apptainer's own `build` leaves them. Links at the root: older programs look there; an
 * image's own file of that name is worth more. */
static const struct template
{
    const char *path;
    enum apptainer_type type;
    mode_t mode;
    const char *text; /* content, or a symlink's target */
    enum made_of made_of;
    bool only_if_missing;
}
templates[] = {
    {".exec", APPTAINER_SYMLINK, 0777, ".singularity.d/actions/exec", FIXED, MISSING},
    {".run", APPTAINER_SYMLINK, 0777, ".singularity.d/actions/run", FIXED, MISSING},
    {".shell", APPTAINER_SYMLINK, 0777, ".singularity.d/actions/shell", FIXED, MISSING},
    {".singularity.d", APPTAINER_DIR, 0755, NULL, FIXED, false},
    {".singularity.d/actions", APPTAINER_DIR, 0755, NULL, FIXED, false},
    {".singularity.d/actions/exec", APPTAINER_FILE, 0755, apptainer_action_exec, FIXED, false},
    {".singularity.d/actions/run", APPTAINER_FILE, 0755, apptainer_action_run, FIXED, false},
    {".singularity.d/actions/shell", APPTAINER_FILE, 0755, apptainer_action_shell, FIXED, false},
    {".singularity.d/actions/start", APPTAINER_FILE, 0755, apptainer_action_start, FIXED, false},
    {".singularity.d/actions/test", APPTAINER_FILE, 0755, apptainer_action_test, FIXED, false},
    {".singularity.d/env", APPTAINER_DIR, 0755, NULL, FIXED, false},
    {".singularity.d/env/01-base.sh", APPTAINER_FILE, 0755, apptainer_env_base, FIXED, false},
    {".singularity.d/env/10-docker2singularity.sh", APPTAINER_FILE, 0755, NULL, IMAGE_ENV, false},
    {".singularity.d/env/90-environment.sh", APPTAINER_FILE, 0755, apptainer_env_environment, FIXED,
     false},
    {".singularity.d/env/95-apps.sh", APPTAINER_FILE, 0755, apptainer_env_apps, FIXED, false},
    {".singularity.d/env/99-base.sh", APPTAINER_FILE, 0755, apptainer_env_base, FIXED, false},
    {".singularity.d/env/99-runtimevars.sh", APPTAINER_FILE, 0755, apptainer_env_runtimevars, FIXED,
     false},
    {".singularity.d/labels.json", APPTAINER_FILE, 0644, NULL, LABELS, false},
    {".singularity.d/libs", APPTAINER_DIR, 0755, NULL, FIXED, false},
    {".singularity.d/runscript", APPTAINER_FILE, 0755, NULL, RUNSCRIPT, false},
    {".singularity.d/startscript", APPTAINER_FILE, 0755, apptainer_startscript, FIXED, false},
    {".test", APPTAINER_SYMLINK, 0777, ".singularity.d/actions/test", FIXED, MISSING},
    {"dev", APPTAINER_DIR, 0755, NULL, FIXED, MISSING},
    {"environment", APPTAINER_SYMLINK, 0777, ".singularity.d/env/90-environment.sh", FIXED,
     MISSING},
    {"etc", APPTAINER_DIR, 0755, NULL, FIXED, MISSING},
    {"etc/hosts", APPTAINER_FILE, 0644, "", FIXED, MISSING},
    {"etc/resolv.conf", APPTAINER_FILE, 0644, "", FIXED, MISSING},
    {"home", APPTAINER_DIR, 0755, NULL, FIXED, MISSING},
    {"proc", APPTAINER_DIR, 0755, NULL, FIXED, MISSING},
    {"root", APPTAINER_DIR, 0755, NULL, FIXED, MISSING},
    {"singularity", APPTAINER_SYMLINK, 0777, ".singularity.d/runscript", FIXED, MISSING},
    {"sys", APPTAINER_DIR, 0755, NULL, FIXED, MISSING},
    {"tmp", APPTAINER_DIR, 01777, NULL, FIXED, MISSING},
    {"var", APPTAINER_DIR, 0755, NULL, FIXED, MISSING},
    {"var/tmp", APPTAINER_DIR, 01777, NULL, FIXED, MISSING},
};
#define TEMPLATE_COUNT (sizeof templates / sizeof templates[0])

static void set_label(json_t *labels, const char *name, const char *value)
{
    if (json_object_set_new(labels, name, json_string_nocheck(value)) < 0)
        abort(); /* out of memory, as everywhere; the names came out of JSON */
}

/* One flat object of texts, as `apptainer inspect` reads it. The image's own labels win over the
 * three that Apptainer writes for every image from a registry, but not over where we say that it
 * came from. Sorted: the order in the image's configuration means nothing. */
static char *make_labels(const struct image_config *config, const char *source_name,
                         const struct digest *manifest_digest)
{
    _cleanup_json_ json_t *labels = json_object();
    set_label(labels, "org.label-schema.schema-version", "1.0");
    set_label(labels, "org.label-schema.usage.singularity.deffile.bootstrap", "docker");
    set_label(labels, "org.label-schema.usage.singularity.deffile.from", source_name);
    for (size_t i = 0; config->label_names[i]; i++)
        set_label(labels, config->label_names[i], config->label_values[i]);
    set_label(labels, "ch.cern.ducc.source", source_name);
    set_label(labels, "ch.cern.ducc.digest", digest_text(manifest_digest).s);
    _cleanup_free_ char *text = json_dumps(labels, JSON_INDENT(4) | JSON_SORT_KEYS);
    if (!text)
        abort();
    return xasprintf("%s\n", text);
}

static struct apptainer_file make_file(const struct template *t)
{
    struct apptainer_file file = {
        .path = t->path, .type = t->type, .mode = t->mode, .only_if_missing = t->only_if_missing};
    if (t->type == APPTAINER_SYMLINK)
        file.target = t->text;
    return file;
}

void apptainer_files(const struct image_config *config, const char *source_name,
                     const struct digest *manifest_digest, struct apptainer_files *out)
{
    out->items = xcalloc(TEMPLATE_COUNT, sizeof *out->items);
    out->count = TEMPLATE_COUNT;
    for (size_t i = 0; i < TEMPLATE_COUNT; i++) {
        const struct template *t = &templates[i];
        struct apptainer_file *file = &out->items[i];
        *file = make_file(t);
        if (t->type != APPTAINER_FILE)
            continue;
        if (t->made_of == IMAGE_ENV)
            file->content = apptainer_env_image(config);
        else if (t->made_of == RUNSCRIPT)
            file->content = apptainer_runscript(config);
        else if (t->made_of == LABELS)
            file->content = make_labels(config, source_name, manifest_digest);
        else
            file->content = xstrdup(t->text);
        file->len = strlen(file->content);
    }
}

void apptainer_files_release(struct apptainer_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->items[i].content);
    free(files->items);
    *files = (struct apptainer_files){0};
}

#include "repository/finding.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *word;
    enum remedy remedy;
} kinds[] = {
    [FOUND_DOCUMENTS] = {"documents", REMEDY_REGISTRY},
    [FOUND_CONFIGURATION] = {"configuration", REMEDY_REGISTRY},
    [FOUND_DOCUMENT] = {"document", REMEDY_HERE},
    [FOUND_NAME] = {"name", REMEDY_HERE},
    [FOUND_UNDOCUMENTED] = {"undocumented", REMEDY_REGISTRY},
    [FOUND_COLLISION] = {"collision", REMEDY_NONE},
    [FOUND_LAYER] = {"layer", REMEDY_REGISTRY},
    [FOUND_LAYER_FILES] = {"layer-files", REMEDY_HERE},
    [FOUND_BACK_LINK] = {"back-link", REMEDY_HERE},
    [FOUND_DELETION] = {"deletion", REMEDY_HERE},
    [FOUND_OLD_FORM] = {"old-form", REMEDY_HERE},
    [FOUND_CHAIN] = {"chain", REMEDY_HERE},
    [FOUND_FLAT] = {"flat", REMEDY_HERE},
    [FOUND_CATALOG] = {"catalog", REMEDY_HERE},
    [FOUND_PODMAN_LISTS] = {"podman-lists", REMEDY_HERE},
    [FOUND_PODMAN_IMAGE] = {"podman-image", REMEDY_HERE},
    [FOUND_PODMAN_LAYER] = {"podman-layer", REMEDY_HERE},
    [FOUND_PODMAN_NAME] = {"podman-name", REMEDY_HERE},
    [FOUND_PODMAN_FILE] = {"podman-file", REMEDY_HERE},
    [FOUND_LEFTOVER] = {"leftover", REMEDY_HERE},
    [FOUND_UPSTREAM] = {"upstream", REMEDY_NONE},
    [FOUND_UNREADABLE] = {"unreadable", REMEDY_NONE},
};

const char *finding_word(enum finding_kind kind)
{
    return kinds[kind].word;
}

enum remedy finding_remedy(enum finding_kind kind)
{
    return kinds[kind].remedy;
}

void findings_add(struct findings *f, enum finding_kind kind, const char *image, const char *path,
                  const char *fmt, ...)
{
    va_list args;
    struct finding found = {
        .kind = kind, .image = xstrdup(image ? image : ""), .path = xstrdup(path)};
    va_start(args, fmt);
    if (vasprintf(&found.text, fmt, args) < 0)
        abort(); /* out of memory */
    va_end(args);
    ARRAY_GROW(f->items, f->count, f->capacity);
    f->items[f->count++] = found;
}

void findings_release(struct findings *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->items[i].image);
        free(f->items[i].path);
        free(f->items[i].text);
    }
    free(f->items);
    *f = (struct findings){0};
}

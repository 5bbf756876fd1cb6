#include "publisher/lint_online.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/quantity.h"

#include <string.h>

#define THREADS 8

/* What was learned of one wish. */
struct answer {
    bool asked;
    size_t tags;
    uint64_t bytes; /* of one image, all its platforms */
    struct error error;
};

struct asker {
    const struct recipe *recipe;
    const struct lint_fresh *fresh;
    struct registry_client *client;
    struct answer *answers;
};

/* ---- size ---- */

static int add_manifest(const struct buf *bytes, uint64_t *size, struct error *err)
{
    struct manifest m;
    if (manifest_parse(bytes->data, bytes->len, &m, err) < 0)
        return -1;
    *size += m.config.size;
    for (size_t i = 0; i < m.layer_count; i++)
        *size += m.layers[i].foreign ? 0 : m.layers[i].blob.size;
    manifest_release(&m);
    return 0;
}

/* One platform of an index. */
static int add_platform(const struct asker *a, const struct reference *ref,
                        const struct index *index, const struct platform *platform, uint64_t *size,
                        struct error *err)
{
    struct fetched_manifest m = {.bytes = BUF_INIT};
    const struct index_entry *entry = index_find(index, platform, err);
    if (!entry || registry_get_manifest(a->client, ref, &entry->manifest.digest, &m, err) < 0)
        return -1;
    int rc = add_manifest(&m.bytes, size, err);
    fetched_manifest_release(&m);
    return rc;
}

static int add_index(const struct asker *a, const struct wish *w, const struct reference *ref,
                     const struct buf *bytes, uint64_t *size, struct error *err)
{
    struct index index;
    struct platform usual = {.os = (char *)"linux", .architecture = (char *)"amd64"};
    const struct platform_list *own = &w->platforms;
    const struct platform_list *lists = &a->recipe->lists[w->list].platforms;
    struct platform_list nothing_said = {&usual, 1};
    const struct platform_list *wanted = own->count ? own : lists->count ? lists : &nothing_said;
    if (index_parse(bytes->data, bytes->len, &index, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < wanted->count; i++)
        rc = add_platform(a, ref, &index, &wanted->items[i], size, err);
    index_release(&index);
    return rc;
}

static int ask_size(const struct asker *a, const struct wish *w, const struct reference *ref,
                    uint64_t *size, struct error *err)
{
    struct fetched_manifest top = {.bytes = BUF_INIT};
    if (registry_get_manifest(a->client, ref, NULL, &top, err) < 0)
        return -1;
    int rc = top.kind == MEDIA_INDEX ? add_index(a, w, ref, &top.bytes, size, err)
                                     : add_manifest(&top.bytes, size, err);
    fetched_manifest_release(&top);
    return rc;
}

/* ---- selectors ---- */

struct tag_names {
    const char **items;
    size_t count, capacity;
};

static int add_tag(void *arg, const char *tag, struct error *err)
{
    struct tag_names *names = arg;
    (void)err;
    ARRAY_GROW(names->items, names->count, names->capacity);
    names->items[names->count++] = xstrdup(tag);
    return 0;
}

static int no_times(void *arg, struct tag_time *tags, size_t count, struct error *err)
{
    (void)arg;
    (void)err;
    for (size_t i = 0; i < count; i++)
        tags[i].created = clock_now();
    return 0;
}

static int select_tags(const struct wish *w, const struct tag_names *names, struct answer *answer,
                       char **out_one, struct error *err)
{
    const char **taken = NULL;
    struct selector_input input = {
        .tags = names->items, .count = names->count, .now = clock_now(), .created = no_times};
    if (selector_run(w->selector, &input, &taken, &answer->tags, err) < 0)
        return -1;
    if (answer->tags > 0)
        *out_one = xstrdup(taken[0]);
    free(taken);
    return answer->tags > 0 ? 0
                            : error_set(err, ERROR_NOT_FOUND,
                                        "none of the %zu tags there are is selected", names->count);
}

static int ask_selector(const struct asker *a, const struct wish *w, struct answer *answer,
                        struct error *err)
{
    struct tag_names names = {0};
    _cleanup_free_ char *one = NULL;
    int rc = registry_list_tags(a->client, &w->ref, add_tag, &names, err);
    if (rc == 0)
        rc = select_tags(w, &names, answer, &one, err);
    if (rc == 0) {
        _cleanup_reference_ struct reference ref;
        reference_with_tag(&ref, &w->ref, one);
        rc = ask_size(a, w, &ref, &answer->bytes, err);
    }
    for (size_t i = 0; i < names.count; i++)
        free((char *)(uintptr_t)names.items[i]);
    free(names.items);
    return rc;
}

static void ask(void *arg, size_t i)
{
    struct asker *a = arg;
    const struct wish *w = &a->recipe->wishes[i];
    struct answer *answer = &a->answers[i];
    if (!a->fresh->wishes[i] || w->suspended)
        return;
    answer->tags = 1;
    int rc = w->selector ? ask_selector(a, w, answer, &answer->error)
                         : ask_size(a, w, &w->ref, &answer->bytes, &answer->error);
    answer->asked = rc == 0 || answer->error.kind != ERROR_NONE;
}

/* ---- saying it ---- */

static char *size_note(const struct wish *w, const struct answer *answer)
{
    uint64_t all = answer->bytes * answer->tags;
    if (!w->selector)
        return xasprintf("%s, compressed", size_text(answer->bytes).s);
    return xasprintf("%zu tag%s%s, about %s (one is %s), compressed", answer->tags,
                     answer->tags == 1 ? "" : "s",
                     selector_needs_created(w->selector) ? " at most" : "", size_text(all).s,
                     size_text(answer->bytes).s);
}

static void report(const struct asker *a, size_t i, struct lint *out)
{
    const struct wish *w = &a->recipe->wishes[i];
    const struct recipe_list *list = &a->recipe->lists[w->list];
    const char *path = a->recipe->files[w->file].path;
    struct answer *answer = &a->answers[i];
    if (answer->error.kind == ERROR_POLICY)
        return; /* found without asking */
    if (answer->error.kind != ERROR_NONE) {
        const char *rule = answer->error.kind == ERROR_NET ? "registry" : "image";
        lint_add(out, LINT_ERROR, rule, path, w->line, w->column, w->text,
                 xstrdup(answer->error.message));
        return;
    }
    lint_add(out, LINT_NOTE, "size", path, w->line, w->column, w->text, size_note(w, answer));
    if (list->image_size_max && answer->bytes > list->image_size_max)
        lint_add(out, LINT_ERROR, "size", path, w->line, w->column, w->text,
                 xasprintf("%s is more than the %s that the list allows for an image",
                           size_text(answer->bytes).s, size_text(list->image_size_max).s));
    if (list->tags_max && answer->tags > list->tags_max)
        lint_add(out, LINT_ERROR, "size", path, w->line, w->column, w->text,
                 xasprintf("%zu tags are more than the %llu that the list allows for an entry",
                           answer->tags, (unsigned long long)list->tags_max));
}

void lint_online(const struct recipe *recipe, const struct lint_fresh *fresh,
                 struct registry_client *client, struct lint *out)
{
    struct asker a = {recipe, fresh, client, xcalloc(recipe->wish_count + 1, sizeof *a.answers)};
    parallel_for(recipe->wish_count, THREADS, ask, &a);
    for (size_t i = 0; i < recipe->wish_count; i++) {
        if (a.answers[i].asked)
            report(&a, i, out);
        error_release(&a.answers[i].error);
    }
    free(a.answers);
}

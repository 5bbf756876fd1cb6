#include "publisher/commands_registry.h"

#include "base/memory.h"
#include "config/access.h"
#include "repository/documents.h"
#include "wishlist/glob.h"

#include <string.h>

/* --- check-image-syntax --- */

static void print_part(const char *name, const char *value)
{
    if (value)
        printf("%-11s %s\n", name, value);
}

enum exit_status check_image_syntax_command(const struct options *o, struct error *err)
{
    _cleanup_reference_ struct reference ref = {0};
    if (reference_parse(o->arguments[0], REFERENCE_TAG_PATTERN, &ref, err) < 0)
        return EXIT_USAGE;
    _cleanup_free_ char *name = reference_name(&ref);
    print_part("scheme", ref.plain_http ? "http" : "https");
    print_part("registry", ref.registry);
    print_part("repository", ref.repository);
    print_part("tag", ref.tag);
    print_part("digest", digest_is_set(&ref.digest) ? digest_text(&ref.digest).s : NULL);
    print_part("public name", name);
    return EXIT_OK;
}

/* --- asking a registry --- */

struct asking {
    struct access *access;
    struct reference ref;
};

static enum exit_status asking_start(const struct options *o, unsigned flags, struct asking *a,
                                     struct error *err)
{
    if (reference_parse(o->arguments[0], flags, &a->ref, err) < 0 ||
        access_open(o->config, o->authfile, &a->access, err) < 0)
        return EXIT_USAGE;
    return EXIT_OK;
}

static void asking_end(struct asking *a)
{
    access_unref(a->access);
    reference_release(&a->ref);
}

/* --- download-manifest --- */

static int print_bytes(const struct buf *bytes, struct error *err)
{
    if (fwrite(bytes->data, 1, bytes->len, stdout) == bytes->len && fflush(stdout) == 0)
        return 0;
    return error_set(err, ERROR_IO, "cannot write to standard output");
}

/* With --platform, what an index leads to. The documents of an image are found by its name: one is
 * made of the reference, without a repository to look in. */
static int print_platform(struct asking *a, const char *text, struct fetched_manifest *top,
                          struct error *err)
{
    struct platform platform;
    struct document_choice choice = {.nested = BUF_INIT};
    struct fetched_manifest m = {.bytes = BUF_INIT};
    struct document_source source = {.client = a->access->client, .again = true};
    struct image image = {.names = &a->ref, .name_count = 1, .index = top->bytes};
    if (platform_parse(text, &platform, err) < 0)
        return -1;
    int rc = documents_choose(&source, &image, &platform, &choice, err);
    if (rc == 0)
        rc = registry_get_manifest(a->access->client, &a->ref, &choice.digest, &m, err);
    if (rc == 0)
        rc = print_bytes(&m.bytes, err);
    fetched_manifest_release(&m);
    document_choice_release(&choice);
    platform_release(&platform);
    return rc;
}

static int print_manifest(struct asking *a, const struct options *o, struct error *err)
{
    struct fetched_manifest top = {.bytes = BUF_INIT};
    if (registry_get_manifest(a->access->client, &a->ref, NULL, &top, err) < 0)
        return -1;
    bool lead = o->platform_count > 0 && top.kind == MEDIA_INDEX;
    int rc = lead ? print_platform(a, o->platforms[0], &top, err) : print_bytes(&top.bytes, err);
    fetched_manifest_release(&top);
    return rc;
}

enum exit_status download_manifest_command(const struct options *o, struct error *err)
{
    struct asking a = {0};
    enum exit_status status = asking_start(o, 0, &a, err);
    if (status == EXIT_OK && print_manifest(&a, o, err) < 0)
        status = EXIT_SOME_FAILED;
    asking_end(&a);
    return status;
}

/* --- tags --- */

struct tag_list {
    const char *pattern;
    char **items;
    size_t count, capacity;
};

static int add_tag(void *arg, const char *tag, struct error *err)
{
    struct tag_list *list = arg;
    (void)err;
    if (!glob_match(list->pattern, tag))
        return 0;
    ARRAY_GROW(list->items, list->count, list->capacity);
    list->items[list->count++] = xstrdup(tag);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, each once: a registry promises neither. */
static void print_tags(const struct reference *ref, struct tag_list *list)
{
    if (list->count > 0)
        qsort(list->items, list->count, sizeof(char *), compare);
    for (size_t i = 0; i < list->count; i++)
        if (i == 0 || strcmp(list->items[i], list->items[i - 1]) != 0)
            printf("%s/%s:%s\n", ref->registry, ref->repository, list->items[i]);
}

static int list_tags(struct asking *a, struct error *err)
{
    struct tag_list list = {.pattern = a->ref.tag ? a->ref.tag : ""};
    int rc = registry_list_tags(a->access->client, &a->ref, add_tag, &list, err);
    if (rc == 0)
        print_tags(&a->ref, &list);
    if (rc == 0 && list.count == 0)
        rc = error_set(err, ERROR_NOT_FOUND, "no tag matches \"%s\"", list.pattern);
    for (size_t i = 0; i < list.count; i++)
        free(list.items[i]);
    free(list.items);
    return rc;
}

enum exit_status tags_command(const struct options *o, struct error *err)
{
    struct asking a = {0};
    enum exit_status status = asking_start(o, REFERENCE_TAG_PATTERN, &a, err);
    if (status == EXIT_OK && list_tags(&a, err) < 0)
        status = EXIT_SOME_FAILED;
    asking_end(&a);
    return status;
}

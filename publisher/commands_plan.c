#include "publisher/commands_plan.h"

#include "base/json.h"
#include "base/memory.h"
#include "config/access.h"
#include "worker/preview.h"
#include "publisher/recipe_source.h"

#include <string.h>

/* ---- text ---- */

/* "sha256:0123456789ab", enough for people. */
static char *short_digest(const struct digest *d)
{
    return digest_is_set(d) ? xasprintf("%.19s", digest_text(d).s) : xstrdup("another image");
}

static void print_sizes(const struct preview_item *item)
{
    if (item->layers_to_fetch == 0)
        printf("  (nothing to fetch of %s)\n", size_text(item->bytes).s);
    else
        printf("  (%s to fetch of %s: %zu of %zu layers)\n", size_text(item->bytes_to_fetch).s,
               size_text(item->bytes).s, item->layers_to_fetch, item->layers);
}

static void print_item(const struct preview_item *item)
{
    printf("%-10s  %s", preview_word(item->fate), item->name);
    if (item->fate == PREVIEW_REFUSED) {
        printf("\n            %s\n", item->error.message);
    } else if (item->fate == PREVIEW_SUSPENDED) {
        printf("\n");
    } else if (item->fate == PREVIEW_UNCHANGED) {
        printf("  (%s)\n", size_text(item->bytes).s);
    } else {
        print_sizes(item);
        if (item->fate == PREVIEW_MOVED) {
            _cleanup_free_ char *from = short_digest(&item->before);
            _cleanup_free_ char *to = short_digest(&item->digest);
            printf("            from %s to %s\n", from, to);
        }
    }
}

static void print_repository(const struct preview_repository *r)
{
    printf("in %s\n", r->name);
    for (size_t i = 0; i < r->count; i++)
        print_item(&r->items[i]);
    for (int i = 0; i < PREVIEW_FATES; i++)
        printf("%s%zu %s", i ? ", " : "", r->fates[i], preview_word((enum preview_fate)i));
    printf("; %s to fetch in %zu layer%s, of %s in %zu\n", size_text(r->bytes_to_fetch).s,
           r->layers_to_fetch, r->layers_to_fetch == 1 ? "" : "s", size_text(r->bytes).s,
           r->layers);
}

static void print_wrong(const struct wishes *wishes)
{
    for (size_t i = 0; i < wishes->failed_count; i++)
        printf("%-10s  %s\n            %s\n", "wrong", wishes->failed[i].name,
               wishes->failed[i].error.message);
}

/* ---- JSON ---- */

static json_t *digest_json(const struct digest *d)
{
    return digest_is_set(d) ? json_string(digest_text(d).s) : json_null();
}

static json_t *error_json(const struct error *err)
{
    return json_pack("{s:s, s:s}", "kind", error_kind_name(err->kind), "message", err->message);
}

static json_t *item_json(const struct preview_item *item)
{
    json_t *o = json_pack("{s:s, s:s}", "image", item->name, "fate", preview_word(item->fate));
    if (item->fate == PREVIEW_REFUSED)
        json_object_set_new(o, "error", error_json(&item->error));
    if (item->fate == PREVIEW_REFUSED || item->fate == PREVIEW_SUSPENDED)
        return o;
    json_object_set_new(o, "digest", digest_json(&item->digest));
    json_object_set_new(o, "digest_before", digest_json(&item->before));
    json_object_set_new(o, "platform", item->platform ? json_string(item->platform) : json_null());
    json_object_set_new(o, "bytes", json_integer((json_int_t)item->bytes));
    json_object_set_new(o, "bytes_to_fetch", json_integer((json_int_t)item->bytes_to_fetch));
    json_object_set_new(o, "layers", json_integer((json_int_t)item->layers));
    json_object_set_new(o, "layers_to_fetch", json_integer((json_int_t)item->layers_to_fetch));
    return o;
}

static json_t *repository_json(const struct preview_repository *r)
{
    json_t *images = json_array(), *fates = json_object();
    for (size_t i = 0; i < r->count; i++)
        json_array_append_new(images, item_json(&r->items[i]));
    for (int i = 0; i < PREVIEW_FATES; i++)
        json_object_set_new(fates, preview_word((enum preview_fate)i),
                            json_integer((json_int_t)r->fates[i]));
    return json_pack("{s:s, s:o, s:o, s:I, s:I, s:I, s:I}", "repository", r->name, "images", images,
                     "count", fates, "bytes", (json_int_t)r->bytes, "bytes_to_fetch",
                     (json_int_t)r->bytes_to_fetch, "layers", (json_int_t)r->layers,
                     "layers_to_fetch", (json_int_t)r->layers_to_fetch);
}

static void print_json(const struct preview *p, const struct wishes *wishes)
{
    json_t *repositories = json_array(), *wrong = json_array();
    for (size_t i = 0; i < p->count; i++)
        json_array_append_new(repositories, repository_json(&p->repositories[i]));
    for (size_t i = 0; i < wishes->failed_count; i++)
        json_array_append_new(wrong, json_pack("{s:s, s:o}", "entry", wishes->failed[i].name,
                                               "error", error_json(&wishes->failed[i].error)));
    _cleanup_json_ json_t *all =
        json_pack("{s:o, s:o}", "repositories", repositories, "wrong", wrong);
    _cleanup_free_ char *text = json_text(all);
    printf("%s\n", text);
}

/* ---- the command ---- */

static int read_recipes(const struct plan_options *o, const struct config *config,
                        struct wishes *out, struct error *err)
{
    for (size_t i = 0; i < o->recipe_count; i++) {
        _cleanup_recipe_ struct recipe recipe = RECIPE_INIT;
        if (recipe_look(o->recipes[i], config, &recipe, err) < 0 ||
            wishes_add_recipe(out, &recipe, &o->settings, err) < 0)
            return -1;
    }
    return 0;
}

static bool refuses(const struct preview *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->repositories[i].fates[PREVIEW_REFUSED] > 0)
            return true;
    return false;
}

static enum exit_status make_and_print(const struct plan_options *o, struct access *access,
                                       struct error *err)
{
    _cleanup_wishes_ struct wishes wishes = {0};
    _cleanup_preview_ struct preview preview = {0};
    if (read_recipes(o, &access->config, &wishes, err) < 0)
        return EXIT_USAGE;
    if (preview_make(access, &wishes, &preview, err) < 0)
        return EXIT_REPOSITORY;
    if (o->json) {
        print_json(&preview, &wishes);
    } else {
        print_wrong(&wishes);
        for (size_t i = 0; i < preview.count; i++)
            print_repository(&preview.repositories[i]);
    }
    return wishes.failed_count > 0 || refuses(&preview) ? EXIT_SOME_FAILED : EXIT_OK;
}

enum exit_status plan_command(const struct plan_options *o, struct error *err)
{
    struct access *access = NULL;
    if (access_open(o->config, o->authfile, &access, err) < 0)
        return EXIT_USAGE;
    enum exit_status status = make_and_print(o, access, err);
    access_unref(access);
    return status;
}

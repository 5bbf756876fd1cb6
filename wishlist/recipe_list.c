/* What a list says of itself: the keys of a recipe and of each of its lists. */
#include "wishlist/recipe_reader.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/path.h"
#include "base/signature.h"
#include "wishlist/repository.h"

#include <string.h>

#define OWNER_BYTES_MAX 256

#define FIELD(name)   offsetof(struct recipe_list, name)
#define POLICY(which) offsetof(struct recipe_list, policies[which])
#define EVERYWHERE    (IN_VERSION_1 | IN_VERSION_2 | IN_LIST)
#define NEW           (IN_VERSION_2 | IN_LIST)

static int read_repository(const struct key *key, const struct node *value, void *to,
                           struct mistake *m)
{
    struct error err = ERROR_INIT;
    if (repository_check(value->text, &err) < 0)
        return mistake_from(m, value, key->name, &err);
    return read_text(key, value, to, m);
}

static int read_prefix(const struct key *key, const struct node *value, void *to, struct mistake *m)
{
    struct error err = ERROR_INIT;
    if (prefix_check(value->text, &err) < 0)
        return mistake_from(m, value, key->name, &err);
    return read_text(key, value, to, m);
}

static int read_person(const struct key *key, const struct node *value, void *to, struct mistake *m)
{
    if (strlen(value->text) > OWNER_BYTES_MAX || strpbrk(value->text, "\r\n"))
        return mistake_at(m, value, ERROR_PARSE,
                          "key \"%s\": expected one line of %d bytes at most", key->name,
                          OWNER_BYTES_MAX);
    return read_text(key, value, to, m);
}

/* A size that stays a text: the policy of that name reads it again. */
static int read_size_text(const struct key *key, const struct node *value, void *to,
                          struct mistake *m)
{
    uint64_t ignored;
    struct key size = {.name = key->name};
    return read_size(&size, value, &ignored, m) < 0 ? -1 : read_text(key, value, to, m);
}

static const struct key limit_keys[] = {
    {"image_size", IN_LIMITS, VALUE_TEXT, read_size, FIELD(image_size_max), NULL,
     "write a size, as in \"image_size: 20G\""},
    {"tags", IN_LIMITS, VALUE_TEXT, read_count, FIELD(tags_max), NULL,
     "write a number, as in \"tags: 100\""},
    {0},
};

static int read_limits(const struct key *key, const struct node *value, void *to, struct mistake *m)
{
    (void)key;
    return keys_read(limit_keys, IN_LIMITS, value, to, m);
}

const struct key recipe_keys[] = {
    {"version", IN_VERSION_1 | IN_VERSION_2, VALUE_TEXT, NULL, 0, NULL, "write \"version: 1\""},
    {"user", IN_VERSION_1 | IN_VERSION_2, VALUE_TEXT | VALUE_MAY_BE_EMPTY, read_text, FIELD(user),
     NULL, "write one name"},
    {"name", IN_LIST, VALUE_TEXT, read_person, FIELD(name), NULL, "write a name for the list"},
    {"cvmfs_repo", EVERYWHERE, VALUE_TEXT, read_repository, FIELD(repository), NULL,
     "write the repository's name, as in \"cvmfs_repo: unpacked.cern.ch\""},
    {"repository", NEW, VALUE_TEXT, read_repository, FIELD(repository), NULL,
     "write the repository's name, as in \"repository: unpacked.cern.ch\""},
    {"prefix", NEW, VALUE_TEXT, read_prefix, FIELD(prefix), NULL,
     "write folders that the public names go into, as in \"prefix: atlas\""},
    {"owner", NEW, VALUE_TEXT, read_person, FIELD(owner), NULL, "write who the list belongs to"},
    {"contact", NEW, VALUE_TEXT, read_person, FIELD(contact), NULL,
     "write whom to ask, as in \"contact: images@example.org\""},
    {"output_format", IN_VERSION_1 | IN_VERSION_2, VALUE_TEXT | VALUE_MAY_BE_EMPTY, read_text,
     FIELD(output_format), NULL, "write one text"},
    {"chains", EVERYWHERE, VALUE_TEXT, read_word, POLICY(RECIPE_CHAINS), "top|all|none",
     "write top, all or none"},
    {"podman", EVERYWHERE, VALUE_TEXT, read_word, POLICY(RECIPE_PODMAN), "layers|merged|none",
     "write layers, merged or none"},
    {"flat", NEW, VALUE_TEXT, read_word, POLICY(RECIPE_FLAT), "yes|no", "write yes or no"},
    {"layers", NEW, VALUE_TEXT, read_word, POLICY(RECIPE_LAYERS), "yes|no", "write yes or no"},
    {"xattrs", EVERYWHERE, VALUE_TEXT, read_word, POLICY(RECIPE_XATTRS), "keep|drop",
     "write keep or drop"},
    {"devices", EVERYWHERE, VALUE_TEXT, read_word, POLICY(RECIPE_DEVICES), "keep|drop",
     "write keep or drop"},
    {"fix_perms", EVERYWHERE, VALUE_TEXT, read_word, POLICY(RECIPE_FIX_PERMS), "yes|no",
     "write yes or no"},
    {"chunk_above", EVERYWHERE, VALUE_TEXT, read_size_text, POLICY(RECIPE_CHUNK_ABOVE), NULL,
     "write a size, as in \"chunk_above: 50M\""},
    {"platforms", EVERYWHERE, VALUE_LIST, read_platforms, FIELD(platforms), NULL,
     "write a list of OS/ARCH[/VARIANT]"},
    {"limits", NEW, VALUE_MAPPING, read_limits, 0, NULL,
     "write a mapping, as in \"limits: {image_size: 20G, tags: 100}\""},
    {"interval", NEW, VALUE_TEXT, read_duration, FIELD(interval), NULL,
     "write a time, as in \"interval: 6h\""},
    {"signature", NEW, VALUE_TEXT | VALUE_LIST, NULL, 0, NULL,
     "write the path of a public key, relative to this file"},
    {"lists", IN_VERSION_2, VALUE_LIST, NULL, 0, NULL, "write a list of lists"},
    {"include", NEW, VALUE_TEXT | VALUE_LIST, NULL, 0, NULL,
     "write the path of a recipe, relative to this file"},
    {"input", EVERYWHERE, VALUE_LIST, NULL, 0, NULL,
     "write a list of images, one \"- IMAGE\" a line"},
    {"images", NEW, VALUE_LIST, NULL, 0, NULL, "write a list of images, one \"- IMAGE\" a line"},
    {0},
};

const char *recipe_policy_name(enum recipe_policy policy)
{
    static const char *const names[RECIPE_POLICIES] = {
        [RECIPE_CHAINS] = "chains",       [RECIPE_PODMAN] = "podman",
        [RECIPE_FLAT] = "flat",           [RECIPE_LAYERS] = "layers",
        [RECIPE_XATTRS] = "xattrs",       [RECIPE_DEVICES] = "devices",
        [RECIPE_FIX_PERMS] = "fix-perms", [RECIPE_CHUNK_ABOVE] = "chunk-above"};
    return names[policy];
}

/* ---- signatures ---- */

static void release_keys(struct recipe_list *list)
{
    for (size_t i = 0; i < list->key_count; i++) {
        free(list->keys[i].path);
        free(list->keys[i].pem);
    }
    free(list->keys);
    list->keys = NULL;
    list->key_count = 0;
}

static int read_signature(struct file_reader *f, const struct node *value, struct recipe_list *list,
                          struct mistake *m)
{
    const struct node *items;
    size_t count;
    if (texts_of(value, "signature", "write the path of a public key", &items, &count, m) < 0)
        return -1;
    release_keys(list);
    list->keys = xcalloc(count, sizeof *list->keys);
    for (size_t i = 0; i < count; i++) {
        struct recipe_key *key = &list->keys[i];
        struct error err = ERROR_INIT;
        if (recipe_read_key(f, &items[i], key, m) < 0)
            return -1;
        list->key_count++;
        if (public_key_check(key->pem, strlen(key->pem), &err) < 0)
            return mistake_from(m, &items[i], "signature", &err);
    }
    return 0;
}

/* ---- a list ---- */

static char *copy_or_null(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

void recipe_list_copy(struct recipe_list *to, const struct recipe_list *from)
{
    *to = *from;
    char **texts[] = {&to->name,    &to->repository, &to->prefix,       &to->owner,
                      &to->contact, &to->user,       &to->output_format};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        *texts[i] = copy_or_null(*texts[i]);
    for (size_t i = 0; i < RECIPE_POLICIES; i++)
        to->policies[i] = copy_or_null(from->policies[i]);
    platform_list_copy(&to->platforms, &from->platforms);
    to->keys = xcalloc(from->key_count + 1, sizeof *to->keys);
    for (size_t i = 0; i < from->key_count; i++)
        to->keys[i] = (struct recipe_key){xstrdup(from->keys[i].path), xstrdup(from->keys[i].pem)};
}

void recipe_list_release(struct recipe_list *list)
{
    char *texts[] = {list->name,    list->repository, list->prefix,       list->owner,
                     list->contact, list->user,       list->output_format};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]);
    for (size_t i = 0; i < RECIPE_POLICIES; i++)
        free(list->policies[i]);
    platform_list_release(&list->platforms);
    release_keys(list);
    *list = (struct recipe_list){0};
}

static uint64_t lower(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

void recipe_list_bind(struct recipe_list *list, const struct recipe_list *outer, bool own_prefix)
{
    if (!outer)
        return;
    list->image_size_max = lower(list->image_size_max, outer->image_size_max);
    list->tags_max = lower(list->tags_max, outer->tags_max);
    if (outer->prefix && own_prefix) {
        char *joined = path_join(outer->prefix, list->prefix);
        free(list->prefix);
        list->prefix = joined;
    }
    if (outer->key_count > 0) {
        struct recipe_list copy;
        recipe_list_copy(&copy, outer);
        release_keys(list);
        list->keys = TAKE_PTR(copy.keys);
        list->key_count = copy.key_count;
        copy.key_count = 0;
        recipe_list_release(&copy);
    }
}

/* Two spellings of one key: the one of version 1, and the one that says what it is. */
static int check_spellings(const struct node *mapping, struct mistake *m)
{
    static const char *const pairs[][2] = {{"cvmfs_repo", "repository"}, {"input", "images"}};
    for (size_t i = 0; i < 2; i++)
        if (node_get(mapping, pairs[i][0]) && node_get(mapping, pairs[i][1]))
            return mistake_at(m, node_get(mapping, pairs[i][1]), ERROR_PARSE,
                              "keys \"%s\" and \"%s\" are the same; keep one", pairs[i][0],
                              pairs[i][1]);
    return 0;
}

int recipe_list_read(struct file_reader *f, const struct node *mapping, enum key_place place,
                     struct recipe_list *list, struct mistake *m)
{
    list->file = f->file;
    list->line = mapping->line;
    list->column = mapping->column;
    if (keys_read(recipe_keys, place, mapping, list, m) < 0 || check_spellings(mapping, m) < 0)
        return -1;
    const struct node *signature = node_get(mapping, "signature");
    if (signature && read_signature(f, signature, list, m) < 0)
        return -1;
    recipe_list_bind(list, f->outer, node_get(mapping, "prefix") != NULL);
    return 0;
}

/* One entry: an image as a text, or a mapping with selectors. */
#include "wishlist/recipe_reader.h"

#include "base/buf.h"
#include "base/memory.h"
#include "wishlist/glob.h"

#include <string.h>

/* A mapping, while it is read. */
struct entry {
    char *image;
    struct selector selector;
    char *by;
    struct platform_list platforms;
    uint64_t interval;
    bool suspended;
};

#define FIELD(name) offsetof(struct entry, name)

static const struct key keys[] = {
    {"image", IN_ENTRY, VALUE_TEXT, read_text, FIELD(image), NULL,
     "write REGISTRY/REPOSITORY, or REGISTRY/REPOSITORY:TAG for one image"},
    {"glob", IN_ENTRY, VALUE_TEXT | VALUE_LIST, read_texts, FIELD(selector.globs), NULL,
     "write a glob, as in \"glob: '1.*'\""},
    {"regex", IN_ENTRY, VALUE_TEXT, read_text, FIELD(selector.regex), NULL,
     "write a regular expression, as in \"regex: 'v[0-9]+'\""},
    {"semver", IN_ENTRY, VALUE_TEXT, read_text, FIELD(selector.semver), NULL,
     "write a range of versions, as in \"semver: '>=1.2 <2'\""},
    {"newest", IN_ENTRY, VALUE_TEXT, read_count, FIELD(selector.newest), NULL,
     "write how many, as in \"newest: 3\""},
    {"by", IN_ENTRY, VALUE_TEXT, read_word, FIELD(by), "semver|name|created",
     "write semver, name or created"},
    {"newer_than", IN_ENTRY, VALUE_TEXT, read_duration, FIELD(selector.newer_than), NULL,
     "write an age, as in \"newer_than: 90d\""},
    {"exclude", IN_ENTRY, VALUE_TEXT | VALUE_LIST, read_texts, FIELD(selector.exclude), NULL,
     "write globs, as in \"exclude: ['*-rc*']\""},
    {"platforms", IN_ENTRY, VALUE_LIST, read_platforms, FIELD(platforms), NULL,
     "write a list of OS/ARCH[/VARIANT]"},
    {"interval", IN_ENTRY, VALUE_TEXT, read_duration, FIELD(interval), NULL,
     "write a time, as in \"interval: 6h\""},
    {"suspend", IN_ENTRY, VALUE_TEXT, read_flag, FIELD(suspended), "yes|no", "write yes or no"},
    {0},
};

static void entry_release(struct entry *e)
{
    text_list_release(&e->selector.globs);
    text_list_release(&e->selector.exclude);
    free(e->selector.regex);
    free(e->selector.semver);
    free(e->image);
    free(e->by);
    platform_list_release(&e->platforms);
}

void wish_release(struct wish *wish)
{
    reference_release(&wish->ref);
    selector_free(wish->selector);
    free(wish->text);
    platform_list_release(&wish->platforms);
    *wish = (struct wish){0};
}

static int bad_entry(struct mistake *m, const struct node *at, const char *text, struct error *err)
{
    _cleanup_free_ char *q = quoted(text);
    mistake_at(m, at, err->kind, "entry %s: %s", q, err->message);
    error_release(err);
    return -1;
}

/* ---- the image ---- */

/* What is written behind the repository: ':' and a tag, '@' and a digest, or nothing. */
static const char *tag_or_digest(const char *image)
{
    const char *slash = strrchr(image, '/');
    return strpbrk(slash ? slash : image, ":@");
}

static int parse_image(const struct node *at, const char *text, int version, struct reference *out,
                       struct mistake *m)
{
    struct error err = ERROR_INIT;
    unsigned flags = REFERENCE_TAG_PATTERN | (version > 1 ? REFERENCE_TAG_GLOB : 0u);
    bool good = reference_parse(text, flags, out, &err) == 0;
    if (good && out->tag && glob_is_pattern(out->tag) && glob_check(out->tag, &err) < 0) {
        reference_release(out);
        good = false;
    }
    return good ? 0 : bad_entry(m, at, text, &err);
}

/* The tag's glob as a selector; NULL if the tag is one tag. */
static struct selector *selector_of_tag(const struct reference *ref)
{
    if (!ref->tag || digest_is_set(&ref->digest))
        return NULL;
    return selector_of_glob(ref->tag);
}

static int read_text_entry(const struct node *entry, int version, struct wish *out,
                           struct mistake *m)
{
    struct reference ref = {0};
    if (!*entry->text)
        return mistake_at(m, entry, ERROR_PARSE,
                          "an entry is empty; write REGISTRY/REPOSITORY:TAG or remove it");
    if (parse_image(entry, entry->text, version, &ref, m) < 0)
        return -1;
    *out =
        (struct wish){.ref = ref, .selector = selector_of_tag(&ref), .text = xstrdup(entry->text)};
    return 0;
}

/* ---- a mapping ---- */

static bool has_selector(const struct selector *s)
{
    return s->globs.count || s->exclude.count || s->regex || s->semver || s->newest ||
           s->newer_than;
}

static int check_image(const struct entry *e, const struct node *mapping,
                       const struct reference *ref, struct mistake *m)
{
    const char *rest = tag_or_digest(e->image);
    const struct node *image = node_get(mapping, "image");
    if (!rest || !has_selector(&e->selector))
        return 0;
    if (digest_is_set(&ref->digest))
        return mistake_at(m, image, ERROR_PARSE,
                          "entry \"%s\": a digest names one image: there is nothing to select; "
                          "remove the digest or the selectors",
                          e->image);
    if (!glob_is_pattern(ref->tag))
        return mistake_at(m, image, ERROR_PARSE,
                          "entry \"%s\": the tag names one image: there is nothing to select; "
                          "remove \":%s\" or the selectors",
                          e->image, ref->tag);
    if (e->selector.globs.count > 0)
        return mistake_at(
            m, image, ERROR_PARSE,
            "entry \"%s\": the tag is a glob, and the key \"glob\" is given; keep one", e->image);
    return 0;
}

static int check_selector(struct entry *e, const struct node *mapping, struct mistake *m)
{
    static const char *const keys_of_by[] = {"semver", "name", "created"};
    struct error err = ERROR_INIT;
    if (e->by && !e->selector.newest)
        return mistake_at(m, node_get(mapping, "by"), ERROR_PARSE,
                          "key \"by\": it says what \"newest\" goes by, which is missing");
    for (size_t i = 0; e->by && i < 3; i++)
        if (strcmp(e->by, keys_of_by[i]) == 0)
            e->selector.by = (enum newest_by)i;
    if (selector_check(&e->selector, &err) == 0)
        return 0;
    /* The message begins with the key. */
    for (const struct key *k = keys; k->name; k++) {
        _cleanup_free_ char *start = xasprintf("key \"%s\":", k->name);
        if (starts_with(err.message, start))
            mapping = node_get(mapping, k->name);
    }
    mistake_at(m, mapping, err.kind, "%s", err.message);
    error_release(&err);
    return -1;
}

/* For messages: the tag of a wish with a selector is its glob, or '*'. */
static void set_tag(struct reference *ref, const struct selector *s)
{
    free(ref->tag);
    ref->tag = xstrdup(s->globs.count == 1 ? s->globs.items[0] : "*");
}

/* The keys' selector, with the tag's glob if it has one. */
static struct selector *selector_of_mapping(const struct entry *e, const struct reference *ref)
{
    struct selector *tag = selector_of_tag(ref);
    if (!has_selector(&e->selector))
        return tag;
    struct selector *s = selector_copy(&e->selector);
    if (tag) {
        text_list_release(&s->globs);
        s->globs = tag->globs;
        tag->globs = (struct text_list){0};
        selector_free(tag);
    }
    return s;
}

static void finish_mapping(struct entry *e, struct reference *ref, struct wish *out)
{
    struct selector *selector = selector_of_mapping(e, ref);
    if (selector)
        set_tag(ref, selector);
    _cleanup_free_ char *text = selector ? selector_text(selector) : xstrdup("");
    *out = (struct wish){.ref = *ref,
                         .selector = selector,
                         .text = xasprintf("%s%s%s", e->image, *text ? " " : "", text),
                         .platforms = e->platforms,
                         .interval = e->interval,
                         .suspended = e->suspended};
    e->platforms = (struct platform_list){0};
}

static int read_mapping_entry(const struct node *mapping, struct entry *e, struct wish *out,
                              struct mistake *m)
{
    const struct node *image;
    struct reference ref = {0};
    if (keys_read(keys, IN_ENTRY, mapping, e, m) < 0 ||
        key_require(keys, IN_ENTRY, mapping, "image", &image, m) < 0 ||
        parse_image(image, e->image, 2, &ref, m) < 0)
        return -1;
    if (check_image(e, mapping, &ref, m) < 0 || check_selector(e, mapping, m) < 0) {
        reference_release(&ref);
        return -1;
    }
    finish_mapping(e, &ref, out);
    return 0;
}

int recipe_entry_read(const struct node *entry, int version, struct wish *out, struct mistake *m)
{
    struct wish wish;
    int rc;
    if (entry->kind == NODE_TEXT) {
        rc = read_text_entry(entry, version, &wish, m);
    } else if (entry->kind == NODE_LIST || version == 1) {
        return mistake_at(
            m, entry, ERROR_PARSE, "an entry must be a text, REGISTRY/REPOSITORY:TAG, not %s%s",
            node_kind_name(entry),
            entry->kind == NODE_MAPPING ? " (entries with selectors need version: 2)" : "");
    } else {
        struct entry e = {0};
        rc = read_mapping_entry(entry, &e, &wish, m);
        entry_release(&e);
    }
    if (rc < 0)
        return -1;
    wish.line = entry->line;
    wish.column = entry->column;
    *out = wish;
    return 0;
}

char *wish_key(const struct wish *wish)
{
    const struct selector *s = wish->selector;
    _cleanup_free_ char *text = s ? selector_text(s) : NULL;
    _cleanup_free_ char *only =
        s && s->globs.count == 1 ? xasprintf("glob=%s", s->globs.items[0]) : NULL;
    if (!s)
        return reference_name(&wish->ref);
    if (only && strcmp(only, text) == 0)
        return xasprintf("%s/%s:%s", wish->ref.registry, wish->ref.repository, s->globs.items[0]);
    return xasprintf("%s/%s %s", wish->ref.registry, wish->ref.repository, text);
}

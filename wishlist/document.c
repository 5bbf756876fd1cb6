#include "wishlist/document.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"

#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 16
#define KEYS_MAX  ((size_t)256) /* of one mapping: looked for one by one */
/* Every entry may be a small mapping of its own. */
#define NODES_MAX (8 * LIMIT_RECIPE_ENTRIES)

struct reader {
    yaml_parser_t parser;
    const char *name;
    const char *bytes;
    size_t len;
    size_t nodes;
    struct error *err;
};

static int fail(struct reader *r, enum error_kind kind, const yaml_mark_t *at, const char *message)
{
    return error_set(r->err, kind, "%s:%zu:%zu: %s", r->name, at->line + 1, at->column + 1,
                     message);
}

/* The place of a byte: libyaml gives only its offset when the encoding is broken. */
static yaml_mark_t place_of(const struct reader *r, size_t offset)
{
    yaml_mark_t at = {0};
    for (size_t i = 0; i < offset && i < r->len; i++) {
        unsigned char c = (unsigned char)r->bytes[i];
        if (c == '\n') {
            at.line++;
            at.column = 0;
        } else if ((c & 0xc0) != 0x80) { /* not the continuation of a UTF-8 character */
            at.column++;
        }
    }
    return at;
}

/* Is the line (from 0) indented with a tab? The one syntax error that cannot be seen. */
static bool has_tab_indent(const struct reader *r, size_t line)
{
    const char *p = r->bytes;
    const char *end = r->bytes + r->len;
    while (line > 0 && (p = memchr(p, '\n', (size_t)(end - p)))) {
        p++;
        line--;
    }
    while (p && p < end && *p == ' ')
        p++;
    return p && p < end && *p == '\t';
}

static int syntax_error(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    yaml_mark_t at = p->problem_mark;
    const char *why = p->problem ? p->problem : "unexpected end";
    if (p->error == YAML_READER_ERROR) {
        at = place_of(r, p->problem_offset);
        _cleanup_free_ char *message =
            xasprintf("not valid UTF-8 text: %s; save the file as UTF-8", why);
        return fail(r, ERROR_PARSE, &at, message);
    }
    const char *hint = "";
    if (has_tab_indent(r, at.line))
        hint = "; the line begins with a tab, YAML is indented with spaces only";
    else if (p->context)
        hint = p->context;
    _cleanup_free_ char *message =
        xasprintf("not valid YAML: %s%s%s", why, *hint == ';' || !*hint ? "" : " ", hint);
    return fail(r, ERROR_PARSE, &at, message);
}

static int next_event(struct reader *r, yaml_event_t *event)
{
    return yaml_parser_parse(&r->parser, event) ? 0 : syntax_error(r);
}

static int check_event(struct reader *r, const yaml_event_t *e, int depth)
{
    const yaml_char_t *tag = e->type == YAML_SCALAR_EVENT           ? e->data.scalar.tag
                             : e->type == YAML_SEQUENCE_START_EVENT ? e->data.sequence_start.tag
                             : e->type == YAML_MAPPING_START_EVENT  ? e->data.mapping_start.tag
                                                                    : NULL;
    if (e->type == YAML_ALIAS_EVENT)
        return fail(r, ERROR_PARSE, &e->start_mark,
                    "a YAML alias (*name) is not accepted; write the value out, or in quotes if "
                    "the * is meant");
    if (tag)
        return fail(r, ERROR_PARSE, &e->start_mark, "a YAML tag (!name) is not accepted");
    if (depth > DEPTH_MAX)
        return fail(r, ERROR_LIMIT, &e->start_mark, "nested too deeply");
    if (++r->nodes > NODES_MAX)
        return fail(r, ERROR_LIMIT, &e->start_mark, "too many values in one file");
    return 0;
}

static int read_text(struct reader *r, const yaml_event_t *e, struct node *out)
{
    const char *value = (const char *)e->data.scalar.value;
    if (strlen(value) != e->data.scalar.length)
        return fail(r, ERROR_PARSE, &e->start_mark, "a text holds a NUL character");
    out->text = xstrdup(value);
    out->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return 0;
}

/* The node that `e` begins. On failure *out is to be released too. */
static int read_node(struct reader *r, const yaml_event_t *e, int depth, struct node *out);

/* A key that has just been read, before its value. */
static int check_key(struct reader *r, const struct node *mapping, const struct node *key)
{
    yaml_mark_t at = {.line = (size_t)key->line - 1, .column = (size_t)key->column - 1};
    if (key->kind != NODE_TEXT)
        return fail(r, ERROR_PARSE, &at, "a key must be a word, not a list or a mapping");
    if (mapping->count / 2 >= KEYS_MAX)
        return fail(r, ERROR_LIMIT, &at, "too many keys in one mapping");
    for (size_t i = 0; i < mapping->count; i += 2) {
        if (strcmp(mapping->items[i].text, key->text) != 0)
            continue;
        _cleanup_free_ char *q = quoted(key->text);
        _cleanup_free_ char *message =
            xasprintf("key %s stands here a second time, the first is in line %d; keep one", q,
                      mapping->items[i].line);
        return fail(r, ERROR_PARSE, &at, message);
    }
    return 0;
}

static int add_item(struct reader *r, const yaml_event_t *e, int depth, struct node *out)
{
    struct node item = {0};
    int result = read_node(r, e, depth + 1, &item);
    if (result == 0 && out->kind == NODE_MAPPING && out->count % 2 == 0)
        result = check_key(r, out, &item);
    if (result < 0) {
        node_release(&item);
        return -1;
    }
    ARRAY_GROW(out->items, out->count, out->capacity);
    out->items[out->count++] = item;
    return 0;
}

static int read_items(struct reader *r, yaml_event_type_t end, int depth, struct node *out)
{
    for (;;) {
        yaml_event_t event;
        if (next_event(r, &event) < 0)
            return -1;
        bool done = event.type == end;
        int result = done ? 0 : add_item(r, &event, depth, out);
        yaml_event_delete(&event);
        if (done || result < 0)
            return result;
    }
}

static int read_node(struct reader *r, const yaml_event_t *e, int depth, struct node *out)
{
    *out =
        (struct node){.line = (int)e->start_mark.line + 1, .column = (int)e->start_mark.column + 1};
    if (check_event(r, e, depth) < 0)
        return -1;
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return read_text(r, e, out);
    case YAML_SEQUENCE_START_EVENT:
        out->kind = NODE_LIST;
        return read_items(r, YAML_SEQUENCE_END_EVENT, depth, out);
    case YAML_MAPPING_START_EVENT:
        out->kind = NODE_MAPPING;
        return read_items(r, YAML_MAPPING_END_EVENT, depth, out);
    default:
        return error_set(r->err, ERROR_BUG, "%s: unexpected YAML event %d", r->name, (int)e->type);
    }
}

/* stream start, document start, the root, document end, stream end */
static int read_stream(struct reader *r, struct node *out)
{
    bool seen = false;
    for (;;) {
        yaml_event_t event;
        if (next_event(r, &event) < 0)
            return -1;
        yaml_event_type_t type = event.type;
        int result = 0;
        if (type == YAML_DOCUMENT_START_EVENT && seen)
            result = fail(r, ERROR_PARSE, &event.start_mark,
                          "a second document begins here; write one document a file");
        else if (type == YAML_STREAM_END_EVENT && !seen)
            result = fail(r, ERROR_PARSE, &event.start_mark, "the file is empty");
        else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
                 type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT) {
            seen = true;
            result = read_node(r, &event, 0, out);
        }
        yaml_event_delete(&event);
        if (result < 0 || type == YAML_STREAM_END_EVENT)
            return result;
    }
}

int document_read(const char *name, const char *bytes, size_t len, struct node *out,
                  struct error *err)
{
    if (len > LIMIT_RECIPE_BYTES)
        return error_set(err, ERROR_LIMIT, "%s:1:1: larger than the %zu bytes that are accepted",
                         name, LIMIT_RECIPE_BYTES);
    struct reader r = {.name = name, .bytes = bytes, .len = len, .err = err};
    struct node root = {0};
    if (!yaml_parser_initialize(&r.parser))
        abort(); /* out of memory, as everywhere */
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)bytes, len);
    int result = read_stream(&r, &root);
    yaml_parser_delete(&r.parser);
    if (result < 0)
        node_release(&root);
    else
        *out = root;
    return result;
}

const struct node *node_get(const struct node *mapping, const char *key)
{
    for (size_t i = 0; i + 1 < mapping->count; i += 2)
        if (strcmp(mapping->items[i].text, key) == 0)
            return &mapping->items[i + 1];
    return NULL;
}

void node_release(struct node *node)
{
    for (size_t i = 0; i < node->count; i++)
        node_release(&node->items[i]);
    free(node->items);
    free(node->text);
    *node = (struct node){0};
}

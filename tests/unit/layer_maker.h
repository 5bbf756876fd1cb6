/*
 * Layers made from a few words, and indexes and trees as text. One entry a line or ';':
 *
 *     TYPE NAME [WHAT] [MODE] [UID:GID] [@MTIME]
 *
 * d directory; f file, WHAT is its content; l hard link, s symlink to WHAT; c, b device WHAT
 * ("1,3"); p FIFO; w whiteout (".wh.NAME" in the tar); o opaque (".wh..wh..opq" in NAME, which may
 * be "."). In a listing the root is ".", L is a hard link into a lower layer, a file that shares
 * an inode says "same as FIRST", and flags stand behind.
 */
#ifndef TEST_LAYER_MAKER_H
#define TEST_LAYER_MAKER_H

#include "check.h"

#include "layers/layer.h"
#include "layers/layer_builder.h"

#include <stdio.h>

struct making {
    struct layer_builder *builder;
    struct buf data;
};

MAYBE_UNUSED static struct making making_new(void)
{
    return (struct making){.builder = layer_builder_new(), .data = BUF_INIT};
}

MAYBE_UNUSED static void making_free(struct making *m)
{
    layer_builder_free(m->builder);
    buf_release(&m->data);
}

/* The name that an entry of the tar has. */
static char *tar_name(char type, const char *name)
{
    if (type != 'w' && type != 'o')
        return xstrdup(name);
    _cleanup_free_ char *parent = path_parent(name);
    if (type == 'o')
        return path_join(strcmp(name, ".") == 0 ? "" : name, ".wh..wh..opq");
    _cleanup_free_ char *whiteout = xasprintf(".wh.%s", path_name(name));
    return path_join(parent, whiteout);
}

/* What is behind the name in a line of the text above. */
static void read_words(struct tar_entry *e, char type, char *words, const char **out_what)
{
    char *state = NULL;
    if (strchr("flscb", type))
        *out_what = strtok_r(words, " ", &state);
    for (char *word; (word = strtok_r(*out_what ? NULL : words, " ", &state)); words = NULL) {
        if (*word == '@')
            e->mtime = strtoll(word + 1, NULL, 10);
        else if (strchr(word, ':'))
            sscanf(word, "%u:%u", &e->uid, &e->gid);
        else
            e->mode = (uint32_t)strtoul(word, NULL, 8);
    }
}

/* Add what one line says. */
MAYBE_UNUSED static int making_add(struct making *m, const char *line, struct error *err)
{
    static const enum tar_type types[128] = {
        ['d'] = TAR_DIRECTORY, ['f'] = TAR_FILE, ['l'] = TAR_HARD_LINK,
        ['s'] = TAR_SYMLINK,   ['c'] = TAR_CHAR, ['b'] = TAR_BLOCK,
        ['p'] = TAR_FIFO,      ['w'] = TAR_FILE, ['o'] = TAR_FILE};
    char type = line[0];
    size_t len = strcspn(line + 2, " ");
    _cleanup_free_ char *word = xstrndup(line + 2, len);
    _cleanup_free_ char *name = tar_name(type, word);
    _cleanup_free_ char *words = xstrdup(line + 2 + len);
    const char *what = NULL;
    struct tar_entry e = {.type = types[(unsigned char)type],
                          .name = name,
                          .link = "",
                          .mode = type == 'd' ? 0755 : 0644};
    read_words(&e, type, words, &what);
    what = what ? what : "";
    if (type == 'l' || type == 's')
        e.link = what;
    if (type == 'c' || type == 'b')
        sscanf(what, "%u,%u", &e.major, &e.minor);
    struct content c = {.offset = m->data.len, .size = type == 'f' ? strlen(what) : 0};
    struct digest hash = digest_of(DIGEST_SHA256, what, c.size);
    memcpy(c.hash, hash.bytes, sizeof c.hash);
    if (type == 'f')
        buf_adds(&m->data, what);
    e.size = c.size;
    return layer_builder_add(m->builder, &e, &c, err);
}

MAYBE_UNUSED static int making_add_all(struct making *m, const char *text, struct error *err)
{
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, ";\n");
        _cleanup_free_ char *line = xstrndup(p, len);
        if (len > 0 && making_add(m, line, err) < 0)
            return -1;
        p += len;
        p += strspn(p, ";\n ");
    }
    return 0;
}

/* The layer; *m is used up. Its blob digest is that of its number. */
MAYBE_UNUSED static struct layer making_finish(struct making *m, unsigned number)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct layer layer;
    assert_ok(
        layer_from_memory(TAKE_PTR(m->builder), NULL, m->data.data, m->data.len, &layer, &err),
        &err);
    layer.blob = digest_of(DIGEST_SHA256, &number, sizeof number);
    making_free(m);
    return layer;
}

MAYBE_UNUSED static struct layer make_layer(const char *text, unsigned number)
{
    _cleanup_error_ struct error err = ERROR_INIT;
    struct making m = making_new();
    if (making_add_all(&m, text, &err) < 0)
        fail_msg("%s: %s", text, err.message);
    return making_finish(&m, number);
}

/* ---- listings ---- */

static void list_attributes(struct buf *out, const struct layer_entry *e)
{
    uint32_t ordinary = e->type == ENTRY_DIRECTORY ? 0755 : e->type == ENTRY_SYMLINK ? 0777 : 0644;
    if (e->mode != ordinary)
        buf_addf(out, " %o", e->mode);
    if (e->uid || e->gid)
        buf_addf(out, " %u:%u", e->uid, e->gid);
    if (e->mtime)
        buf_addf(out, " @%lld", (long long)e->mtime);
}

static void list_content(struct buf *out, const struct layer *layer, const struct layer_entry *e)
{
    _cleanup_free_ char *text = xcalloc(1, e->size + 1);
    assert_int_equal(file_pread_all(layer->data_fd, text, e->size, (off_t)e->data_offset), 0);
    struct digest hash = digest_of(DIGEST_SHA256, text, e->size);
    assert_memory_equal(hash.bytes, e->content, sizeof e->content);
    buf_addf(out, " %s", text);
}

/* What `e` is, under the name `path`; without a newline. */
MAYBE_UNUSED static void list_source(struct buf *out, const char *path, size_t len,
                                     const struct layer *layer, const struct layer_entry *e)
{
    const struct layer_index *x = &layer->index;
    buf_addf(out, "%c %.*s", " dfscbpwL"[e->type], len ? (int)len : 1, len ? path : ".");
    if (e->type == ENTRY_WHITEOUT)
        return;
    if (e->type == ENTRY_FILE)
        list_content(out, layer, e);
    if (e->type == ENTRY_SYMLINK || e->type == ENTRY_LOWER_LINK)
        buf_addf(out, " %.*s", (int)e->target_len, entry_target(x, e));
    if (e->type == ENTRY_CHAR || e->type == ENTRY_BLOCK)
        buf_addf(out, " %u,%u", e->major, e->minor);
    if (e->type != ENTRY_LOWER_LINK)
        list_attributes(out, e);
}

MAYBE_UNUSED static void list_index(struct buf *out, const struct layer *layer)
{
    const struct layer_index *x = &layer->index;
    for (uint32_t i = 0; i < x->count; i++) {
        const struct layer_entry *e = &x->entries[i], *first = &x->entries[e->primary];
        list_source(out, entry_path(x, e), e->path_len, layer, e);
        if (e->primary != i)
            buf_addf(out, " same as %.*s", (int)first->path_len, entry_path(x, first));
        if (e->flags & ENTRY_IMPLIED)
            buf_adds(out, " implied");
        if (e->flags & ENTRY_OPAQUE)
            buf_adds(out, " opaque");
        buf_addc(out, '\n');
    }
}

#endif

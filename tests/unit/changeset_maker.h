/* A changeset as text: one line a change, units in braces. */
#ifndef TEST_CHANGESET_MAKER_H
#define TEST_CHANGESET_MAKER_H

#include "check.h"

#include "repository/changeset.h"

MAYBE_UNUSED static int list_change(void *arg, const struct change *c, struct error *err)
{
    struct buf *out = arg;
    (void)err;
    uint32_t ordinary = c->type == CHANGE_DIRECTORY ? 0755
                        : c->type == CHANGE_SYMLINK ? 0777
                                                    : 0644;
    buf_addf(out, "%c %s", "dflscbp"[c->type], c -> path);
    if (c->type == CHANGE_LINK) {
        buf_addf(out, " -> %s\n", c->target);
        return 0;
    }
    if (c->type == CHANGE_SYMLINK)
        buf_addf(out, " -> %s", c->target);
    if (c->mode != ordinary)
        buf_addf(out, " %o", c->mode);
    if (c->uid || c->gid)
        buf_addf(out, " %u:%u", c->uid, c->gid);
    if (c->type == CHANGE_CHAR || c->type == CHANGE_BLOCK)
        buf_addf(out, " %u,%u", c->major, c->minor);
    if (c->type == CHANGE_FILE && c->size < 100) {
        char text[100] = "";
        if (c->bytes)
            memcpy(text, c->bytes, c->size);
        else
            assert_int_equal(file_pread_all(c->fd, text, c->size, (off_t)c->offset), 0);
        buf_addf(out, " =%s", text);
    }
    buf_addc(out, '\n');
    return 0;
}

MAYBE_UNUSED static int list_begin(void *arg, const char *root, struct error *err)
{
    (void)err;
    buf_addf(arg, "{ %s\n", root);
    return 0;
}

MAYBE_UNUSED static int list_end(void *arg, const char *root, struct error *err)
{
    (void)err;
    buf_addf(arg, "} %s\n", root);
    return 0;
}

MAYBE_UNUSED static int list_changeset(const struct changeset *cs, struct buf *out,
                                       struct error *err)
{
    struct changeset_visitor v = {
        .change = list_change, .begin_unit = list_begin, .end_unit = list_end, .arg = out};
    return changeset_visit(cs, &v, err);
}

#endif

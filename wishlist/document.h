/*
 * A YAML 1.1 file as a tree whose every node knows where it stood. Recipes are proposed by people
 * we do not know, so the tree is bounded: bytes, nodes, depth, keys of one mapping; and what lets
 * a short file stand for a long one (aliases), or for something that is not text (tags), is
 * refused.
 *
 * Life cycle: document_read(), node_get() and the fields, node_release() on the root.
 */
#ifndef WISHLIST_DOCUMENT_H
#define WISHLIST_DOCUMENT_H

#include "base/error.h"

#include <stddef.h>

enum node_kind {
    NODE_TEXT,
    NODE_LIST,
    NODE_MAPPING,
};

struct node {
    enum node_kind kind;
    int line, column; /* of its first character, from 1 */
    char *text;       /* NODE_TEXT: never holds a NUL inside */
    bool quoted;      /* NODE_TEXT: in quotes or a block, so that "" is meant */
    /* NODE_LIST: the elements. NODE_MAPPING: key, value, key, value...; keys are NODE_TEXT, and
     * each stands once. */
    struct node *items;
    size_t count, capacity;
};

/* One document, not empty, or ERROR_PARSE or ERROR_LIMIT with "NAME:LINE:COLUMN: " in front. */
MUST_CHECK int document_read(const char *name, const char *bytes, size_t len, struct node *out,
                             struct error *err);
/* The value of a mapping's key, borrowed; NULL if it is not there. */
const struct node *node_get(const struct node *mapping, const char *key);
void node_release(struct node *node);

#define _cleanup_node_ __attribute__((cleanup(node_release)))

#endif

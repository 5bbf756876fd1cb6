/*
 * Where a list comes from, as it is written (docs/sources.md):
 *
 *     lists/recipe.yaml                                 a file
 *     https://host/lists/recipe.yaml                    http and https
 *     git+https://host/repo.git//lists/recipe.yaml@main a file on a branch of a git repository:
 *                                                       git+https, git+http, git+ssh, git+file
 *
 * In git's form "//" ends the repository's address. Without "@BRANCH" the repository's own default
 * branch is meant (what its HEAD names). %XX in the path and the branch is decoded ("%40" is an '@'
 * in a path); the repository's address is handed on as it is.
 */
#ifndef WISHLIST_SOURCE_URL_H
#define WISHLIST_SOURCE_URL_H

#include "base/error.h"

#include <stdbool.h>

enum source_kind {
    SOURCE_FILE,
    SOURCE_HTTP,
    SOURCE_GIT,
};

struct source_url {
    enum source_kind kind;
    char *shown;  /* for messages and records: without query */
    char *remote; /* what is asked: a URL ("https://host/repo.git"), the folder of a file ("" if
                     none is written) */
    char *host;   /* "HOST" or "HOST:PORT", lower case; "" for files */
    char *user;   /* of git+ssh://USER@host; NULL if none is given */
    char *path;   /* of the list: clean and relative; below the repository's root, or the name
                     behind the last slash */
    char *branch; /* NULL: the default one, or no git */
    bool plain;   /* nothing protects it on its way: http, git+http */
};

/* Does it begin with a scheme that is read from the network or a git repository? What does not is a
 * file. */
bool source_is_url(const char *text);
/* ERROR_PARSE: what is wrong, and how it is written. Any text that is no URL is a file. */
MUST_CHECK int source_url_parse(const char *text, struct source_url *out, struct error *err);
void source_url_release(struct source_url *url);

#define _cleanup_source_url_ __attribute__((cleanup(source_url_release)))

#endif

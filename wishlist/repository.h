/*
 * Where images are published: the name of a CernVM-FS repository, or a directory. Written in a
 * recipe or on the command line.
 */
#ifndef WISHLIST_REPOSITORY_H
#define WISHLIST_REPOSITORY_H

#include "base/error.h"

#include <stdbool.h>

/* What begins with '/' or '.' is a directory. */
bool repository_is_directory(const char *repository);
/* ERROR_PARSE unless it is a directory or can be the name of a CernVM-FS repository. */
MUST_CHECK int repository_check(const char *repository, struct error *err);

/* Folders before the public names of a list: "atlas", "atlas/prod". ERROR_PARSE unless each is made
 * of letters, digits, '_' and '-'. So none is a folder of the layout's own, nor looks like a
 * registry (which has a dot or a colon, or is "localhost"): of every public name one can tell where
 * its prefix ends. */
MUST_CHECK int prefix_check(const char *prefix, struct error *err);

#endif

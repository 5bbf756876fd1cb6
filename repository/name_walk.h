/*
 * Where the names of a repository are found, as it is published: public names are links below
 * REGISTRY/ and .multiarch/ that lead into units (repository/mark.h), and each has a folder of
 * documents below .metadata. What was removed and can be restored (repository/removal.h) is left
 * out.
 *
 * A visit that returns -1 ends the walk with its error. ERROR_CANCELLED when a stop is asked for.
 */
#ifndef REPOSITORY_NAME_WALK_H
#define REPOSITORY_NAME_WALK_H

#include "base/string_list.h"
#include "repository/mark.h"

/* A link that leads into a unit. Somebody's own, and those that CVMFS_ARCH leads below .multiarch,
 * are passed over. */
typedef int (*name_walk_link)(void *arg, const char *path, enum unit_kind kind,
                              const struct digest *unit, struct error *err);
/* A folder below .metadata ("" is that itself) and what is in it. *out_is_name: the folder is a
 * name's, and what is below it is not looked at. */
typedef int (*name_walk_folder)(void *arg, const char *name, const struct string_list *entries,
                                bool *out_is_name, struct error *err);

MUST_CHECK int name_walk_links(const struct repository *repository, name_walk_link visit, void *arg,
                               struct error *err);
MUST_CHECK int name_walk_documents(const struct repository *repository, name_walk_folder visit,
                                   void *arg, struct error *err);

#endif

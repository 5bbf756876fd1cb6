/*
 * The state database made from what a repository holds: each name whose documents stand in
 * .metadata (docs/layout.md) is published, with the digest it had then. When, how long and for whom
 * is not known afterwards, and what is still wanted the next pass over the lists tells.
 */
#ifndef WORKER_REBUILD_H
#define WORKER_REBUILD_H

#include "base/error.h"
#include "base/exit_status.h"
#include "repository/repository.h"
#include "state/database.h"

/* One transaction. `key` is the repository's in the database (repository_key()). What the database
 * says and the repository does not hold is forgotten. */
MUST_CHECK int rebuild_names(struct database *db, const struct repository *repository,
                             const char *key, size_t *out_names, struct error *err);

/* `ducc rebuild-state REPO...`: a database that is damaged or of a newer program is put aside
 * first. EXIT_REPOSITORY with *err if a repository cannot be read or is being written to. */
enum exit_status rebuild_command(const char *state_dir, char *const *repositories, size_t count,
                                 bool json, struct error *err);

#endif

/* What the files of the CernVM-FS back end share (internal to repository/). */
#ifndef REPOSITORY_CVMFS_H
#define REPOSITORY_CVMFS_H

#include "layers/tar_writer.h"
#include "repository/repository.h"

struct cvmfs_state {
    char *journal; /* exists while a commit is under way; holds the process group of ingest */
    char *marker;  /* exists while a transaction is open */
};

/* One change as a member of the stream that ingest reads, its content included. */
MUST_CHECK int cvmfs_write_change(struct tar_writer *tar, const struct change *c,
                                  struct error *err);

/* Run `cvmfs_server` with these arguments (argv[0] included). ERROR_CHILD with what it said. */
MUST_CHECK int cvmfs_run(const char *const *argv, struct buf *output, struct error *err);
MUST_CHECK int cvmfs_abort(const struct repository *repository, struct error *err);

/* An ordinary transaction: open it, let `work` change files below /cvmfs, publish; on any failure
 * abort. */
MUST_CHECK int cvmfs_transaction(struct repository *repository,
                                 int (*work)(void *arg, struct error *err), void *arg,
                                 struct error *err);

/*
 * What ingest cannot carry: extended attributes, and files in chunks. Both take an ordinary
 * transaction after the ingest, in which the attributes are set and the large files touched, so
 * that publish looks at them again; a second revision, and only if the changeset has any.
 *
 * Extended attributes need CVMFS_INCLUDE_XATTRS=true in the repository's server.conf: without it
 * they are counted in *report and nothing is done. If the transaction fails it is aborted; the
 * first revision stands.
 */
MUST_CHECK int cvmfs_publish_extras(struct repository *repository, const struct changeset *cs,
                                    const struct commit_options *options,
                                    struct commit_report *report, struct error *err);

#endif

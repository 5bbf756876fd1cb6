/* What the files of the CernVM-FS back end share (internal to repository/). */
#ifndef REPOSITORY_CVMFS_H
#define REPOSITORY_CVMFS_H

#include "base/process.h"
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
/* For running ingest: ERROR_BUSY, if somebody has a transaction open; the note that we have; what
 * ingest said of its failure; and the end of it, in which a transaction that it left open is
 * aborted. The last one is given the result so far and returns it, with the error made longer. */
MUST_CHECK int cvmfs_check_free(const struct repository *repository, struct error *err);
MUST_CHECK int cvmfs_note_ingest(const struct repository *repository, pid_t group,
                                 struct error *err);
int cvmfs_ingest_failed(struct process *process, int status, struct error *err);
MUST_CHECK int cvmfs_end_ingest(const struct repository *repository, int result, struct error *err);
/* A setting of the repository's server.conf, without quotes: false if it is not there. */
bool cvmfs_setting(const struct repository *repository, const char *name, struct buf *out);
/* Take trees away with `cvmfs_server ingest -d`. */
MUST_CHECK int cvmfs_delete_trees(struct repository *repository, const char *const *paths,
                                  size_t count, struct error *err);

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

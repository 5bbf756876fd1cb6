/*
 * A repository: a CernVM-FS repository on its stratum 0, or a plain directory with the same layout.
 *
 * An argument that starts with '/' or '.' is a directory, anything else the name of a CernVM-FS
 * repository. Reading goes through the file system in both cases; writing takes a whole changeset
 * at a time:
 *
 *     repository_open()     ERROR_NOT_FOUND, ERROR_BUSY or ERROR_IO: the repository cannot be used
 *     repository_commit()   the changeset is public, or (on any error) nothing of it is
 *     repository_free()
 *
 * One process writes to a repository at a time: the caller holds its lock (state/state.h).
 * No descriptor below the repository's root stays open between two calls.
 *
 * Any thread may read, while one commits, and any process: CernVM-FS begins and ends no revision
 * while something is open below /cvmfs, so those moments and the readers exclude each other
 * (repository/readers.h). While the content flows, which is what takes long, they go together.
 */
#ifndef REPOSITORY_REPOSITORY_H
#define REPOSITORY_REPOSITORY_H

#include "base/buf.h"
#include "base/error.h"
#include "repository/changeset.h"
#include "repository/readers.h"

#include <sys/stat.h>

struct commit_options {
    /* On CernVM-FS these take a second revision; a directory keeps extended attributes anyway. */
    bool keep_xattrs;
    uint64_t chunk_above_bytes; /* files that are to be kept in chunks; 0: none */
    const char
        *what; /* for the note that survives a crash: "publishing …"; NULL: nothing special */
    /* On a thread of its own, once: the ingest has taken nothing for so long, after `bytes`. It
     * goes on waiting. NULL: nobody wants to know. */
    void (*stalled)(void *arg, long seconds, uint64_t bytes);
    void *arg;
};

struct commit_report {
    uint64_t stream_bytes; /* handed to the back end */
    double seconds;
    uint64_t xattrs_left_out; /* entries whose extended attributes could not be kept */
    size_t revisions;         /* made: 1, or 2 with what ingest cannot carry */
    char *extras_failed;      /* why the second one failed, owned; NULL if it did not */
    bool owners_left_out;     /* not root: files belong to whoever ran the program */
};

struct repository {
    char *name; /* as the user gave it; "/srv/images" or "unpacked.cern.ch" */
    char *root; /* where it is read */
    char *view; /* where devices 0:0 can be seen, too: CernVM-FS's own mount hides them */
    /* The back end. `begin` looks whether it can be written, and repairs what an earlier run of
     * ours left behind. */
    const struct repository_backend *backend;
    void *state;
    char *counter; /* see repository_changes() */
    char *note;    /* the note of the change under way */
    bool aborted;  /* repository_begin() found a transaction of ours open, and ended it */
    /* From repository_begin(): what became of the change of somebody who was cut off, for people;
     * NULL: nobody was. */
    char *cut_off;
    struct readers readers;
};

typedef int repository_work(int root, void *arg, struct error *err);

struct repository_backend {
    const char *noun; /* "directory", "CernVM-FS repository" */
    int (*begin)(struct repository *repository, const char *journal, struct error *err);
    int (*commit)(struct repository *repository, const struct changeset *cs,
                  const struct commit_options *options, struct commit_report *out,
                  struct error *err);
    /* Change the tree where it lies: `work` gets a descriptor of its root. On CernVM-FS that is an
     * ordinary transaction, and one revision; what `work` did is undone if it fails. */
    int (*in_place)(struct repository *repository, repository_work *work, void *arg,
                    struct error *err);
    /* Take whole trees away, each of which is gone at once. */
    int (*delete_trees)(struct repository *repository, const char *const *paths, size_t count,
                        struct error *err);
    int (*collect)(struct repository *repository, struct error *err); /* NULL: there is none */
    void (*free)(struct repository *repository);
};
/* "/var/spool/cvmfs", or what tests set. */
const char *cvmfs_spool_root(void);
extern const struct repository_backend directory_backend;
extern const struct repository_backend cvmfs_backend;

/* Nothing is touched yet. */
MUST_CHECK int repository_open(const char *name, struct repository **out, struct error *err);
void repository_free(struct repository *repository);

/* For who only reads, before the first look: exclude what other processes do with the same
 * `journal` (see repository_begin(), which does so itself). Nothing is made, and if nobody has
 * changed the repository with that journal yet, nothing happens. */
void repository_join_readers(struct repository *repository, const char *journal);

/* Before the first commit, with the lock held. `journal` is the path of a file in which a back end
 * notes that a commit is under way; it must live as long as the repository. What an earlier run of
 * ours left behind is taken away, and nothing else; repository->cut_off says what it was. */
MUST_CHECK int repository_begin(struct repository *repository, const char *journal,
                                struct error *err);
/* All or nothing. ERROR_BUSY: somebody else's transaction is open; ERROR_CHILD: cvmfs_server's own
 * words are in the message; ERROR_LIMIT: disk full. */
MUST_CHECK int repository_commit(struct repository *repository, const struct changeset *cs,
                                 const struct commit_options *options, struct commit_report *out,
                                 struct error *err);

/* Take files away (not directories), in one revision; what is not there is fine. The directories
 * they lie in keep their times. */
MUST_CHECK int repository_remove(struct repository *repository, const char *const *paths,
                                 size_t count, struct error *err);
/* Take away public names and the folders of their documents, in one revision, whatever signs they
 * hold; then the directories above them that hold nothing else. What is not there is fine. */
MUST_CHECK int repository_remove_names(struct repository *repository, const char *const *paths,
                                       size_t count, struct error *err);
/* Take whole trees away. Their paths hold no colon (ERROR_BUG): CernVM-FS takes it for the end of
 * a path, and says nothing. In revisions of as many trees as go at once: one, or behind a
 * repository gateway one a tree. */
MUST_CHECK int repository_delete(struct repository *repository, const char *const *paths,
                                 size_t count, struct error *err);

/* The repository's own collection of garbage, for what was deleted in earlier revisions.
 * ERROR_UNSUPPORTED for a directory; ERROR_CHILD where CernVM-FS was not told to do so when the
 * repository was made (cvmfs_server mkfs -z). */
MUST_CHECK int repository_collect(struct repository *repository, struct error *err);

/* A number that every change by this program makes larger, counted in the state directory: what was
 * read of the repository is still true if it has not changed. */
MUST_CHECK int repository_changes(const struct repository *repository, uint64_t *out,
                                  struct error *err);

/* What is published at a path: S_IFMT bits of its mode, 0 if there is nothing. Symlinks are not
 * followed. -1 on error. */
MUST_CHECK int repository_type(const struct repository *repository, const char *path, mode_t *out,
                               struct error *err);
/* The same where devices 0:0 are seen. */
MUST_CHECK int repository_layer_type(const struct repository *repository, const char *path,
                                     mode_t *out, struct error *err);
/* A file's bytes, appended. ERROR_NOT_FOUND, ERROR_LIMIT. */
MUST_CHECK int repository_read(const struct repository *repository, const char *path, size_t max,
                               struct buf *out, struct error *err);
/* A symlink's text, appended; nothing and 0 if there is no symlink. */
MUST_CHECK int repository_readlink(const struct repository *repository, const char *path,
                                   struct buf *out, struct error *err);
/* Of CernVM-FS, as clients will see it next; 0 if it is not known, or the repository is a
 * directory. */
uint64_t repository_revision(const struct repository *repository);
/* The path in the file system. Owned. */
char *repository_path(const struct repository *repository, const char *path);

/* Around whatever opens something at such a path, or in `view`, in a thread that does not commit.
 * Not for long, since a commit waits for it: a directory, a file; a mark or a comparison is many
 * such slices. The functions above, and those of repository/published.h, do so themselves; not to
 * be nested. errno is kept. */
void repository_reading_begin(const struct repository *repository);
void repository_reading_end(const struct repository *repository);
/* lstat() of such a path. */
int repository_lstat(const struct repository *repository, const char *full, struct stat *out);
/* For back ends: wait until nobody reads, and let nobody begin; the end of that. */
void repository_exclude_readers(struct repository *repository);
void repository_admit_readers(struct repository *repository);

#endif

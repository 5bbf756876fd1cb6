/*
 * Taking trees away from CernVM-FS: `cvmfs_server ingest -d PATH -d PATH … REPOSITORY`, one
 * revision for all of them. Behind a repository gateway ingest takes one -d a call.
 */
#include "repository/cvmfs.h"

#include "base/memory.h"

#include <signal.h>
#include <string.h>

static bool has_gateway(const struct repository *r)
{
    _cleanup_buf_ struct buf storage = BUF_INIT;
    return cvmfs_setting(r, "CVMFS_UPSTREAM_STORAGE", &storage) && starts_with(storage.data, "gw,");
}

static int run_ingest(const struct repository *r, const char *const *argv, struct error *err)
{
    struct process_options o = {.argv = argv, .keep_stdout = true};
    struct process p;
    if (process_start(&o, &p, err) < 0)
        return -1;
    int result = cvmfs_note_ingest(r, p.pid, err);
    if (result < 0)
        process_kill(&p, SIGTERM); /* without a note nobody would clean up after it */
    int status = process_wait(&p);
    if (result == 0 && status != 0)
        result = cvmfs_ingest_failed(&p, status, err);
    if (result < 0)
        process_kill(&p, SIGKILL); /* what ingest may have left running */
    process_release(&p);
    return result;
}

static int delete_once(struct repository *r, const char *const *paths, size_t count,
                       struct error *err)
{
    _cleanup_free_ const char **argv = xcalloc(2 * count + 4, sizeof *argv);
    size_t n = 0;
    argv[n++] = "cvmfs_server";
    argv[n++] = "ingest";
    for (size_t i = 0; i < count; i++) {
        argv[n++] = "-d";
        argv[n++] = paths[i];
    }
    argv[n++] = r->name;
    if (cvmfs_check_free(r, err) < 0)
        return -1;
    repository_exclude_readers(r);
    int result = cvmfs_end_ingest(r, run_ingest(r, argv, err), err);
    repository_admit_readers(r);
    return result;
}

/* What ingest did not find it leaves, with a warning and exit status 0. */
static int check_gone(const struct repository *r, const char *const *paths, size_t count,
                      struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        mode_t type;
        if (repository_type(r, paths[i], &type, err) < 0)
            return -1;
        if (type != 0)
            return error_set(err, ERROR_CHILD,
                             "cvmfs_server ingest -d reported success, but %s is still there",
                             paths[i]);
    }
    return 0;
}

/* cvmfs_server hands all paths on in one argument, and the kernel takes 128 kB of one. */
#define ARGUMENT_MAX ((size_t)96 << 10)

static size_t fit(const char *const *paths, size_t count)
{
    size_t n = 0;
    for (size_t bytes = 0; n < count && bytes < ARGUMENT_MAX; n++)
        bytes += strlen(paths[n]) + 3;
    return n;
}

int cvmfs_delete_trees(struct repository *r, const char *const *paths, size_t count,
                       struct error *err)
{
    bool gateway = has_gateway(r);
    for (size_t i = 0; i < count;) {
        size_t n = gateway ? 1 : fit(paths + i, count - i);
        if (delete_once(r, paths + i, n, err) < 0)
            return -1;
        i += n;
    }
    return check_gone(r, paths, count, err);
}

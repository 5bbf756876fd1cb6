/*
 * The CernVM-FS back end: one `cvmfs_server ingest` a changeset.
 *
 * The changeset is streamed as a tar into `cvmfs_server ingest -k -b / -t - REPOSITORY`. Each file
 * content flows once; chains, flat images and everything else that shares it are hard-link members,
 * for which CernVM-FS reads, hashes and compresses nothing. ingest opens its own transaction and
 * closes it; one stream is one revision, or none.
 *
 * A transaction that is open when we come is somebody else's, and left alone (ERROR_BUSY), unless
 * our own journal says that we were committing: then the machine went down under us, and the
 * transaction is aborted. If ingest fails and leaves its transaction open, we abort it, since we
 * know that there was none before. (If ducc alone is killed, ingest finds its input cut short and
 * aborts by itself: layers/tar_writer.h.)
 */
#include "repository/cvmfs.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"
#include "base/process.h"
#include "layers/tar_writer.h"
#include "repository/stall.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define PIPE_SIZE (1 << 20)
/* More than a pipe and the tar writer's buffer hold together: if so much has been written, ingest
 * has read some of it. */
#define FLOWS_BYTES      ((uint64_t)4 << 20)
#define PATIENCE_SECONDS 30
#define SERVER_CONF_MAX  ((size_t)1 << 20)

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

const char *cvmfs_spool_root(void)
{
    const char *dir = getenv("DUCC_CVMFS_SPOOL"); /* for tests */
    return dir && *dir ? dir : "/var/spool/cvmfs";
}

/* ---- looking ---- */

/* The value in a line NAME=VALUE, as the shell that cvmfs_server is takes it; NULL: another line.
 */
static const char *value_in(const char *line, const char *name)
{
    const char *p = line + strspn(line, " \t");
    size_t len = strlen(name);
    if (starts_with(p, "export "))
        p += strlen("export ");
    return strncmp(p, name, len) == 0 && p[len] == '=' ? p + len + 1 : NULL;
}

bool cvmfs_setting(const struct repository *r, const char *name, struct buf *out)
{
    const char *etc = getenv("DUCC_CVMFS_ETC"); /* for tests */
    _cleanup_buf_ struct buf conf = BUF_INIT;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    _cleanup_free_ char *path =
        xasprintf("%s/repositories.d/%s/server.conf", etc && *etc ? etc : "/etc/cvmfs", r->name);
    bool found = false;
    if (file_read(path, SERVER_CONF_MAX, &conf, &ignored) < 0)
        return false;
    for (const char *line = conf.data; *line; line += *line == '\n') {
        const char *value = value_in(line, name); /* the last one counts */
        if (value) {
            value += *value == '"' || *value == '\'';
            buf_truncate(out, 0);
            buf_add(out, value, strcspn(value, "\"'\n"));
            found = true;
        }
        line += strcspn(line, "\n");
    }
    return found;
}

int cvmfs_run(const char *const *argv, struct buf *output, struct error *err)
{
    int status;
    _cleanup_buf_ struct buf messages = BUF_INIT;
    struct process_options o = {.argv = argv, .keep_stdout = output != NULL};
    if (process_run(&o, &status, output, &messages, err) < 0)
        return error_wrap(err, "is CernVM-FS's server installed?");
    if (status != 0) {
        _cleanup_free_ char *said = process_summary(&messages);
        return error_set(err, ERROR_CHILD, "cvmfs_server %s: exit status %d: %s", argv[1], status,
                         said);
    }
    return 0;
}

/* `cvmfs_server list` prints a line "NAME (stratum0 / local)" for each repository. */
static int check_listed(const struct repository *r, struct error *err)
{
    const char *const argv[] = {"cvmfs_server", "list", NULL};
    _cleanup_buf_ struct buf output = BUF_INIT;
    if (cvmfs_run(argv, &output, err) < 0)
        return -1;
    size_t len = strlen(r->name);
    for (const char *line = output.data; *line;) {
        if (strncmp(line, r->name, len) == 0 && line[len] == ' ') {
            if (starts_with(line + len, " (stratum0"))
                return 0;
            return error_set(err, ERROR_NOT_FOUND, "it is not a stratum 0 on this machine");
        }
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return error_set(
        err, ERROR_NOT_FOUND,
        "no such repository on this machine; make it with cvmfs_server mkfs, or name a "
        "directory (starting with / or .)");
}

static int check_working_directory(const struct repository *r, struct error *err)
{
    char cwd[PATH_MAX];
    size_t len = strlen(r->root);
    if (getcwd(cwd, sizeof cwd) && strncmp(cwd, r->root, len) == 0 &&
        (cwd[len] == '/' || cwd[len] == '\0'))
        return error_set(err, ERROR_BUSY,
                         "the working directory is inside the repository, and CernVM-FS cannot "
                         "publish then; start ducc somewhere else");
    return 0;
}

static int busy(struct error *err)
{
    return error_set(err, ERROR_BUSY,
                     "a transaction of somebody else is open; publish or abort it there, then run "
                     "ducc again");
}

int cvmfs_check_free(const struct repository *r, struct error *err)
{
    const struct cvmfs_state *s = r->state;
    return exists(s->marker) ? busy(err) : 0;
}

/* ---- our own leftovers ---- */

enum membership {
    OTHER_GROUP,
    MEMBER,
    CVMFS_MEMBER, /* a part of cvmfs_server: the group is the one we made for it */
};

static enum membership membership_of(long pid, long group)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    _cleanup_buf_ struct buf stat = BUF_INIT;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    if (file_read(path, 4096, &stat, &ignored) < 0)
        return OTHER_GROUP;
    const char *name = strchr(stat.data, '('), *end = strrchr(stat.data, ')');
    long pgrp;
    char process_state;
    if (!name || !end || sscanf(end + 1, " %c %*d %ld", &process_state, &pgrp) != 2 ||
        pgrp != group || process_state == 'Z')
        return OTHER_GROUP;
    return starts_with(name, "(cvmfs") ? CVMFS_MEMBER : MEMBER;
}

/* Send a signal (0: none) to what is left of an ingest whose ducc is gone. Returns how many
 * processes there are. */
static size_t signal_leftovers(long group, int number)
{
    DIR *proc = group > 1 ? opendir("/proc") : NULL;
    size_t members = 0;
    bool ours = false;
    if (!proc)
        return 0;
    for (struct dirent *e; (e = readdir(proc));) {
        enum membership m = membership_of(strtol(e->d_name, NULL, 10), group);
        members += m != OTHER_GROUP;
        ours |= m == CVMFS_MEMBER;
    }
    closedir(proc);
    if (ours && number != 0)
        kill((pid_t)-group, number);
    return ours ? members : 0;
}

/* Its input has ended, so that it ends by itself as a rule, and better than by force. */
static void end_leftovers(long group)
{
    double start = clock_monotonic();
    while (signal_leftovers(group, 0) > 0 && clock_monotonic() - start < PATIENCE_SECONDS)
        clock_sleep(0.1);
    while (signal_leftovers(group, SIGKILL) > 0 && clock_monotonic() - start < 2 * PATIENCE_SECONDS)
        clock_sleep(0.1);
}

int cvmfs_abort(const struct repository *r, struct error *err)
{
    const struct cvmfs_state *s = r->state;
    const char *const argv[] = {"cvmfs_server", "abort", "-f", r->name, NULL};
    if (cvmfs_run(argv, NULL, err) == 0)
        return 0;
    if (exists(s->marker))
        return -1;
    error_release(err); /* an ingest that was cut short has aborted by itself meanwhile */
    return 0;
}

static int repair(struct repository *r, struct error *err)
{
    struct cvmfs_state *s = r->state;
    _cleanup_buf_ struct buf note = BUF_INIT;
    if (!exists(s->journal))
        return exists(s->marker) ? busy(err) : 0;
    if (file_read(s->journal, 4096, &note, err) < 0)
        return -1;
    if (exists(s->marker)) {
        log_debug("%s: aborting the transaction of an earlier run of ours", r->name);
        end_leftovers(strtol(note.data, NULL, 10));
        r->aborted = exists(s->marker);
        if (r->aborted && cvmfs_abort(r, err) < 0)
            return error_wrap(err, "cannot clean up after an earlier run of ours");
    }
    unlink(s->journal);
    return 0;
}

static int cvmfs_begin(struct repository *r, const char *journal, struct error *err)
{
    if (!r->state) {
        struct cvmfs_state *s = xcalloc(1, sizeof *s);
        s->journal = xstrdup(journal);
        s->marker = xasprintf("%s/%s/in_transaction.lock", cvmfs_spool_root(), r->name);
        r->state = s;
    }
    if (check_listed(r, err) < 0 || check_working_directory(r, err) < 0)
        return -1;
    return repair(r, err);
}

static void cvmfs_free(struct repository *r)
{
    struct cvmfs_state *s = r->state;
    if (!s)
        return;
    free(s->journal);
    free(s->marker);
    free(s);
}

/* ---- the stream ---- */

struct stream {
    struct repository *repository;
    struct tar_writer *tar;
    struct commit_report *report;
    bool flows; /* ingest has begun to read: what is open below /cvmfs does not matter now */
};

int cvmfs_write_change(struct tar_writer *tar, const struct change *c, struct error *err)
{
    static const enum tar_type types[] = {[CHANGE_DIRECTORY] = TAR_DIRECTORY,
                                          [CHANGE_FILE] = TAR_FILE,
                                          [CHANGE_LINK] = TAR_HARD_LINK,
                                          [CHANGE_SYMLINK] = TAR_SYMLINK,
                                          [CHANGE_CHAR] = TAR_CHAR,
                                          [CHANGE_BLOCK] = TAR_BLOCK,
                                          [CHANGE_FIFO] = TAR_FIFO};
    struct tar_member m = {.type = types[c->type],
                           .path = c->path,
                           .link = c->target,
                           .mode = c->mode,
                           .uid = c->uid,
                           .gid = c->gid,
                           .mtime = c->mtime,
                           .size = c->size,
                           .major = c->major,
                           .minor = c->minor};
    if (tar_writer_member(tar, &m, err) < 0)
        return -1;
    if (c->type != CHANGE_FILE)
        return 0;
    return c->bytes ? tar_writer_bytes(tar, c->bytes, c->size, err)
                    : tar_writer_file(tar, c->fd, c->offset, c->size, err);
}

static int stream_change(void *arg, const struct change *c, struct error *err)
{
    struct stream *s = arg;
    s->report->xattrs_left_out += c->xattrs_len > 0;
    if (!s->flows && tar_writer_count(s->tar) > FLOWS_BYTES) {
        s->flows = true;
        repository_admit_readers(s->repository);
    }
    return cvmfs_write_change(s->tar, c, err);
}

/* 0, or -1: then the reader is sure to fail. If it was the reader that went first, *out_broken.
 * Readers of the repository are excluded before and after. */
static int write_stream(struct repository *r, const struct changeset *cs, int fd,
                        _Atomic uint64_t *taken, struct commit_report *report, bool *out_broken,
                        struct error *err)
{
    _cleanup_tar_writer_ struct tar_writer *tar = tar_writer_new(fd);
    tar_writer_tell(tar, taken);
    struct stream s = {.repository = r, .tar = tar, .report = report};
    struct changeset_visitor v = {.change = stream_change, .arg = &s};
    int result = changeset_visit(cs, &v, err);
    if (s.flows)
        repository_exclude_readers(r);
    if (result == 0)
        result = tar_writer_finish(tar, err);
    if (result < 0)
        tar_writer_spoil(tar);
    *out_broken = tar_writer_broken(tar);
    report->stream_bytes = tar_writer_count(tar);
    return result;
}

int cvmfs_note_ingest(const struct repository *r, pid_t group, struct error *err)
{
    const struct cvmfs_state *s = r->state;
    _cleanup_free_ char *note =
        xasprintf("%d ingest since %s\n", (int)group, clock_text(clock_now()).s);
    return file_write(s->journal, note, strlen(note), 0600, err);
}

/* ingest said why it failed, better than a broken pipe does. */
int cvmfs_ingest_failed(struct process *p, int status, struct error *err)
{
    if (strstr(p->messages.data, "already open"))
        return busy(err);
    /* Last it prints the command it ran, with all its paths: of no help here. */
    const char *command = strstr(p->messages.data, "Executed Command:");
    if (command)
        buf_truncate(&p->messages, (size_t)(command - p->messages.data));
    _cleanup_free_ char *said = process_summary(&p->messages);
    return error_set(err, ERROR_CHILD, "cvmfs_server ingest: exit status %d: %s", status, said);
}

static int ingest(struct repository *r, const struct changeset *cs,
                  const struct commit_options *options, struct commit_report *out,
                  struct error *err)
{
    const char *const argv[] = {"cvmfs_server", "ingest", "-k",    "-b", "/",
                                "-t",           "-",      r->name, NULL};
    struct process_options o = {.argv = argv, .pipe_stdin = true, .keep_stdout = true};
    struct process p;
    struct stall stall;
    bool broken = false, streamed = false;
    if (process_start(&o, &p, err) < 0)
        return -1;
    stall_begin(&stall, options);
    fcntl(p.stdin_fd, F_SETPIPE_SZ, PIPE_SIZE); /* a smaller pipe works, only slower */
    int result = cvmfs_note_ingest(r, p.pid, err);
    if (result == 0) {
        streamed = true;
        result = write_stream(r, cs, p.stdin_fd, &stall.bytes, out, &broken, err);
    }
    int status = process_wait(&p);
    stall_end(&stall);
    if (status != 0 && (result == 0 || broken))
        result = cvmfs_ingest_failed(&p, status, err);
    else if (status == 0 && result < 0 && streamed)
        error_wrap(err, "(cvmfs_server ingest took the broken stream for a whole one)");
    if (result < 0)
        process_kill(&p, SIGKILL); /* what ingest may have left running */
    process_release(&p);
    return result;
}

/* After a success that is none, nobody would look again. */
static int check_published(void *arg, const char *root, struct error *err)
{
    mode_t type;
    if (repository_type(arg, root, &type, err) < 0)
        return -1;
    if (!S_ISDIR(type))
        return error_set(err, ERROR_CHILD,
                         "cvmfs_server ingest reported success, but %s is not in the repository",
                         root);
    return 0;
}

int cvmfs_end_ingest(const struct repository *r, int result, struct error *err)
{
    const struct cvmfs_state *s = r->state;
    if (result < 0 && err->kind != ERROR_BUSY && exists(s->marker)) {
        _cleanup_error_ struct error again = ERROR_INIT;
        if (cvmfs_abort(r, &again) < 0) /* the journal stays: the next run tries again */
            return error_wrap(err, "(and its transaction could not be aborted: %s)", again.message);
    }
    unlink(s->journal);
    return result;
}

static int cvmfs_commit(struct repository *r, const struct changeset *cs,
                        const struct commit_options *options, struct commit_report *out,
                        struct error *err)
{
    struct changeset_visitor v = {.end_unit = check_published, .arg = r};
    _cleanup_error_ struct error extras = ERROR_INIT;
    if (cvmfs_check_free(r, err) < 0)
        return -1;
    repository_exclude_readers(r);
    int result = cvmfs_end_ingest(r, ingest(r, cs, options, out, err), err);
    repository_admit_readers(r);
    if (result < 0 || changeset_visit(cs, &v, err) < 0)
        return -1;
    /* The images are public now; what comes on top may fail, and is said. */
    if (cvmfs_publish_extras(r, cs, options, out, &extras) < 0)
        out->extras_failed = TAKE_PTR(extras.message);
    return 0;
}

/* ---- ordinary transactions ---- */

/* One that begins or ends a revision. */
static int run_alone(struct repository *r, const char *const *argv, struct error *err)
{
    repository_exclude_readers(r);
    int result = cvmfs_run(argv, NULL, err);
    repository_admit_readers(r);
    return result;
}

static int abort_alone(struct repository *r, struct error *err)
{
    repository_exclude_readers(r);
    int result = cvmfs_abort(r, err);
    repository_admit_readers(r);
    return result;
}

static int run_transaction(struct repository *r, int (*work)(void *arg, struct error *err),
                           void *arg, struct error *err)
{
    const char *const start[] = {"cvmfs_server", "transaction", r->name, NULL};
    const char *const finish[] = {"cvmfs_server", "publish", r->name, NULL};
    if (run_alone(r, start, err) < 0)
        return -1;
    if (work(arg, err) == 0 && run_alone(r, finish, err) == 0)
        return 0;
    _cleanup_error_ struct error again = ERROR_INIT;
    if (abort_alone(r, &again) < 0)
        error_wrap(err, "(and its transaction could not be aborted: %s)", again.message);
    return -1;
}

int cvmfs_transaction(struct repository *r, int (*work)(void *arg, struct error *err), void *arg,
                      struct error *err)
{
    const struct cvmfs_state *s = r->state;
    /* No process group of ours stays behind: nothing to kill, only a transaction to abort. */
    static const char note[] = "0 transaction\n";
    if (cvmfs_check_free(r, err) < 0)
        return -1;
    if (file_write(s->journal, note, sizeof note - 1, 0600, err) < 0)
        return -1;
    int result = run_transaction(r, work, arg, err);
    if (!exists(s->marker)) /* else the next run tries again to abort it */
        unlink(s->journal);
    return result;
}

struct in_place {
    const struct repository *repository;
    repository_work *work;
    void *arg;
};

static int work_below_root(void *arg, struct error *err)
{
    const struct in_place *x = arg;
    _cleanup_close_ int root = open(x->repository->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot open", x->repository->root);
    return x->work(root, x->arg, err);
}

static int cvmfs_in_place(struct repository *r, repository_work *work, void *arg, struct error *err)
{
    return cvmfs_transaction(r, work_below_root, &(struct in_place){r, work, arg}, err);
}

static int cvmfs_collect(struct repository *r, struct error *err)
{
    const char *const argv[] = {"cvmfs_server", "gc", "-f", r->name, NULL};
    return cvmfs_check_free(r, err) < 0 ? -1 : cvmfs_run(argv, NULL, err);
}

const struct repository_backend cvmfs_backend = {.noun = "CernVM-FS repository",
                                                 .begin = cvmfs_begin,
                                                 .commit = cvmfs_commit,
                                                 .in_place = cvmfs_in_place,
                                                 .delete_trees = cvmfs_delete_trees,
                                                 .collect = cvmfs_collect,
                                                 .free = cvmfs_free};

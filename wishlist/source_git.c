/*
 * Lists in git repositories. Everything of one repository lies in STATE_DIR/sources/git-HASH:
 *
 *     mirror/              bare; what was fetched
 *     home/.ssh/known_hosts   the operator's and the system's, together
 */
#include "base/digest.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "registry/tls.h"
#include "wishlist/git_fetch.h"
#include "wishlist/git_tree.h"
#include "wishlist/source_auth.h"
#include "wishlist/source_transport.h"

#include <string.h>

#define SILENCE_SECONDS   60.0
#define LIMIT_SECONDS     3600.0
#define KNOWN_HOSTS_BYTES ((size_t)16 << 20)
#define AUTHORITIES_BYTES ((size_t)16 << 20)

/* Where a repository's mirror is. Owned. */
static char *place_of(const struct source *s, const char *part)
{
    struct digest digest = digest_of(DIGEST_SHA256, s->url.remote, strlen(s->url.remote));
    return xasprintf("%s/git-%.32s/%s", s->folder, digest_hex(&digest).s, part);
}

/* ---- host keys ---- */

/* Of a line "@revoked HOSTS TYPE KEY" the key, with whatever hosts. */
static void take_revoked(const char *line, size_t len, struct buf *revoked)
{
    for (int field = 0; field < 3; field++) {
        size_t word = strcspn(line, " \t\n");
        size_t blank = word + strspn(line + word, " \t");
        if (blank >= len)
            return;
        line += blank;
        len -= blank;
    }
    buf_add(revoked, line, strcspn(line, " \t\r\n"));
    buf_addc(revoked, '\n');
}

/* sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". libssh2 knows no markers: revoked keys are for us,
 * authorities are left out. */
static int add_known_hosts(const char *path, struct buf *known, struct buf *revoked,
                           struct error *err)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    if (file_read(path, KNOWN_HOSTS_BYTES, &bytes, err) < 0)
        return -1;
    for (const char *line = bytes.data; *line;) {
        size_t len = strcspn(line, "\n");
        const char *text = line + strspn(line, " \t");
        if (starts_with(text, "@revoked"))
            take_revoked(text, len - (size_t)(text - line), revoked);
        else if (*text != '@' && *text != '#' && *text != '\n' && *text)
            buf_addf(known, "%.*s\n", (int)(len - (size_t)(text - line)), text);
        line += len + (line[len] == '\n');
    }
    return 0;
}

static int write_known_hosts(const struct source *s, const char *home, struct buf *revoked,
                             struct error *err)
{
    const char *own_home = getenv("HOME");
    const char *named = s->options.settings ? s->options.settings->known_hosts : NULL;
    _cleanup_free_ char *own = path_join(own_home ? own_home : "", ".ssh/known_hosts");
    const char *paths[] = {named, "/etc/ssh/ssh_known_hosts", own};
    _cleanup_buf_ struct buf known = BUF_INIT;
    _cleanup_free_ char *folder = path_join(home, ".ssh");
    _cleanup_free_ char *path = path_join(folder, "known_hosts");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        _cleanup_error_ struct error why = ERROR_INIT;
        if (paths[i] && add_known_hosts(paths[i], &known, revoked, &why) < 0 &&
            (i == 0 || why.kind != ERROR_NOT_FOUND)) {
            error_move(err, &why);
            return error_wrap(err, "known hosts");
        }
    }
    if (dir_make(folder, 0700, err) < 0)
        return -1;
    return file_write(path, known.data, known.len, 0600, err);
}

/* ---- certificates ---- */

/* What certs.d has for the host, with the system's: libgit2 takes a file with all of them. */
static int take_certificates(const struct source *s, struct git_fetch_request *request,
                             struct buf *authorities, struct error *err)
{
    if (!starts_with(s->url.remote, "https://"))
        return 0;
    struct tls_store *store = tls_store_new(s->options.site);
    const struct tls_settings *tls = tls_store_find(store, s->url.remote, err);
    int rc = tls ? 0 : -1;
    if (tls && tls->authorities)
        rc = file_read(tls->authorities, AUTHORITIES_BYTES, authorities, err);
    if (rc == 0) {
        request->any_certificate = !tls->verify;
        request->authorities = tls->authorities ? authorities->data : NULL;
    }
    tls_store_free(store);
    return rc;
}

/* ---- fetching ---- */

static void tell_progress(void *arg, const char *text)
{
    const struct source *s = arg;
    if (s->options.progress)
        s->options.progress(s->options.arg, s->url.shown, text);
}

static double or_default(double seconds, double usual)
{
    return seconds > 0 ? seconds : usual;
}

static int run(struct source *s, const struct git_fetch_request *request,
               char out_commit[GIT_COMMIT_TEXT_SIZE], struct error *err)
{
    static const struct source_settings nothing;
    const struct source_settings *said = s->options.settings ? s->options.settings : &nothing;
    struct git_fetch_settings settings = {
        .program = s->options.git_fetch_program,
        .silence_seconds = or_default(said->silence_seconds, SILENCE_SECONDS),
        .limit_seconds = or_default(said->limit_seconds, LIMIT_SECONDS),
        .progress = tell_progress,
        .arg = s};
    return git_fetch_run(request, &settings, out_commit, err);
}

/* Bring the branch; its commit. */
static int fetch_branch(struct source *s, char out_commit[GIT_COMMIT_TEXT_SIZE], struct error *err)
{
    _cleanup_free_ char *mirror = place_of(s, "mirror");
    _cleanup_free_ char *home = place_of(s, "home");
    _cleanup_buf_ struct buf revoked = BUF_INIT, authorities = BUF_INIT;
    struct source_secret secret = {0};
    struct git_fetch_request request = {.mirror = mirror,
                                        .home = home,
                                        .url = s->url.remote,
                                        .branch = s->url.branch,
                                        .max_bytes = LIMIT_SOURCE_GIT_BYTES};
    int rc = -1;
    if (write_known_hosts(s, home, &revoked, err) == 0 &&
        take_certificates(s, &request, &authorities, err) == 0 &&
        source_secret_find(s->options.settings, s->options.site, &s->url, &secret, err) == 0) {
        request.revoked = revoked.data;
        request.user = secret.user;
        request.secret = secret.text;
        request.key_file = secret.key_file;
        request.passphrase = secret.passphrase;
        rc = run(s, &request, out_commit, err);
    }
    source_secret_release(&secret);
    return rc;
}

static int git_other(struct source *s, const struct source_version *version, const char *path,
                     size_t max_bytes, struct buf *out, struct error *err)
{
    _cleanup_free_ char *mirror = place_of(s, "mirror");
    if (git_tree_read(mirror, version->revision, path, max_bytes, out, err) < 0)
        return error_wrap(err, "commit %.12s", version->revision);
    return 0;
}

static int git_version(struct source *s, const struct source_version *known,
                       struct source_version *next, bool *out_same, struct error *err)
{
    char commit[GIT_COMMIT_TEXT_SIZE];
    struct buf bytes = BUF_INIT;
    if (fetch_branch(s, commit, err) < 0)
        return -1;
    next->revision = xstrdup(commit);
    if (known && strcmp(known->revision, commit) == 0) {
        *out_same = true;
        return 0;
    }
    if (git_other(s, next, s->url.path, LIMIT_RECIPE_BYTES, &bytes, err) < 0) {
        buf_release(&bytes);
        return -1;
    }
    version_add(next, s->url.path, &bytes);
    return 0;
}

const struct source_transport source_git_transport = {git_version, git_other};

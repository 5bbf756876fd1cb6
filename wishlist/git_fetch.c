/* The child's side of wishlist/git_fetch.h. */
#include "wishlist/git_fetch.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "registry/auth_file.h"
#include "wishlist/git_library.h"
#include "wishlist/git_mirror.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUEST_BYTES_MAX ((size_t)32 << 20)
#define TELL_SECONDS      1.0
#define PROGRESS_SECONDS  30.0 /* from one to the next; the first ones come sooner */

struct fetch {
    json_t *root; /* what `request` borrows from */
    struct git_fetch_request request;
    git_repository *mirror;
    git_remote *remote;
    double told; /* when something was said last */
    double progress_told, progress_pause;
    bool key_tried, agent_tried, password_tried;
    struct error why; /* set by our callbacks, when it is they that give up */
};

/* ---- talking to the parent ---- */

/* Not more often than once a second. */
static bool is_time(struct fetch *f)
{
    double now = clock_monotonic();
    if (now - f->told < TELL_SECONDS)
        return false;
    f->told = now;
    return true;
}

/* A fetch of seconds says how far it is, and one of an hour does not fill the log. */
static bool is_time_for_progress(struct fetch *f)
{
    if (f->told - f->progress_told < f->progress_pause)
        return false;
    f->progress_told = f->told;
    f->progress_pause =
        f->progress_pause * 2 < PROGRESS_SECONDS ? f->progress_pause * 2 : PROGRESS_SECONDS;
    return true;
}

static void tell(const char *line)
{
    printf("%s\n", line);
    fflush(stdout);
}

static void tell_alive(void *arg)
{
    if (is_time(arg))
        tell("alive");
}

static int tell_error(const struct error *err)
{
    _cleanup_free_ char *text = xstrdup(err->message);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    _cleanup_free_ char *line = xasprintf("error %s %s %.2000s", error_kind_name(err->kind),
                                          err->retryable ? "again" : "final", text);
    tell(line);
    return 1;
}

/* ---- the request ---- */

static int read_request(struct fetch *f, struct error *err)
{
    static const char what[] = "request";
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct git_fetch_request *r = &f->request;
    if (file_read_fd(STDIN_FILENO, what, REQUEST_BYTES_MAX, &text, err) < 0)
        return -1;
    f->root = json_parse_secret(what, text.data, text.len, REQUEST_BYTES_MAX, err);
    const struct {
        const char *name;
        const char **to;
    } texts[] = {{"branch", &r->branch},         {"user", &r->user},
                 {"secret", &r->secret},         {"key_file", &r->key_file},
                 {"passphrase", &r->passphrase}, {"authorities", &r->authorities},
                 {"revoked", &r->revoked}};
    if (!f->root || json_get_string(f->root, what, "mirror", &r->mirror, err) < 0 ||
        json_get_string(f->root, what, "home", &r->home, err) < 0 ||
        json_get_string(f->root, what, "url", &r->url, err) < 0 ||
        json_get_size(f->root, what, "max_bytes", &r->max_bytes, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (json_get_optional_string(f->root, what, texts[i].name, texts[i].to, err) < 0)
            return -1;
    r->any_certificate = json_is_true(json_object_get(f->root, "any_certificate"));
    return 0;
}

/* ---- errors ---- */

/* An HTTP status of the server, as libgit2 tells it; 0: none. */
static int http_status(const char *message)
{
    const char *found = message ? strstr(message, "http status code: ") : NULL;
    return found ? atoi(found + strlen("http status code: ")) : 0;
}

/* What libgit2's failure means for who waits. */
static int failed(struct fetch *f, int code, struct error *err)
{
    const git_error *last = git_error_last();
    const char *message = last && last->message ? last->message : "the connection broke";
    int status = http_status(message);
    if (f->why.kind != ERROR_NONE) {
        error_move(err, &f->why);
        return -1;
    }
    bool no_folder = last && last->klass == GIT_ERROR_OS && starts_with(f->request.url, "file:");
    if (status == 404 || status == 410 || code == GIT_ENOTFOUND || no_folder)
        return error_set(err, ERROR_NOT_FOUND, "there is no such git repository (%s)", message);
    if (status == 401 || status == 403 || code == GIT_EAUTH)
        return error_set(err, ERROR_AUTH, "%s", message);
    if (last && (last->klass == GIT_ERROR_INDEXER || last->klass == GIT_ERROR_ZLIB))
        return error_set(err, ERROR_CORRUPT, "%s", message);
    error_set(err, ERROR_NET, "%s", message);
    err->retryable = code != GIT_ECERTIFICATE && (status == 0 || status >= 500);
    return -1;
}

/* ---- callbacks ---- */

static int on_sideband(const char *text, int len, void *arg)
{
    (void)text;
    (void)len;
    tell_alive(arg);
    return 0;
}

static int on_progress(const git_indexer_progress *p, void *arg)
{
    struct fetch *f = arg;
    if (p->received_bytes > f->request.max_bytes)
        return error_set(&f->why, ERROR_LIMIT, "the server sends more than %llu bytes",
                         (unsigned long long)f->request.max_bytes);
    if (!is_time(f))
        return 0;
    if (!is_time_for_progress(f)) {
        tell("alive");
        return 0;
    }
    _cleanup_free_ char *line =
        p->received_objects < p->total_objects || p->total_deltas == 0
            ? xasprintf("progress %u of %u objects, %.1f MB", p->received_objects, p->total_objects,
                        (double)p->received_bytes / 1e6)
            : xasprintf("progress all %u objects, %.1f MB; %u of %u differences resolved",
                        p->total_objects, (double)p->received_bytes / 1e6, p->indexed_deltas,
                        p->total_deltas);
    tell(line);
    return 0;
}

static int refuse_key(struct fetch *f, const git_cert_hostkey *key, const char *host,
                      const char *why)
{
    _cleanup_free_ char *print =
        key->type & GIT_CERT_SSH_SHA256 ? base64_encode(key->hash_sha256, 32) : xstrdup("unknown");
    print[strcspn(print, "=")] = '\0';
    error_set(&f->why, ERROR_NET, "host key of %s (SHA256:%s) %s", host, print, why);
    return GIT_ECERTIFICATE;
}

static bool is_revoked(const struct fetch *f, const git_cert_hostkey *key)
{
    if (!f->request.revoked || !(key->type & GIT_CERT_SSH_RAW))
        return false;
    _cleanup_free_ char *text = base64_encode(key->hostkey, key->hostkey_len);
    size_t len = strlen(text);
    for (const char *line = f->request.revoked; *line;) {
        size_t line_len = strcspn(line, "\n");
        if (line_len == len && memcmp(line, text, len) == 0)
            return true;
        line += line_len + (line[line_len] == '\n');
    }
    return false;
}

static int on_certificate(git_cert *cert, int valid, const char *host, void *arg)
{
    struct fetch *f = arg;
    if (cert->cert_type == GIT_CERT_HOSTKEY_LIBSSH2) {
        const git_cert_hostkey *key = (const git_cert_hostkey *)(const void *)cert;
        if (is_revoked(f, key))
            return refuse_key(f, key, host, "is revoked in the known hosts");
        return valid ? 0
                     : refuse_key(f, key, host,
                                  "is not among the known hosts, or another one is; look at "
                                  "`ssh-keyscan` and docs/sources.md");
    }
    if (valid || f->request.any_certificate)
        return 0;
    error_set(&f->why, ERROR_NET,
              "the certificate of %s is not right, or its authority is not known here", host);
    return GIT_ECERTIFICATE;
}

static int no_credentials(struct fetch *f, const char *why)
{
    error_set(&f->why, ERROR_AUTH, "%s", why);
    return GIT_EAUTH;
}

static int ssh_credential(struct fetch *f, git_credential **out, const char *user)
{
    const struct git_fetch_request *r = &f->request;
    if (r->key_file && !f->key_tried) {
        f->key_tried = true;
        return git_credential_ssh_key_new(out, user, NULL, r->key_file, r->passphrase);
    }
    if (!r->key_file && getenv("SSH_AUTH_SOCK") && !f->agent_tried) {
        f->agent_tried = true;
        return git_credential_ssh_key_from_agent(out, user);
    }
    return GIT_PASSTHROUGH;
}

static int on_credentials(git_credential **out, const char *url, const char *url_user,
                          unsigned allowed, void *arg)
{
    struct fetch *f = arg;
    const struct git_fetch_request *r = &f->request;
    const char *user = url_user && *url_user ? url_user : r->user;
    (void)url;
    if (allowed & GIT_CREDENTIAL_USERNAME)
        return git_credential_username_new(out, user ? user : "git");
    if (allowed & GIT_CREDENTIAL_SSH_KEY) {
        int rc = ssh_credential(f, out, user ? user : "git");
        if (rc != GIT_PASSTHROUGH)
            return rc;
    }
    if ((allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT) && r->secret && !f->password_tried) {
        f->password_tried = true;
        return git_credential_userpass_plaintext_new(out, user ? user : "oauth2", r->secret);
    }
    if (f->password_tried)
        return no_credentials(f, "the server does not accept the user and password");
    if (f->key_tried)
        return no_credentials(f, "the server does not accept the key");
    if (f->agent_tried)
        return no_credentials(f, "the server accepts no key of the agent's");
    return no_credentials(f, "the server wants credentials, and none are known for it "
                             "(docs/sources.md)");
}

/* ---- set-up ---- */

static void set_up_process(const struct git_fetch_request *r)
{
    struct rlimit none = {0, 0}, file = {r->max_bytes, r->max_bytes};
    signal(SIGXFSZ, SIG_IGN); /* write() says it */
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_FSIZE, &file);
    umask(077);
}

static int set_authorities(const char *pem, struct error *err)
{
    if (!pem)
        return 0;
    int fd = memfd_create("authorities", MFD_CLOEXEC);
    _cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", fd);
    if (fd < 0 || file_write_all(fd, pem, strlen(pem)) < 0)
        return error_set(err, ERROR_IO, "cannot keep the authorities");
    if (git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, path, NULL) < 0)
        return git_library_error(err, ERROR_IO, "certificates of authorities");
    return 0;
}

static void set_callbacks(struct fetch *f, git_remote_callbacks *callbacks)
{
    callbacks->sideband_progress = on_sideband;
    callbacks->transfer_progress = on_progress;
    callbacks->certificate_check = on_certificate;
    callbacks->credentials = on_credentials;
    callbacks->payload = f;
}

/* ---- the fetch ---- */

/* What the branch is on the server; *out is its name there. */
static int find_branch(struct fetch *f, const char **out_name, git_oid *out, struct error *err)
{
    const git_remote_head **heads;
    size_t count;
    const char *branch = f->request.branch;
    _cleanup_free_ char *wanted = branch ? xasprintf("refs/heads/%s", branch) : xstrdup("HEAD");
    int rc = git_remote_ls(&heads, &count, f->remote);
    if (rc < 0)
        return failed(f, rc, err);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(heads[i]->name, wanted) != 0)
            continue;
        *out_name = heads[i]->name;
        git_oid_cpy(out, &heads[i]->oid);
        return 0;
    }
    _cleanup_free_ char *q = quoted(branch ? branch : "HEAD");
    return error_set(err, ERROR_NOT_FOUND,
                     branch ? "there is no branch %s in the repository (any more?)"
                            : "the repository's %s names no branch; write @BRANCH behind the path",
                     q);
}

static int download(struct fetch *f, const char *name, struct error *err)
{
    _cleanup_free_ char *refspec = xasprintf("+%s:%s", name, GIT_MIRROR_INCOMING);
    git_strarray refspecs = {&refspec, 1};
    git_fetch_options options;
    git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
    set_callbacks(f, &options.callbacks);
    options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
    options.update_fetchhead = 0;
    options.prune = GIT_FETCH_NO_PRUNE;
    options.proxy_opts.type = GIT_PROXY_AUTO;
#if LIBGIT2_VER_MAJOR > 1 || LIBGIT2_VER_MINOR >= 4
    options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
#endif
    int rc = git_remote_download(f->remote, &refspecs, &options);
    return rc < 0 ? failed(f, rc, err) : 0;
}

/* Redirects: libgit2 follows one within the host, which is what forges do with a missing ".git";
 * to another host it would carry our credentials. */
static int connect_remote(struct fetch *f, struct error *err)
{
#if LIBGIT2_VER_MAJOR > 1 || LIBGIT2_VER_MINOR >= 4
    git_remote_connect_options options;
    git_remote_connect_options_init(&options, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
    set_callbacks(f, &options.callbacks);
    options.proxy_opts.type = GIT_PROXY_AUTO;
    options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
    int rc = git_remote_connect_ext(f->remote, GIT_DIRECTION_FETCH, &options);
#else
    git_remote_callbacks callbacks;
    git_proxy_options proxy;
    git_remote_init_callbacks(&callbacks, GIT_REMOTE_CALLBACKS_VERSION);
    git_proxy_options_init(&proxy, GIT_PROXY_OPTIONS_VERSION);
    set_callbacks(f, &callbacks);
    proxy.type = GIT_PROXY_AUTO;
    int rc = git_remote_connect(f->remote, GIT_DIRECTION_FETCH, &callbacks, &proxy, NULL);
#endif
    return rc < 0 ? failed(f, rc, err) : 0;
}

static int fetch_into(struct fetch *f, git_oid *out_commit, struct error *err)
{
    const char *name = NULL;
    if (git_remote_create_anonymous(&f->remote, f->mirror, f->request.url) < 0)
        return git_library_error(err, ERROR_IO, "git remote");
    if (connect_remote(f, err) < 0 || find_branch(f, &name, out_commit, err) < 0)
        return -1;
    if (!git_mirror_has(f->mirror, out_commit) && download(f, name, err) < 0)
        return -1;
    return git_mirror_keep(f->mirror, f->request.branch, out_commit, err);
}

static int fetch_branch(struct fetch *f, git_oid *out_commit, struct error *err)
{
    _cleanup_close_ int lock = -1;
    if (git_mirror_lock(f->request.mirror, tell_alive, f, &lock, err) < 0 ||
        git_mirror_open(f->request.mirror, &f->mirror, err) < 0 ||
        fetch_into(f, out_commit, err) < 0)
        return -1;
    git_remote_disconnect(f->remote);
    return git_mirror_tidy(f->mirror, tell_alive, f, err);
}

static int run(struct fetch *f, struct error *err)
{
    git_oid commit;
    if (read_request(f, err) < 0)
        return -1;
    set_up_process(&f->request);
    git_library_start();
    if (set_authorities(f->request.authorities, err) < 0 || fetch_branch(f, &commit, err) < 0)
        return -1;
    char line[sizeof "commit " + GIT_COMMIT_TEXT_SIZE] = "commit ";
    git_oid_tostr(line + strlen(line), GIT_COMMIT_TEXT_SIZE, &commit);
    tell(line);
    return 0;
}

_Noreturn void git_fetch_main(void)
{
    double now = clock_monotonic();
    struct fetch f = {.told = now, .progress_told = now, .progress_pause = TELL_SECONDS};
    struct error err = ERROR_INIT;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int status = run(&f, &err) < 0 ? tell_error(&err) : 0;
    /* At once: what we hold goes with the process, and what libgit2 has lost (matches of its
     * regular expressions, in 1.5) is nobody's business. */
    _exit(status);
}

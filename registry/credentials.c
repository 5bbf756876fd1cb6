#include "registry/credentials.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "registry/auth_file.h"
#include "registry/credential_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

/* What a helper said, so that it is run once a server. */
struct helped {
    struct helped *next;
    char *key; /* "HELPER\nSERVER" */
    bool found;
    struct credential credential;
};

struct credentials {
    struct auth_file environment; /* of step 1, as if it were a file */
    struct auth_file *files;      /* in their order */
    size_t file_count, file_capacity;
    char **warnings;
    size_t warning_count, warning_capacity;
    struct credential_source source;
    pthread_mutex_t mutex; /* guards what follows */
    struct helped *helped;
};

/* --- files --- */

static void warn(struct credentials *c, char *text)
{
    ARRAY_GROW(c->warnings, c->warning_count, c->warning_capacity);
    c->warnings[c->warning_count++] = text;
}

static void check_mode(struct credentials *c, int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && (st.st_mode & S_IROTH))
        warn(c, xasprintf("%s holds credentials and can be read by others: chmod 600 it", path));
}

/* 0 also if it is not there and need not be. */
static int read_secret(struct credentials *c, const char *path, bool must_exist, struct buf *out,
                       struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && !must_exist && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0)
        return error_set_errno(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, errno,
                               "%s: cannot open the file with credentials", path);
    check_mode(c, fd, path);
    buf_reserve(out, LIMIT_AUTH_FILE_BYTES + 128 * 1024); /* never moved while it grows */
    return file_read_fd(fd, path, LIMIT_AUTH_FILE_BYTES, out, err);
}

static int add_file(struct credentials *c, const char *path, bool must_exist, struct error *err)
{
    struct buf bytes = BUF_INIT;
    struct auth_file file;
    int rc = read_secret(c, path, must_exist, &bytes, err);
    if (rc == 0 && bytes.len > 0) {
        rc = auth_file_parse(path, bytes.data, bytes.len, &file, err);
        if (rc == 0) {
            ARRAY_GROW(c->files, c->file_count, c->file_capacity);
            c->files[c->file_count++] = file;
        }
    }
    secret_buf_release(&bytes);
    return rc;
}

/* "$NAME/rest" if the variable is set. */
static int add_below(struct credentials *c, const char *variable, const char *rest,
                     struct error *err)
{
    const char *folder = getenv(variable);
    if (!folder || !*folder)
        return 0;
    _cleanup_free_ char *path = path_join(folder, rest);
    return add_file(c, path, false, err);
}

static int add_files(struct credentials *c, const char *authfile, struct error *err)
{
    const char *named = getenv("REGISTRY_AUTH_FILE");
    bool docker = getenv("DOCKER_CONFIG") && *getenv("DOCKER_CONFIG");
    if ((authfile && add_file(c, authfile, true, err) < 0) ||
        (named && *named && add_file(c, named, true, err) < 0) ||
        add_below(c, "CREDENTIALS_DIRECTORY", "ducc.auth.json", err) < 0 ||
        add_below(c, "XDG_RUNTIME_DIR", "containers/auth.json", err) < 0)
        return -1;
    return docker ? add_below(c, "DOCKER_CONFIG", "config.json", err)
                  : add_below(c, "HOME", ".docker/config.json", err);
}

/* --- the Go tool's variables --- */

static const char *variable(const char *name, const char *what)
{
    _cleanup_free_ char *full = xasprintf("DUCC_%s_%s", name, what);
    const char *value = getenv(full);
    return value && *value ? value : NULL;
}

/* Nobody finds it in /proc, and no child inherits it. */
static void forget_variable(const char *name, const char *what)
{
    _cleanup_free_ char *full = xasprintf("DUCC_%s_%s", name, what);
    char *value = getenv(full);
    if (value)
        explicit_bzero(value, strlen(value));
    unsetenv(full);
}

/* Owned, to be wiped; NULL and no error if there is none. */
static int read_password(struct credentials *c, const char *name, char **out, struct error *err)
{
    const char *value = variable(name, "PASS"), *folder = getenv("CREDENTIALS_DIRECTORY");
    *out = value ? xstrdup(value) : NULL;
    forget_variable(name, "PASS");
    if (*out || !folder || !*folder)
        return 0;
    struct buf bytes = BUF_INIT;
    _cleanup_free_ char *path = xasprintf("%s/DUCC_%s_PASS", folder, name);
    int rc = read_secret(c, path, false, &bytes, err);
    while (bytes.len > 0 && strchr("\r\n", bytes.data[bytes.len - 1]))
        buf_truncate(&bytes, bytes.len - 1);
    if (rc == 0 && bytes.len > 0)
        *out = xstrdup(bytes.data);
    secret_buf_release(&bytes);
    return rc;
}

static int add_proxy(struct site *site, const char *name, const char *scope, const char *proxy,
                     struct error *err)
{
    if (!site)
        return 0;
    _cleanup_free_ char *host = xstrndup(scope, strcspn(scope, "/"));
    if (site_add_mirror(site_add_registry(site, host), proxy, err) < 0)
        return error_wrap(err, "$DUCC_%s_PROXY", name);
    return 0;
}

static int add_named(struct credentials *c, struct site *site, const char *name, struct error *err)
{
    struct auth_file *f = &c->environment;
    const char *ident = variable(name, "IDENT"), *user = variable(name, "USER");
    const char *proxy = variable(name, "PROXY");
    char *password;
    if (read_password(c, name, &password, err) < 0)
        return -1;
    bool complete = ident && ((user && password) || proxy);
    if (!complete || (user && !password) || (!user && password)) {
        secret_free(password);
        return error_set(err, ERROR_PARSE,
                         "DUCC_AUTH_REGISTRIES names %s: set DUCC_%s_IDENT, and DUCC_%s_USER with "
                         "DUCC_%s_PASS or DUCC_%s_PROXY",
                         name, name, name, name, name);
    }
    _cleanup_free_ char *scope = auth_scope(ident);
    if (user) {
        ARRAY_GROW(f->entries, f->count, f->capacity);
        f->entries[f->count++] = (struct auth_entry){.scope = xstrdup(scope),
                                                     .credential = {xstrdup(user), password, NULL}};
    }
    return proxy ? add_proxy(site, name, scope, proxy, err) : 0;
}

static int add_environment(struct credentials *c, struct site *site, struct error *err)
{
    const char *list = getenv("DUCC_AUTH_REGISTRIES");
    _cleanup_free_ char *copy = xstrdup(list ? list : "");
    char *rest = copy;
    for (char *name; (name = strsep(&rest, ","));) {
        name += strspn(name, " ");
        name[strcspn(name, " ")] = '\0';
        if (*name && add_named(c, site, name, err) < 0)
            return -1;
    }
    return 0;
}

/* --- looking up --- */

/* Docker Hub's credentials are kept under the address that it had first. */
static char *helper_server(const char *name)
{
    size_t len = strcspn(name, "/");
    if (len == strlen("docker.io") && strncmp(name, "docker.io", len) == 0)
        return xstrdup("https://index.docker.io/v1/");
    return xstrndup(name, len);
}

/* With the mutex held: a helper may ask a person, and should ask once. */
static int ask_helper(struct credentials *c, const char *helper, const char *name,
                      struct credential *out, struct error *err)
{
    _cleanup_free_ char *server = helper_server(name);
    _cleanup_free_ char *key = xasprintf("%s\n%s", helper, server);
    struct helped *h = c->helped;
    while (h && strcmp(h->key, key) != 0)
        h = h->next;
    if (!h) {
        struct credential credential = {0};
        int found = credential_helper_get(helper, server, &credential, err);
        if (found < 0)
            return -1;
        h = xmalloc(sizeof *h);
        *h = (struct helped){c->helped, TAKE_PTR(key), found > 0, credential};
        c->helped = h;
    }
    if (h->found)
        credential_copy(out, &h->credential);
    return h->found;
}

static int look_in(struct credentials *c, const struct auth_file *file, const char *name,
                   struct credential *out, struct error *err)
{
    const struct auth_entry *entry = auth_file_find(file, name);
    if (entry && !entry->helper) {
        credential_copy(out, &entry->credential);
        return 1;
    }
    const char *helper = entry ? entry->helper : file->store;
    if (!helper)
        return 0;
    pthread_mutex_lock(&c->mutex);
    int found = ask_helper(c, helper, name, out, err);
    pthread_mutex_unlock(&c->mutex);
    return found < 0 ? error_wrap(err, "%s", file->path) : found;
}

static int lookup(void *arg, const char *registry, const char *repository, struct credential *out,
                  struct error *err)
{
    struct credentials *c = arg;
    struct reference ref = {.registry = (char *)(uintptr_t)registry,
                            .repository = (char *)(uintptr_t)repository};
    _cleanup_free_ char *name = reference_canonical(&ref);
    int found = look_in(c, &c->environment, name, out, err);
    for (size_t i = 0; found == 0 && i < c->file_count; i++)
        found = look_in(c, &c->files[i], name, out, err);
    return found;
}

/* --- life --- */

int credentials_load(const char *authfile, struct site *site, struct credentials **out,
                     struct error *err)
{
    struct credentials *c = xcalloc(1, sizeof *c);
    pthread_mutex_init(&c->mutex, NULL);
    c->environment.path = xstrdup("DUCC_AUTH_REGISTRIES");
    c->source = (struct credential_source){lookup, c};
    if (add_environment(c, site, err) < 0 || add_files(c, authfile, err) < 0) {
        credentials_free(c);
        return -1;
    }
    *out = c;
    return 0;
}

void credentials_free(struct credentials *c)
{
    if (!c)
        return;
    auth_file_release(&c->environment);
    for (size_t i = 0; i < c->file_count; i++)
        auth_file_release(&c->files[i]);
    free(c->files);
    for (size_t i = 0; i < c->warning_count; i++)
        free(c->warnings[i]);
    free(c->warnings);
    while (c->helped) {
        struct helped *h = c->helped;
        c->helped = h->next;
        credential_release(&h->credential);
        free(h->key);
        free(h);
    }
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

const struct credential_source *credentials_source(const struct credentials *c)
{
    return &c->source;
}

const char *const *credentials_warnings(const struct credentials *c, size_t *out_count)
{
    *out_count = c->warning_count;
    return (const char *const *)c->warnings;
}

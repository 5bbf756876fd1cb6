#include "registry/tls.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"
#include "registry/url.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CERTIFICATE_BYTES_MAX ((size_t)4 << 20)

struct tls_store {
    const struct site *site;
    pthread_mutex_t mutex; /* guards the list; its members do not change */
    struct tls_settings *known;
};

struct tls_store *tls_store_new(const struct site *site)
{
    struct tls_store *store = xcalloc(1, sizeof *store);
    store->site = site;
    pthread_mutex_init(&store->mutex, NULL);
    return store;
}

void tls_store_free(struct tls_store *store)
{
    if (!store)
        return;
    while (store->known) {
        struct tls_settings *t = store->known;
        store->known = t->next;
        cleanup_close(&t->authorities_fd);
        free(t->authorities);
        error_release(&t->error);
        free(t->host);
        free(t->certificate);
        free(t->key);
        free(t);
    }
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

static int read_authority(struct buf *authorities, const char *path, struct error *err)
{
    if (file_read(path, CERTIFICATE_BYTES_MAX, authorities, err) < 0)
        return -1;
    buf_addc(authorities, '\n');
    return 0;
}

/* libcurl takes one file, in place of the system's: they are put together. */
static int keep_authorities(struct tls_settings *t, struct buf *authorities, struct error *err)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    const char *usual = curl_version_info(CURLVERSION_NOW)->cainfo;
    if (authorities->len == 0)
        return 0;
    if (usual && read_authority(authorities, usual, &ignored) < 0)
        error_release(&ignored); /* a system without any */
    t->authorities_fd = memfd_create("authorities", MFD_CLOEXEC);
    if (t->authorities_fd < 0 ||
        file_write_all(t->authorities_fd, authorities->data, authorities->len) < 0)
        return error_set_errno(err, ERROR_IO, errno, "cannot keep the authorities");
    t->authorities = xasprintf("/proc/self/fd/%d", t->authorities_fd);
    return 0;
}

static int take_pair(struct tls_settings *t, const char *certificate, struct error *err)
{
    if (t->certificate)
        return 0; /* the first one, by name */
    _cleanup_free_ char *key =
        xasprintf("%.*s.key", (int)(strlen(certificate) - strlen(".cert")), certificate);
    if (access(key, R_OK) < 0)
        return error_set(err, ERROR_PARSE, "%s: the client certificate has no readable %s",
                         certificate, path_name(key));
    t->certificate = xstrdup(certificate);
    t->key = TAKE_PTR(key);
    return 0;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int read_folder(struct tls_settings *t, struct buf *authorities, const char *folder,
                       struct error *err)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_visible, alphasort), rc = 0;
    if (count < 0 && errno != ENOENT && errno != ENOTDIR)
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot open", folder);
    for (int i = 0; i < count; i++) {
        _cleanup_free_ char *path = path_join(folder, entries[i]->d_name);
        if (rc == 0 && ends_with(path, ".crt"))
            rc = read_authority(authorities, path, err);
        else if (rc == 0 && ends_with(path, ".cert"))
            rc = take_pair(t, path, err);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return rc;
}

static int read_folders(const struct tls_store *store, struct tls_settings *t, struct error *err)
{
    const char *home = getenv("HOME");
    _cleanup_buf_ struct buf authorities = BUF_INIT;
    _cleanup_free_ char *own = path_join(home ? home : "", ".config/containers/certs.d");
    const char *usual[] = {own, "/etc/containers/certs.d", "/etc/docker/certs.d"};
    bool named = store->site && store->site->certificate_count > 0;
    size_t count = named ? store->site->certificate_count : sizeof usual / sizeof usual[0];
    for (size_t i = 0; i < count; i++) {
        const char *folder = named ? store->site->certificates[i] : usual[i];
        _cleanup_free_ char *path = path_join(folder, t->host);
        if (read_folder(t, &authorities, path, err) < 0)
            return -1;
    }
    return keep_authorities(t, &authorities, err);
}

static struct tls_settings *find_or_read(struct tls_store *store, const char *host)
{
    for (struct tls_settings *t = store->known; t; t = t->next)
        if (strcmp(t->host, host) == 0)
            return t;
    struct tls_settings *t = xcalloc(1, sizeof *t);
    const struct site_registry *r = site_find_registry(store->site, host);
    t->host = xstrdup(host);
    t->authorities_fd = -1;
    t->verify = !r || r->transport != TRANSPORT_UNVERIFIED;
    if (read_folders(store, t, &t->error) < 0)
        error_wrap(&t->error, "certificates of %s", host);
    t->next = store->known;
    store->known = t;
    return t;
}

const struct tls_settings *tls_store_find(struct tls_store *store, const char *url,
                                          struct error *err)
{
    _cleanup_free_ char *host = url_host(url);
    pthread_mutex_lock(&store->mutex);
    const struct tls_settings *t = find_or_read(store, host ? host : "");
    pthread_mutex_unlock(&store->mutex);
    if (t->error.kind == ERROR_NONE)
        return t;
    error_copy(err, &t->error);
    return NULL;
}

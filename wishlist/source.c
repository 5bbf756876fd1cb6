#include "wishlist/source.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "wishlist/folder.h"
#include "wishlist/source_transport.h"

#include <string.h>

static const struct source_transport *transport_of(const struct source *s)
{
    static const struct source_transport *const transports[] = {
        [SOURCE_FILE] = &source_file_transport,
        [SOURCE_HTTP] = &source_http_transport,
        [SOURCE_GIT] = &source_git_transport,
    };
    return transports[s->url.kind];
}

/* ---- files ---- */

static int file_version(struct source *s, const struct source_version *known,
                        struct source_version *next, bool *out_same, struct error *err)
{
    (void)known;
    (void)out_same;
    struct buf bytes = BUF_INIT;
    if (file_read(s->url.shown, LIMIT_RECIPE_BYTES, &bytes, err) < 0) {
        buf_release(&bytes);
        return -1;
    }
    struct digest digest = digest_of(DIGEST_SHA256, bytes.data, bytes.len);
    next->revision = xstrdup(digest_text(&digest).s);
    version_add(next, s->url.path, &bytes);
    return 0;
}

static int file_other(struct source *s, const struct source_version *version, const char *path,
                      size_t max_bytes, struct buf *out, struct error *err)
{
    (void)version;
    _cleanup_free_ char *folder = folder_of(s->url.shown);
    return folder_read(folder, path, max_bytes, out, err);
}

const struct source_transport source_file_transport = {file_version, file_other};

/* ---- life ---- */

/* What stands before a path in messages. */
static char *base_of(const struct source_url *url)
{
    size_t len = strlen(url->remote);
    if (url->kind == SOURCE_GIT)
        return xasprintf("git+%s//", url->remote);
    if (url->kind == SOURCE_HTTP)
        len = strcspn(url->remote, "?");
    const char *slash = memrchr(url->remote, '/', len);
    return xstrndup(url->remote, slash ? (size_t)(slash + 1 - url->remote) : 0);
}

static void read_good(struct source *s)
{
    _cleanup_error_ struct error ignored = ERROR_INIT; /* it is fetched anew */
    if (version_load(s->good_path, &s->good, &ignored) == 0)
        s->current = &s->good;
}

struct source *source_open(const char *url, const struct source_options *options, struct error *err)
{
    struct source_url parsed = {0};
    if (source_url_parse(url, &parsed, err) < 0)
        return NULL;
    if (parsed.kind == SOURCE_GIT && !options->state_dir) {
        source_url_release(&parsed);
        error_set(err, ERROR_BUG, "list %s: no state directory for its mirror", url);
        return NULL;
    }
    struct source *s = xcalloc(1, sizeof *s);
    s->url = parsed;
    s->options = *options;
    s->base = base_of(&parsed);
    if (options->state_dir) {
        struct digest digest = digest_of(DIGEST_SHA256, url, strlen(url));
        s->folder = path_join(options->state_dir, "sources");
        s->good_path = xasprintf("%s/list-%.32s.json", s->folder, digest_hex(&digest).s);
        read_good(s);
    }
    return s;
}

void source_free(struct source *s)
{
    if (!s)
        return;
    version_release(&s->newest);
    version_release(&s->good);
    source_url_release(&s->url);
    free(s->base);
    free(s->folder);
    free(s->good_path);
    free(s);
}

/* ---- asking ---- */

static bool same_bytes(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* Is each file that was read of `known` the same in `next`? It reads them, so that they need not be
 * read again. */
static bool is_same(struct source *s, const struct source_version *known,
                    struct source_version *next)
{
    for (size_t i = 0; i < known->count; i++) {
        const struct source_file *f = version_find(next, known->files[i].path);
        struct buf bytes = BUF_INIT;
        _cleanup_error_ struct error ignored = ERROR_INIT; /* who reads the list meets it again */
        if (!f && transport_of(s)->read(s, next, known->files[i].path, LIMIT_RECIPE_BYTES, &bytes,
                                        &ignored) < 0) {
            buf_release(&bytes);
            return false;
        }
        if (!f)
            f = version_add(next, known->files[i].path, &bytes);
        if (!same_bytes(&f->bytes, &known->files[i].bytes))
            return false;
    }
    return true;
}

/* The server says that the list is the known one: what it includes may have changed all the same.
 */
static void take_known(const struct source_version *known, struct source_version *next)
{
    struct buf bytes = BUF_INIT;
    buf_add(&bytes, known->files[0].bytes.data, known->files[0].bytes.len);
    version_release(next);
    next->revision = xstrdup(known->revision);
    next->etag = known->etag ? xstrdup(known->etag) : NULL;
    next->last_modified = known->last_modified ? xstrdup(known->last_modified) : NULL;
    version_add(next, known->files[0].path, &bytes);
}

static int refresh(struct source *s, bool *out_changed, struct error *err)
{
    const struct source_version *known = s->newest.revision ? &s->newest
                                         : s->good.revision ? &s->good
                                                            : NULL;
    struct source_version next = {0};
    bool same = false;
    if (transport_of(s)->fetch(s, s->incomplete ? NULL : known, &next, &same, err) < 0) {
        version_release(&next);
        return -1;
    }
    if (same)
        take_known(known, &next);
    next.time = clock_now();
    if (known && !s->incomplete && is_same(s, known, &next)) {
        version_release(&next);
        *out_changed = false;
        return 0;
    }
    version_release(&s->newest);
    s->newest = next;
    s->current = &s->newest;
    s->incomplete = false;
    *out_changed = true;
    return 0;
}

int source_refresh(struct source *s, bool *out_changed, struct error *err)
{
    return refresh(s, out_changed, err) < 0 ? error_wrap(err, "list %s", s->url.shown) : 0;
}

bool source_has_good(const struct source *s)
{
    return s->good.revision != NULL;
}

bool source_use_good(struct source *s)
{
    s->current = source_has_good(s) ? &s->good : s->current;
    return source_has_good(s);
}

int source_accept(struct source *s, struct error *err)
{
    if (!s->current || s->current == &s->good)
        return 0;
    version_copy(&s->good, &s->newest);
    if (s->good_path &&
        (dir_make(s->folder, 0755, err) < 0 || version_save(&s->good, s->good_path, err) < 0))
        return error_wrap(err, "list %s", s->url.shown);
    return 0;
}

/* ---- the current version ---- */

const struct source_url *source_where(const struct source *s)
{
    return &s->url;
}

const char *source_revision(const struct source *s)
{
    return s->current ? s->current->revision : NULL;
}

int64_t source_time(const struct source *s)
{
    return s->current ? s->current->time : 0;
}

const char *source_base(const struct source *s)
{
    return s->base;
}

const char *source_path(const struct source *s)
{
    return s->url.path;
}

/* The file of the current version, read if it was not yet. */
static const struct source_file *find_or_read(struct source *s, const char *path, size_t max_bytes,
                                              struct error *err)
{
    struct buf bytes = BUF_INIT;
    const struct source_file *f = s->current ? version_find(s->current, path) : NULL;
    if (f)
        return f;
    if (!s->current || s->current->kept) {
        error_set(err, ERROR_NOT_FOUND, "not kept of the last good version");
        return NULL;
    }
    if (transport_of(s)->read(s, s->current, path, max_bytes, &bytes, err) < 0) {
        /* A commit holds what it holds; elsewhere the file may come. */
        s->incomplete |= s->url.kind != SOURCE_GIT;
        buf_release(&bytes);
        return NULL;
    }
    return version_add(s->current, path, &bytes);
}

int source_read(void *arg, const char *path, size_t max_bytes, struct buf *out, struct error *err)
{
    struct source *s = arg;
    const struct source_file *f = find_or_read(s, path, max_bytes, err);
    if (!f)
        return error_wrap(err, "%s%s", s->base, path);
    if (f->bytes.len > max_bytes)
        return error_set(err, ERROR_LIMIT, "%s%s: larger than the %zu bytes that are accepted",
                         s->base, path, max_bytes);
    buf_add(out, f->bytes.data, f->bytes.len);
    return 0;
}

int source_load(struct source *s, struct recipe *out, struct error *err)
{
    _cleanup_free_ char *branch = s->url.branch ? xasprintf("@%s", s->url.branch) : NULL;
    struct recipe_loader loader = {.base = s->base,
                                   .behind = branch,
                                   .revision = source_revision(s),
                                   .read = source_read,
                                   .arg = s};
    return recipe_load(&loader, s->url.path, out, err);
}

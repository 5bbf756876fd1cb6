/*
 * Blobs into files. One download is a row of attempts that share a file, a hasher and a count of
 * good bytes; each attempt asks for what is still missing:
 *
 *     file   |##########|              |      have = 10, hashed
 *                       `-- Range: bytes=10-
 *
 * A registry that ignores Range answers 200 with all of it, and the download starts anew.
 */
#include "base/cancel.h"
#include "base/file.h"
#include "base/memory.h"
#include "registry/answer.h"
#include "registry/endpoint.h"
#include "registry/request.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOTAL_ATTEMPTS_MAX 20 /* also when each brings something */
#define READ_BYTES         ((size_t)1 << 20)

struct download {
    struct registry_client *client;
    const struct endpoint *at;
    const struct blob_download *what;
    struct hasher *hasher; /* of the first `have` bytes */
    uint64_t have;
    uint64_t most;      /* that any attempt had: to tell progress from running in place */
    uint64_t inherited; /* bytes found in the file that nobody has verified */
    int failures;       /* in a row, without progress */
    int attempts;
};

static int restart(struct download *d, struct error *err)
{
    if (ftruncate(d->what->fd, 0) < 0)
        return error_set_errno(err, ERROR_IO, errno, "cannot empty the file of the download");
    hasher_finish(d->hasher);
    d->have = 0;
    d->inherited = 0;
    return 0;
}

/* --- the sink, on the I/O thread --- */

/* "bytes FIRST-LAST/TOTAL", TOTAL may be "*": RFC 9110, section 14.4. */
static int check_content_range(const struct download *d, const char *value, struct error *err)
{
    unsigned long long first, last, total = d->what->blob->size;
    int end = 0;
    if (!value)
        return error_set(err, ERROR_NET, "partial content without a Content-Range");
    bool ok = sscanf(value, "bytes %llu-%llu/%n", &first, &last, &end) == 2 && end > 0;
    if (ok && strcmp(value + end, "*") != 0) {
        char *tail;
        total = strtoull(value + end, &tail, 10);
        ok = tail != value + end && *tail == '\0';
    }
    if (ok && first == d->have && last >= first && last < total && total == d->what->blob->size)
        return 0;
    _cleanup_free_ char *q = quoted(value);
    return error_set(err, ERROR_NET, "asked for bytes from %llu of %llu, got Content-Range %s",
                     (unsigned long long)d->have, (unsigned long long)d->what->blob->size, q);
}

static int begin(void *arg, const struct http_response *response, struct error *err)
{
    struct download *d = arg;
    if (response->status == 206 && d->have > 0)
        return check_content_range(d, http_header(response, "content-range"), err);
    if (response->status == 200)
        return d->have > 0 ? restart(d, err) : 0;
    return error_set(err, ERROR_NET, "unexpected status %ld", response->status);
}

static int write_failed(const struct download *d, int errnum, struct error *err)
{
    if (errnum == ENOSPC || errnum == EDQUOT)
        return error_set(err, ERROR_LIMIT,
                         "%s is full: no space left on its file system (make room there, or give "
                         "another place with --spool)",
                         d->what->place ? d->what->place : "the spool");
    return error_set_errno(err, ERROR_IO, errnum, "cannot write the download");
}

static int body(void *arg, const void *bytes, size_t len, struct error *err)
{
    struct download *d = arg;
    const struct blob_download *what = d->what;
    if (len > what->blob->size - d->have)
        return error_set(err, ERROR_CORRUPT, "longer than the %llu bytes of its descriptor",
                         (unsigned long long)what->blob->size);
    if (file_pwrite_all(what->fd, bytes, len, (off_t)d->have) < 0)
        return write_failed(d, errno, err);
    hasher_update(d->hasher, bytes, len);
    d->have += len;
    atomic_fetch_add(&d->client->blob_bytes, len);
    return what->progress ? what->progress(what->arg, d->have, err) : 0;
}

/* --- one attempt --- */

/* 1: another attempt may help; 0: the blob is there; -1: it cannot be had. *response is what came,
 * for its Retry-After. */
static int judge(struct download *d, struct http_response *response, struct error *err)
{
    if (response->status == 416 && d->have > 0) {
        error_set(err, ERROR_NET, "the registry has no byte %llu of a blob of %llu",
                  (unsigned long long)d->have, (unsigned long long)d->what->blob->size);
        return restart(d, err) < 0 ? -1 : 1;
    }
    if (response->status != 200 && response->status != 206) {
        answer_error(response, err);
        return err->retryable ? 1 : -1;
    }
    if (d->have == d->what->blob->size)
        return 0;
    error_set(err, ERROR_NET, "the answer ended after %llu of %llu bytes",
              (unsigned long long)d->have, (unsigned long long)d->what->blob->size);
    error_retryable(err);
    return 1;
}

static int attempt(struct download *d, const char *url, struct http_response *response,
                   struct error *err)
{
    struct http_sink sink = {begin, body, d};
    struct registry_request request = {
        .kind = REQUEST_GET_BLOB,
        .ref = d->what->ref,
        .http = {.url = url, .range_start = d->have, .sink = &sink},
    };
    d->attempts++;
    if (request_send_once(d->client, d->at, &request, response, err) < 0)
        return err->retryable ? 1 : -1;
    return judge(d, response, err);
}

/* --- the row of attempts --- */

/* True if it is worth going on after an attempt that brought the file to d->have. */
static bool go_on(struct download *d, const struct http_response *response)
{
    bool progress = d->have > d->most;
    if (progress)
        d->most = d->have;
    d->failures = progress ? 1 : d->failures + 1;
    bool out_of_attempts = d->failures >= d->client->retry.attempts && !progress;
    return !out_of_attempts && d->attempts < TOTAL_ATTEMPTS_MAX &&
           retry_pause(&d->client->retry, d->failures, response->status ? response : NULL);
}

static int fetch_all(struct download *d, const char *url, struct error *err)
{
    while (d->have < d->what->blob->size) {
        struct http_response response = {.body = BUF_INIT};
        int rc = attempt(d, url, &response, err);
        bool again = rc > 0 && go_on(d, &response);
        http_response_release(&response);
        if (rc <= 0)
            return rc;
        if (!again)
            return error_wrap(err, "after %d attempts", d->attempts);
        if (cancel_check(err) < 0)
            return -1;
    }
    return 0;
}

/* Hash what the file holds. */
static int inherit(struct download *d, struct error *err)
{
    struct stat st;
    int fd = d->what->fd;
    if (fstat(fd, &st) < 0)
        return error_set_errno(err, ERROR_IO, errno, "cannot look at the file of the download");
    if ((uint64_t)st.st_size > d->what->blob->size)
        return restart(d, err);
    _cleanup_free_ char *bytes = xmalloc(READ_BYTES);
    while (d->have < (uint64_t)st.st_size) {
        uint64_t left = (uint64_t)st.st_size - d->have;
        size_t len = left < READ_BYTES ? (size_t)left : READ_BYTES;
        if (cancel_check(err) < 0)
            return -1;
        if (file_pread_all(fd, bytes, len, (off_t)d->have) < 0)
            return error_set_errno(err, ERROR_IO, errno, "cannot read the file of the download");
        hasher_update(d->hasher, bytes, len);
        d->have += len;
    }
    d->most = d->inherited = d->have;
    return 0;
}

/* What was in the file may have been spoilt before we came (a crash, another blob): then once
 * more, without it. */
static int fetch_and_verify(struct download *d, const char *url, struct error *err)
{
    const struct descriptor *blob = d->what->blob;
    for (;;) {
        if (fetch_all(d, url, err) < 0)
            return -1;
        struct digest got = hasher_finish(d->hasher);
        if (digest_equal(&got, &blob->digest))
            return 0;
        bool again = d->inherited > 0;
        if (restart(d, err) < 0)
            return -1;
        if (!again)
            return answer_wrong_digest(d->what->ref, "blob", &blob->digest, &got, err);
        d->most = 0;
    }
}

/* What one place brought is the next one's beginning: the digest is of the whole. */
static int fetch_from(void *arg, const struct endpoint *at, struct error *err)
{
    struct download *d = arg;
    _cleanup_free_ char *path = xasprintf("blobs/%s", digest_text(&d->what->blob->digest).s);
    _cleanup_free_ char *url = endpoint_url(at, path);
    if (d->at)
        d->inherited = d->have; /* from somebody else */
    d->at = at;
    d->failures = d->attempts = 0;
    return fetch_and_verify(d, url, err);
}

static int check_size(const struct registry_client *client, const struct descriptor *blob,
                      struct error *err)
{
    if (blob->size <= client->sizes.layer_bytes)
        return 0;
    return error_set(err, ERROR_LIMIT, "blob %s: %llu bytes, more than the %llu that are accepted",
                     digest_text(&blob->digest).s, (unsigned long long)blob->size,
                     (unsigned long long)client->sizes.layer_bytes);
}

int registry_download_blob(struct registry_client *client, const struct blob_download *download,
                           struct error *err)
{
    const struct digest *digest = &download->blob->digest;
    if (check_size(client, download->blob, err) < 0)
        return -1;
    _cleanup_hasher_ struct hasher *hasher = hasher_new(digest->algorithm);
    struct download d = {.client = client, .what = download, .hasher = hasher};
    struct error before = ERROR_INIT;
    int rc = inherit(&d, &before);
    if (rc == 0)
        rc = request_anywhere(client, download->ref, fetch_from, &d, &before);
    if (rc < 0) {
        /* A body that is too long is as wrong as one with another digest. */
        if (before.kind == ERROR_CORRUPT && ftruncate(download->fd, 0) < 0)
            error_wrap(&before, "(and its file cannot be emptied)");
        error_move(err, &before);
    }
    error_release(&before);
    return rc;
}

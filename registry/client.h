/*
 * The HTTP client of the OCI distribution protocol (1.0; Docker Registry HTTP API V2).
 *
 * One client serves the whole process: it owns the connections (registry/http.h: libcurl's multi
 * interface on one thread), and the token cache (registry/auth.h). Its functions block the calling
 * thread and may be called from any number of threads at once.
 *
 * Errors: ERROR_NOT_FOUND for 404, ERROR_AUTH for 401 and 403, ERROR_NET (retryable) for broken
 * connections, timeouts, 429 and 5xx after the client's own attempts, ERROR_CORRUPT for bytes that
 * do not match their digest or size, ERROR_LIMIT for answers beyond base/limits.h. Messages name
 * the URL's host and path and what the registry said (the "message" of its JSON errors), never a
 * credential, nor a URL's query. ERROR_CANCELLED soon after a stop was asked for (base/cancel.h).
 *
 * Retry-After is obeyed up to 60 seconds; a registry that asks for more is not waited for, and the
 * error is for the caller to come back to later. The same holds where the quota that a registry
 * tells of is at the site's floor.
 *
 * What the site says (registry/site.h) holds for every function: ERROR_POLICY for what its rules
 * forbid, before any request; mirrors are asked before the origin, which is asked when they fail;
 * no more requests at a time or a second than are allowed wait for their turn here.
 */
#ifndef REGISTRY_CLIENT_H
#define REGISTRY_CLIENT_H

#include "base/buf.h"
#include "base/digest.h"
#include "base/error.h"
#include "registry/manifest.h"
#include "registry/reference.h"
#include "registry/site.h"

struct registry_options {
    int attempts;               /* of one request, with growing pauses; 0: 4 */
    double first_pause_seconds; /* before the second attempt; 0: 0.5; doubles, with jitter */
    double stall_seconds;       /* give up on a transfer slower than 1 kB/s for so long; 0: 30 */
    const struct site *site;    /* rules, mirrors, limits; NULL: none. Borrowed, as below */
    /* Where credentials come from (registry/credentials.h); NULL: none. */
    const struct credential_source *credentials;
};

struct registry_client;
struct registry_client *registry_client_new(const struct registry_options *options,
                                            struct error *err);
void registry_client_free(struct registry_client *client);

/* HEAD of the reference's manifest: its digest, not set in *out if the registry does not say, or
 * has no HEAD. Then registry_get_manifest_unless() is the way to ask. */
MUST_CHECK int registry_head_manifest(struct registry_client *client, const struct reference *ref,
                                      struct digest *out, struct error *err);

struct fetched_manifest {
    struct buf bytes; /* byte for byte as the registry sent it */
    struct digest digest;
    enum media_kind kind; /* MEDIA_MANIFEST or MEDIA_INDEX */
    char *media_type;     /* what it says it is, or the registry does; NULL: neither says */
};
/* GET it: by `digest` if that is not NULL (what a HEAD said, or an entry of an index), else by the
 * reference's own digest, else by its tag. Verified against that digest, for a tag against the
 * registry's Docker-Content-Digest if it sends one. */
MUST_CHECK int registry_get_manifest(struct registry_client *client, const struct reference *ref,
                                     const struct digest *digest, struct fetched_manifest *out,
                                     struct error *err);
/* The same, if it is not `known` (If-None-Match, for registries whose ETag is the digest; NULL:
 * nothing is known): 1 with *out filled, 0 if it is unchanged, -1. */
MUST_CHECK int registry_get_manifest_unless(struct registry_client *client,
                                            const struct reference *ref, const struct digest *known,
                                            struct fetched_manifest *out, struct error *err);
void fetched_manifest_release(struct fetched_manifest *manifest);

/* All tags, page by page (Link: rel="next"). `found` is called for each, on the calling thread; -1
 * from it stops. Names that are no tags are left out. In no order, and one may come twice (a page
 * that moved meanwhile, a mirror that failed halfway). */
MUST_CHECK int registry_list_tags(struct registry_client *client, const struct reference *ref,
                                  int (*found)(void *arg, const char *tag, struct error *err),
                                  void *arg, struct error *err);

/* A small blob (an image configuration) into memory, verified. Replaces what *out holds. */
MUST_CHECK int registry_get_blob(struct registry_client *client, const struct reference *ref,
                                 const struct descriptor *blob, size_t max_bytes, struct buf *out,
                                 struct error *err);

/* An image configuration, not longer than the site accepts. */
MUST_CHECK int registry_get_config(struct registry_client *client, const struct reference *ref,
                                   const struct descriptor *config, struct buf *out,
                                   struct error *err);

struct blob_download {
    const struct reference *ref;
    const struct descriptor *blob;
    const char *place; /* what messages call the file's place, or NULL */
    int fd;            /* a regular file; what it holds already is taken as the blob's beginning */
    /* Called as bytes arrive with how many of the blob are there; NULL for none. From the I/O
     * thread: must not block. -1 with *err set stops the download. */
    int (*progress)(void *arg, uint64_t bytes, struct error *err);
    void *arg;
};
/* Stream a blob into a file. A broken connection is resumed with a Range request; the digest is
 * computed as the bytes arrive (over what was there before, first). If the digest is wrong and the
 * file was not empty at first, it is fetched once more from the start. On ERROR_CORRUPT the file
 * is empty again; on other errors it holds a beginning to resume from. ERROR_LIMIT if the disk is
 * full. It goes on through any number of broken connections up to 20 as long as each brought
 * something, else through options.attempts in a row. */
MUST_CHECK int registry_download_blob(struct registry_client *client,
                                      const struct blob_download *download, struct error *err);

/* Requests sent so far by kind, for tests, reports and benchmarks. */
struct registry_counters {
    uint64_t head_manifest, get_manifest, get_blob, list_tags, token;
    uint64_t blob_bytes;
};
void registry_get_counters(struct registry_client *client, struct registry_counters *out);

#endif

/*
 * Sources of lists: a file, an http(s) URL, a file on a branch of a git repository
 * (wishlist/source_url.h says how they are written; docs/sources.md is for operators).
 *
 * A source is asked again and again; what it gives is a *version* of the list: the list itself, the
 * files that it includes, and what the source calls that state (a commit, an ETag). Two versions
 * count: the newest that could be fetched, and the last *good* one, which its reader accepted. The
 * good one is kept below the state directory and stays in force, over a restart too, when the
 * source cannot be reached, its branch or file is gone, or what it gives does not parse.
 *
 *     struct source *s = source_open(url, &options, err);
 *     for (;;) {
 *         if (source_refresh(s, &changed, err) < 0)
 *             ... report; the good version stays in force ...
 *         else if (changed) {
 *             if (source_load(s, &recipe, err) < 0)
 *                 ... report; the good version stays in force ...
 *             else
 *                 source_accept(s, err);
 *         }
 *         ... act on the recipe, wait ...
 *     }
 *     source_free(s);
 *
 * At the start, source_load() after source_use_good() reads the good version without asking
 * anybody.
 *
 * "Changed" is a matter of bytes: a commit that touches neither the list nor what it includes
 * changes nothing, and the revision stays the older one, which has the same list.
 *
 * Threads: one at a time for each source; any number of sources at once. Errors: ERROR_NET
 * (retryable), ERROR_AUTH, ERROR_NOT_FOUND (no such file, repository, branch, path), ERROR_LIMIT,
 * ERROR_IO, ERROR_CANCELLED soon after a stop was asked for. Messages begin with the list's URL
 * without its query; no secret stands in one.
 */
#ifndef WISHLIST_SOURCE_H
#define WISHLIST_SOURCE_H

#include "base/buf.h"
#include "base/error.h"
#include "registry/site.h"
#include "wishlist/recipe.h"
#include "wishlist/source_url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How to be let in somewhere. The secrets stay in their files, and are read for each fetch: they
 * may change. All strings but `url` may be NULL. */
struct source_credential {
    char *url;         /* of what it is for: "https://host/group", "ssh://host:2222"; whole parts of
                          the path count */
    char *user;        /* default: "oauth2" with a password, what servers expect beside a token */
    char *secret_file; /* its first line is the password or token */
    bool bearer;       /* http(s) lists only: "Authorization: Bearer", not Basic */
    char *key_file;    /* private key for ssh; without one the agent is asked */
    char *passphrase_file;
};

/* What the operator says about sources (config/config.h). */
struct source_settings {
    struct source_credential *credentials;
    size_t credential_count, credential_capacity;
    char *known_hosts;      /* beside /etc/ssh/ssh_known_hosts and ~/.ssh/known_hosts; or NULL */
    double silence_seconds; /* a server that says nothing for so long is given up; 0: 60 */
    double limit_seconds;   /* for one fetch in all; 0: 3600 */
};
void source_settings_release(struct source_settings *settings);

struct source_options {
    const char
        *state_dir; /* everything is kept below STATE_DIR/sources; git needs it. NULL: none */
    const struct source_settings *settings; /* borrowed as long as the source; or NULL */
    const struct site *site;                /* certificates and exceptions of hosts; the same */
    /* How far a fetch that takes more than a second is, for a log; on another thread. Or NULL. */
    void (*progress)(void *arg, const char *source, const char *text);
    void *arg;
    /* The program that fetches from git servers, called with the word SOURCE_GIT_FETCH
     * (wishlist/git_fetch.h); NULL: this very program. */
    const char *git_fetch_program;
};

struct source;
/* Asks nobody yet; reads what is kept of the source. ERROR_PARSE for a wrong URL. */
struct source *source_open(const char *url, const struct source_options *options,
                           struct error *err);
void source_free(struct source *source);
static inline void cleanup_source(struct source **source)
{
    source_free(*source);
}
#define _cleanup_source_ __attribute__((cleanup(cleanup_source)))

/* Borrowed. */
const struct source_url *source_where(const struct source *source);

/* Ask. *out_changed: there is a version that differs from the one known before (which is the newest
 * fetched, else the good one); it is now the current one. Unchanged: the current one stays. */
MUST_CHECK int source_refresh(struct source *source, bool *out_changed, struct error *err);
/* Make the good version the current one; false if there is none. */
bool source_use_good(struct source *source);
/* The current version can be used: it is the good one from now on. */
MUST_CHECK int source_accept(struct source *source, struct error *err);
bool source_has_good(const struct source *source);

/* ---- the current version ---- */

/* The commit, the ETag, or the list's digest; NULL: there is no current version. Borrowed until the
 * next call that may change it, as below. */
const char *source_revision(const struct source *source);
/* When it was fetched, in seconds since 1970. */
int64_t source_time(const struct source *source);
/* The recipe in it (wishlist/recipe.h), with what it includes. */
MUST_CHECK int source_load(struct source *source, struct recipe *out, struct error *err);
/* What stands before a path in messages and records: "git+https://host/repo//", "lists/". */
const char *source_base(const struct source *source);
/* The list's path for source_read(). */
const char *source_path(const struct source *source);
/* A file of the current version, appended to *out; `arg` is the source. What is read becomes part
 * of the version. `path` is clean and relative: to the repository's root, or to the folder of the
 * file or URL. ERROR_LIMIT above max_bytes. */
MUST_CHECK int source_read(void *arg, const char *path, size_t max_bytes, struct buf *out,
                           struct error *err);

#endif

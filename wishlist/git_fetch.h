/*
 * Fetching one branch of a git repository into a bare mirror, in a process of its own.
 *
 * Why a process: libgit2 1.5 has no time-out for reading from a server (GIT_OPT_SET_SERVER_TIMEOUT
 * came with 1.7, and not for ssh), so who waits must be able to end it; libssh2 looks for known
 * hosts below $HOME only; and certificates are a setting of the whole process. What a server sends
 * is parsed there, too, away from the credentials of registries and from the repository.
 *
 * The parent starts its own program with the word SOURCE_GIT_FETCH, writes one JSON object to its
 * standard input (secrets are in no argument and no environment), and reads lines:
 *
 *     alive                         the server said something; at most one a second
 *     progress TEXT                 how far it is
 *     commit HEX                    the branch's commit, which is in the mirror; the end
 *     error KIND again|final TEXT   why not; the end
 *
 * The branch is kept under a name of ours, so that lists on several branches share a mirror and
 * nothing else is fetched. A branch that was forced elsewhere is followed. When the mirror holds
 * many packs, they become one, and what no branch needs any more is gone.
 */
#ifndef WISHLIST_GIT_FETCH_H
#define WISHLIST_GIT_FETCH_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define SOURCE_GIT_FETCH "git-fetch"

/* The child's main(). Ends the process. */
_Noreturn void git_fetch_main(void);

struct git_fetch_request {
    const char *mirror;                                /* folder; made if it is not there */
    const char *home;                                  /* folder that holds .ssh/known_hosts */
    const char *url;                                   /* https, http, ssh or file */
    const char *branch;                                /* NULL: what the server's HEAD names */
    const char *user, *secret, *key_file, *passphrase; /* or NULL */
    const char *authorities;                           /* PEM, in place of the system's; or NULL */
    bool any_certificate;
    const char *revoked; /* host keys that are never accepted: base64, one a line */
    uint64_t max_bytes;
};

struct git_fetch_settings {
    const char *program; /* NULL: /proc/self/exe */
    double silence_seconds, limit_seconds;
    void (*progress)(void *arg, const char *text);
    void *arg;
};

#define GIT_COMMIT_TEXT_SIZE 65 /* SHA-256 repositories have 64 digits */

/* Run the child. The branch's commit in out_commit. */
int git_fetch_run(const struct git_fetch_request *request,
                  const struct git_fetch_settings *settings, char out_commit[GIT_COMMIT_TEXT_SIZE],
                  struct error *err) MUST_CHECK;

#endif

/*
 * The key `web` of the configuration (docs/configuration.md): the settings of the web end, with
 * each secret as the path of its file.
 *
 * Secrets are read when they are needed, by the service or check-config: other commands may be run
 * by users who must not see them.
 */
#ifndef CONFIG_CONFIG_WEB_H
#define CONFIG_CONFIG_WEB_H

#include "web/server.h"

#define WEB_LISTEN_DEFAULT   "127.0.0.1:8899"
#define WEB_SECRET_BYTES_MIN 16
#define WEB_SECRET_BYTES_MAX 1024

struct configured_web {
    bool on;                      /* the key is there */
    struct web_settings settings; /* without secrets */
    char **secret_files;          /* one a sender */
    char *token_file;             /* NULL: not said */
};
void configured_web_release(struct configured_web *web);

/* A copy with the secrets: web_settings_release(). A secret is the first line of its file.
 * ERROR_NOT_FOUND, ERROR_IO, ERROR_PARSE with the path and what a secret must be. */
MUST_CHECK int configured_web_open(const struct configured_web *web, struct web_settings *out,
                                   struct error *err);

#endif

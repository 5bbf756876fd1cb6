/*
 * The operator's configuration file (docs/configuration.md): /etc/ducc/ducc.yaml, or --config FILE.
 *
 * A table a mapping says which keys there are and how each is read; another part of the program
 * adds a top-level key and a table. What is wrong with the file is said with file, line and column,
 * and nothing of it is used.
 */
#ifndef PUBLISHER_CONFIG_H
#define PUBLISHER_CONFIG_H

#include "base/error.h"
#include "registry/site.h"

#define CONFIG_DEFAULT_PATH "/etc/ducc/ducc.yaml"

struct config {
    struct site site; /* of the key `registries` */
};

/* `path` NULL: the default one, which need not be there. ERROR_PARSE, ERROR_LIMIT, ERROR_NOT_FOUND,
 * ERROR_IO. *out is filled on success only: config_release(). */
MUST_CHECK int config_read(const char *path, struct config *out, struct error *err);
/* The same from memory; `path` is for messages, and what relative paths are relative to. */
MUST_CHECK int config_parse(const char *path, const char *bytes, size_t len, struct config *out,
                            struct error *err);
void config_release(struct config *config);

#endif

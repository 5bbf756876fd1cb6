/*
 * The operator's configuration file (docs/configuration.md): /etc/ducc/ducc.yaml, or --config FILE.
 *
 * A table a mapping says which keys there are and how each is read; another part of the program
 * adds a top-level key and a table. What is wrong with the file is said with file, line and column,
 * and nothing of it is used.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/error.h"
#include "base/log.h"
#include "config/config_web.h"
#include "config/retention.h"
#include "config/notifier.h"
#include "registry/site.h"
#include "repository/policy.h"
#include "state/history.h"
#include "wishlist/recipe.h"
#include "wishlist/source.h"

#define STATUS_COPY_MIN     60 /* seconds */
#define CONFIG_DEFAULT_PATH "/etc/ducc/ducc.yaml"

/* Of the key `service`. What an option of the command line gives wins. */
struct service_settings {
    char *state_dir, *spool;              /* NULL: not said */
    uint64_t spool_limit, revision_limit; /* bytes; 0: not said */
    size_t jobs;                          /* 0: not said */
    uint64_t interval;                    /* seconds between two polls of a list; 0: not said */
    uint64_t status_copy;                 /* seconds: worker/status_copy.h; 0: none */
    enum log_level log;
    bool log_given;
};
void service_settings_release(struct service_settings *settings);

/* One of the key `lists`. What is said here wins over the recipe. */
struct configured_list {
    char *name;   /* for messages; the source if none was given */
    char *source; /* wishlist/source_url.h */
    char *repository;
    uint64_t interval;               /* seconds; 0: the recipe's, else the service's */
    char *policies[RECIPE_POLICIES]; /* their words; NULL: not said */
    struct platform_list platforms;
};
void configured_list_release(struct configured_list *list);
/* Add what the list says to what the command line has given, which wins. */
MUST_CHECK int configured_list_policy(const struct configured_list *list, struct policy *policy,
                                      struct error *err);

struct config {
    char *path;       /* of the file, absolute, links as they are; NULL: there was none */
    struct site site; /* of the key `registries` */
    struct service_settings service;
    struct configured_list *lists;
    size_t list_count, list_capacity;
    struct source_settings sources;
    struct retention_rules deletion;
    struct notify_targets notifications;
    struct history_bounds history; /* how long it is kept */
    struct configured_web web;
};

/* `path` NULL: the default one, which need not be there. ERROR_PARSE, ERROR_LIMIT, ERROR_NOT_FOUND,
 * ERROR_IO. *out is filled on success only: config_release(). */
MUST_CHECK int config_read(const char *path, struct config *out, struct error *err);
/* The same from memory; `path` is for messages, and what relative paths are relative to. */
MUST_CHECK int config_parse(const char *path, const char *bytes, size_t len, struct config *out,
                            struct error *err);
void config_release(struct config *config);

#endif

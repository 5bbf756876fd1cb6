/*
 * How the configuration file is read (internal to publisher/config*.c): a table a mapping says
 * which keys there are and how the value of each is read. All functions return -1 with file, line
 * and column in the reader's error.
 */
#ifndef CONFIG_CONFIG_READER_H
#define CONFIG_CONFIG_READER_H

#include "config/config.h"
#include "wishlist/document.h"

#include <stddef.h>
#include <stdint.h>

struct config_reader {
    const char *path;
    struct config *config;
    struct error *err;
};

/* How a key's value is read: `to` is what the mapping it stands in is about. */
struct config_key {
    const char *name;
    int (*read)(struct config_reader *r, const struct node *value, void *to);
    const char *expected; /* for messages: "a list of rules" */
    enum node_kind kind;
};

MUST_CHECK int config_read_mapping(struct config_reader *r, const struct node *mapping,
                                   const struct config_key *table, void *to);
MUST_CHECK int config_read_key(struct config_reader *r, const struct node *name,
                               const struct node *value, const struct config_key *table, void *to);

int config_fail_at(struct config_reader *r, const struct node *at, const char *message);
/* Put the place in front of an error that a reader of texts has set. */
int config_wrap_at(struct config_reader *r, const struct node *at, const char *key);
/* Each element of a list must be a text. */
MUST_CHECK int config_check_texts(struct config_reader *r, const struct node *list,
                                  const char *what);

/* Relative to the folder of the configuration file. "$CREDENTIALS_DIRECTORY/NAME" is what systemd
 * gives the service; where it gives none, NAME is where it takes it from: beside the configuration,
 * so that somebody can call ducc check-config. Owned. */
char *config_resolve_path(const struct config_reader *r, const char *path);
MUST_CHECK int config_read_count(struct config_reader *r, const struct node *value, size_t *out,
                                 const char *key, unsigned long max);
MUST_CHECK int config_read_size(struct config_reader *r, const struct node *value, uint64_t max,
                                const char *key, uint64_t *out);
/* Seconds. */
MUST_CHECK int config_read_duration(struct config_reader *r, const struct node *value,
                                    const char *key, uint64_t *out);

/* config_service.c: the top-level keys `service`, `lists` and `sources`. */
MUST_CHECK int config_read_service(struct config_reader *r, const struct node *value, void *to);
MUST_CHECK int config_read_lists(struct config_reader *r, const struct node *value, void *to);
MUST_CHECK int config_read_sources(struct config_reader *r, const struct node *value, void *to);
/* config_notifications.c: the keys `notifications` and `history`. */
MUST_CHECK int config_read_notifications(struct config_reader *r, const struct node *value,
                                         void *to);
MUST_CHECK int config_read_history(struct config_reader *r, const struct node *value, void *to);
/* config_web.c: `web`. */
MUST_CHECK int config_read_web(struct config_reader *r, const struct node *value, void *to);

/* config_deletion.c: the top-level key `deletion`. */
MUST_CHECK int config_read_deletion(struct config_reader *r, const struct node *value, void *to);

#endif

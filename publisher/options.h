/*
 * The command line. One table of options and one of commands give parsing, checking and help; the
 * names and letters of the Go tool (DUCC 2024) are among them.
 */
#ifndef PUBLISHER_OPTIONS_H
#define PUBLISHER_OPTIONS_H

#include "base/error.h"
#include "base/log.h"
#include "publisher/convert.h"

enum command {
    COMMAND_CONVERT = 1,
    COMMAND_CONVERT_SINGLE = 2,
    COMMAND_VERSION = 4,
    COMMAND_HELP = 8,
    COMMAND_VERIFY = 16,
    COMMAND_REPAIR = 32,
    COMMAND_CHECK_SYNTAX = 64,
    COMMAND_DOWNLOAD_MANIFEST = 128,
    COMMAND_TAGS = 256,
    COMMAND_STATUS = 512,
    COMMAND_WHY = 1024,
    COMMAND_REBUILD_STATE = 2048,
    COMMAND_GC = 1 << 16,
    COMMAND_REMOVE = 1 << 17,
    COMMAND_RESTORE = 1 << 18,
    COMMAND_POLL = 4096,
    COMMAND_LOOP = 8192,
    COMMAND_DAEMON = 16384,
    COMMAND_CHECK_CONFIG = 32768,
    COMMAND_LINT = 1 << 19,
    COMMAND_PLAN = 1 << 20,
    COMMAND_DIFF = 1 << 21,
    COMMAND_ADOPT = 1 << 22,
};

struct options {
    enum command command;
    bool help;   /* --help: of the command, or of the program */
    bool manual; /* --manual of help */
    bool json;
    bool failed; /* --failed of status */
    bool layers; /* --layers of verify and repair, */
    bool content, against_registry;
    uint64_t grace_days; /* --grace-period of gc, if given_grace */
    bool given_grace;
    uint64_t limit; /* --limit of gc; 0: none */
    bool now;       /* --now of remove */
    bool cvmfs_gc;  /* --cvmfs-gc of gc */
    enum log_level log_level;
    bool log_given;    /* --verbose or --quiet */
    uint64_t interval; /* --interval, in seconds; 0: not given */
    struct convert_options convert;
    const char **platforms; /* of --platform, not yet parsed */
    size_t platform_count, platform_capacity;
    const char *repository; /* --repo */
    const char *list;       /* --list */
    const char *since;      /* --changed-since of lint */
    const char *format;     /* --format of lint */
    bool online, strict;    /* of lint */
    bool offline;           /* of diff */
    const char *config;     /* --config */
    const char *authfile;   /* --authfile */
    const char *notification_file;
    char **arguments; /* borrowed from argv, NULL-ended */
    size_t argument_count;
};

/* ERROR_PARSE for anything wrong; the message says what and what to do. Strings are borrowed from
 * argv, `arguments` is owned: options_release(). */
MUST_CHECK int options_parse(char **argv, struct options *out, struct error *err);
void options_release(struct options *options);

/* The manual page ducc(1), for man. Owned. */
char *options_manual(const char *version);
/* The help of a command, or of the program if `command` is COMMAND_HELP, owned. */
char *options_help(enum command command);

#endif

/*
 * The tables behind the command line (internal to publisher/options.h): options.c parses by them,
 * options_help.c tells them.
 */
#ifndef PUBLISHER_OPTIONS_TABLE_H
#define PUBLISHER_OPTIONS_TABLE_H

#include "publisher/options.h"

#define ALL_COMMANDS (~0)

struct option_spec {
    const char *name;
    char letter;       /* 0: none */
    const char *value; /* what it is called in the help; NULL: a flag */
    int commands;
    int id; /* enum option_id of options.c */
    const char *help;
};
/* In the order of the help; one without a text is not told. */
extern const struct option_spec option_specs[];
extern const size_t option_spec_count;

struct command_spec {
    const char *name;
    enum command command;
    const char *arguments;
    const char *help;
    size_t min, max; /* arguments */
};
extern const struct command_spec command_specs[];
extern const size_t command_spec_count;

#endif

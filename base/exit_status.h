/*
 * How a command ends: the exit status of the program, as README.md lists it.
 */
#ifndef BASE_EXIT_STATUS_H
#define BASE_EXIT_STATUS_H

enum exit_status {
    EXIT_OK = 0,          /* all wishes hold */
    EXIT_SOME_FAILED = 1, /* the others are published */
    EXIT_USAGE = 2,       /* wrong usage, or a wrong recipe or configuration: nothing was done */
    EXIT_REPOSITORY = 3,  /* a repository cannot be used */
};

#endif

/*
 * `ducc verify`, `ducc repair`, `ducc adopt`: what repository/verify.h says of a repository, for
 * people and programs.
 *
 * verify changes nothing, and needs no lock. repair takes the lock, gives layers of the Go tool
 * their new form, has damaged layers and documents published again from their registry (only if
 * that still has the image), and mends the rest from what is there. adopt adds the records that the
 * Go tool did not write (an index beside each layer, configurations), so that nothing that is there
 * is fetched again, makes the state database know the names, and says what repair would do.
 */
#ifndef PUBLISHER_VERIFY_COMMANDS_H
#define PUBLISHER_VERIFY_COMMANDS_H

#include "publisher/convert.h"

struct verify_command_options {
    const char *repository;
    char *const *images; /* public names; none: all */
    size_t image_count;
    const char *config, *authfile;
    struct convert_options *convert; /* where the state is; for what is fetched again */
    bool content;                    /* read every file */
    bool against_registry;
    bool dry_run; /* say what would be done */
    bool json;
};

/* EXIT_OK: nothing is wrong, or (repair) not any more; EXIT_SOME_FAILED: something is; EXIT_USAGE
 * and EXIT_REPOSITORY with *err set. */
enum exit_status verify_command(const struct verify_command_options *options, struct error *err);
enum exit_status repair_command(const struct verify_command_options *options, struct error *err);
enum exit_status adopt_command(const struct verify_command_options *options, struct error *err);

#endif

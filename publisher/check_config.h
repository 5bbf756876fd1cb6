/* `ducc check-config`. */
#ifndef PUBLISHER_CHECK_CONFIG_H
#define PUBLISHER_CHECK_CONFIG_H

#include "publisher/convert.h"

/* Reads the configuration and the credentials as the service does, and the lists that are files;
 * prints what there is. EXIT_USAGE with the first thing that is wrong; EXIT_SOME_FAILED if entries
 * of lists are, which are printed. */
enum exit_status check_config_command(const char *config, const char *authfile, struct error *err);

#endif

/* The commands that only ask: `ducc check-image-syntax`, `ducc download-manifest`, `ducc tags`. */
#ifndef PUBLISHER_COMMANDS_REGISTRY_H
#define PUBLISHER_COMMANDS_REGISTRY_H

#include "publisher/convert.h"
#include "publisher/options.h"

/* Print to standard output. EXIT_OK; EXIT_USAGE for a wrong reference or configuration;
 * EXIT_SOME_FAILED if the registry did not give what was asked for. */
enum exit_status check_image_syntax_command(const struct options *options, struct error *err);
enum exit_status download_manifest_command(const struct options *options, struct error *err);
enum exit_status tags_command(const struct options *options, struct error *err);

#endif

/*
 * The text of Apptainer's scripts in a flat image: POSIX sh, for dash, bash, busybox ash and the
 * interpreter built into Apptainer, which runs them when the image has no shell.
 *
 *     actions/exec  environment, then the given command
 *     actions/run   environment, then the run script
 *     actions/shell environment, then $APPTAINER_SHELL, $SINGULARITY_SHELL, bash or sh
 *     actions/start environment, then the start script
 *     actions/test  environment, then the test script if the image brings one
 *     env/ *.sh     read in the order of their names
 *     runscript     entry point and command as Docker joins them
 *
 * Rules: no eval; only expansions in double quotes; helper variables begin with ducc_env_ and are
 * unset (the image's own variables are in force meanwhile); no program is called before the
 * last line, since the image may hold none.
 */
#ifndef LAYERS_APPTAINER_SCRIPTS_H
#define LAYERS_APPTAINER_SCRIPTS_H

#include "registry/manifest.h"

extern const char apptainer_action_exec[];
extern const char apptainer_action_run[];
extern const char apptainer_action_shell[];
extern const char apptainer_action_start[];
extern const char apptainer_action_test[];
extern const char apptainer_env_base[];        /* 01-base.sh, 99-base.sh */
extern const char apptainer_env_environment[]; /* 90-environment.sh */
extern const char apptainer_env_apps[];        /* 95-apps.sh */
extern const char apptainer_env_runtimevars[]; /* 99-runtimevars.sh */
extern const char apptainer_startscript[];

/* Owned. env/10-docker2singularity.sh: exports each value of the configuration, byte for byte.
 * Names that no sh can export stand in a comment; those that some shell keeps for itself (UID) are
 * exported where the shell lets us. */
char *apptainer_env_image(const struct image_config *config);
/* Owned. Arguments replace the command and the entry point is kept. */
char *apptainer_runscript(const struct image_config *config);

#endif

/*
 * What comes near an image that nobody asks for: entries of lists and known names that a person may
 * have meant.
 */
#ifndef STATE_NEAR_H
#define STATE_NEAR_H

#include <stddef.h>
#include <stdint.h>

#define NEAR_NOT SIZE_MAX

/* How far an image is from what `text` speaks of (a name, or an entry of a list, whose first word
 * with a '/' in it is meant): 0 is another tag of the same repository, then changes of letters and
 * other registries; NEAR_NOT is something else. */
size_t near_distance(const char *image, const char *text);

#endif

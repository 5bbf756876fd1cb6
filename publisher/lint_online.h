/* What registries say of the entries of a recipe: for `ducc lint --online`. */
#ifndef PUBLISHER_LINT_ONLINE_H
#define PUBLISHER_LINT_ONLINE_H

#include "registry/client.h"
#include "wishlist/lint.h"

/* For each fresh wish: an error if there is no such image or no tag that it selects (rule "image"),
 * or no answer (rule "registry"); else a note (rule "size") with the number of tags and the
 * compressed size. The size of what a selector takes is that of one of its images, times their
 * number: layers that they share count each time, so it is an upper bound more often than not. */
void lint_online(const struct recipe *recipe, const struct lint_fresh *fresh,
                 struct registry_client *client, struct lint *out);

#endif

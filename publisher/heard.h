/*
 * What an event says has changed in a registry, and which wishes that concerns.
 *
 * An event is a rumour: it says where to look, and what is found there decides. So it may concern
 * more wishes than it should, never fewer.
 */
#ifndef PUBLISHER_HEARD_H
#define PUBLISHER_HEARD_H

#include "worker/resolve.h"
#include "state/events.h"
#include "wishlist/source_url.h"

struct heard {
    enum event_kind kind;
    char *registry, *repository; /* canonical: registry_canonical(), reference_canonical() */
    char *tag;                   /* NULL: the repository as a whole, unless a digest is set */
    struct digest digest;
};

/* `subject` is an image or REGISTRY/REPOSITORY (state/events.h). ERROR_PARSE, ERROR_LIMIT. */
MUST_CHECK int heard_parse(enum event_kind kind, const char *subject, struct heard *out,
                           struct error *err);
void heard_release(struct heard *heard);
#define _cleanup_heard_ __attribute__((cleanup(heard_release)))

void heard_copy(struct heard *to, const struct heard *from);

enum concern {
    CONCERNS_NOTHING,
    CONCERNS_WISH, /* all that it stands for must be looked at */
    CONCERNS_TAG,  /* the wish selects the tag, whatever other tags there are: only that one */
};
/* `repository`: reference_canonical() of the wish. */
enum concern heard_concerns(const struct heard *heard, const struct wanted *wish,
                            const char *repository);

/* Whether a list's source is what an event calls `place`: a git repository (webhook.h,
 * webhook_git_subject()), or any part of a URL or path; "" is every place. */
bool heard_is_at(const struct source_url *source, const char *place);

#endif

#include "publisher/heard.h"

#include "base/clock.h"
#include "base/memory.h"
#include "registry/cosign.h"
#include "registry/site.h"
#include "web/webhook.h"

#include <string.h>

/* A signature's tag is about another image, and its name does not say of which tag: the whole
 * repository is looked at, since something may have waited for it. */
static bool names_tag(const char *subject, const struct reference *ref)
{
    const char *name = strrchr(subject, '/');
    return name && strchr(name, ':') && !cosign_is_signature_tag(ref->tag);
}

int heard_parse(enum event_kind kind, const char *subject, struct heard *out, struct error *err)
{
    _cleanup_reference_ struct reference ref = {0};
    if (reference_parse(subject, 0, &ref, err) < 0)
        return -1;
    bool by_digest = digest_is_set(&ref.digest);
    *out = (struct heard){
        .kind = kind,
        .registry = registry_canonical(ref.registry),
        .repository = reference_canonical(&ref),
        .tag = !by_digest && names_tag(subject, &ref) ? xstrdup(ref.tag) : NULL,
        .digest = ref.digest,
    };
    return 0;
}

void heard_copy(struct heard *to, const struct heard *from)
{
    *to = *from;
    to->registry = xstrdup(from->registry);
    to->repository = xstrdup(from->repository);
    to->tag = from->tag ? xstrdup(from->tag) : NULL;
}

void heard_release(struct heard *heard)
{
    free(heard->registry);
    free(heard->repository);
    free(heard->tag);
    *heard = (struct heard){0};
}

/* One of many: which of them a selector takes may depend on the others. */
static enum concern concerns_selector(const struct heard *heard, const struct selector *selector)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    const char *const tags[] = {heard->tag};
    struct selector_input input = {.tags = tags, .count = 1, .now = clock_now()};
    const char **selected = NULL;
    size_t count = 0;
    if (selector->newest || selector_needs_created(selector) || heard->kind == EVENT_DELETED ||
        selector_run(selector, &input, &selected, &count, &ignored) < 0)
        return CONCERNS_WISH;
    free(selected);
    return count > 0 ? CONCERNS_TAG : CONCERNS_NOTHING;
}

enum concern heard_concerns(const struct heard *heard, const struct wanted *wish,
                            const char *repository)
{
    if (strcmp(heard->repository, repository) != 0)
        return CONCERNS_NOTHING;
    if (!heard->tag && !digest_is_set(&heard->digest))
        return CONCERNS_WISH;
    if (wish->selector)
        return heard->tag ? concerns_selector(heard, wish->selector) : CONCERNS_NOTHING;
    bool same = heard->tag ? !digest_is_set(&wish->ref.digest) && wish->ref.tag &&
                                 strcmp(heard->tag, wish->ref.tag) == 0
                           : digest_equal(&heard->digest, &wish->ref.digest);
    return same ? CONCERNS_WISH : CONCERNS_NOTHING;
}

bool heard_is_at(const struct source_url *source, const char *place)
{
    if (strstr(source->shown, place))
        return true;
    if (source->kind == SOURCE_FILE)
        return false;
    /* Of a file behind http, the address of the git repository it is served from may be the start:
     * https://HOST/GROUP/PROJECT/-/raw/main/list.yaml */
    _cleanup_free_ char *mine = webhook_git_subject(source->remote);
    size_t len = strlen(place);
    return mine && strncasecmp(mine, place, len) == 0 &&
           (mine[len] == '\0' || (source->kind == SOURCE_HTTP && mine[len] == '/'));
}

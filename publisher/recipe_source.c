#include "publisher/recipe_source.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"
#include "state/state.h"

#include <errno.h>
#include <stdlib.h>

static void log_progress(void *arg, const char *source, const char *text)
{
    (void)arg;
    log_info("list %s: %s", source, text);
}

struct source *recipe_source_open(const char *where, const char *state_dir,
                                  const struct config *config, struct error *err)
{
    struct source_options options = {.state_dir = state_dir,
                                     .settings = &config->sources,
                                     .site = &config->site,
                                     .progress = log_progress};
    struct source *source = source_open(where, &options, err);
    if (source && source_where(source)->plain)
        log_warning("list %s: without TLS, anybody on the way can change it",
                    source_where(source)->shown);
    return source;
}

/* What is there now. */
static int load_new(struct source *source, struct recipe *out, struct error *err)
{
    bool changed;
    if (source_refresh(source, &changed, err) < 0 || source_load(source, out, err) < 0)
        return -1;
    if (source_accept(source, err) < 0) {
        recipe_release(out);
        return -1;
    }
    return 0;
}

static int load(struct source *source, struct recipe *out, struct error *out_stale,
                struct error *err)
{
    struct error why = ERROR_INIT;
    if (load_new(source, out, &why) == 0)
        return 0;
    _cleanup_error_ struct error ignored = ERROR_INIT; /* the reason above is the one that counts */
    bool good = why.kind != ERROR_CANCELLED && source_use_good(source) &&
                source_load(source, out, &ignored) == 0;
    if (good)
        error_wrap(&why, "the last good version is used, of %s", clock_text(source_time(source)).s);
    error_move(good ? out_stale : err, &why);
    return good ? 0 : -1;
}

/* Below `base`, a state directory. */

int recipe_from(const char *where, const char *state_dir, const struct config *config,
                struct recipe *out, struct error *out_stale, struct error *err)
{
    if (!source_is_url(where))
        return recipe_read(where, out, err);
    _cleanup_free_ char *base = state_base_dir(state_dir, err);
    if (!base)
        return -1;
    _cleanup_source_ struct source *source = recipe_source_open(where, base, config, err);
    return source ? load(source, out, out_stale, err) : -1;
}

static int look(const char *where, const char *scratch, const struct config *config,
                struct recipe *out, struct error *err)
{
    bool changed;
    _cleanup_source_ struct source *source = recipe_source_open(where, scratch, config, err);
    if (!source || source_refresh(source, &changed, err) < 0)
        return -1;
    return source_load(source, out, err);
}

int recipe_look(const char *where, const struct config *config, struct recipe *out,
                struct error *err)
{
    if (!source_is_url(where))
        return recipe_read(where, out, err);
    const char *tmp = getenv("TMPDIR");
    struct error ignored = ERROR_INIT;
    _cleanup_free_ char *scratch = path_join(tmp && *tmp ? tmp : "/tmp", "ducc-list-XXXXXX");
    if (!mkdtemp(scratch))
        return error_set_errno(err, ERROR_IO, errno, "%s: cannot make a temporary folder", scratch);
    int rc = look(where, scratch, config, out, err);
    if (tree_remove(scratch, &ignored) < 0) {
        log_warning("%s", ignored.message);
        error_release(&ignored);
    }
    return rc;
}

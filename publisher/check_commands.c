#include "publisher/check_commands.h"

#include "base/json.h"
#include "base/memory.h"
#include "worker/beside.h"
#include "state/state.h"
#include "state/turn.h"
#include "repository/verify.h"

static void print_json(json_t *object)
{
    _cleanup_json_ json_t *owned = object;
    _cleanup_free_ char *text = json_text(owned);
    printf("%s\n", text);
}

static void print_findings(const struct check_options *o, const struct layer_findings *f)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct layer_finding *x = &f->items[i];
        _cleanup_free_ char *first = quoted(x->first);
        if (o->json)
            print_json(json_pack("{s:s, s:s, s:I, s:s}", "event", "old-layer", "layer",
                                 digest_text(&x->blob).s, "whiteouts", (json_int_t)x->old_whiteouts,
                                 "first", first));
        else
            printf("layer %s: old form: %zu deletion%s as .wh. files, the first %s\n",
                   digest_text(&x->blob).s, x->old_whiteouts, x->old_whiteouts == 1 ? "" : "s",
                   first);
    }
}

static void print_sum(const struct check_options *o, const struct layer_findings *f)
{
    if (o->json) {
        print_json(json_pack("{s:s, s:I, s:I}", "event", "end", "layers", (json_int_t)f->checked,
                             "old_layers", (json_int_t)f->count));
        return;
    }
    printf("%zu of %zu layers are in the old form, in which deleted files come back under the "
           "kernel's overlayfs\n",
           f->count, f->checked);
    if (f->count > 0 && !o->dry_run)
        printf("ducc repair --layers %s rewrites them\n", o->repository);
}

/* The layers named, as digests. Owned. */
static struct digest *parse_layers(const struct check_options *o, struct error *err)
{
    struct digest *digests = xcalloc(o->layer_count, sizeof *digests);
    for (size_t i = 0; i < o->layer_count; i++) {
        if (digest_parse(o->layers[i], &digests[i], err) < 0) {
            free(digests);
            return NULL;
        }
    }
    return digests;
}

static enum exit_status look(const struct repository *r, const struct check_options *o,
                             struct layer_findings *out, struct error *err)
{
    mode_t type;
    _cleanup_free_ struct digest *only = parse_layers(o, err);
    if (!only)
        return EXIT_USAGE;
    if (repository_type(r, "", &type, err) < 0)
        return EXIT_REPOSITORY;
    if (type == 0) {
        error_set(err, ERROR_NOT_FOUND, "%s %s: there is nothing at %s", r->backend->noun, r->name,
                  r->root);
        return EXIT_REPOSITORY;
    }
    return verify_layers(r, only, o->layer_count, out, err) < 0 ? EXIT_REPOSITORY : EXIT_OK;
}

enum exit_status verify_layers_command(const struct check_options *o, struct error *err)
{
    struct repository *r;
    struct layer_findings found = {0};
    if (open_beside(o->repository, o->state_dir, &r, err) < 0)
        return EXIT_USAGE;
    enum exit_status status = look(r, o, &found, err);
    if (status == EXIT_OK) {
        print_findings(o, &found);
        print_sum(o, &found);
        status = found.count ? EXIT_SOME_FAILED : EXIT_OK;
    }
    layer_findings_release(&found);
    repository_free(r);
    return status;
}

static void print_repair(const struct check_options *o, const struct repair_report *done,
                         size_t left)
{
    if (o->json) {
        print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "event", "repaired", "layers",
                             (json_int_t)done->layers, "whiteouts_added",
                             (json_int_t)done->whiteouts_added, "files_removed",
                             (json_int_t)done->files_removed, "revisions",
                             (json_int_t)done->revisions, "left", (json_int_t)left));
        return;
    }
    printf("repaired %zu layers in %zu revisions: %zu deletions added, %zu .wh. files removed\n",
           done->layers, done->revisions, done->whiteouts_added, done->files_removed);
    if (left > 0)
        printf("%zu layers stay as they are: no published image uses them, so what they hide is "
               "not known\n",
               left);
}

static enum exit_status mend(struct repository *r, const struct check_options *o,
                             struct layer_findings *found, struct error *err)
{
    struct repair_report done;
    struct layer_findings left = {0};
    print_findings(o, found);
    if (o->dry_run || found->count == 0) {
        print_sum(o, found);
        return found->count ? EXIT_SOME_FAILED : EXIT_OK;
    }
    if (repair_layers(r, found, &done, err) < 0 || look(r, o, &left, err) != EXIT_OK)
        return EXIT_REPOSITORY;
    print_repair(o, &done, left.count);
    enum exit_status status = left.count ? EXIT_SOME_FAILED : EXIT_OK;
    layer_findings_release(&left);
    return status;
}

enum exit_status repair_layers_command(const struct check_options *o, struct error *err)
{
    struct repository *r;
    struct state state = {.lock_fd = -1};
    struct turn turn _cleanup_turn_ = TURN_INIT;
    struct layer_findings found = {0};
    enum exit_status status = EXIT_REPOSITORY;
    if (open_beside(o->repository, o->state_dir, &r, err) < 0)
        return EXIT_USAGE;
    if (state_open(o->state_dir, NULL, o->repository, &state, err) == 0 &&
        turn_take(state.dir, 0, &turn, err) == 0 && repository_begin(r, state.journal, err) == 0)
        status = look(r, o, &found, err);
    if (status == EXIT_OK)
        status = mend(r, o, &found, err);
    layer_findings_release(&found);
    repository_free(r);
    state_release(&state);
    return status;
}

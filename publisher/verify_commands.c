#include "publisher/verify_commands.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "worker/beside.h"
#include "worker/rebuild.h"
#include "repository/documents.h"
#include "repository/published_image.h"
#include "repository/verify.h"
#include "state/state.h"

#include <string.h>

/* ---- what is printed ---- */

static const char *const remedies[] = {[REMEDY_NONE] = "by hand",
                                       [REMEDY_HERE] = "ducc repair",
                                       [REMEDY_REGISTRY] = "ducc repair, with the registry"};

static void print_json(json_t *object)
{
    _cleanup_json_ json_t *owned = object;
    _cleanup_free_ char *text = json_text(owned);
    printf("%s\n", text);
}

/* As it is, or where that could not be printed, quoted. Owned. */
static char *printable(const char *path)
{
    struct buf text = BUF_INIT;
    bool plain = true;
    for (const char *p = path; *p; p++)
        plain &= *p > ' ' && *p < 127 && *p != '"' && *p != '\\';
    if (plain)
        buf_adds(&text, path);
    else
        buf_add_quoted(&text, path, strlen(path));
    return buf_take(&text);
}

static void print_finding(const struct verify_command_options *o, const struct finding *f)
{
    const char *remedy = remedies[finding_remedy(f->kind)];
    _cleanup_free_ char *path = printable(f->path);
    if (o->json)
        print_json(json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "event", "finding", "kind",
                             finding_word(f->kind), "image", f->image, "path", path, "text",
                             f->text, "remedy", remedy));
    else
        printf("%s%s%s: %s: %s\n", f->image, *f->image ? ": " : "", finding_word(f->kind), path,
               f->text);
}

static void print_findings(const struct verify_command_options *o, const struct findings *f)
{
    for (size_t i = 0; i < f->count; i++)
        print_finding(o, &f->items[i]);
}

static void print_sum(const struct verify_command_options *o, const struct findings *f,
                      const struct verify_report *report, const char *what_next)
{
    size_t by_remedy[3] = {0};
    for (size_t i = 0; i < f->count; i++)
        by_remedy[finding_remedy(f->items[i].kind)]++;
    if (o->json) {
        print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "event", "end", "names",
                             (json_int_t)report->names, "findings", (json_int_t)f->count, "here",
                             (json_int_t)by_remedy[REMEDY_HERE], "registry",
                             (json_int_t)by_remedy[REMEDY_REGISTRY], "by_hand",
                             (json_int_t)by_remedy[REMEDY_NONE]));
        return;
    }
    printf("%zu name%s looked at, %zu finding%s", report->names, report->names == 1 ? "" : "s",
           f->count, f->count == 1 ? "" : "s");
    if (f->count > 0)
        printf(" (%zu to mend from what is there, %zu with the registry, %zu by hand)%s",
               by_remedy[REMEDY_HERE], by_remedy[REMEDY_REGISTRY], by_remedy[REMEDY_NONE],
               what_next);
    printf("\n");
}

/* ---- looking ---- */

static int look(const struct repository *r, const struct verify_command_options *o,
                struct mending *mending, struct findings *out, struct verify_report *report,
                struct error *err)
{
    _cleanup_string_list_ struct string_list only = STRING_LIST_INIT;
    struct verify_options options = {.content = o->content, .mending = mending};
    for (size_t i = 0; i < o->image_count; i++)
        string_list_add(&only, o->images[i]);
    string_list_sort(&only);
    if (o->image_count > 0)
        options.only = &only;
    if (verify_repository(r, &options, out, report, err) < 0)
        return -1;
    if (o->image_count > 0 && report->names == 0)
        return error_set(err, ERROR_NOT_FOUND, "%s: there is no such image in %s; names are as %s",
                         o->images[0], o->repository, "REGISTRY/REPOSITORY:TAG");
    return 0;
}

/* ---- against the registry ---- */

static int reference_of(const char *name, struct reference *out, struct error *err)
{
    return reference_parse(published_reference(name), 0, out, err);
}

/* What a name led to when it was published; false: not known. */
static bool known_digest(const struct repository *r, const char *name, const struct reference *ref,
                         struct digest *out)
{
    const char *reference = published_reference(name);
    _cleanup_free_ char *prefix =
        reference > name ? xstrndup(name, (size_t)(reference - name) - 1) : NULL;
    struct document_source source = {.repository = r, .prefix = prefix};
    return documents_known_digest(&source, ref, out);
}

static void ask_about(const struct repository *r, struct access *access, const char *name,
                      struct findings *out)
{
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_error_ struct error why = ERROR_INIT;
    struct digest here, there = {0};
    if (reference_of(name, &ref, &why) < 0 || !known_digest(r, name, &ref, &here))
        return;
    if (registry_head_manifest(access->client, &ref, &there, &why) < 0)
        findings_add(out, FOUND_UPSTREAM, name, name, "%s", why.message);
    else if (digest_is_set(&there) && !digest_equal(&here, &there))
        findings_add(out, FOUND_UPSTREAM, name, name,
                     "it was published with %s, but the registry has %s now", digest_text(&here).s,
                     digest_text(&there).s);
}

static int ask_registries(const struct repository *r, const struct verify_command_options *o,
                          struct findings *out, struct error *err)
{
    struct access *access;
    _cleanup_string_list_ struct string_list names = STRING_LIST_INIT;
    if (verify_names_of(r, &names, err) < 0 ||
        access_open(o->config, o->authfile, &access, err) < 0)
        return -1;
    for (size_t i = 0; i < names.count; i++) {
        bool wanted = o->image_count == 0;
        for (size_t k = 0; k < o->image_count; k++)
            wanted |= strcmp(names.items[i], o->images[k]) == 0;
        if (wanted)
            ask_about(r, access, names.items[i], out);
    }
    access_unref(access);
    return 0;
}

enum exit_status verify_command(const struct verify_command_options *o, struct error *err)
{
    struct repository *r;
    struct findings found = {0};
    struct verify_report report;
    enum exit_status status = EXIT_REPOSITORY;
    if (open_beside(o->repository, o->convert->worker.state_dir, &r, err) < 0)
        return EXIT_USAGE;
    if (look(r, o, NULL, &found, &report, err) == 0 &&
        (!o->against_registry || ask_registries(r, o, &found, err) == 0)) {
        print_findings(o, &found);
        print_sum(o, &found, &report, "");
        status = found.count > 0 ? EXIT_SOME_FAILED : EXIT_OK;
    }
    findings_release(&found);
    repository_free(r);
    return status;
}

/* ---- mending ---- */

struct work {
    const struct verify_command_options *o;
    struct repository *repository;
    struct state state;
    struct repair_done done;
    struct repair_report layers;
    size_t fetched; /* images that were published again */
};

static int begin(struct work *w, struct error *err)
{
    w->state = (struct state){.lock_fd = -1};
    if (open_beside(w->o->repository, w->o->convert->worker.state_dir, &w->repository, err) < 0 ||
        state_open(w->o->convert->worker.state_dir, NULL, w->o->repository, &w->state, err) < 0)
        return -1;
    return repository_begin(w->repository, w->state.journal, err);
}

static void end(struct work *w)
{
    repository_free(TAKE_PTR(w->repository));
    state_release(&w->state);
}

static int mend_form(struct work *w, struct error *err)
{
    struct layer_findings old = {0};
    if (w->o->image_count > 0) /* it is the whole repository's */
        return 0;
    int result = verify_layers(w->repository, NULL, 0, &old, err);
    if (result == 0 && old.count > 0)
        result = repair_layers(w->repository, &old, &w->layers, err);
    layer_findings_release(&old);
    return result;
}

/* Nothing is taken away that the registry does not have any more. */
static bool is_upstream(const struct work *w, struct access *access, const char *name)
{
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_error_ struct error why = ERROR_INIT;
    struct digest there = {0};
    bool has = reference_of(name, &ref, &why) == 0 &&
               registry_head_manifest(access->client, &ref, &there, &why) == 0;
    if (!has)
        log_warning("%s: cannot be published again, so it stays as it is: %s", name, why.message);
    else if (published_reference(name) != name)
        log_warning("%s: stands below the prefix of a list: ducc convert with that list brings it",
                    name);
    (void)w;
    return has && published_reference(name) == name;
}

/* The images that can be had, and what has to go before. */
static void choose(const struct work *w, struct access *access, const struct mending *m,
                   struct string_list *names, struct string_list *layers)
{
    for (size_t i = 0; i < m->names.count; i++) {
        const char *name = m->names.items[i], *layer = m->layers.items[i];
        bool again = i > 0 && strcmp(name, m->names.items[i - 1]) == 0;
        bool has = again ? names->count && strcmp(names->items[names->count - 1], name) == 0
                         : is_upstream(w, access, name);
        if (has && !again)
            string_list_add(names, name);
        bool listed = false;
        for (size_t k = 0; k < layers->count; k++)
            listed |= strcmp(layers->items[k], layer) == 0;
        if (has && *layer && !listed)
            string_list_add(layers, layer);
    }
}

static int publish_again(struct work *w, struct access *access, const struct string_list *names,
                         struct error *err)
{
    _cleanup_wishes_ struct wishes wishes = {0};
    struct wish_settings settings = {.repository = w->o->repository};
    struct convert_options convert_options = *w->o->convert;
    convert_options.access = access;
    convert_options.form = w->o->json ? REPORT_JSON : REPORT_LINES;
    convert_options.worker.json = w->o->json;
    if (wishes_add_images(&wishes, names->items, names->count, &settings, err) < 0)
        return -1;
    enum exit_status status = convert(&convert_options, &wishes, err);
    w->fetched += names->count;
    return status == EXIT_REPOSITORY || status == EXIT_USAGE ? -1 : 0;
}

static int mend_with_registry(struct work *w, const struct mending *m, struct error *err)
{
    struct access *access;
    _cleanup_string_list_ struct string_list names = STRING_LIST_INIT;
    _cleanup_string_list_ struct string_list layers = STRING_LIST_INIT;
    if (m->names.count == 0)
        return 0;
    if (access_open(w->o->config, w->o->authfile, &access, err) < 0)
        return -1;
    choose(w, access, m, &names, &layers);
    int result = 0;
    if (layers.count > 0)
        result =
            repository_delete(w->repository, (const char *const *)layers.items, layers.count, err);
    end(w); /* the pass takes the lock itself */
    if (result == 0 && names.count > 0)
        result = publish_again(w, access, &names, err);
    access_unref(access);
    return result < 0 ? -1 : begin(w, err);
}

/* First what only a registry has, then the rest on what is there by then. */
static int mend(struct work *w, struct error *err)
{
    for (int with_registry = 1; with_registry >= 0; with_registry--) {
        struct findings found = {0};
        struct verify_report report;
        struct mending m;
        mending_init(&m);
        int result = look(w->repository, w->o, &m, &found, &report, err);
        if (result == 0)
            result = with_registry ? mend_with_registry(w, &m, err)
                                   : repair_apply(w->repository, &m, &w->done, err);
        findings_release(&found);
        mending_release(&m);
        if (result < 0)
            return -1;
    }
    return 0;
}

static void print_repair(const struct work *w)
{
    size_t revisions = w->done.revisions + w->layers.revisions;
    if (w->o->json) {
        print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "event", "repaired", "layers",
                             (json_int_t)w->layers.layers, "images", (json_int_t)w->fetched,
                             "changes", (json_int_t)w->done.changes, "removed",
                             (json_int_t)w->done.removed, "revisions", (json_int_t)revisions));
        return;
    }
    printf("repaired: %zu layers in their new form, %zu images published again, %zu entries "
           "written and %zu taken away from what is there\n",
           w->layers.layers, w->fetched, w->done.changes, w->done.removed);
}

/* What is wrong now. */
static enum exit_status conclude(struct work *w, const char *what_next, struct error *err)
{
    struct findings found = {0};
    struct verify_report report;
    enum exit_status status = EXIT_REPOSITORY;
    if (look(w->repository, w->o, NULL, &found, &report, err) == 0) {
        print_findings(w->o, &found);
        print_sum(w->o, &found, &report, what_next);
        status = found.count > 0 ? EXIT_SOME_FAILED : EXIT_OK;
    }
    findings_release(&found);
    return status;
}

enum exit_status repair_command(const struct verify_command_options *o, struct error *err)
{
    struct work w = {.o = o};
    enum exit_status status = EXIT_REPOSITORY;
    if (o->dry_run)
        return verify_command(o, err);
    if (begin(&w, err) == 0 && mend_form(&w, err) == 0 && mend(&w, err) == 0) {
        print_repair(&w);
        status = conclude(&w, "; what is left is above", err);
    }
    end(&w);
    return status;
}

/* ---- adopting ---- */

static int add_records(struct work *w, struct error *err)
{
    struct findings found = {0};
    struct verify_report report;
    struct mending m;
    mending_init(&m);
    m.only_records = true;
    int result = look(w->repository, w->o, &m, &found, &report, err);
    m.podman_changed = false;
    string_list_release(&m.remove);
    string_list_release(&m.rebuild);
    if (result == 0)
        result = repair_apply(w->repository, &m, &w->done, err);
    findings_release(&found);
    mending_release(&m);
    return result;
}

enum exit_status adopt_command(const struct verify_command_options *o, struct error *err)
{
    struct work w = {.o = o};
    char *const repositories[] = {(char *)o->repository};
    if (o->dry_run)
        return verify_command(o, err);
    if (begin(&w, err) < 0 || add_records(&w, err) < 0) {
        end(&w);
        return EXIT_REPOSITORY;
    }
    if (!o->json)
        printf("adopted: %zu records added, nothing changed or fetched\n", w.done.changes);
    enum exit_status status = conclude(&w, "; ducc repair mends them", err);
    end(&w);
    if (status == EXIT_REPOSITORY)
        return status;
    enum exit_status rebuilt =
        rebuild_command(o->convert->worker.state_dir, repositories, 1, o->json, err);
    return rebuilt != EXIT_OK ? rebuilt : EXIT_OK; /* what could be mended is no failure of this */
}

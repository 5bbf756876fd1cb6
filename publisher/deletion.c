#include "publisher/deletion.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "worker/beside.h"
#include "worker/committer.h"
#include "repository/multiarch.h"
#include "repository/removal.h"
#include "state/database.h"
#include "state/lists.h"
#include "state/state.h"
#include "state/turn.h"
#include "state/unreached.h"

#include <string.h>
#include <unistd.h>

#define PATIENCE_SECONDS 3600.0 /* with whoever has the turn */
#define NAMES_AT_ONCE    200

struct deletion {
    const struct deletion_options *o;
    struct repository *repository;
    struct database *db;
    char *key; /* of the repository in the database */
    struct state state;
    struct turn turn;
    bool begun;       /* what an earlier run left has been looked for */
    bool is_marked;   /* as the repository is, but for what others do to it */
    uint64_t changes; /* of the repository when it was marked */
    int64_t now;
    struct sweep_options choice;
    struct string_list selected; /* names of remove --now, with those below .multiarch */
    struct mark mark;
    struct sweep sweep;
    struct removal_report removed;
    struct sweep_report swept;
};

/* ---- turns ---- */

/* One commit's. What somebody who died left is put right first. */
static int begin_turn(struct deletion *d, struct error *err)
{
    if (turn_take(d->state.dir, PATIENCE_SECONDS, &d->turn, err) < 0)
        return -1;
    if (d->begun && access(d->repository->note, F_OK) < 0)
        return 0;
    d->begun = true;
    return committer_begin(d->repository, &d->state, err);
}

static void end_turn(struct deletion *d)
{
    turn_end(&d->turn);
}

static int mark_again(struct deletion *d, struct error *err)
{
    mark_release(&d->mark);
    if (mark_repository(d->repository, &d->selected, &d->mark, err) < 0)
        return -1;
    d->is_marked = true;
    return 0;
}

/* The count of changes is read before the repository is: what comes between is seen. */
static int note_changes(struct deletion *d, struct error *err)
{
    if (d->o->dry_run)
        return 0;
    int result = begin_turn(d, err);
    if (result == 0)
        result = repository_changes(d->repository, &d->changes, err);
    end_turn(d);
    return result;
}

/* Outside of a turn, since it takes long where there are many images. */
static int look(struct deletion *d, struct error *err)
{
    if (d->is_marked)
        return 0;
    return note_changes(d, err) < 0 ? -1 : mark_again(d, err);
}

/* In a turn: somebody may have published since the repository was marked. */
static int catch_up(struct deletion *d, bool *out_changed, struct error *err)
{
    uint64_t changes;
    *out_changed = false;
    if (repository_changes(d->repository, &changes, err) < 0)
        return -1;
    if (changes == d->changes)
        return 0;
    log_debug("%s: changed meanwhile, marking again", d->repository->name);
    if (mark_again(d, err) < 0)
        return -1;
    d->changes = changes;
    *out_changed = true;
    return 0;
}

/* ---- printing ---- */

static void print_json(json_t *object)
{
    _cleanup_json_ json_t *owned = object;
    _cleanup_free_ char *text = json_text(owned);
    printf("%s\n", text);
}

static void print_name(const struct deletion *d, const char *event, const char *name,
                       const char *why)
{
    if (d->o->json)
        print_json(json_pack("{s:s, s:s, s:s}", "event", event, "name", name, "why", why));
    else
        printf("%s %s: %s\n", event, name, why);
}

static char *unit_reason(const struct deletion *d, const struct sweep_unit *u)
{
    const char *reach = u->is_held ? "its last name was removed" : "no name leads to it since";
    if (u->since <= 0 || u->since == d->now)
        return xstrdup(u->is_held ? "its last name was removed now" : "no name leads to it");
    return xasprintf("%s %s", reach, clock_text(u->since).s);
}

static void print_unit(const struct deletion *d, const struct sweep_unit *u)
{
    _cleanup_free_ char *why = unit_reason(d, u);
    if (d->o->json) {
        print_json(json_pack("{s:s, s:s, s:s, s:I, s:b, s:s}", "event", "unreached", "kind",
                             unit_kind_word(u->kind), "path", u->path, "bytes",
                             (json_int_t)u->bytes, "due", u->is_due, "why", why));
        return;
    }
    _cleanup_free_ char *size = u->bytes ? xasprintf(" (%s)", size_text(u->bytes).s) : xstrdup("");
    printf("%s %s %s%s: %s\n", u->is_due ? "would take away" : "would keep",
           unit_kind_word(u->kind), u->path, size, why);
}

static void print_sum(const struct deletion *d)
{
    const struct sweep_report *s = &d->swept;
    size_t waiting = 0;
    for (size_t i = 0; i < d->sweep.count; i++)
        waiting += !d->sweep.units[i].is_due;
    if (d->o->json) {
        print_json(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "event", "end", "names",
            (json_int_t)d->removed.names, "flat", (json_int_t)s->units[UNIT_FLAT], "chains",
            (json_int_t)s->units[UNIT_CHAIN], "layers", (json_int_t)s->units[UNIT_LAYER],
            "podman_images", (json_int_t)s->units[UNIT_PODMAN_IMAGE], "podman_layers",
            (json_int_t)s->units[UNIT_PODMAN_LAYER], "bytes", (json_int_t)s->bytes, "waiting",
            (json_int_t)waiting, "revisions", (json_int_t)(s->revisions + d->removed.revisions),
            "longest_seconds", s->longest_seconds));
        return;
    }
    printf("%zu names, %zu flat images, %zu chains, %zu layers (%s), %zu Podman images, %zu Podman "
           "layers taken away in %zu revisions\n",
           d->removed.names, s->units[UNIT_FLAT], s->units[UNIT_CHAIN], s->units[UNIT_LAYER],
           size_text(s->bytes).s, s->units[UNIT_PODMAN_IMAGE], s->units[UNIT_PODMAN_LAYER],
           s->revisions + d->removed.revisions);
    if (waiting > 0)
        printf("%zu more are reached by no name, and wait for the end of their grace period\n",
               waiting);
}

/* ---- names ---- */

static int note_removed(struct deletion *d, const struct name_removal *r, struct error *err)
{
    if (names_removed(d->db, d->key, r->name, r->why, d->now, err) < 0)
        return -1;
    notifier_tell(d->o->notifier, &(struct notification){.kind = NOTIFY_REMOVED,
                                                         .repository = d->key,
                                                         .name = r->name,
                                                         .text = r->why});
    return 0;
}

/* A part of the names, in two revisions. */
static int remove_some(struct deletion *d, const struct name_removal *removals, size_t count,
                       struct error *err)
{
    struct removal_report done = {0};
    bool ignored;
    if (look(d, err) < 0)
        return -1;
    int result = begin_turn(d, err);
    if (result == 0)
        result = catch_up(d, &ignored, err);
    if (result == 0)
        result = removal_take(d->repository, &d->mark, removals, count, d->now, &done, err);
    d->is_marked = false;
    end_turn(d);
    d->removed.names += done.names;
    d->removed.revisions += done.revisions;
    for (size_t i = 0; result == 0 && i < count; i++) {
        print_name(d, "removed", removals[i].name, removals[i].why);
        result = note_removed(d, &removals[i], err);
    }
    return result;
}

static int remove_names(struct deletion *d, const struct name_removal *removals, size_t count,
                        struct error *err)
{
    for (size_t i = 0; i < count; i += NAMES_AT_ONCE) {
        size_t n = count - i < NAMES_AT_ONCE ? count - i : NAMES_AT_ONCE;
        if (d->o->dry_run)
            for (size_t k = i; k < i + n; k++)
                print_name(d, "would remove", removals[k].name, removals[k].why);
        else if (remove_some(d, removals + i, n, err) < 0)
            return -1;
    }
    return 0;
}

/* Those that may go and are there. */
static int remove_unwanted(struct deletion *d, struct error *err)
{
    struct name_records records = {0};
    if (names_list(d->db, d->key, &records, err) < 0)
        return -1;
    _cleanup_free_ enum retention_verdict *verdicts = xcalloc(records.count + 1, sizeof *verdicts);
    struct name_removal *removals = xcalloc(records.count + 1, sizeof *removals);
    size_t count = 0;
    retention_judge_all(&records, d->o->rules, d->now, verdicts);
    for (size_t i = 0; i < records.count; i++) {
        const struct name_record *r = &records.items[i];
        if (verdicts[i] == RETAIN_NOT && mark_find_name(&d->mark, r->name))
            removals[count++] = (struct name_removal){
                r->name, retention_reason(r, retention_of(d->o->rules, r), d->now)};
    }
    int result = remove_names(d, removals, count, err);
    for (size_t i = 0; i < count; i++)
        free((char *)removals[i].why);
    free(removals);
    name_records_release(&records);
    return result;
}

/* ---- content ---- */

/* Since when nothing reaches each part: the database knows, or learns it now. */
static int fill_in_times(struct deletion *d, struct error *err)
{
    struct unreached *items = xcalloc(d->sweep.count + 1, sizeof *items);
    for (size_t i = 0; i < d->sweep.count; i++)
        items[i] = (struct unreached){d->sweep.units[i].path, d->sweep.units[i].since};
    int result = 0;
    if (d->db)
        result = unreached_times(d->db, d->key, items, d->sweep.count, d->now, !d->o->dry_run, err);
    for (size_t i = 0; result == 0 && i < d->sweep.count; i++)
        d->sweep.units[i].since = items[i].since ? items[i].since : d->now;
    free(items);
    return result;
}

static bool has_work(const struct sweep *s)
{
    bool due = s->folders.count > 0;
    for (size_t i = 0; i < s->count && !due; i++)
        due = s->units[i].is_due;
    return due;
}

static int find_garbage(struct deletion *d, struct error *err)
{
    if (look(d, err) < 0 || sweep_find(d->repository, &d->mark, &d->sweep, err) < 0 ||
        fill_in_times(d, err) < 0)
        return -1;
    if (d->mark.unknown_chains_of)
        log_warning("%s: the chains of its image cannot be known; no chain is taken away",
                    d->mark.unknown_chains_of);
    sweep_choose(&d->sweep, &d->mark, &d->choice);
    return 0;
}

static int one_step(struct deletion *d, bool *done, struct error *err)
{
    bool changed = false;
    int result = begin_turn(d, err);
    if (result == 0)
        result = catch_up(d, &changed, err);
    if (changed)
        sweep_check_again(&d->sweep, &d->mark, &d->choice);
    if (result == 0)
        result = sweep_step(d->repository, &d->sweep, &d->swept, done, err);
    if (result == 0)
        result = repository_changes(d->repository, &d->changes, err);
    end_turn(d);
    return result;
}

static int sweep_all(struct deletion *d, struct error *err)
{
    bool done = !has_work(&d->sweep);
    if (d->o->dry_run)
        for (size_t i = 0; i < d->sweep.count; i++)
            print_unit(d, &d->sweep.units[i]);
    while (!d->o->dry_run && !done)
        if (one_step(d, &done, err) < 0)
            return -1;
    return 0;
}

static int collect(struct deletion *d, struct error *err)
{
    if (find_garbage(d, err) < 0 || sweep_all(d, err) < 0)
        return -1;
    if (!d->o->cvmfs_gc || d->o->dry_run)
        return 0;
    int result = begin_turn(d, err); /* CernVM-FS would refuse to publish meanwhile */
    if (result == 0)
        result = repository_collect(d->repository, err);
    end_turn(d);
    return result;
}

/* ---- the commands ---- */

/* A dry run changes nothing, not even here. */
static int open_state(struct deletion *d, struct error *err)
{
    if (d->o->dry_run)
        return 0;
    return state_open_beside(d->o->state_dir, d->o->repository, &d->state, err);
}

/* What is not there must not be made by looking at it. */
static int check_there(const struct repository *r, struct error *err)
{
    mode_t type;
    if (repository_type(r, "", &type, err) < 0)
        return -1;
    return type ? 0
                : error_set(err, ERROR_NOT_FOUND, "%s %s: there is nothing at %s", r->backend->noun,
                            r->name, r->root);
}

static int open_deletion(struct deletion *d, struct error *err)
{
    enum database_access access = d->o->dry_run ? DATABASE_READ : DATABASE_WRITE;
    if (open_beside(d->o->repository, d->o->state_dir, &d->repository, err) < 0 ||
        check_there(d->repository, err) < 0 || open_state(d, err) < 0)
        return -1;
    d->key = repository_key(d->o->repository);
    if (database_open(d->o->state_dir, access, &d->db, err) < 0) {
        /* A dry run before the first real one: nothing is known, nor written. */
        if (access == DATABASE_WRITE || err->kind != ERROR_NOT_FOUND)
            return -1;
        error_release(err);
    }
    return look(d, err);
}

static void close_deletion(struct deletion *d)
{
    end_turn(d);
    state_release(&d->state);
    string_list_release(&d->selected);
    sweep_release(&d->sweep);
    mark_release(&d->mark);
    database_free(d->db);
    repository_free(d->repository);
    free(d->key);
}

static struct deletion deletion_of(const struct deletion_options *o)
{
    struct deletion d = {.o = o, .state.lock_fd = -1, .turn = TURN_INIT, .now = clock_now()};
    d.choice =
        (struct sweep_options){.grace_seconds = o->grace_seconds, .now = d.now, .limit = o->limit};
    return d;
}

/* Of names whose content went in an earlier run. Their history stays. */
static int forget_removed(struct deletion *d, struct error *err)
{
    struct name_records records;
    int result = names_list(d->db, d->key, &records, err);
    if (result < 0)
        return -1;
    for (size_t i = 0; result == 0 && i < records.count; i++) {
        const struct name_record *r = &records.items[i];
        if (r->removed_at != 0 && !mark_knows(&d->mark, r->name))
            result = names_forget(d->db, d->key, r->name, err);
    }
    name_records_release(&records);
    return result;
}

enum exit_status gc_command(const struct deletion_options *o, struct error *err)
{
    struct deletion d = deletion_of(o);
    int result = open_deletion(&d, err);
    if (result == 0 && d.db)
        result = remove_unwanted(&d, err);
    if (result == 0)
        result = collect(&d, err);
    if (result == 0 && !o->dry_run)
        result = forget_removed(&d, err);
    if (result == 0)
        print_sum(&d);
    close_deletion(&d);
    return result < 0 ? EXIT_REPOSITORY : EXIT_OK;
}

/* What the command line asked for it takes back; lists are for others to change. */
static int withdraw(struct deletion *d, const char *name, struct error *err)
{
    struct wants wants;
    if (lists_withdraw(d->db, d->key, name, err) < 0 ||
        lists_wants(d->db, d->key, name, &wants, err) < 0)
        return -1;
    for (size_t i = 0; i < wants.count; i++) {
        const struct want *w = &wants.items[i];
        if (!w->left_out && !w->suspended)
            log_warning("%s: %s still asks for it (%s), and will have it published again", name,
                        w->url, w->text);
    }
    wants_release(&wants);
    return 0;
}

static int remove_given(struct deletion *d, struct error *err)
{
    for (size_t i = 0; !d->o->dry_run && i < d->o->name_count; i++)
        if (withdraw(d, d->o->names[i], err) < 0)
            return -1;
    struct name_removal *removals = xcalloc(d->o->name_count, sizeof *removals);
    for (size_t i = 0; i < d->o->name_count; i++)
        removals[i] = (struct name_removal){d->o->names[i], "asked for by ducc remove"};
    int result = remove_names(d, removals, d->o->name_count, err);
    free(removals);
    return result;
}

/* With --now, what nothing but these names held. */
static int remove_and_collect(struct deletion *d, struct error *err)
{
    if (remove_given(d, err) < 0)
        return -1;
    if (!d->o->now)
        return 0;
    d->choice.only_selected = true;
    for (size_t i = 0; i < d->mark.name_count; i++)
        for (size_t k = 0; k < d->o->name_count; k++)
            if (mark_is_name_of(&d->mark.names[i], d->o->names[k]))
                string_list_add(&d->selected, d->mark.names[i].name);
    string_list_sort(&d->selected);
    d->is_marked = false; /* the selected are told from the others */
    return collect(d, err);
}

static int check_names(const struct deletion *d, struct error *err)
{
    for (size_t i = 0; i < d->o->name_count; i++)
        if (!mark_find_name(&d->mark, d->o->names[i]))
            return error_set(err, ERROR_NOT_FOUND, "%s: there is no such name in %s %s",
                             d->o->names[i], d->repository->backend->noun, d->repository->name);
    return 0;
}

enum exit_status remove_command(const struct deletion_options *o, struct error *err)
{
    struct deletion d = deletion_of(o);
    enum exit_status status = EXIT_REPOSITORY;
    int result = open_deletion(&d, err);
    if (result == 0 && check_names(&d, err) < 0)
        status = EXIT_SOME_FAILED;
    else if (result == 0 && remove_and_collect(&d, err) == 0)
        status = EXIT_OK;
    if (status == EXIT_OK)
        print_sum(&d);
    close_deletion(&d);
    return status;
}

/* ---- restoring ---- */

static int list_removed(const struct deletion *d, struct error *err)
{
    struct removed_names removed;
    if (removed_list(d->repository, &removed, err) < 0)
        return -1;
    for (size_t i = 0; i < removed.count; i++) {
        const struct removed_name *r = &removed.items[i];
        if (multiarch_plain(r->name))
            continue; /* comes back with the public name */
        _cleanup_free_ char *why = xasprintf("at %s: %s", clock_text(r->removed_at).s, r->why);
        print_name(d, "removed", r->name, why);
    }
    removed_names_release(&removed);
    return 0;
}

/* Whoever brings it back asks for it: else the next collection would take it away again. */
static int ask_for(struct deletion *d, const char *name, struct error *err)
{
    struct list_entry entry = {.text = (char *)(uintptr_t)name};
    struct list_record list = {.repository = d->key,
                               .url = (char *)LIST_COMMAND_LINE,
                               .entries = &entry,
                               .entry_count = 1};
    struct list_name stands_for = {name, NULL};
    int64_t id;
    if (lists_ask(d->db, &list, d->now, &id, err) < 0)
        return -1;
    return lists_expanded(d->db, id, name, &stands_for, 1, d->now, err);
}

static int note_restored(struct deletion *d, const char *name, struct error *err)
{
    size_t unwanted;
    if (ask_for(d, name, err) < 0 || names_restored(d->db, d->key, name, d->now, err) < 0)
        return -1;
    return names_settle(d->db, d->key, d->now, &unwanted, err);
}

static int restore_names(struct deletion *d, struct error *err)
{
    struct removal_report done = {0};
    bool ignored;
    int result = begin_turn(d, err);
    if (result == 0)
        result = catch_up(d, &ignored, err);
    if (result == 0)
        result = removal_restore(d->repository, &d->mark, (const char *const *)d->o->names,
                                 d->o->name_count, &done, err);
    end_turn(d);
    for (size_t i = 0; result == 0 && i < d->o->name_count; i++) {
        print_name(d, "restored", d->o->names[i], "it is public again");
        result = note_restored(d, d->o->names[i], err);
    }
    return result;
}

enum exit_status restore_command(const struct deletion_options *o, struct error *err)
{
    struct deletion d = deletion_of(o);
    int result = open_deletion(&d, err);
    if (result == 0)
        result = o->name_count ? restore_names(&d, err) : list_removed(&d, err);
    close_deletion(&d);
    if (result == 0)
        return EXIT_OK;
    return err->kind == ERROR_NOT_FOUND ? EXIT_SOME_FAILED : EXIT_REPOSITORY;
}

#include "publisher/options_table.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/quantity.h"

#include <string.h>

enum option_id {
    OPTION_HELP,
    OPTION_MANUAL,
    OPTION_JSON,
    OPTION_VERBOSE,
    OPTION_QUIET,
    OPTION_REPO,
    OPTION_INTERVAL,
    OPTION_REVISION_LIMIT,
    OPTION_LIST,
    OPTION_FAILED,
    OPTION_STATE_DIR,
    OPTION_SPOOL,
    OPTION_SPOOL_LIMIT,
    OPTION_JOBS,
    OPTION_PLATFORM,
    OPTION_CONFIG,
    OPTION_AUTHFILE,
    OPTION_NOTIFICATION_FILE,
    OPTION_POLICY, /* repository/policy.h knows it by its name */
    OPTION_SKIP_PODMAN,
    OPTION_SKIP_FLAT,
    OPTION_SKIP_LAYERS,
    OPTION_CONVERT_AGAIN,
    OPTION_DRY_RUN,
    OPTION_LAYERS,
    OPTION_CONTENT,
    OPTION_AGAINST_REGISTRY,
    OPTION_GRACE,
    OPTION_LIMIT,
    OPTION_NOW,
    OPTION_CVMFS_GC,
    OPTION_ONLINE,
    OPTION_OFFLINE,
    OPTION_STRICT,
    OPTION_SINCE,
    OPTION_FORMAT,
    OPTION_OLD_FLAG,  /* of the Go tool: accepted, of no effect here */
    OPTION_OLD_VALUE, /* the same, with a value */
};

#define ALL      ALL_COMMANDS
#define SERVES   (COMMAND_POLL | COMMAND_LOOP | COMMAND_DAEMON)
#define CONVERTS (COMMAND_CONVERT | COMMAND_CONVERT_SINGLE | SERVES)
#define SHAPES   (CONVERTS | COMMAND_PLAN) /* which images, published how */
#define PREDICTS (COMMAND_PLAN | COMMAND_DIFF)
#define ASKS     (COMMAND_DOWNLOAD_MANIFEST | COMMAND_TAGS | COMMAND_LINT | PREDICTS)
#define CHECKS   (COMMAND_VERIFY | COMMAND_REPAIR | COMMAND_ADOPT)
#define SHOWS    (COMMAND_STATUS | COMMAND_WHY)
#define REBUILDS COMMAND_REBUILD_STATE
#define DELETES  (COMMAND_GC | COMMAND_REMOVE)
#define NAMES    (COMMAND_REMOVE | COMMAND_RESTORE)

const struct option_spec option_specs[] = {
    {"repo", 0, "REPO", COMMAND_CONVERT | COMMAND_LOOP | COMMAND_PLAN | SHOWS | NAMES, OPTION_REPO,
     "this repository only; for convert and loop, where to publish images (a recipe names its "
     "own)"},
    {"list", 0, "LIST", COMMAND_STATUS, OPTION_LIST,
     "only images that this list asks for: its path or URL, or the end of it"},
    {"failed", 0, NULL, COMMAND_STATUS, OPTION_FAILED, "only images whose last try failed"},
    {"interval", 0, "TIME", COMMAND_LOOP | COMMAND_DAEMON, OPTION_INTERVAL,
     "how often to look at each image, such as 30s or 1h30m (default: what a recipe or the "
     "configuration says, else 10m)"},
    {"grace-period", 0, "DAYS", DELETES, OPTION_GRACE,
     "how long to keep what no name reaches any more (default: 7)"},
    {"limit", 0, "N", COMMAND_GC, OPTION_LIMIT,
     "take away at most N trees (layers, chains, flat images …); the next run goes on"},
    {"now", 0, NULL, COMMAND_REMOVE, OPTION_NOW,
     "take the content away too, at once; it cannot be restored then"},
    {"cvmfs-gc", 0, NULL, DELETES, OPTION_CVMFS_GC,
     "have CernVM-FS collect its own garbage afterwards (cvmfs_server gc)"},
    {"dry-run", 0, NULL,
     COMMAND_CONVERT | COMMAND_CONVERT_SINGLE | COMMAND_REPAIR | COMMAND_ADOPT | DELETES,
     OPTION_DRY_RUN,
     "print what would be done and do not do it (convert fetches and prepares for that)"},
    {"layers", 0, NULL, COMMAND_VERIFY | COMMAND_REPAIR, OPTION_LAYERS,
     "only the form of layers (of all, or of those whose digests are given instead of images)"},
    {"content", 0, NULL, CHECKS, OPTION_CONTENT,
     "read every file, and compare its hash with the layer's index"},
    {"against-registry", 0, NULL, COMMAND_VERIFY, OPTION_AGAINST_REGISTRY,
     "ask the registries, too, whether they still name these images"},
    {"changed-since", 0, "REV", COMMAND_LINT, OPTION_SINCE,
     "look only at entries that are new or changed since this git revision"},
    {"online", 0, NULL, COMMAND_LINT, OPTION_ONLINE,
     "ask the registries whether the images are there, and how large they are"},
    {"offline", 0, NULL, COMMAND_DIFF, OPTION_OFFLINE,
     "do not ask registries which tags become wanted and unwanted"},
    {"strict", 0, NULL, COMMAND_LINT, OPTION_STRICT, "warnings fail, too (exit status 1)"},
    {"format", 0, "text|json|github|gitlab", COMMAND_LINT, OPTION_FORMAT,
     "how to write what is found; github and gitlab show it beside the lines of a merge request"},
    {"chains", 0, "top|all|none", SHAPES, OPTION_POLICY,
     "which chains to publish: of the whole image (top, the default), one after each layer, none"},
    {"platform", 0, "OS/ARCH[/VARIANT]", SHAPES | COMMAND_DOWNLOAD_MANIFEST, OPTION_PLATFORM,
     "which image to take of an index (default: linux/amd64); given several times, all of them"},
    {"podman", 0, "layers|merged|none", SHAPES, OPTION_POLICY,
     "the image store for Podman: the image's layers (the default), one merged layer (short "
     "lookups, "
     "nothing to stack), or none"},
    {"skip-podman", 'p', NULL, SHAPES, OPTION_SKIP_PODMAN, "the same as --podman none"},
    {"skip-flat", 's', NULL, SHAPES, OPTION_SKIP_FLAT,
     "no flat image (for Apptainer), and so no public name"},
    {"skip-layers", 'd', NULL, SHAPES, OPTION_SKIP_LAYERS,
     "no layers, and so no stacked image store for Podman"},
    {"devices", 0, "keep|drop", SHAPES, OPTION_POLICY,
     "whether to publish character and block devices of images (keep, the default)"},
    {"fix-perms", 0, NULL, SHAPES, OPTION_POLICY,
     "in flat images, let the owner read every file and enter every directory"},
    {"xattrs", 0, "keep|drop", SHAPES, OPTION_POLICY,
     "publish extended attributes (file capabilities) on CernVM-FS, by a second revision; a "
     "directory "
     "repository keeps them anyway"},
    {"chunk-above", 0, "SIZE", SHAPES, OPTION_POLICY,
     "have CernVM-FS keep larger files in chunks, by a second revision"},
    {"convert-again", 'g', NULL, CONVERTS, OPTION_CONVERT_AGAIN,
     "look at every image as if it had never been published, and add what is missing"},
    {"jobs", 'j', "N", CONVERTS, OPTION_JOBS, "layers to fetch and prepare at a time"},
    {"state-dir", 0, "DIR", CONVERTS | CHECKS | COMMAND_GC | NAMES | SHOWS | REBUILDS,
     OPTION_STATE_DIR, "where to keep what is known, locks and the spool (default: /var/lib/ducc)"},
    {"spool", 't', "DIR", CONVERTS, OPTION_SPOOL,
     "another place for the spool (also: $DUCC_TMP_DIR)"},
    {"temporary-dir", 0, "DIR", CONVERTS, OPTION_SPOOL, NULL}, /* the Go tool's name of it */
    {"spool-limit", 0, "SIZE", CONVERTS, OPTION_SPOOL_LIMIT,
     "how large the spool may grow: bytes, or with K, M, G, T (powers of 1000)"},
    {"revision-limit", 0, "SIZE", CONVERTS, OPTION_REVISION_LIMIT,
     "new content that one revision may carry (default: 10G); a larger image goes in several"},
    {"config", 0, "FILE",
     CONVERTS | ASKS | CHECKS | SHOWS | REBUILDS | COMMAND_CHECK_CONFIG | COMMAND_GC | NAMES,
     OPTION_CONFIG, "the operator's configuration (default: /etc/ducc/ducc.yaml, if it is there)"},
    {"authfile", 0, "FILE", CONVERTS | ASKS | CHECKS | COMMAND_CHECK_CONFIG, OPTION_AUTHFILE,
     "credentials for registries, as podman login and docker login write them (docs/registries.md "
     "says where else they are looked for)"},
    {"notification-file", 'n', "FILE", CONVERTS | COMMAND_GC | COMMAND_REMOVE,
     OPTION_NOTIFICATION_FILE,
     "add a JSON line there for each image that is published, fails, or is taken away (see also "
     "notifications: in docs/configuration.md)"},
    {"json", 0, NULL, CONVERTS | PREDICTS | CHECKS | COMMAND_GC | NAMES | SHOWS | REBUILDS,
     OPTION_JSON,
     "JSON on standard output: events and results, one a line, or what is known (docs/state.md)"},
    {"verbose", 'v', NULL, ALL, OPTION_VERBOSE, "log what is of interest when something is wrong"},
    {"quiet", 'q', NULL, ALL, OPTION_QUIET, "log warnings and errors only"},
    {"help", 'h', NULL, ALL, OPTION_HELP, "this text"},
    {"manual", 0, NULL, COMMAND_HELP, OPTION_MANUAL, "print the manual page ducc(1)"},
    {"overwrite-layers", 'f', NULL, CONVERTS, OPTION_OLD_FLAG, NULL},
    {"skip-thin-image", 'i', NULL, CONVERTS, OPTION_OLD_FLAG, NULL},
    {"thin-image-name", 0, "NAME", CONVERTS, OPTION_OLD_VALUE, NULL},
    {"username", 'u', "USER", CONVERTS, OPTION_OLD_VALUE, NULL},
    {"attempts", 'r', "N", CONVERTS, OPTION_OLD_VALUE, NULL},
};
const size_t option_spec_count = sizeof option_specs / sizeof *option_specs;

const struct command_spec command_specs[] = {
    {"convert", COMMAND_CONVERT, "RECIPE | --repo REPO IMAGE...",
     "Publish what a recipe wishes, or the images named.", 1, SIZE_MAX},
    {"plan", COMMAND_PLAN, "RECIPE...",
     "Say what convert would do now: fetch, publish, move, leave and refuse. Changes nothing.", 1,
     SIZE_MAX},
    {"diff", COMMAND_DIFF, "OLD NEW",
     "Say what a change of a list means: entries, settings, and which names become (un)wanted.", 2,
     2},
    {"convert-single-image", COMMAND_CONVERT_SINGLE, "IMAGE REPO", "Publish one image.", 2, 2},
    {"poll", COMMAND_POLL, "",
     "Publish what all lists of the configuration wish, and end: for timers.", 0, 0},
    {"daemon", COMMAND_DAEMON, "", "Do that for ever, each list and entry at its interval.", 0, 0},
    {"loop", COMMAND_LOOP, "RECIPE", "Publish what one recipe wishes, for ever.", 1, 1},
    {"check-config", COMMAND_CHECK_CONFIG, "",
     "Say what is wrong with the configuration, and with the lists that are files.", 0, 0},
    {"lint", COMMAND_LINT, "RECIPE...", "Say what is wrong, or looks wrong, in recipes.", 1,
     SIZE_MAX},
    {"verify", COMMAND_VERIFY, "REPO [IMAGE...]",
     "Say what is wrong with what is published (docs/verify.md). Changes nothing.", 1, SIZE_MAX},
    {"repair", COMMAND_REPAIR, "REPO [IMAGE...]",
     "Mend what verify finds, from what is there or from the registry.", 1, SIZE_MAX},
    {"adopt", COMMAND_ADOPT, "REPO",
     "Take over a repository that the Go tool filled, without fetching anything.", 1, 1},
    {"status", COMMAND_STATUS, "[IMAGE...]",
     "Show how each image stands: wanted, published, failed and why. Names may be globs.", 0,
     SIZE_MAX},
    {"why", COMMAND_WHY, "IMAGE",
     "Explain one image, from the list that asks for it to the repository.", 1, 1},
    {"rebuild-state", COMMAND_REBUILD_STATE, "REPO...",
     "Make the state database anew from what the repositories hold, if it is lost or damaged.", 1,
     SIZE_MAX},
    {"gc", COMMAND_GC, "REPO",
     "Take away names that nobody wants any more, and what no name reaches (docs/deletion.md).", 1,
     1},
    {"garbage-collection", COMMAND_GC, "REPO", "The Go tool's name of gc.", 1, 1},
    {"remove", COMMAND_REMOVE, "--repo REPO IMAGE...",
     "Take away public names; restore brings them back until the grace period ends.", 1, SIZE_MAX},
    {"restore", COMMAND_RESTORE, "--repo REPO [IMAGE...]",
     "Bring removed names back without a download; without IMAGE, list them.", 0, SIZE_MAX},
    {"tags", COMMAND_TAGS, "IMAGE-PATTERN", "List what the tag's wildcard stands for now.", 1, 1},
    {"download-manifest", COMMAND_DOWNLOAD_MANIFEST, "IMAGE",
     "Print the manifest or index, byte for byte; with --platform, what the index has for that.", 1,
     1},
    {"check-image-syntax", COMMAND_CHECK_SYNTAX, "IMAGE", "Print the parts of an image's name.", 1,
     1},
    {"version", COMMAND_VERSION, "", "Print the version.", 0, 0},
    {"help", COMMAND_HELP, "[COMMAND]", "Print this text, or a command's.", 0, 1},
};
const size_t command_spec_count = sizeof command_specs / sizeof *command_specs;

static const struct command_spec *find_command(const char *name)
{
    for (size_t i = 0; i < command_spec_count; i++)
        if (strcmp(command_specs[i].name, name) == 0)
            return &command_specs[i];
    return NULL;
}

/* ---- values ---- */

static int wrong_value(const struct option_spec *spec, const char *value, const char *expected,
                       struct error *err)
{
    _cleanup_free_ char *q = quoted(value);
    return error_set(err, ERROR_PARSE, "option --%s: %s is not %s", spec->name, q, expected);
}

static int parse_jobs(const struct option_spec *spec, const char *value, size_t *out,
                      struct error *err)
{
    char *end;
    unsigned long n = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || n < 1 || n > 256)
        return wrong_value(spec, value, "a number from 1 to 256", err);
    *out = n;
    return 0;
}

static int parse_number(const struct option_spec *spec, const char *value, uint64_t max,
                        uint64_t *out, struct error *err)
{
    char *end;
    unsigned long long n = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || n > max)
        return wrong_value(spec, value, "a whole number", err);
    *out = n;
    return 0;
}

static int apply(struct options *o, const struct option_spec *spec, const char *value,
                 struct error *err)
{
    struct convert_options *c = &o->convert;
    switch ((enum option_id)spec->id) {
    case OPTION_HELP:
        o->help = true;
        return 0;
    case OPTION_MANUAL:
        o->manual = true;
        return 0;
    case OPTION_JSON:
        o->json = true;
        return 0;
    case OPTION_VERBOSE:
        o->log_given = true;
        o->log_level = LOG_DEBUG;
        return 0;
    case OPTION_QUIET:
        o->log_given = true;
        o->log_level = LOG_WARNING;
        return 0;
    case OPTION_REPO:
        o->repository = value;
        return 0;
    case OPTION_INTERVAL:
        return duration_parse(value, &o->interval, err) < 0
                   ? error_wrap(err, "option --%s", spec->name)
                   : 0;
    case OPTION_REVISION_LIMIT:
        return size_parse(value, &c->worker.revision_limit, err) < 0
                   ? error_wrap(err, "option --%s", spec->name)
                   : 0;
    case OPTION_LIST:
        o->list = value;
        return 0;
    case OPTION_FAILED:
        o->failed = true;
        return 0;
    case OPTION_STATE_DIR:
        c->worker.state_dir = value;
        return 0;
    case OPTION_SPOOL:
        c->worker.spool_base = value;
        return 0;
    case OPTION_SPOOL_LIMIT:
        return size_parse(value, &c->worker.spool_limit, err) < 0
                   ? error_wrap(err, "option --%s", spec->name)
                   : 0;
    case OPTION_JOBS:
        return parse_jobs(spec, value, &c->worker.jobs, err);
    case OPTION_CONFIG:
        o->config = value;
        return 0;
    case OPTION_AUTHFILE:
        o->authfile = value;
        return 0;
    case OPTION_NOTIFICATION_FILE:
        o->notification_file = value;
        return 0;
    case OPTION_PLATFORM:
        ARRAY_GROW(o->platforms, o->platform_count, o->platform_capacity);
        o->platforms[o->platform_count++] = value;
        return 0;
    case OPTION_POLICY:
        return policy_set(&c->policy, spec->name, value ? value : "yes", err) < 0
                   ? error_wrap(err, "option --%s", spec->name)
                   : 0;
    case OPTION_SKIP_PODMAN:
        return policy_set(&c->policy, "podman", "none", err);
    case OPTION_SKIP_FLAT:
        return policy_set(&c->policy, "flat", "no", err);
    case OPTION_SKIP_LAYERS:
        return policy_set(&c->policy, "layers", "no", err);
    case OPTION_CONVERT_AGAIN:
        c->again = true;
        return 0;
    case OPTION_LAYERS:
        o->layers = true;
        return 0;
    case OPTION_CONTENT:
        o->content = true;
        return 0;
    case OPTION_AGAINST_REGISTRY:
        o->against_registry = true;
        return 0;
    case OPTION_GRACE:
        o->given_grace = true;
        return parse_number(spec, value, 100000, &o->grace_days, err);
    case OPTION_LIMIT:
        return parse_number(spec, value, UINT32_MAX, &o->limit, err);
    case OPTION_NOW:
        o->now = true;
        return 0;
    case OPTION_CVMFS_GC:
        o->cvmfs_gc = true;
        return 0;
    case OPTION_ONLINE:
        o->online = true;
        return 0;
    case OPTION_OFFLINE:
        o->offline = true;
        return 0;
    case OPTION_STRICT:
        o->strict = true;
        return 0;
    case OPTION_SINCE:
        o->since = value;
        return 0;
    case OPTION_FORMAT:
        o->format = value;
        return 0;
    case OPTION_DRY_RUN:
        c->worker.dry_run = true;
        return 0;
    case OPTION_OLD_FLAG:
    case OPTION_OLD_VALUE:
        log_warning("option --%s of the Go tool is accepted, but has no effect", spec->name);
        return 0;
    }
    return 0;
}

/* ---- parsing ---- */

struct given {
    const struct option_spec *spec;
    const char *value;
};

struct parser {
    char **argv;
    size_t at;
    struct given *given;
    size_t given_count;
    char **words; /* what is no option */
    size_t word_count;
};

static int unknown_option(const char *text, struct error *err)
{
    _cleanup_free_ char *q = quoted(text);
    return error_set(err, ERROR_PARSE, "unknown option %s; see ducc --help", q);
}

/* The value of an option: what follows it in the same word, or the next word. */
static int take_value(struct parser *p, const struct option_spec *spec, const char *attached,
                      struct error *err)
{
    const char *value = attached;
    if (spec->value && !value)
        value = p->argv[p->at] ? p->argv[p->at++] : NULL;
    if (spec->value && !value)
        return error_set(err, ERROR_PARSE, "option --%s wants a value: %s", spec->name,
                         spec->value);
    if (!spec->value && attached)
        return error_set(err, ERROR_PARSE, "option --%s takes no value", spec->name);
    p->given[p->given_count++] = (struct given){spec, value};
    return 0;
}

static int parse_long(struct parser *p, const char *word, struct error *err)
{
    size_t len = strcspn(word + 2, "=");
    for (size_t i = 0; i < option_spec_count; i++)
        if (strlen(option_specs[i].name) == len && memcmp(option_specs[i].name, word + 2, len) == 0)
            return take_value(p, &option_specs[i], word[2 + len] ? word + 3 + len : NULL, err);
    return unknown_option(word, err);
}

static int parse_letters(struct parser *p, const char *word, struct error *err)
{
    for (const char *c = word + 1; *c; c++) {
        const struct option_spec *spec = NULL;
        for (size_t i = 0; i < option_spec_count && !spec; i++)
            spec = option_specs[i].letter == *c ? &option_specs[i] : NULL;
        if (!spec)
            return unknown_option(word, err);
        if (spec->value)
            return take_value(p, spec, c[1] ? c + 1 : NULL, err);
        if (take_value(p, spec, NULL, err) < 0)
            return -1;
    }
    return 0;
}

static int split(struct parser *p, struct error *err)
{
    bool only_words = false;
    while (p->argv[p->at]) {
        char *word = p->argv[p->at++];
        int result = 0;
        if (only_words || word[0] != '-' || word[1] == '\0')
            p->words[p->word_count++] = word;
        else if (strcmp(word, "--") == 0)
            only_words = true;
        else
            result = word[1] == '-' ? parse_long(p, word, err) : parse_letters(p, word, err);
        if (result < 0)
            return -1;
    }
    return 0;
}

static int apply_all(const struct parser *p, const struct command_spec *command, struct options *o,
                     struct error *err)
{
    for (size_t i = 0; i < p->given_count; i++) {
        const struct option_spec *spec = p->given[i].spec;
        if (!(spec->commands & (int)command->command))
            return error_set(err, ERROR_PARSE, "ducc %s has no option --%s; see ducc %s --help",
                             command->name, spec->name, command->name);
        if (apply(o, spec, p->given[i].value, err) < 0)
            return -1;
    }
    return 0;
}

static int interpret(struct parser *p, struct options *o, struct error *err)
{
    const char *name = p->word_count ? p->words[0] : "help";
    const struct command_spec *command = find_command(name);
    if (!command) {
        _cleanup_free_ char *q = quoted(name);
        return error_set(err, ERROR_PARSE, "unknown command %s; see ducc --help", q);
    }
    o->command = command->command;
    if (apply_all(p, command, o, err) < 0)
        return -1;
    o->argument_count = p->word_count ? p->word_count - 1 : 0;
    o->arguments = xcalloc(o->argument_count + 1, sizeof *o->arguments);
    for (size_t i = 0; i < o->argument_count; i++)
        o->arguments[i] = p->words[i + 1];
    if (!o->help && (command->command & NAMES) && !o->repository)
        return error_set(err, ERROR_PARSE, "ducc %s wants to know where: --repo REPO",
                         command->name);
    if (!o->help && (o->argument_count < command->min || o->argument_count > command->max))
        return error_set(err, ERROR_PARSE, "usage: ducc %s [options] %s; see ducc %s --help",
                         command->name, command->arguments, command->name);
    return 0;
}

int options_parse(char **argv, struct options *out, struct error *err)
{
    size_t count = 0;
    while (argv[count])
        count++;
    struct options o = {.log_level = LOG_INFO};
    struct parser p = {.argv = argv, .at = count ? 1 : 0};
    /* No word gives more options than it has letters. */
    size_t letters = 0;
    for (size_t i = 0; i < count; i++)
        letters += strlen(argv[i]) + 1;
    p.given = xcalloc(letters, sizeof *p.given);
    p.words = xcalloc(count + 1, sizeof *p.words);
    int result = split(&p, err);
    if (result == 0)
        result = interpret(&p, &o, err);
    free(p.given);
    free(p.words);
    if (result < 0) {
        options_release(&o);
        return -1;
    }
    *out = o;
    return 0;
}

void options_release(struct options *o)
{
    free(o->arguments);
    free(o->platforms);
    o->arguments = NULL;
    o->platforms = NULL;
}

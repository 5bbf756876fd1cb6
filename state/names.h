/*
 * Names: what is known of each public name (layout.md) of each repository: what is wanted, what is
 * published, what failed, what is gone.
 *
 * Facts are stored, the state is derived from them: name_state(). Who asks for a name stands in
 * lists.h; what happened to it over time in history.h, which the functions here write too.
 *
 * `repository` is the repository's name, a directory's real path (repository_key() in state.h);
 * `name` the public name, "REGISTRY/REPOSITORY:TAG". `now` is clock_now(): seconds since 1970. A
 * time of 0 is none. All functions that change something make the record if there is none.
 */
#ifndef STATE_NAMES_H
#define STATE_NAMES_H

#include "base/digest.h"
#include "base/string_list.h"
#include "state/database.h"

enum name_state {
    NAME_WANTED,    /* asked for, not looked at yet */
    NAME_UPDATING,  /* the registry has what is not yet published, and nothing has failed */
    NAME_PUBLISHED, /* what is published is what the registry has */
    NAME_FAILED,    /* the last try failed; an older image may be published */
    NAME_SUSPENDED, /* whoever asks for it suspends it: it stays as it is */
    NAME_UNWANTED,  /* published, but nobody asks for it any more */
    NAME_REMOVED,   /* was published, and was taken away */
};
#define NAME_STATE_COUNT 7

struct name_record {
    int64_t id;
    char *repository, *name;
    /* What the tag points to (an index or a manifest): in the registry when it was last seen, and
     * when it was last published. Not set: not known. */
    struct digest wanted, published;
    struct digest
        image_id;         /* of the configuration; of the leading platform, if there are several */
    char *platforms;      /* "linux/amd64, linux/arm64"; NULL: not known */
    int64_t checked_at;   /* the registry answered for it */
    int64_t changed_at;   /* `wanted` became what it is */
    int64_t published_at; /* `published` became what it is */
    double seconds;       /* from noticing the change to published */
    uint64_t bytes;       /* of compressed layers, of all platforms */
    uint64_t bytes_new;   /* of these, what the repository did not have: the rest was shared */
    uint64_t revision;    /* of the repository, that published it; 0: not known */
    /* Then: "URL:LINE@REVISION", one of those. NULL: no list that is known ever asked for it. */
    char *asked_by;
    /* The failure since the last success; kind ERROR_NONE: none. */
    enum error_kind failure_kind;
    char *failure;
    char *failed_platform; /* whose image failed; NULL: not the image of one platform */
    int64_t failed_at;
    unsigned attempts;   /* failed tries in a row, for this `wanted` */
    int64_t next_try_at; /* not before, unless the tag changes or somebody asks */
    bool suspended;      /* by all that ask for it */
    int64_t unwanted_since, removed_at;
    /* Certain answers that it is not there any more (404 with authorization), since it was last
     * seen. */
    int64_t gone_first_at, gone_last_at;
    unsigned gone_count;
};
void name_record_release(struct name_record *record);
enum name_state name_state(const struct name_record *record);
const char *name_state_word(enum name_state state); /* "published" */
/* Where clients see it: "/cvmfs/REPOSITORY/NAME", or below a directory. Owned. */
char *name_path(const char *repository, const char *name);

/* One image of a name that was published for a platform. */
struct name_publication {
    struct digest digest; /* what the tag pointed to */
    struct digest image_id;
    const char *platform; /* "linux/arm64"; NULL: not known */
    bool leads;           /* its image id is the name's: true where there is one platform */
    uint64_t bytes, bytes_new;
    double seconds;
    uint64_t revision; /* 0: not known */
};

/* The registry said what the tag points to. Evidence of its being gone is forgotten. A change of
 * the digest forgets the failure of the one before. */
MUST_CHECK int names_seen(struct database *db, const char *repository, const char *name,
                          const struct digest *wanted, int64_t now, struct error *err);
/* It is public now. */
MUST_CHECK int names_published(struct database *db, const char *repository, const char *name,
                               const struct name_publication *what, int64_t now, struct error *err);
/* It was found published as it should be: the same without history and times. */
MUST_CHECK int names_confirmed(struct database *db, const char *repository, const char *name,
                               const struct name_publication *what, struct error *err);
/* A try failed: counted, and the next one set by next_try.h. ERROR_CANCELLED is no failure and
 * counts nothing. *out_is_known (may be NULL): it had failed so before. */
struct name_failure {
    const struct error *why;
    /* Whose image it was; then only that one's success takes it back. NULL: the name's as a whole.
     */
    const char *platform;
    /* What is wanted could not be found out: each pass asks the registry again. */
    bool of_looking;
};
MUST_CHECK int names_failed(struct database *db, const char *repository, const char *name,
                            const struct name_failure *what, int64_t now, bool *out_is_known,
                            struct error *err);
/* A certain answer that it is not in the registry any more. *out_record (may be NULL) is how it
 * stands afterwards: when first, how often. */
MUST_CHECK int names_gone(struct database *db, const char *repository, const char *name,
                          int64_t now, struct name_record *out_record, struct error *err);
/* Its name was taken out of the repository, or brought back; then evidence of its being gone is
 * forgotten, and it is unwanted since now if it was. */
MUST_CHECK int names_removed(struct database *db, const char *repository, const char *name,
                             const char *why, int64_t now, struct error *err);
MUST_CHECK int names_restored(struct database *db, const char *repository, const char *name,
                              int64_t now, struct error *err);
/* Its content is gone as well: the record goes, the history stays. */
MUST_CHECK int names_forget(struct database *db, const char *repository, const char *name,
                            struct error *err);

/* Whether to try now: false only while a failure of just this digest waits for its next try. A
 * digest that is not set stands for the one known. */
MUST_CHECK int names_is_due(struct database *db, const char *repository, const char *name,
                            const struct digest *wanted, int64_t now, bool *out, struct error *err);

/* Names that are asked for and failed, and whose next try is due: at most `max` of them, the
 * longest due first, appended to *out. They are the caller's, who tries them now: their next try is
 * put off by RETRY_TAKEN_SECONDS, in case he comes to nothing. */
#define RETRY_TAKEN_SECONDS 600
MUST_CHECK int names_take_due(struct database *db, const char *repository, size_t max, int64_t now,
                              struct string_list *out, struct error *err);

/* Unwanted is what no list asks for (lists.h), beginning with this moment; what is asked for again
 * is not. To be called when lists have been read. *out_unwanted: how many are, in all. */
MUST_CHECK int names_settle(struct database *db, const char *repository, int64_t now,
                            size_t *out_unwanted, struct error *err);

/* ERROR_NOT_FOUND if nothing is known of it. */
MUST_CHECK int names_get(struct database *db, const char *repository, const char *name,
                         struct name_record *out, struct error *err);

struct name_records {
    struct name_record *items;
    size_t count, capacity;
};
void name_records_release(struct name_records *records);
/* All of a repository, or of all (NULL), ordered by repository and name. */
MUST_CHECK int names_list(struct database *db, const char *repository, struct name_records *out,
                          struct error *err);

#endif

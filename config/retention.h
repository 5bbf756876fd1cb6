/*
 * Which names may be taken away: a pure function of what is known of each (state/names.h) and of
 * the operator's policy.
 *
 * A name is *unwanted* if no list asks for it, or if it is gone upstream. Gone means that the
 * registry said so with certainty (404 for the manifest with authorization, and a list of tags
 * without it), at least twice, with a pause between; an error, a timeout, a 401 or a 403 says
 * nothing, and one answer that the tag is there forgets all that was said before. Those answers are
 * counted by names_gone() and names_seen().
 *
 * A name that no known list ever asked for is not unwanted, since nobody can know: the state may
 * have been lost, and its list not been read again.
 *
 * What is unwanted goes when its retention is over; the default is never.
 */
#ifndef CONFIG_RETENTION_H
#define CONFIG_RETENTION_H

#include "state/names.h"

#define GONE_PAUSE_SECONDS_DEFAULT ((int64_t)86400)
#define GONE_ANSWERS               2

/* All zero is the default: nothing goes. */
struct retention {
    bool is_limited;            /* false: retain forever */
    int64_t seconds;            /* an unwanted name stays for so long */
    size_t keep_last;           /* of each REGISTRY/REPOSITORY, the N names published last stay */
    char **protect;             /* NULL-ended globs of names that stay, or NULL; owned */
    int64_t gone_pause_seconds; /* between the first answer and the last; 0: a day */
};

/* What the operator decides (the key `deletion` of docs/configuration.md): for all names, and for
 * those that a list asked for when they were published. */
struct list_retention {
    char *list; /* its path or URL, or the end of it behind a slash; owned */
    struct retention retention;
};
struct retention_rules {
    struct retention usual;
    struct list_retention *lists;
    size_t count, capacity;
    int64_t grace_seconds; /* of content; has_grace: it was said */
    bool has_grace;
};
void retention_rules_release(struct retention_rules *rules);
/* The first list's rule that fits the name's record, else the usual one. Borrowed. */
const struct retention *retention_of(const struct retention_rules *rules,
                                     const struct name_record *record);

enum retention_verdict {
    RETAIN_WANTED,    /* somebody asks for it, and the registry has it or may have it */
    RETAIN_SUSPENDED, /* whoever asks for it wants it to stay as it is */
    RETAIN_UNCLAIMED, /* no list that is known ever asked for it: somebody else's may */
    RETAIN_FOREVER,
    RETAIN_PROTECTED,
    RETAIN_LATEST, /* one of the last N */
    RETAIN_GRACE,  /* unwanted, but not for long enough */
    RETAIN_NOT,    /* may be taken away */
};
const char *retention_word(enum retention_verdict verdict);

bool name_is_gone(const struct name_record *record, int64_t pause_seconds, int64_t now);

/* `newer`: how many names of the same image were published after this one. */
enum retention_verdict retention_judge(const struct name_record *record,
                                       const struct retention *policy, size_t newer, int64_t now);
/* The same for all names of a repository: verdicts[i] is that of records->items[i]. */
void retention_judge_all(const struct name_records *records, const struct retention_rules *rules,
                         int64_t now, enum retention_verdict *verdicts);
/* Why it may go, for people: "no list asks for it since 2026-11-01T…Z". Owned. */
char *retention_reason(const struct name_record *record, const struct retention *policy,
                       int64_t now);

#endif

/*
 * Lists: where wishes come from, what each entry stands for, and so who asks for which name.
 *
 * A list is known by its repository and URL (a path, "git+https://…"). Reading it replaces its
 * entries; an entry that stays (the same text) keeps the names it stood for until it is expanded
 * again. So what cannot be read or expanded today changes nothing: the names of yesterday stay
 * wanted.
 *
 * A list that its configuration does not have any more is forgotten: state/list_origins.h.
 *
 * Images that were asked for on the command line are entries of a list of their own,
 * LIST_COMMAND_LINE, which only grows, until lists_withdraw().
 */
#ifndef STATE_LISTS_H
#define STATE_LISTS_H

#include "state/database.h"

#define LIST_COMMAND_LINE "command line"

struct list_entry {
    int line, column; /* where it stands, from 1; 0: nowhere */
    char *text;       /* the entry as written, on one line; names it within its list */
    bool suspended;
    char *error;       /* why it could not be read or expanded the last time; NULL: it could */
    int64_t failed_at; /* and when */
    size_t names;      /* it stands for (set when read back) */
};

struct list_record {
    int64_t id;
    char *repository, *url;
    char *revision;     /* commit, ETag; NULL: it has none */
    char *contact;      /* whom to ask; NULL: not said */
    int64_t fetched_at; /* tried */
    int64_t good_at;    /* read, and in force since then or before */
    char *error;        /* why the last try failed; NULL: it did not */
    struct list_entry *entries;
    size_t entry_count;
    size_t names; /* asked for by it */
};

/* The list was read. Only repository, url, revision, contact, entries (line, column, text,
 * suspended, error) are looked at. *out_id may be NULL. */
MUST_CHECK int lists_read(struct database *db, const struct list_record *list, int64_t now,
                          int64_t *out_id, struct error *err);
/* The number of a list. ERROR_NOT_FOUND if it is not known. */
MUST_CHECK int lists_find(struct database *db, const char *repository, const char *url,
                          int64_t *out_id, struct error *err);
/* It was read again, and is what it was: only the time is noted. */
MUST_CHECK int lists_unchanged(struct database *db, const char *repository, const char *url,
                               int64_t now, struct error *err);
/* It could not be read: what was known stays. */
MUST_CHECK int lists_failed(struct database *db, const char *repository, const char *url,
                            const struct error *why, int64_t now, struct error *err);

/* One name that an entry stands for, or would stand for but for a selector. */
struct list_name {
    const char *name;     /* public name */
    const char *left_out; /* NULL: wanted. Else the selector that leaves it out: "exclude: *-rc*" */
};
/* What an entry of a list stands for now. ERROR_NOT_FOUND if the list has no such entry. */
MUST_CHECK int lists_expanded(struct database *db, int64_t list, const char *entry_text,
                              const struct list_name *names, size_t count, int64_t now,
                              struct error *err);
/* It stands for this name, too. */
MUST_CHECK int lists_also_wanted(struct database *db, int64_t list, const char *entry_text,
                                 const char *name, struct error *err);
MUST_CHECK int lists_not_expanded(struct database *db, int64_t list, const char *entry_text,
                                  const struct error *why, int64_t now, struct error *err);

/* As lists_read(), for LIST_COMMAND_LINE, whatever the list's URL: no entry goes. */
MUST_CHECK int lists_ask(struct database *db, const struct list_record *list, int64_t now,
                         int64_t *out_id, struct error *err);
/* Take back whatever the command line asked for that stands for this name. */
MUST_CHECK int lists_withdraw(struct database *db, const char *repository, const char *name,
                              struct error *err);

/* With their entries, ordered by repository and URL. */
struct list_records {
    struct list_record *items;
    size_t count, capacity;
};
void list_records_release(struct list_records *lists);
MUST_CHECK int lists_list(struct database *db, const char *repository, struct list_records *out,
                          struct error *err);

/* Who asks for a name, or leaves it out. */
struct want {
    char *repository, *name;
    char *url, *revision, *contact; /* of the list; revision and contact may be NULL */
    int line, column;
    char *text;     /* the entry */
    char *left_out; /* the selector that leaves it out; NULL: it is wanted */
    bool suspended;
};
struct wants {
    struct want *items;
    size_t count, capacity;
};
void wants_release(struct wants *wants);
/* `name` NULL: of all names, ordered by repository and name. */
MUST_CHECK int lists_wants(struct database *db, const char *repository, const char *name,
                           struct wants *out, struct error *err);

#endif

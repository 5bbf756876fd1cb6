#include "config/retention.h"

#include "base/clock.h"
#include "base/memory.h"
#include "wishlist/glob.h"

#include <string.h>

const char *retention_word(enum retention_verdict verdict)
{
    static const char *const words[] = {[RETAIN_WANTED] = "wanted",
                                        [RETAIN_SUSPENDED] = "suspended",
                                        [RETAIN_UNCLAIMED] = "of no known list",
                                        [RETAIN_FOREVER] = "retained",
                                        [RETAIN_PROTECTED] = "protected",
                                        [RETAIN_LATEST] = "among the last",
                                        [RETAIN_GRACE] = "in its grace period",
                                        [RETAIN_NOT] = "may go"};
    return words[verdict];
}

/* ---- rules ---- */

static void release(struct retention *r)
{
    for (char **p = r->protect; p && *p; p++)
        free(*p);
    free(r->protect);
}

void retention_rules_release(struct retention_rules *rules)
{
    release(&rules->usual);
    for (size_t i = 0; i < rules->count; i++) {
        free(rules->lists[i].list);
        release(&rules->lists[i].retention);
    }
    free(rules->lists);
    *rules = (struct retention_rules){0};
}

/* `asked_by` is "URL:LINE@REVISION". */
static bool is_of_list(const char *asked_by, const char *list)
{
    size_t len = strlen(list);
    for (const char *p = asked_by; (p = strstr(p, list)); p++) {
        char after = p[len];
        if ((p == asked_by || p[-1] == '/') && (after == ':' || after == '@' || after == '\0'))
            return true;
    }
    return false;
}

const struct retention *retention_of(const struct retention_rules *rules,
                                     const struct name_record *r)
{
    for (size_t i = 0; r->asked_by && i < rules->count; i++)
        if (is_of_list(r->asked_by, rules->lists[i].list))
            return &rules->lists[i].retention;
    return &rules->usual;
}

/* ---- judging ---- */

static int64_t pause_of(const struct retention *policy)
{
    return policy->gone_pause_seconds > 0 ? policy->gone_pause_seconds : GONE_PAUSE_SECONDS_DEFAULT;
}

/* Times to come are those of a clock that jumped: they prove nothing. */
bool name_is_gone(const struct name_record *r, int64_t pause_seconds, int64_t now)
{
    return r->gone_count >= GONE_ANSWERS && r->gone_first_at > 0 && r->gone_last_at <= now &&
           r->gone_last_at - r->gone_first_at >= pause_seconds;
}

/* Since when nobody wants it; 0: somebody does. */
static int64_t unwanted_since(const struct name_record *r, const struct retention *policy,
                              int64_t now)
{
    int64_t since = r->asked_by && r->unwanted_since <= now ? r->unwanted_since : 0;
    if (name_is_gone(r, pause_of(policy), now) && (since == 0 || r->gone_first_at < since))
        since = r->gone_first_at;
    return since;
}

static bool is_protected(const struct retention *policy, const char *name)
{
    for (char *const *p = policy->protect; p && *p; p++)
        if (glob_match(*p, name))
            return true;
    return false;
}

enum retention_verdict retention_judge(const struct name_record *r, const struct retention *policy,
                                       size_t newer, int64_t now)
{
    int64_t since = unwanted_since(r, policy, now);
    if (since == 0)
        return r->suspended                        ? RETAIN_SUSPENDED
               : r->unwanted_since && !r->asked_by ? RETAIN_UNCLAIMED
                                                   : RETAIN_WANTED;
    if (r->suspended && r->unwanted_since == 0)
        return RETAIN_SUSPENDED;
    if (!policy->is_limited)
        return RETAIN_FOREVER;
    if (is_protected(policy, r->name))
        return RETAIN_PROTECTED;
    if (newer < policy->keep_last)
        return RETAIN_LATEST;
    return now - since < policy->seconds ? RETAIN_GRACE : RETAIN_NOT;
}

/* REGISTRY/REPOSITORY, the part before the tag or digest. */
static size_t image_length(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *last = slash ? slash : name;
    return (size_t)(last - name) + strcspn(last, ":@");
}

static int compare_images(const char *a, const char *b)
{
    size_t x = image_length(a), y = image_length(b);
    int order = memcmp(a, b, x < y ? x : y);
    return order ? order : (x > y) - (x < y);
}

/* Those of an image together, the newest first. */
static int compare_age(const void *a, const void *b)
{
    const struct name_record *x = *(const struct name_record *const *)a,
                             *y = *(const struct name_record *const *)b;
    int order = compare_images(x->name, y->name);
    if (order != 0)
        return order;
    if (x->published_at != y->published_at)
        return x->published_at > y->published_at ? -1 : 1;
    return strcmp(x->name, y->name);
}

void retention_judge_all(const struct name_records *records, const struct retention_rules *rules,
                         int64_t now, enum retention_verdict *verdicts)
{
    _cleanup_free_ const struct name_record **by_age = xcalloc(records->count + 1, sizeof *by_age);
    size_t newer = 0;
    for (size_t i = 0; i < records->count; i++)
        by_age[i] = &records->items[i];
    qsort(by_age, records->count, sizeof *by_age, compare_age);
    for (size_t i = 0; i < records->count; i++) {
        const struct name_record *r = by_age[i];
        bool first = i == 0 || compare_images(by_age[i - 1]->name, r->name) != 0;
        newer = first ? 0 : newer;
        verdicts[r - records->items] = retention_judge(r, retention_of(rules, r), newer, now);
        newer += r->removed_at == 0; /* what is not there counts for nothing */
    }
}

char *retention_reason(const struct name_record *r, const struct retention *policy, int64_t now)
{
    if (r->asked_by && r->unwanted_since > 0 && r->unwanted_since <= now)
        return xasprintf("no list asks for it since %s", clock_text(r->unwanted_since).s);
    if (name_is_gone(r, pause_of(policy), now))
        return xasprintf("gone from its registry since %s (%u answers, the last at %s)",
                         clock_text(r->gone_first_at).s, r->gone_count,
                         clock_text(r->gone_last_at).s);
    return xstrdup("");
}

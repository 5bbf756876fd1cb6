#include "repository/policy.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/quantity.h"

#include <string.h>

static void set_chains(struct policy *p, int word)
{
    p->chains = (enum chain_policy)word;
}

static void set_podman(struct policy *p, int word)
{
    p->podman = (enum podman_policy)word;
}

static void set_devices(struct policy *p, int word)
{
    p->drop_devices = word == 1;
}

static void set_fix_perms(struct policy *p, int word)
{
    p->fix_perms = word == 0;
}

static void set_flat(struct policy *p, int word)
{
    p->skip_flat = word == 1;
}

static void set_layers(struct policy *p, int word)
{
    p->skip_layers = word == 1;
}

static void set_xattrs(struct policy *p, int word)
{
    p->keep_xattrs = word == 0;
}

static const struct setting {
    const char *name;
    const char *words[4];                         /* NULL-ended; none: a size */
    void (*set)(struct policy *policy, int word); /* the number of the word */
} settings[] = {
    {"chains", {"top", "all", "none"}, set_chains},
    {"podman", {"layers", "merged", "none"}, set_podman},
    {"devices", {"keep", "drop"}, set_devices},
    {"fix-perms", {"yes", "no"}, set_fix_perms},
    {"xattrs", {"keep", "drop"}, set_xattrs},
    {"flat", {"yes", "no"}, set_flat},
    {"layers", {"yes", "no"}, set_layers},
    {"chunk-above", {NULL}, NULL},
};

static int set_word(struct policy *policy, const struct setting *s, const char *value,
                    struct error *err)
{
    _cleanup_buf_ struct buf expected = BUF_INIT;
    for (int i = 0; s->words[i]; i++) {
        if (strcmp(s->words[i], value) == 0) {
            s->set(policy, i);
            return 0;
        }
        buf_addf(&expected, "%s%s", i ? " or " : "", s->words[i]);
    }
    _cleanup_free_ char *q = quoted(value);
    return error_set(err, ERROR_PARSE, "%s is not %s", q, expected.data);
}

int policy_set(struct policy *policy, const char *name, const char *value, struct error *err)
{
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        struct policy ignored = {0};
        const struct setting *s = &settings[i];
        if (strcmp(s->name, name) != 0)
            continue;
        /* A value that loses must still be a good one. */
        struct policy *to = policy->given & 1u << i ? &ignored : policy;
        to->given |= 1u << i;
        if (s->set)
            return set_word(to, s, value, err);
        return size_parse(value, &to->chunk_above_bytes, err);
    }
    return error_set(err, ERROR_BUG, "no setting called %s", name);
}

int policy_finish(struct policy *policy, struct error *err)
{
    if (policy->skip_layers && policy->podman == PODMAN_LAYERS)
        policy->podman = PODMAN_NONE; /* as the Go tool has it: there is nothing to stack */
    if (policy->chains == CHAINS_NONE && policy->podman == PODMAN_MERGED)
        return error_set(err, ERROR_PARSE,
                         "--podman merged needs the image's chain, which --chains none leaves out");
    return 0;
}

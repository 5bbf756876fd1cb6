#include "web/sender.h"

#include "base/buf.h"
#include "base/memory.h"

#include <string.h>

const struct sender_type sender_types[SENDER_KIND_COUNT] = {
    [SENDER_HARBOR] = {"harbor", PROOF_AUTHORIZATION},
    [SENDER_DISTRIBUTION] = {"distribution", PROOF_AUTHORIZATION},
    [SENDER_DOCKERHUB] = {"dockerhub", PROOF_PATH},
    [SENDER_GITHUB] = {"github", PROOF_SIGNATURE},
    [SENDER_GITLAB] = {"gitlab", PROOF_TOKEN},
    [SENDER_QUAY] = {"quay", PROOF_PATH},
};

char *sender_kind_words(void)
{
    struct buf words = BUF_INIT;
    for (size_t i = 0; i < SENDER_KIND_COUNT; i++)
        buf_addf(&words, "%s%s", i ? ", " : "", sender_types[i].word);
    return buf_take(&words);
}

int sender_kind_parse(const char *word, enum sender_kind *out, struct error *err)
{
    for (size_t i = 0; i < SENDER_KIND_COUNT; i++) {
        if (strcmp(sender_types[i].word, word) != 0)
            continue;
        *out = (enum sender_kind)i;
        return 0;
    }
    _cleanup_free_ char *words = sender_kind_words();
    return error_set(err, ERROR_PARSE, "expected one of %s", words);
}

void senders_release(struct senders *senders)
{
    for (size_t i = 0; i < senders->count; i++) {
        struct sender *s = &senders->items[i];
        if (s->secret)
            explicit_bzero(s->secret, strlen(s->secret));
        free(s->name);
        free(s->secret);
        free(s->registry);
    }
    free(senders->items);
    *senders = (struct senders){0};
}

void senders_copy(struct senders *out, const struct senders *from)
{
    *out = (struct senders){0};
    for (size_t i = 0; i < from->count; i++) {
        const struct sender *s = &from->items[i];
        ARRAY_GROW(out->items, out->count, out->capacity);
        out->items[out->count++] =
            (struct sender){.name = xstrdup(s->name),
                            .kind = s->kind,
                            .secret = s->secret ? xstrdup(s->secret) : NULL,
                            .registry = s->registry ? xstrdup(s->registry) : NULL,
                            .rate = s->rate};
    }
}

const struct sender *sender_find(const struct senders *senders, const char *name, size_t len)
{
    for (size_t i = 0; i < senders->count; i++)
        if (strlen(senders->items[i].name) == len && !memcmp(senders->items[i].name, name, len))
            return &senders->items[i];
    return NULL;
}

#include "base/memory.h"
#include "registry/answer.h"
#include "registry/authorizer.h"
#include "registry/endpoint.h"

#include <pthread.h>
#include <string.h>

enum scheme {
    SCHEME_BASIC,
    SCHEME_BEARER,
};

/* How one repository is asked for. Immutable but for being replaced as a whole. */
struct habit {
    struct habit *next;
    char *key;
    enum scheme scheme;
    char *realm, *service, *scope; /* of SCHEME_BEARER */
};

struct authorizer {
    const struct credential_source *credentials;
    struct token_cache *tokens;
    pthread_mutex_t mutex; /* guards the habits */
    struct habit *habits;
};

struct authorizer *authorizer_new(const struct token_options *options)
{
    struct authorizer *authorizer = xcalloc(1, sizeof *authorizer);
    authorizer->credentials = options->credentials;
    authorizer->tokens = token_cache_new(options);
    pthread_mutex_init(&authorizer->mutex, NULL);
    return authorizer;
}

static void habit_clear(struct habit *habit)
{
    free(habit->key);
    free(habit->realm);
    free(habit->service);
    free(habit->scope);
}

void authorizer_free(struct authorizer *authorizer)
{
    if (!authorizer)
        return;
    while (authorizer->habits) {
        struct habit *habit = authorizer->habits;
        authorizer->habits = habit->next;
        habit_clear(habit);
        free(habit);
    }
    token_cache_free(authorizer->tokens);
    pthread_mutex_destroy(&authorizer->mutex);
    free(authorizer);
}

void authorization_release(struct authorization *authorization)
{
    if (authorization->value)
        explicit_bzero(authorization->value, strlen(authorization->value));
    free(authorization->value);
    *authorization = (struct authorization){0};
}

/* --- habits --- */

static struct habit *find_locked(struct authorizer *authorizer, const char *key)
{
    struct habit *habit = authorizer->habits;
    while (habit && strcmp(habit->key, key) != 0)
        habit = habit->next;
    return habit;
}

static char *key_of(const struct endpoint *at)
{
    return xstrdup(at->base);
}

static struct habit habit_copy(const struct habit *habit)
{
    return (struct habit){
        .key = xstrdup(habit->key),
        .scheme = habit->scheme,
        .realm = habit->realm ? xstrdup(habit->realm) : NULL,
        .service = habit->service ? xstrdup(habit->service) : NULL,
        .scope = habit->scope ? xstrdup(habit->scope) : NULL,
    };
}

/* Takes what *habit owns. */
static void remember(struct authorizer *authorizer, struct habit *habit)
{
    pthread_mutex_lock(&authorizer->mutex);
    struct habit *known = find_locked(authorizer, habit->key);
    if (known) {
        habit->next = known->next;
        habit_clear(known);
    } else {
        known = xmalloc(sizeof *known);
        habit->next = authorizer->habits;
        authorizer->habits = known;
    }
    *known = *habit;
    pthread_mutex_unlock(&authorizer->mutex);
}

/* --- carrying them out --- */

bool authorizer_withholds(struct authorizer *authorizer, const struct endpoint *at,
                          struct error *err)
{
    return credential_withheld(authorizer->credentials, at, err);
}

static int with_token(struct authorizer *authorizer, const struct endpoint *at,
                      const struct habit *habit, uint64_t refused, struct authorization *out,
                      struct error *err)
{
    struct token token;
    struct token_scope scope = {at, habit->realm, habit->service, habit->scope};
    if (token_get(authorizer->tokens, &scope, refused, &token, err) < 0)
        return -1;
    out->value = xasprintf("Bearer %s", token.text);
    out->generation = token.generation;
    out->with_credentials = token.with_credentials;
    token_release(&token);
    return 0;
}

static int with_password(struct authorizer *authorizer, const struct endpoint *at,
                         struct authorization *out, struct error *err)
{
    struct credential credential = {0};
    int found = credential_lookup(authorizer->credentials, at, &credential, err);
    if (found < 0)
        return -1;
    if (!found) {
        error_set(err, ERROR_AUTH, "registry %s wants a user and a password", at->registry);
        if (authorizer_withholds(authorizer, at, err))
            return -1;
        return error_set(err, ERROR_AUTH,
                         "registry %s wants a user and a password, and none are known for %s/%s",
                         at->registry, at->registry, at->repository);
    }
    out->value = basic_authorization(&credential, err);
    out->with_credentials = true;
    credential_release(&credential);
    return out->value ? 0 : -1;
}

static int carry_out(struct authorizer *authorizer, const struct endpoint *at,
                     const struct habit *habit, uint64_t refused, struct authorization *out,
                     struct error *err)
{
    *out = (struct authorization){0};
    if (habit->scheme == SCHEME_BEARER)
        return with_token(authorizer, at, habit, refused, out, err);
    return with_password(authorizer, at, out, err);
}

int authorizer_current(struct authorizer *authorizer, const struct endpoint *at,
                       struct authorization *out, struct error *err)
{
    struct habit habit = {0};
    _cleanup_free_ char *key = key_of(at);
    pthread_mutex_lock(&authorizer->mutex);
    const struct habit *known = find_locked(authorizer, key);
    if (known)
        habit = habit_copy(known);
    pthread_mutex_unlock(&authorizer->mutex);
    if (!known) {
        *out = (struct authorization){0};
        return 0;
    }
    int rc = carry_out(authorizer, at, &habit, 0, out, err);
    habit_clear(&habit);
    return rc;
}

/* --- challenges --- */

static const struct challenge *find_scheme(const struct challenges *challenges, const char *scheme)
{
    for (size_t i = 0; i < challenges->count; i++)
        if (strcmp(challenges->items[i].scheme, scheme) == 0)
            return &challenges->items[i];
    return NULL;
}

/* A token is preferred: it opens one repository for reading, a password everything. */
static int choose(const struct challenges *challenges, const struct endpoint *at, struct habit *out,
                  struct error *err)
{
    const struct challenge *bearer = find_scheme(challenges, "bearer");
    const char *realm = bearer ? challenge_get(bearer, "realm") : NULL;
    if (realm) {
        const char *service = challenge_get(bearer, "service");
        const char *scope = challenge_get(bearer, "scope");
        *out = (struct habit){
            .key = key_of(at),
            .scheme = SCHEME_BEARER,
            .realm = xstrdup(realm),
            .service = xstrdup(service ? service : ""),
            .scope =
                scope && *scope ? xstrdup(scope) : xasprintf("repository:%s:pull", at->repository),
        };
        return 0;
    }
    if (find_scheme(challenges, "basic")) {
        *out = (struct habit){.key = key_of(at), .scheme = SCHEME_BASIC};
        return 0;
    }
    return error_set(err, ERROR_AUTH,
                     "registry %s asks for a kind of authentication that is not known here",
                     at->registry);
}

static int read_challenge(const struct http_response *response, const struct endpoint *at,
                          struct habit *out, struct error *err)
{
    _cleanup_free_ char *header = http_headers_joined(response, "www-authenticate");
    struct challenges challenges = {0};
    if (!header) {
        answer_error(response, err);
        return error_wrap(err, "registry %s refuses, and does not say what it wants", at->registry);
    }
    if (challenges_parse(header, &challenges, err) < 0) {
        error_wrap(err, "registry %s", at->registry);
        err->kind = ERROR_AUTH;
        return -1;
    }
    int rc = choose(&challenges, at, out, err);
    challenges_release(&challenges);
    return rc;
}

int authorizer_answer(struct authorizer *authorizer, const struct endpoint *at,
                      const struct http_response *response, const struct authorization *refused,
                      struct authorization *out, struct error *err)
{
    struct habit habit = {0};
    struct authorization answer;
    if (read_challenge(response, at, &habit, err) < 0)
        return -1;
    if (carry_out(authorizer, at, &habit, refused->generation, &answer, err) < 0) {
        habit_clear(&habit);
        return -1;
    }
    bool same =
        habit.scheme == SCHEME_BASIC && refused->value && strcmp(refused->value, answer.value) == 0;
    remember(authorizer, &habit);
    if (same) {
        authorization_release(&answer);
        answer_error(response, err);
        return error_wrap(err, "registry %s refuses the credentials", at->registry);
    }
    *out = answer;
    return 0;
}

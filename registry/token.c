#include "registry/token.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "registry/answer.h"
#include "registry/url.h"

#include <pthread.h>
#include <string.h>

#define DEFAULT_LIFE_SECONDS 60.0 /* Docker Registry v2 token authentication, "expires_in" */
#define REFRESH_SECONDS      10.0 /* before a token expires; half its life for a shorter one */

struct entry {
    struct entry *next;
    char *key;
    struct token token;
    double usable_until; /* clock_monotonic() */
    bool fetching;
    uint64_t rounds;    /* fetches that have ended, well or not */
    struct error error; /* of the last one */
};

struct token_cache {
    struct token_options options;
    pthread_mutex_t mutex; /* guards the entries */
    pthread_cond_t ended;  /* a fetch */
    struct entry *entries;
    uint64_t last_generation;
};

struct token_cache *token_cache_new(const struct token_options *options)
{
    struct token_cache *cache = xcalloc(1, sizeof *cache);
    cache->options = *options;
    pthread_mutex_init(&cache->mutex, NULL);
    pthread_cond_init(&cache->ended, NULL);
    return cache;
}

void token_cache_free(struct token_cache *cache)
{
    if (!cache)
        return;
    while (cache->entries) {
        struct entry *entry = cache->entries;
        cache->entries = entry->next;
        token_release(&entry->token);
        error_release(&entry->error);
        free(entry->key);
        free(entry);
    }
    pthread_cond_destroy(&cache->ended);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

/* --- fetching --- */

/* Credentials go to an https:// realm, or for a registry that the site marks "insecure: http" to
 * any. */
static int check_realm(const struct token_scope *scope, bool with_credentials, struct error *err)
{
    if (!with_credentials || scope->at->open_line || url_is_https(scope->realm))
        return 0;
    _cleanup_free_ char *shown = url_shown(scope->realm);
    return error_set(err, ERROR_AUTH,
                     "registry %s wants credentials sent to %s, an open line: refused",
                     scope->at->registry, shown);
}

/* Several scopes in a challenge are separated by spaces; the token service takes one a parameter.
 */
static char *token_url(const struct token_scope *scope, const char *account, struct error *err)
{
    char *url = url_resolve(scope->realm, scope->realm, err);
    _cleanup_free_ char *scopes = xstrdup(scope->scope);
    char *rest = scopes;
    struct url_param params[] = {{"service", scope->service}, {"account", account}};
    for (size_t i = 0; url && i < sizeof params / sizeof params[0]; i++) {
        _cleanup_free_ char *before = url;
        bool said = params[i].value && *params[i].value;
        url = said ? url_add_query(before, &params[i], 1, err) : xstrdup(before);
    }
    for (char *one; url && (one = strsep(&rest, " "));) {
        _cleanup_free_ char *before = url;
        struct url_param param = {"scope", one};
        url = *one ? url_add_query(before, &param, 1, err) : xstrdup(before);
    }
    if (!url)
        error_wrap(err, "token service of %s", scope->at->registry);
    return url;
}

/* It becomes part of a header. */
static bool is_printable(const char *token)
{
    for (; *token; token++)
        if (*token <= 0x20 || *token >= 0x7f)
            return false;
    return true;
}

static int parse_answer(const struct buf *body, char **out_token, double *out_life,
                        struct error *err)
{
    const char *what = "answer of the token service", *token, *access;
    _cleanup_json_ json_t *doc =
        json_parse_secret(what, body->data, body->len, LIMIT_TOKEN_BYTES, err);
    if (!doc)
        return -1;
    if (!json_is_object(doc))
        return error_set(err, ERROR_PARSE, "%s: expected a JSON object", what);
    if (json_get_optional_string(doc, what, "token", &token, err) < 0 ||
        json_get_optional_string(doc, what, "access_token", &access, err) < 0)
        return -1;
    if (!token || !*token)
        token = access;
    if (!token || !*token || !is_printable(token))
        return error_set(err, ERROR_PARSE, "%s: no usable token in it", what);
    const json_t *life = json_object_get(doc, "expires_in");
    *out_life = json_is_number(life) ? json_number_value(life) : DEFAULT_LIFE_SECONDS;
    *out_token = xstrdup(token);
    return 0;
}

struct fetch {
    struct token_cache *cache;
    struct http_request request;
};

static int send_once(void *arg, struct http_response *out, struct error *err)
{
    struct fetch *fetch = arg;
    atomic_fetch_add(fetch->cache->options.request_counter, 1);
    return http_perform(fetch->cache->options.http, &fetch->request, out, err);
}

static int refused(struct token_cache *cache, const struct token_scope *scope,
                   const struct http_response *response, bool with_credentials, struct error *err)
{
    answer_error(response, err);
    if (err->kind != ERROR_AUTH)
        return error_wrap(err, "token service of %s", scope->at->registry);
    error_wrap(err, "token service of %s refuses %s %s/%s", scope->at->registry,
               with_credentials ? "the credentials for" : "anonymous access to",
               scope->at->registry, scope->at->repository);
    credential_withheld(cache->options.credentials, scope->at, err);
    return -1;
}

/* 1 if the service does not know POST ("If the request returns 404 …, refer to GET"). */
static int ask(struct token_cache *cache, const struct token_scope *scope,
               const struct http_request *request, char **out_token, double *out_life,
               struct error *err)
{
    struct http_response response = {.body = BUF_INIT};
    struct fetch fetch = {cache, *request};
    bool with_credentials = request->authorization || request->form;
    fetch.request.accept = "application/json";
    fetch.request.max_body_bytes = LIMIT_TOKEN_BYTES;
    if (retry_run(&cache->options.retry, send_once, &fetch, &response, err) < 0)
        return error_wrap(err, "token service of %s", scope->at->registry);
    int rc;
    if (request->form && (response.status == 404 || response.status == 405))
        rc = 1;
    else if (response.status != 200)
        rc = refused(cache, scope, &response, with_credentials, err);
    else if ((rc = parse_answer(&response.body, out_token, out_life, err)) < 0)
        error_wrap(err, "token service of %s", scope->at->registry);
    if (response.status == 200 && response.body.capacity)
        explicit_bzero(response.body.data, response.body.capacity);
    http_response_release(&response);
    return rc;
}

static int ask_with_identity(struct token_cache *cache, const struct token_scope *scope,
                             const char *identity_token, char **out_token, double *out_life,
                             struct error *err)
{
    struct url_param params[] = {{"grant_type", "refresh_token"},
                                 {"service", scope->service},
                                 {"client_id", "ducc"},
                                 {"scope", scope->scope},
                                 {"refresh_token", identity_token}};
    _cleanup_free_ char *url = url_resolve(scope->realm, scope->realm, err);
    if (!url)
        return error_wrap(err, "token service of %s", scope->at->registry);
    char *form = url_form(params, sizeof params / sizeof params[0]);
    int rc = ask(cache, scope,
                 &(struct http_request){.url = url, .form = form, .secret = identity_token},
                 out_token, out_life, err);
    secret_free(form);
    return rc;
}

static int fetch_with(struct token_cache *cache, const struct token_scope *scope,
                      const struct credential *credential, char **out_token, double *out_life,
                      struct error *err)
{
    char *authorization = NULL;
    if (check_realm(scope, credential != NULL, err) < 0)
        return -1;
    if (credential && credential->identity_token) {
        int rc =
            ask_with_identity(cache, scope, credential->identity_token, out_token, out_life, err);
        if (rc <= 0)
            return rc;
    }
    if (credential && !(authorization = basic_authorization(credential, err)))
        return error_wrap(err, "token service of %s", scope->at->registry);
    _cleanup_free_ char *url = token_url(scope, credential ? credential->username : NULL, err);
    struct http_request request = {.url = url, .authorization = authorization};
    int rc = url ? ask(cache, scope, &request, out_token, out_life, err) : -1;
    secret_free(authorization);
    return rc;
}

/* *out_life: seconds from before the request. */
static int fetch(struct token_cache *cache, const struct token_scope *scope, struct token *out,
                 double *out_life, struct error *err)
{
    struct credential credential = {0};
    int found = credential_lookup(cache->options.credentials, scope->at, &credential, err);
    if (found < 0)
        return -1;
    int rc = fetch_with(cache, scope, found ? &credential : NULL, &out->text, out_life, err);
    out->with_credentials = found > 0;
    credential_release(&credential);
    return rc;
}

/* --- keeping --- */

/* The repository is part of the key although the scope names it as a rule: credentials may differ
 * from one repository to the next. */
static char *key_of(const struct token_scope *scope)
{
    return xasprintf("%s\n%s\n%s\n%s", scope->at->base, scope->realm, scope->service, scope->scope);
}

static struct entry *find_or_add(struct token_cache *cache, const struct token_scope *scope)
{
    _cleanup_free_ char *key = key_of(scope);
    for (struct entry *entry = cache->entries; entry; entry = entry->next)
        if (strcmp(entry->key, key) == 0)
            return entry;
    struct entry *entry = xcalloc(1, sizeof *entry);
    entry->key = TAKE_PTR(key);
    entry->next = cache->entries;
    cache->entries = entry;
    return entry;
}

static int copy_outcome(const struct entry *entry, struct token *out, struct error *err)
{
    if (!entry->token.text) {
        error_copy(err, &entry->error);
        return -1;
    }
    *out = entry->token;
    out->text = xstrdup(entry->token.text);
    return 0;
}

/* With the mutex held, which is released while the network is asked. */
static void refresh(struct token_cache *cache, const struct token_scope *scope, struct entry *entry)
{
    struct token token = {0};
    struct error error = ERROR_INIT;
    double started = clock_monotonic(), life = 0;
    entry->fetching = true;
    pthread_mutex_unlock(&cache->mutex);
    int rc = fetch(cache, scope, &token, &life, &error);
    pthread_mutex_lock(&cache->mutex);
    entry->fetching = false;
    entry->rounds++;
    token_release(&entry->token);
    error_release(&entry->error);
    if (rc == 0) {
        double margin = life / 2 < REFRESH_SECONDS ? life / 2 : REFRESH_SECONDS;
        token.generation = ++cache->last_generation;
        entry->token = token;
        entry->usable_until = started + life - margin;
    } else {
        error_move(&entry->error, &error);
    }
    pthread_cond_broadcast(&cache->ended);
}

/* A token just fetched is taken whatever its life is: a service that hands out tokens of no
 * seconds costs a request each time, but never a loop. */
static int get_locked(struct token_cache *cache, const struct token_scope *scope,
                      uint64_t refused_generation, struct token *out, struct error *err)
{
    struct entry *entry = find_or_add(cache, scope);
    bool usable = entry->token.text && entry->token.generation != refused_generation &&
                  clock_monotonic() < entry->usable_until;
    if (!usable && entry->fetching)
        for (uint64_t round = entry->rounds; entry->rounds == round;)
            pthread_cond_wait(&cache->ended, &cache->mutex);
    else if (!usable)
        refresh(cache, scope, entry);
    return copy_outcome(entry, out, err);
}

int token_get(struct token_cache *cache, const struct token_scope *scope,
              uint64_t refused_generation, struct token *out, struct error *err)
{
    pthread_mutex_lock(&cache->mutex);
    int rc = get_locked(cache, scope, refused_generation, out, err);
    pthread_mutex_unlock(&cache->mutex);
    return rc;
}

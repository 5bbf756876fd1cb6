/* The grammar of WWW-Authenticate: RFC 9110, sections 5.6 and 11.
 *
 *     #( scheme [ 1*SP ( token68 / #( token BWS "=" BWS ( token / quoted-string ) ) ) ] )
 *
 * A comma separates challenges as well as parameters, so after one the parser looks ahead: a token
 * with "=" behind it is another parameter, any other token the next scheme. */
#include "base/buf.h"
#include "base/memory.h"
#include "registry/auth.h"

#include <stdbool.h>
#include <string.h>

struct scanner {
    const char *text;
    size_t pos;
};

static char peek(const struct scanner *s)
{
    return s->text[s->pos];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_token_char(char c)
{
    return c && (is_alnum(c) || strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token68_char(char c)
{
    return c && (is_alnum(c) || strchr("-._~+/", c));
}

static int bad(const struct scanner *s, const char *expected, struct error *err)
{
    return error_set(err, ERROR_PARSE, "WWW-Authenticate, position %zu: expected %s", s->pos + 1,
                     expected);
}

static void skip_blanks(struct scanner *s)
{
    while (is_blank(peek(s)))
        s->pos++;
}

/* Empty list elements are legal: RFC 9110, section 5.6.1. */
static void skip_commas(struct scanner *s)
{
    while (is_blank(peek(s)) || peek(s) == ',')
        s->pos++;
}

static size_t token_length(const struct scanner *s)
{
    size_t n = 0;
    while (is_token_char(s->text[s->pos + n]))
        n++;
    return n;
}

static char *take_lower(struct scanner *s, size_t len)
{
    char *text = xstrndup(s->text + s->pos, len);
    for (char *p = text; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    s->pos += len;
    return text;
}

static char *parse_quoted(struct scanner *s, struct error *err)
{
    _cleanup_buf_ struct buf value = BUF_INIT;
    for (s->pos++; peek(s) != '"'; s->pos++) {
        if (peek(s) == '\\')
            s->pos++;
        unsigned char c = (unsigned char)peek(s);
        if (c == '\0') {
            bad(s, "a closing quote", err);
            return NULL;
        }
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            bad(s, "no control character", err);
            return NULL;
        }
        buf_addc(&value, (char)c);
    }
    s->pos++;
    return buf_take(&value);
}

static char *parse_value(struct scanner *s, struct error *err)
{
    if (peek(s) == '"')
        return parse_quoted(s, err);
    size_t len = token_length(s);
    if (len == 0) {
        bad(s, "a value", err);
        return NULL;
    }
    s->pos += len;
    return xstrndup(s->text + s->pos - len, len);
}

static bool at_param(const struct scanner *s)
{
    struct scanner ahead = *s;
    size_t len = token_length(&ahead);
    ahead.pos += len;
    skip_blanks(&ahead);
    return len > 0 && peek(&ahead) == '=';
}

static int parse_param(struct scanner *s, struct challenge *challenge, struct error *err)
{
    struct challenge_param param = {.name = take_lower(s, token_length(s))};
    skip_blanks(s);
    s->pos++; /* '=', which at_param() has seen */
    skip_blanks(s);
    param.value = parse_value(s, err);
    if (!param.value) {
        free(param.name);
        return -1;
    }
    challenge->params = xreallocarray(challenge->params, challenge->param_count + 1, sizeof param);
    challenge->params[challenge->param_count++] = param;
    return 0;
}

static int parse_params(struct scanner *s, struct challenge *challenge, struct error *err)
{
    while (at_param(s)) {
        if (parse_param(s, challenge, err) < 0)
            return -1;
        skip_blanks(s);
        if (peek(s) && peek(s) != ',')
            return bad(s, "a comma", err);
        skip_commas(s);
    }
    return 0;
}

/* Base64-like text that stands alone; 0 if what follows is no such thing. */
static size_t token68_length(const struct scanner *s)
{
    size_t n = 0;
    while (is_token68_char(s->text[s->pos + n]))
        n++;
    if (n == 0)
        return 0;
    while (s->text[s->pos + n] == '=')
        n++;
    struct scanner end = {s->text, s->pos + n};
    skip_blanks(&end);
    return peek(&end) == '\0' || peek(&end) == ',' ? n : 0;
}

static int parse_challenge(struct scanner *s, struct challenge *challenge, struct error *err)
{
    size_t len = token_length(s);
    if (len == 0)
        return bad(s, "a scheme", err);
    challenge->scheme = take_lower(s, len);
    if (peek(s) && peek(s) != ',' && !is_blank(peek(s)))
        return bad(s, "a space or a comma behind the scheme", err);
    skip_blanks(s);
    size_t token68 = token68_length(s);
    if (token68) {
        challenge->token68 = xstrndup(s->text + s->pos, token68);
        s->pos += token68;
    } else if (at_param(s)) {
        return parse_params(s, challenge, err);
    }
    if (peek(s) && peek(s) != ',' && !is_blank(peek(s)))
        return bad(s, "a parameter", err);
    return 0;
}

static int parse_all(struct scanner *s, struct challenges *out, struct error *err)
{
    size_t capacity = 0;
    for (skip_commas(s); peek(s); skip_commas(s)) {
        ARRAY_GROW(out->items, out->count, capacity);
        out->items[out->count] = (struct challenge){0};
        if (parse_challenge(s, &out->items[out->count++], err) < 0)
            return -1;
    }
    return 0;
}

int challenges_parse(const char *value, struct challenges *out, struct error *err)
{
    struct challenges challenges = {0};
    struct scanner scanner = {value, 0};
    if (parse_all(&scanner, &challenges, err) < 0) {
        challenges_release(&challenges);
        return -1;
    }
    *out = challenges;
    return 0;
}

const char *challenge_get(const struct challenge *challenge, const char *name)
{
    for (size_t i = 0; i < challenge->param_count; i++)
        if (strcmp(challenge->params[i].name, name) == 0)
            return challenge->params[i].value;
    return NULL;
}

static void challenge_release(struct challenge *challenge)
{
    for (size_t i = 0; i < challenge->param_count; i++) {
        free(challenge->params[i].name);
        free(challenge->params[i].value);
    }
    free(challenge->params);
    free(challenge->scheme);
    free(challenge->token68);
}

void challenges_release(struct challenges *challenges)
{
    for (size_t i = 0; i < challenges->count; i++)
        challenge_release(&challenges->items[i]);
    free(challenges->items);
    *challenges = (struct challenges){0};
}

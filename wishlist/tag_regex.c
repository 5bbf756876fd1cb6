#include "wishlist/tag_regex.h"

#include "base/buf.h"
#include "base/memory.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#define PATTERN_BYTES_MAX 512
#define STEPS_MAX         20000 /* of one tag: under a millisecond */
#define HEAP_KIB_MAX      1024
#define NEST_MAX          32

struct tag_regex {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *limits;
};

static int compile_error(const char *pattern, int number, size_t offset, struct error *err)
{
    unsigned char why[128] = "";
    pcre2_get_error_message(number, why, sizeof why);
    _cleanup_free_ char *q = quoted(pattern);
    return error_set(err, ERROR_PARSE, "%s: not a regular expression at character %zu: %s", q,
                     offset + 1, (const char *)why);
}

/* Both ends are the pattern's business no more: the whole tag is compared. */
static pcre2_code *compile(const char *pattern, struct error *err)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    int number;
    size_t offset;
    if (!context)
        abort(); /* out of memory, as everywhere */
    pcre2_set_parens_nest_limit(context, NEST_MAX);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                     PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C |
                                         PCRE2_NEVER_UTF,
                                     &number, &offset, context);
    pcre2_compile_context_free(context);
    if (!code)
        compile_error(pattern, number, offset, err);
    return code;
}

struct tag_regex *tag_regex_new(const char *pattern, struct error *err)
{
    if (strlen(pattern) > PATTERN_BYTES_MAX) {
        error_set(err, ERROR_LIMIT, "a regular expression has %d characters at most",
                  PATTERN_BYTES_MAX);
        return NULL;
    }
    pcre2_code *code = compile(pattern, err);
    if (!code)
        return NULL;
    struct tag_regex *regex = xcalloc(1, sizeof *regex);
    regex->code = code;
    regex->match = pcre2_match_data_create_from_pattern(code, NULL);
    regex->limits = pcre2_match_context_create(NULL);
    if (!regex->match || !regex->limits)
        abort(); /* out of memory, as everywhere */
    pcre2_set_match_limit(regex->limits, STEPS_MAX);
    pcre2_set_depth_limit(regex->limits, STEPS_MAX);
    pcre2_set_heap_limit(regex->limits, HEAP_KIB_MAX);
    return regex;
}

void tag_regex_free(struct tag_regex *regex)
{
    if (!regex)
        return;
    pcre2_match_context_free(regex->limits);
    pcre2_match_data_free(regex->match);
    pcre2_code_free(regex->code);
    free(regex);
}

int tag_regex_match(struct tag_regex *regex, const char *tag, const char **out_part,
                    size_t *out_part_len, struct error *err)
{
    size_t len = strlen(tag);
    int groups = pcre2_match(regex->code, (PCRE2_SPTR)tag, len, 0, 0, regex->match, regex->limits);
    if (groups == PCRE2_ERROR_NOMATCH)
        return 0;
    if (groups < 0) {
        _cleanup_free_ char *q = quoted(tag);
        return error_set(err, ERROR_LIMIT,
                         "takes too many steps on the tag %s; avoid repetitions inside repetitions",
                         q);
    }
    const size_t *at = pcre2_get_ovector_pointer(regex->match);
    bool has_part = groups > 1 && at[2] != PCRE2_UNSET;
    *out_part = tag + (has_part ? at[2] : 0);
    *out_part_len = has_part ? at[3] - at[2] : len;
    return 1;
}

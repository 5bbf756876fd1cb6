/*
 * Amounts with a unit, as people write them in files and on the command line. A bare number counts
 * in the smallest unit; none is negative, zero, or spelled with blanks.
 */
#ifndef BASE_QUANTITY_H
#define BASE_QUANTITY_H

#include "base/error.h"

#include <stdint.h>

/* Bytes: "500", "20G". K, M, G and T are powers of 1000. ERROR_PARSE. */
MUST_CHECK int size_parse(const char *text, uint64_t *out, struct error *err);
/* Seconds: "90d", "1h30m". w, d, h, m, s, each at most once and in this order; a number has its
 * unit. Ten years at most. ERROR_PARSE. */
MUST_CHECK int duration_parse(const char *text, uint64_t *out_seconds, struct error *err);

/* "1h30m": what duration_parse() reads. By value, for messages. */
struct duration_text {
    char s[48];
};
struct duration_text duration_text(uint64_t seconds);

/* About how large and how long, for people: "12.3 MB" (powers of 1000); "45 s", "12 min", "3 h",
 * "5 days". */
struct size_text {
    char s[24];
};
struct size_text size_text(uint64_t bytes);
struct span_text {
    char s[24];
};
struct span_text span_text(int64_t seconds);

#endif

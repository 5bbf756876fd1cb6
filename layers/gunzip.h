/*
 * One gzip member (RFC 1952) after another, streaming. Two implementations, of which the build
 * takes one: isa-l's igzip (gunzip_isal.c), more than twice as fast as zlib on real layers, and
 * zlib (gunzip_zlib.c) where isa-l is not packaged. Both check the header, the checksum and the
 * length of each member.
 */
#ifndef LAYERS_GUNZIP_H
#define LAYERS_GUNZIP_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct gunzip;
struct gunzip *gunzip_new(void);
void gunzip_free(struct gunzip *g);

/* The next byte of input is the first one of a member. */
void gunzip_begin_member(struct gunzip *g);
/* Decode some: *in moves towards `in_end`. Returns the bytes made, at most `size`; 0 means that
 * more input is wanted, or *out_ended. Bytes may come without any input, as long as there are.
 * ERROR_CORRUPT. */
MUST_CHECK ssize_t gunzip_read(struct gunzip *g, const char **in, const char *in_end, char *bytes,
                               size_t size, bool *out_ended, struct error *err);

#endif
